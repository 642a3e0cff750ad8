// SPDX-License-Identifier: GPL-2.0-or-later
//! What the plugin keeps for each vCPU, and the register handles all of them share.
//!
//! A vCPU's own values are used by that vCPU's callbacks only, which QEMU runs one after the other on one thread; so
//! they need no lock, and two vCPUs never wait for each other here.

use std::cell::UnsafeCell;
use std::sync::OnceLock;

use ap_machine::ProgramException;
use s390x_asm::{Psw, PswMask};

use super::held_wait::HeldWait;
use crate::ffi::{self, Exchange, Register};

/// Handles of the registers an AP instruction or an interruption concerns.
pub(crate) struct Registers {
    general: [Register; 16],
    control: [Register; 16],
    psw_mask: Register,
    prefix: Register,
}

impl Registers {
    /// Finds the handles among those of the current vCPU.
    ///
    /// # Errors
    /// The gdb name of the first register that this QEMU does not list.
    fn find() -> Result<Self, String> {
        let all = ffi::registers();
        let find = |name: String| {
            let found = all.iter().find(|(candidate, _)| *candidate == name);
            found.map(|(_, register)| *register).ok_or(name)
        };
        let bank = |letter: &str| -> Result<[Register; 16], String> {
            let found: Vec<_> = (0..16).map(|n| find(format!("{letter}{n}"))).collect::<Result<_, _>>()?;
            found.try_into().map_err(|_| letter.to_owned())
        };
        Ok(Self {
            general: bank("r")?,
            control: bank("cr")?,
            psw_mask: find("pswm".into())?,
            prefix: find("prefix".into())?,
        })
    }
}

/// A program exception of an AP instruction that QEMU is about to raise as an operation exception.
#[derive(Clone, Copy)]
pub(crate) struct Raised {
    pub(crate) exception: ProgramException,
    /// The instruction's own address: a nullified instruction is executed again.
    pub(crate) address: u64,
}

/// One vCPU's own values, kept between its callbacks.
struct Vcpu {
    exchange: Exchange,
    raised: Option<Raised>,
    stfle_operand: u64,
    held_wait: Option<HeldWait>,
}

#[derive(Default)]
struct Slot(OnceLock<UnsafeCell<Vcpu>>);

// SAFETY: the cell is dereferenced only by `Vcpus::current`, on the one thread that runs this vCPU.
unsafe impl Sync for Slot {}

/// All vCPUs by number.
pub(crate) struct Vcpus {
    slots: Box<[Slot]>,
    registers: OnceLock<Registers>,
}

impl Vcpus {
    /// Room for vCPUs 0 to `max - 1`.
    pub(crate) fn new(max: usize) -> Self {
        Self { slots: (0..max).map(|_| Slot::default()).collect(), registers: OnceLock::new() }
    }

    /// Sets up the current vCPU.
    ///
    /// # Errors
    /// A sentence: the vCPU number is out of range, or this QEMU lacks a register.
    pub(crate) fn init(&self, index: usize) -> Result<(), String> {
        let slot = self.slots.get(index).ok_or_else(|| format!("vCPU {index} is beyond this machine's maximum"))?;
        if self.registers.get().is_none() {
            let found = Registers::find().map_err(|name| format!("this QEMU shows no register {name} to plugins"))?;
            // Another vCPU may have been first; both found the same handles.
            drop(self.registers.set(found));
        }
        let exchange = Exchange::new().ok_or("no memory")?;
        slot.0.get_or_init(|| UnsafeCell::new(Vcpu { exchange, raised: None, stfle_operand: 0, held_wait: None }));
        Ok(())
    }

    /// The numbers of the vCPUs whose init callback has run.
    pub(crate) fn initialised(&self) -> impl Iterator<Item = usize> {
        self.slots.iter().enumerate().filter(|(_, slot)| slot.0.get().is_some()).map(|(index, _)| index)
    }

    /// The vCPU whose callback is running, `None` before its init callback.
    ///
    /// # Safety
    /// Called from a callback of that vCPU, on its thread, and the value is gone when the callback ends.
    pub(crate) unsafe fn current(&self, index: usize) -> Option<Cpu<'_>> {
        let cell = self.slots.get(index)?.0.get()?;
        // SAFETY: callbacks of one vCPU run one after the other, by this function's contract.
        let Vcpu { exchange, raised, stfle_operand, held_wait } = unsafe { &mut *cell.get() };
        Some(Cpu { index, exchange, raised, stfle_operand, held_wait, registers: self.registers.get()? })
    }
}

/// The vCPU whose callback is running.
pub(crate) struct Cpu<'a> {
    pub(crate) index: usize,
    pub(crate) exchange: &'a mut Exchange,
    /// The exception that QEMU is about to raise for an AP instruction.
    pub(crate) raised: &'a mut Option<Raised>,
    /// Operand address of the STFLE that is executing.
    pub(crate) stfle_operand: &'a mut u64,
    /// The wait that is being held off.
    pub(crate) held_wait: &'a mut Option<HeldWait>,
    registers: &'a Registers,
}

impl Cpu<'_> {
    /// General register `number`, of which the low four bits count.
    pub(crate) fn general(&mut self, number: u8) -> u64 {
        self.exchange.read_register(self.registers.general[usize::from(number & 15)])
    }

    pub(crate) fn set_general(&mut self, number: u8, value: u64) {
        self.exchange.write_register(self.registers.general[usize::from(number & 15)], value);
    }

    /// Control register `number`, of which the low four bits count.
    pub(crate) fn control(&mut self, number: usize) -> u64 {
        self.exchange.read_register(self.registers.control[number & 15])
    }

    /// The PSW's first half. Inside a block its condition code is stale.
    pub(crate) fn psw_mask(&mut self) -> PswMask {
        PswMask::from_bits_retain(self.exchange.read_register(self.registers.psw_mask))
    }

    pub(crate) fn set_psw_mask(&mut self, mask: PswMask) {
        self.exchange.write_register(self.registers.psw_mask, mask.bits());
    }

    /// Where the lowcore stands in absolute storage.
    pub(crate) fn prefix(&mut self) -> u64 {
        self.exchange.read_register(self.registers.prefix)
    }

    /// The address that a base register (0: none) and a displacement make, before it is wrapped.
    pub(crate) fn operand_address(&mut self, base: u8, displacement: i64) -> u64 {
        let base = if base == 0 { 0 } else { self.general(base) };
        base.wrapping_add_signed(displacement)
    }

    /// Stores into the lowcore, at an offset of `s390x_asm::Lowcore`. The prefix area always has storage behind it, so
    /// this cannot fail.
    pub(crate) fn store_lowcore(&mut self, offset: usize, bytes: &[u8]) {
        let at = self.prefix() + offset as u64;
        self.exchange.write_absolute(at, bytes);
    }

    /// Fetches from the lowcore, as [`Self::store_lowcore`] stores.
    pub(crate) fn fetch_lowcore<const N: usize>(&mut self, offset: usize) -> [u8; N] {
        let mut bytes = [0; N];
        let at = self.prefix() + offset as u64;
        self.exchange.read_absolute(at, &mut bytes);
        bytes
    }
}

/// A PSW as it stands in storage.
pub(crate) fn psw_bytes(psw: Psw) -> [u8; 16] {
    (u128::from(psw.mask.bits()) << 64 | u128::from(psw.address)).to_be_bytes()
}

/// The PSW that stands in storage.
pub(crate) fn psw_from(bytes: [u8; 16]) -> Psw {
    let whole = u128::from_be_bytes(bytes);
    Psw { mask: PswMask::from_bits_retain((whole >> 64) as u64), address: whole as u64 }
}
