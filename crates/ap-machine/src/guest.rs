// SPDX-License-Identifier: MIT OR Apache-2.0
//! The only door to a queue: what the machine's firmware does when a configuration executes an AP instruction.
//!
//! The checks stand in the order of AP reference 1.3. What an instruction then does is in `pqap.rs`, `nqap.rs` and
//! `dqap.rs`.

use std::sync::Arc;

use ap_arch::{Mask256, Matrix, ProgramCode, QciBlock};

use crate::apcb::SharedMatrix;
use crate::instruction::{Instruction, OperandMemory, Operands, Outcome, ProgramException};
use crate::machine::Machine;
use crate::pqap;
use crate::topology::Facilities;

/// One guest's view of a machine, or the host's own.
pub struct Configuration {
    pub(crate) machine: Arc<Machine>,
    pub(crate) apcb: SharedMatrix,
}

impl Configuration {
    /// A guest that has nothing yet.
    #[must_use]
    pub fn guest(machine: &Arc<Machine>) -> Arc<Self> {
        Self::new(machine, &Matrix::EMPTY)
    }

    /// The host, which has everything that the machine has, at any time.
    #[must_use]
    pub fn host(machine: &Arc<Machine>) -> Arc<Self> {
        let everything = Matrix { adapters: Mask256::FULL, domains: Mask256::FULL, control_domains: Mask256::FULL };
        Self::new(machine, &everything)
    }

    fn new(machine: &Arc<Machine>, apcb: &Matrix) -> Arc<Self> {
        Arc::new(Self { machine: Arc::clone(machine), apcb: SharedMatrix::new(apcb) })
    }

    /// The machine it is a view of.
    #[must_use]
    pub fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// Replaces the masks. An instruction executes under the old or the new ones, never under a mixture; one that acts
    /// on a queue looks at them when it has the queue for itself, so whoever resets a queue afterwards resets
    /// everything that was done to it under the old masks. AP reference 9.4.
    pub fn set_apcb(&self, matrix: Matrix) {
        self.apcb.store(&matrix);
    }

    /// The masks as they were set; the machine may have less.
    #[must_use]
    pub fn apcb(&self) -> Matrix {
        self.apcb.load()
    }

    /// Facility bits that STFLE is to show.
    #[must_use]
    pub fn facilities(&self) -> Facilities {
        if self.machine.installed { self.machine.facilities } else { Facilities::NONE }
    }

    /// Whether the AP instructions are installed; if not, executing one is an operation exception.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.machine.installed
    }

    /// Executes one instruction to its end, as the CPU does: registers in, registers and condition code out.
    pub fn execute(&self, insn: Instruction, operands: &Operands, memory: &mut dyn OperandMemory) -> Outcome {
        self.try_execute(insn, operands, memory).unwrap_or_else(Outcome::Exception)
    }

    fn try_execute(
        &self,
        insn: Instruction,
        operands: &Operands,
        memory: &mut dyn OperandMemory,
    ) -> Result<Outcome, ProgramException> {
        if !self.machine.installed {
            return Err(ProgramException::new(ProgramCode::OPERATION));
        }
        if operands.problem_state {
            return Err(ProgramException::new(ProgramCode::PRIVILEGED_OPERATION));
        }
        match insn {
            Instruction::Pqap => pqap::execute(self, operands, memory),
            Instruction::Nqap { .. } | Instruction::Dqap { .. } => Err(ProgramException::specification()),
        }
    }

    /// The QCI block of this configuration: its masks, as far as the machine has them. AP reference 9.5.
    pub(crate) fn qci(&self) -> QciBlock {
        let matrix = self.apcb.load().intersection(&self.machine.present.load());
        QciBlock { matrix, ..self.machine.qci }
    }
}
