// SPDX-License-Identifier: GPL-2.0-or-later
//! The machine where another process owns it, so that several QEMUs share one. For tests of guests side by side: each
//! instruction is a conversation, and there are no interruptions.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ap_arch::ProgramCode;
use ap_machine::machine_socket::{self, Remote};
use ap_machine::{Instruction, OperandMemory, Operands, Outcome, ProgramException};

/// The connection; one vCPU speaks at a time.
pub(crate) struct Owner(Mutex<Option<Remote>>);

impl Owner {
    /// # Errors
    /// A sentence: nobody listens there, or who does is of another build.
    pub(crate) fn connect(socket: &Path) -> Result<Self, String> {
        let place = socket.display();
        let stream = UnixStream::connect(socket)
            .map_err(|error| format!("machine socket {place}: {error}; its owner must listen before QEMU starts"))?;
        let remote = Remote::new(stream).map_err(|error| format!("machine socket {place}: {error}"))?;
        Ok(Self(Mutex::new(Some(remote))))
    }

    /// The calling vCPU waits for an interruption: until its next instruction it may run on any CPU.
    pub(crate) fn rests(&self) {
        machine_socket::may_move();
    }

    /// Without its owner the machine is gone, and with it the AP instructions.
    pub(crate) fn execute(
        &self,
        instruction: Instruction,
        operands: &Operands,
        storage: &mut dyn OperandMemory,
    ) -> Outcome {
        let mut remote = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = remote.as_mut().map(|remote| remote.execute(instruction, operands, storage));
        match result {
            Some(Ok(outcome)) => return outcome,
            Some(Err(reason)) => {
                eprintln!("kaput-qemu-ap: the guest has no AP any more: {reason}");
                *remote = None;
            }
            None => {}
        }
        Outcome::Exception(ProgramException::new(ProgramCode::OPERATION))
    }
}
