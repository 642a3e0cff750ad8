// SPDX-License-Identifier: GPL-2.0-or-later
//! What the plugin keeps for each vCPU, and the register handles all of them share.
//!
//! A vCPU's context is used by that vCPU's callbacks only, which QEMU runs one after the other on one thread; so it
//! needs no lock, and two vCPUs never wait for each other here.

use std::cell::UnsafeCell;
use std::sync::OnceLock;

use ap_machine::ProgramException;

use crate::ffi::{self, Exchange, Register};

/// Handles of the registers an AP instruction or an interruption concerns.
pub(crate) struct Registers {
    pub(crate) general: [Register; 16],
    pub(crate) control: [Register; 16],
    pub(crate) psw_mask: Register,
    pub(crate) prefix: Register,
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

/// One vCPU's own things.
pub(crate) struct Vcpu {
    pub(crate) exchange: Exchange,
    pub(crate) raised: Option<Raised>,
    /// Operand address of the STFLE that is executing.
    pub(crate) stfle_operand: u64,
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
        slot.0.get_or_init(|| UnsafeCell::new(Vcpu { exchange, raised: None, stfle_operand: 0 }));
        Ok(())
    }

    /// The numbers of the vCPUs whose init callback has run.
    pub(crate) fn initialised(&self) -> impl Iterator<Item = usize> {
        self.slots.iter().enumerate().filter(|(_, slot)| slot.0.get().is_some()).map(|(index, _)| index)
    }

    /// The vCPU whose callback is running, `None` before its init callback.
    ///
    /// # Safety
    /// Called from a callback of that vCPU, on its thread, and the reference is gone when the callback ends.
    #[allow(clippy::mut_from_ref, reason = "one thread per slot, see the safety contract")]
    pub(crate) unsafe fn current(&self, index: usize) -> Option<(&mut Vcpu, &Registers)> {
        let cell = self.slots.get(index)?.0.get()?;
        // SAFETY: callbacks of one vCPU run one after the other, by this function's contract.
        Some((unsafe { &mut *cell.get() }, self.registers.get()?))
    }
}
