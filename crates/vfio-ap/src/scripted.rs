// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guest that executes what it is told, one AP instruction at a time, through the same door as a vCPU.

use ap_machine::{Configuration, Instruction, Notification, OperandMemory, Operands, Outcome};
use vfio_mig::{DeviceError, Errno};

use crate::control::{GuestInstruction, GuestState, Hex64, HexBytes};

/// Bytes of its memory, from address 0.
const MEMORY: usize = 64 * 1024;

/// Its memory; it has no other state.
#[derive(Debug)]
pub struct ScriptedGuest {
    memory: Vec<u8>,
}

impl Default for ScriptedGuest {
    fn default() -> Self {
        Self { memory: vec![0; MEMORY] }
    }
}

impl ScriptedGuest {
    /// What the hardware stores into the guest's memory when a reply becomes available: the notification bytes.
    fn take_notifications(&mut self, door: &Configuration) {
        for notification in door.take_notifications() {
            let _outside_of_memory = self.memory.store(notification.nib, &[Notification::INDICATOR]);
        }
    }

    /// Bytes of the memory, as they are now.
    ///
    /// # Errors
    /// EFAULT for addresses outside of it.
    pub fn read(&mut self, door: &Configuration, address: u64, length: usize) -> Result<Vec<u8>, DeviceError> {
        self.take_notifications(door);
        // Before there is room for it, because a length is a stranger's.
        self.memory.check_store(address, length).map_err(|_| outside())?;
        let mut bytes = vec![0; length];
        self.memory.fetch(address, &mut bytes).map_err(|_| outside())?;
        Ok(bytes)
    }

    /// Stores, executes, fetches.
    ///
    /// # Errors
    /// EINVAL for bytes that are no AP instruction, EFAULT for addresses outside of the memory.
    pub fn execute(&mut self, door: &Configuration, what: &GuestInstruction) -> Result<GuestState, DeviceError> {
        self.take_notifications(door);
        for image in &what.store {
            self.memory.store(image.address.0, &image.data.0).map_err(|_| outside())?;
        }
        let code = <[u8; 4]>::try_from(what.code.0.as_slice()).ok();
        let instruction = code.and_then(Instruction::decode).ok_or_else(|| {
            DeviceError::refused(Errno::EINVAL, "`code` is no AP instruction, expected b2af…, b2ad… or b2ae…")
        })?;
        let operands = Operands {
            problem_state: what.problem_state,
            gr0: what.gr0.0,
            gr1: what.gr1.0,
            gr2: what.gr2.0,
            r1: what.r1.map(|register| register.0),
            r2: what.r2.map(|register| register.0),
        };
        let mut state = GuestState::default();
        match door.execute(instruction, &operands, &mut self.memory) {
            Outcome::Completed { cc, writes } => {
                state.cc = Some(cc.bits());
                state.registers = writes.iter().map(|(number, value)| (number, Hex64(value))).collect();
            }
            Outcome::Exception(exception) => state.exception = Some(exception.code.0),
        }
        if let Some((address, length)) = what.fetch {
            state.fetched = Some(HexBytes(self.read(door, address.0, length as usize)?));
        }
        Ok(state)
    }
}

fn outside() -> DeviceError {
    DeviceError::refused(Errno::EFAULT, format!("a guest's memory has {MEMORY} bytes from address 0"))
}
