// SPDX-License-Identifier: GPL-2.0-or-later
//! Guest resets, of which QEMU tells a plugin nothing. DIAGNOSE 308 is recognised before it executes; a reset that comes
//! from outside (`system_reset`) stops all CPUs and lets the first one go on, which then looks as after a reset. Both end
//! in the same call, as VFIO_DEVICE_RESET does.

use std::ffi::{c_uint, c_void};
use std::sync::atomic::Ordering;

use crate::cpu::vcpu::{Registers, Vcpu};
use crate::plugin::{Plugin, plugin};
use crate::state::sites::Site;

const PSW_PROBLEM_STATE: u64 = 1 << 48;
const RESET_AND_IPL: u64 = 0x308;

/// Subcodes of DIAGNOSE 308 that reset the subsystem: modified clear, normal, IPL with and without clear.
const RESETTING: [u64; 4] = [0, 1, 3, 4];

/// The vCPU that a reset from outside lets go on.
pub(crate) const FIRST: c_uint = 0;

/// The PSW mask that QEMU starts a guest with: 64-bit addressing and nothing else.
const PSW_AT_START: u64 = 0x1_8000_0000;
/// Control registers 0 and 14 after an initial CPU reset (Principles of Operation, "Resets"); the others are 0.
const CR0_AT_RESET: u64 = 0xe0;
const CR14_AT_RESET: u64 = 0xc200_0000;

/// DIAGNOSE: the register that holds the subcode, and where the function code comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Diagnose {
    subcode: u8,
    base: u8,
    displacement: u16,
}

impl Diagnose {
    /// `83` R1 R3 B2 D2; `None` for anything else.
    pub(crate) const fn decode(bytes: [u8; 6]) -> Option<Self> {
        match bytes {
            [0x83, registers, high, low, ..] => Some(Self {
                subcode: registers & 0xf,
                base: high >> 4,
                displacement: (high as u16 & 0xf) << 8 | low as u16,
            }),
            _ => None,
        }
    }
}

/// Execution callback of a DIAGNOSE; `site` is its [`Site`].
pub(crate) extern "C" fn on_diagnose(vcpu: c_uint, site: *mut c_void) {
    let Some(plugin) = plugin() else { return };
    // SAFETY: the table of sites keeps each site until the code cache, and with it this callback, is thrown away.
    let site = unsafe { &*site.cast::<Site<Diagnose>>() };
    // SAFETY: this is a callback of that vCPU, and the borrow ends with it.
    let Some((vcpu, registers)) = (unsafe { plugin.vcpus.current(vcpu as usize) }) else { return };
    reset_if_asked(plugin, vcpu, registers, site.instruction);
}

fn reset_if_asked(plugin: &Plugin, vcpu: &mut Vcpu, registers: &Registers, diagnose: Diagnose) {
    let Diagnose { subcode, base, displacement } = diagnose;
    let mut read = |number: u8| vcpu.exchange.read_register(registers.general[usize::from(number & 15)]);
    let base = if base == 0 { 0 } else { read(base) };
    let function = base.wrapping_add(u64::from(displacement)) & 0xffff;
    let resets = function == RESET_AND_IPL && RESETTING.contains(&read(subcode));
    if resets && vcpu.exchange.read_register(registers.psw_mask) & PSW_PROBLEM_STATE == 0 {
        reset(plugin);
    }
}

/// The first vCPU goes on after it stood still, or is about to execute its first block since: was the guest reset? QEMU
/// starts a guest in a state that no running guest has; and unless AP was used since the last reset there is nothing to
/// reset.
///
/// Both are looked at, because a vCPU that is let go on before it has noticed its own standstill has no resume callback.
pub(crate) fn notice(plugin: &Plugin, vcpu: &mut Vcpu, registers: &Registers) {
    if !plugin.used.load(Ordering::SeqCst) {
        return;
    }
    let mut read = |register| vcpu.exchange.read_register(register);
    let fresh = read(registers.psw_mask) == PSW_AT_START
        && read(registers.prefix) == 0
        && registers.general.iter().all(|register| read(*register) == 0)
        && (0..16).zip(&registers.control).all(|(number, register)| read(*register) == control_at_reset(number));
    if fresh {
        reset(plugin);
    }
}

/// Resume callback of a vCPU.
pub(crate) fn on_resume(plugin: &Plugin, index: c_uint) {
    if index != FIRST {
        return;
    }
    // SAFETY: this is a callback of that vCPU, and the borrow ends with it.
    if let Some((vcpu, registers)) = unsafe { plugin.vcpus.current(index as usize) } {
        notice(plugin, vcpu, registers);
    }
}

/// Idle callback of a vCPU, which every standstill begins with: the first one looks at itself before its next block.
pub(crate) fn on_idle(plugin: &Plugin, index: c_uint) {
    if index == FIRST
        && plugin.used.load(Ordering::SeqCst)
        && let Some(interruptions) = &plugin.interruptions
    {
        interruptions.look(index as usize);
    }
}

const fn control_at_reset(number: usize) -> u64 {
    match number {
        0 => CR0_AT_RESET,
        14 => CR14_AT_RESET,
        _ => 0,
    }
}

fn reset(plugin: &Plugin) {
    plugin.used.store(false, Ordering::SeqCst);
    if let Err(error) = plugin.host.guest_reset() {
        eprintln!("kaput-qemu-ap: the guest was reset, but its AP queues were not: {error}");
    }
    if let Some(interruptions) = &plugin.interruptions {
        interruptions.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnose_decodes() {
        let wanted = Diagnose { subcode: 4, base: 0, displacement: 0x308 };
        assert_eq!(Diagnose::decode([0x83, 0x24, 0x03, 0x08, 0, 0]), Some(wanted));
        assert_eq!(Diagnose::decode([0x82, 0x24, 0x03, 0x08, 0, 0]), None);
    }
}
