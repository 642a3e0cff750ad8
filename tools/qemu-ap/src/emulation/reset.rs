// SPDX-License-Identifier: GPL-2.0-or-later
//! Guest resets, of which QEMU does not inform a plugin. DIAGNOSE 308 is recognised before it executes; a reset that
//! comes from outside (`system_reset`) stops all CPUs and lets the first one go on, which then looks as after a reset.
//! Both end in the same call, as VFIO_DEVICE_RESET does.

use std::sync::atomic::Ordering;

use s390x_asm::PswMask;

use crate::cpu::vcpu::Cpu;
use crate::state::plugin::Plugin;

/// Function code of the DIAGNOSE that resets and loads. Linux, `arch/s390/include/asm/diag.h`.
const RESET_AND_IPL: u64 = 0x308;

/// Subcodes of DIAGNOSE 308 that reset the subsystem: modified clear, normal, IPL with and without clear.
const RESETTING: [u64; 4] = [0, 1, 3, 4];

/// The vCPU that a reset from outside lets go on.
const FIRST: usize = 0;

/// The PSW mask that QEMU starts a guest with: 64-bit addressing and nothing else.
const PSW_AT_START: PswMask = PswMask::MODE_64;
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

/// Before a DIAGNOSE executes.
pub(crate) fn before_diagnose(plugin: &Plugin, cpu: &mut Cpu<'_>, diagnose: Diagnose) {
    let Diagnose { subcode, base, displacement } = diagnose;
    let function = cpu.operand_address(base, displacement.into()) & 0xffff;
    let resets = function == RESET_AND_IPL && RESETTING.contains(&cpu.general(subcode));
    if resets && !cpu.psw_mask().contains(PswMask::PROBLEM) {
        reset(plugin);
    }
}

/// A vCPU goes on after it stood still, or is about to execute its first block since: if it is the first one, was the
/// guest reset? QEMU starts a guest in a state that no running guest has; and unless AP was used since the last reset
/// there is nothing to reset.
///
/// Both are looked at, because a vCPU that is let go on before it has noticed its own standstill has no resume
/// callback.
pub(crate) fn notice(plugin: &Plugin, cpu: &mut Cpu<'_>) {
    if cpu.index != FIRST || !plugin.used.load(Ordering::SeqCst) {
        return;
    }
    let fresh = cpu.psw_mask() == PSW_AT_START
        && cpu.prefix() == 0
        && (0..16).all(|number| cpu.general(number) == 0)
        && (0..16).all(|number| cpu.control(number) == control_at_reset(number));
    if fresh {
        reset(plugin);
    }
}

/// A vCPU stands still, with which every reset from outside begins: the first one looks at itself before its next
/// block.
pub(crate) fn stands_still(plugin: &Plugin, cpu: &Cpu<'_>) {
    if cpu.index == FIRST
        && plugin.used.load(Ordering::SeqCst)
        && let Some(interruptions) = &plugin.interruptions
    {
        interruptions.look_again(cpu);
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
