// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guest that executes what it is told, one AP instruction at a time, through the same door as a vCPU.

use ap_arch::ProgramCode;
use ap_machine::{Configuration, Instruction, Notification, OperandMemory, Operands, Outcome, ProgramException};
use vfio_mig::{DeviceError, Errno};

use crate::control::{GuestInstruction, GuestState, Hex64, HexBytes};

/// Bytes of its memory, from address 0.
const MEMORY: usize = 64 * 1024;

/// Its memory; it has no other state.
pub(crate) struct ScriptedGuest {
    memory: Box<[u8]>,
}

impl Default for ScriptedGuest {
    fn default() -> Self {
        Self { memory: vec![0; MEMORY].into() }
    }
}

impl ScriptedGuest {
    /// What the hardware stores into the guest's memory when a reply becomes available: the notification bytes.
    fn take_notifications(&mut self, door: &Configuration) {
        for notification in door.take_notifications() {
            let _outside_of_memory = self.store(notification.nib, &[Notification::INDICATOR]);
        }
    }

    /// Bytes of the memory, as they are now.
    ///
    /// # Errors
    /// EFAULT for addresses outside of it.
    pub(crate) fn read(&mut self, door: &Configuration, address: u64, length: usize) -> Result<Vec<u8>, DeviceError> {
        self.take_notifications(door);
        let range = self.range(address, length).map_err(|_| outside())?;
        Ok(self.memory[range].to_vec())
    }

    /// Stores, executes, fetches.
    ///
    /// # Errors
    /// EINVAL for bytes that are no AP instruction, EFAULT for addresses outside of the memory.
    pub(crate) fn execute(&mut self, door: &Configuration, what: &GuestInstruction) -> Result<GuestState, DeviceError> {
        self.take_notifications(door);
        for image in &what.store {
            self.store(image.address.0, &image.data.0).map_err(|_| outside())?;
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
        match door.execute(instruction, &operands, self) {
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

    fn range(&self, address: u64, len: usize) -> Result<std::ops::Range<usize>, ProgramException> {
        let start = usize::try_from(address).ok();
        let range = start.and_then(|start| Some(start..start.checked_add(len)?));
        range.filter(|range| range.end <= MEMORY).ok_or(ProgramException::new(ProgramCode::ADDRESSING))
    }
}

fn outside() -> DeviceError {
    DeviceError::refused(Errno::EFAULT, format!("a guest's memory has {MEMORY} bytes from address 0"))
}

impl OperandMemory for ScriptedGuest {
    fn fetch(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), ProgramException> {
        let range = self.range(address, buffer.len())?;
        buffer.copy_from_slice(&self.memory[range]);
        Ok(())
    }

    fn check_store(&mut self, address: u64, len: usize) -> Result<(), ProgramException> {
        self.range(address, len).map(|_| ())
    }

    fn store(&mut self, address: u64, bytes: &[u8]) -> Result<(), ProgramException> {
        let range = self.range(address, bytes.len())?;
        self.memory[range].copy_from_slice(bytes);
        Ok(())
    }

    fn absolute_is_valid(&mut self, address: u64) -> bool {
        self.range(address, 1).is_ok()
    }
}
