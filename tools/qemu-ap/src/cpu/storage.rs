// SPDX-License-Identifier: GPL-2.0-or-later
//! Guest storage as an AP instruction sees it: the operand door of `ap-machine` over one vCPU of QEMU's.
//!
//! Reads what it needs of the CPU (control registers, prefix) when it needs it, once an instruction.

use ap_arch::ProgramCode;
use ap_machine::{OperandMemory, ProgramException};
use s390x_asm::PswMask;

use super::dat::{self, Access, CpuState, PAGE};
use super::vcpu::Cpu;
use crate::ffi::Exchange;

/// The storage of the vCPU whose callback is running, for the length of one instruction.
pub(crate) struct GuestStorage<'a, 'b> {
    cpu: &'a mut Cpu<'b>,
    psw_mask: PswMask,
    prefix: Option<u64>,
}

impl<'a, 'b> GuestStorage<'a, 'b> {
    pub(crate) const fn new(cpu: &'a mut Cpu<'b>, psw_mask: PswMask) -> Self {
        Self { cpu, psw_mask, prefix: None }
    }

    /// Calls `act` with each page's absolute address and its part of the operand.
    fn for_each_page(
        &mut self,
        address: u64,
        len: usize,
        access: Access,
        mut act: impl FnMut(&mut Exchange, u64, std::ops::Range<usize>) -> bool,
    ) -> Result<(), ProgramException> {
        let mut done = 0;
        while done < len {
            let at = dat::wrap(self.psw_mask, address.wrapping_add(done as u64));
            let in_page = (PAGE - at % PAGE) as usize;
            let part = done..len.min(done + in_page);
            let absolute = dat::translate(self, at, access)?;
            if !act(self.cpu.exchange, absolute, part.clone()) {
                return Err(ProgramException { code: ProgramCode::ADDRESSING, translation_address: 0 });
            }
            done = part.end;
        }
        Ok(())
    }
}

impl CpuState for GuestStorage<'_, '_> {
    fn psw_mask(&self) -> PswMask {
        self.psw_mask
    }

    fn control(&mut self, number: usize) -> u64 {
        self.cpu.control(number)
    }

    fn prefix(&mut self) -> u64 {
        *self.prefix.get_or_insert_with(|| self.cpu.prefix())
    }

    fn doubleword(&mut self, absolute: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.cpu.exchange.read_absolute(absolute, &mut bytes).then(|| u64::from_be_bytes(bytes))
    }
}

impl OperandMemory for GuestStorage<'_, '_> {
    fn fetch(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), ProgramException> {
        self.for_each_page(address, buffer.len(), Access::Fetch, |exchange, absolute, part| {
            exchange.read_absolute(absolute, &mut buffer[part])
        })
    }

    fn check_store(&mut self, address: u64, len: usize) -> Result<(), ProgramException> {
        self.for_each_page(address, len, Access::Store, |exchange, absolute, _| {
            exchange.read_absolute(absolute, &mut [0])
        })
    }

    fn store(&mut self, address: u64, bytes: &[u8]) -> Result<(), ProgramException> {
        // One page is stored into as a whole or not at all; of several, none may be before all are known to be there.
        if address % PAGE + bytes.len() as u64 > PAGE {
            self.check_store(address, bytes.len())?;
        }
        self.for_each_page(address, bytes.len(), Access::Store, |exchange, absolute, part| {
            exchange.write_absolute(absolute, &bytes[part])
        })
    }

    fn absolute_is_valid(&mut self, address: u64) -> bool {
        self.cpu.exchange.read_absolute(address, &mut [0])
    }
}
