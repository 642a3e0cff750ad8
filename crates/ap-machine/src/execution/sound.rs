// SPDX-License-Identifier: MIT OR Apache-2.0
//! An AP instruction on a machine without faults: the checks that all three instructions share, then the instruction's
//! own. AP reference 1.3.

use ap_arch::ProgramCode;

use super::{dqap, nqap, pqap};
use crate::configuration::Configuration;
use crate::instruction::{Instruction, OperandMemory, Operands, Outcome, ProgramException};

/// What AQIC arms notifies `guest`.
pub(super) fn execute(
    configuration: &Configuration,
    guest: &Configuration,
    insn: Instruction,
    operands: &Operands,
    memory: &mut dyn OperandMemory,
) -> Outcome {
    let result = if !configuration.is_available() {
        Err(ProgramException::new(ProgramCode::OPERATION))
    } else if operands.problem_state {
        Err(ProgramException::new(ProgramCode::PRIVILEGED_OPERATION))
    } else {
        match insn {
            Instruction::Pqap => pqap::execute(configuration, guest, operands, memory),
            Instruction::Nqap { r1, r2 } => nqap::execute(configuration, r1, r2, operands, memory),
            Instruction::Dqap { r1, r2 } => dqap::execute(configuration, r1, r2, operands, memory),
        }
    };
    result.unwrap_or_else(Outcome::Exception)
}
