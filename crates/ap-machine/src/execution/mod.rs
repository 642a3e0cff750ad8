// SPDX-License-Identifier: MIT OR Apache-2.0
//! The only door to a queue: what the machine's firmware does when a configuration executes an AP instruction.
//!
//! `sound.rs` takes the checks that all instructions share, in the order of AP reference 1.3; what an instruction then
//! does is in `pqap.rs`, `nqap.rs` and `dqap.rs`. `faulty/` stands around all of it where faults are planted.

mod dqap;
mod faulty;
mod nqap;
mod pqap;
mod sound;

use crate::configuration::Configuration;
use crate::instruction::{Instruction, OperandMemory, Operands, Outcome};

impl Configuration {
    /// Executes one instruction to its end, as the CPU does: registers in, registers and condition code out.
    pub fn execute(&self, insn: Instruction, operands: &Operands, memory: &mut dyn OperandMemory) -> Outcome {
        self.execute_for(self, insn, operands, memory)
    }

    /// As [`Self::execute`], but what AQIC arms notifies `guest`: what a hypervisor gets by designating the guest's
    /// GISA. AP reference 5.6. `memory` then says which notification addresses `guest` has.
    pub fn execute_for(
        &self,
        guest: &Self,
        insn: Instruction,
        operands: &Operands,
        memory: &mut dyn OperandMemory,
    ) -> Outcome {
        if self.sound {
            sound::execute(self, guest, insn, operands, memory)
        } else {
            faulty::execute(self, guest, insn, operands, memory)
        }
    }
}
