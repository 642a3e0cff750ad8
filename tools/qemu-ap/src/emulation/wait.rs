// SPDX-License-Identifier: GPL-2.0-or-later
//! The way into an enabled wait, out of which a plugin cannot wake a CPU.
//!
//! An LPSW, LPSWE or LPSWEY that would wait with an adapter interruption pending takes the interruption at once, with
//! the waiting PSW as the old one. With a request still in an engine the wait is held off: the instruction is executed
//! again in slices of at most [`WAIT_SLICE`], between which the monitor can stop the machine and QEMU interrupts it.

use std::mem::offset_of;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ap_machine::OperandMemory;
use s390x_asm::{Lowcore, Psw, PswMask};

use super::delivery::{collect, deliver};
use crate::cpu::dat;
use crate::cpu::held_wait::HeldWait;
use crate::cpu::storage::GuestStorage;
use crate::cpu::vcpu::{Cpu, psw_bytes, psw_from};
use crate::state::plugin::Plugin;
use crate::state::sites::Site;

/// How long one execution of a waiting LPSWE waits for an engine.
const WAIT_SLICE: Duration = Duration::from_millis(1);

const SHORT_PSW_BIT_12: u64 = 1 << 51;
const SHORT_PSW_ADDRESS: u64 = 0x7fff_ffff;

/// The instructions that load a PSW from storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PswLoad {
    base: u8,
    displacement: i32,
    short: bool,
}

impl PswLoad {
    /// LPSW `82`, LPSWE `B2B2`, LPSWEY `EB..71`; `None` for anything else.
    pub(crate) const fn decode(bytes: [u8; 6]) -> Option<Self> {
        let base = bytes[2] >> 4;
        let low = (bytes[2] as i32 & 0xf) << 8 | bytes[3] as i32;
        match bytes {
            [0x82, ..] => Some(Self { base, displacement: low, short: true }),
            [0xb2, 0xb2, ..] => Some(Self { base, displacement: low, short: false }),
            [0xeb, .., high, 0x71] => Some(Self { base, displacement: (high as i8 as i32) << 12 | low, short: false }),
            _ => None,
        }
    }
}

/// Before an instruction that may enter a wait, while this vCPU's flag is raised: the address to go on at, if it is not
/// the wait.
pub(crate) fn enter(plugin: &Plugin, cpu: &mut Cpu<'_>, site: &Site<PswLoad>) -> Option<u64> {
    let interruptions = plugin.interruptions.as_ref()?;
    let guest = plugin.host.guest();
    interruptions.looks_before_waiting(cpu);
    release(cpu);
    // Looked at before what is pending: a notification that is made in between is seen there.
    let expected = guest.machine().expects_notification();
    let nothing = !interruptions.is_pending() && guest.pending().load(Ordering::SeqCst) == 0;
    if nothing && !expected {
        return None;
    }
    interruptions.look_again_before_waiting(cpu);
    let psw_mask = cpu.psw_mask();
    if psw_mask.contains(PswMask::PROBLEM) {
        return None;
    }
    let psw = operand(cpu, psw_mask, site.instruction)?;
    if !psw.mask.contains(PswMask::IO | PswMask::WAIT) {
        return None;
    }
    collect(plugin, cpu);
    if let Some(next) = deliver(interruptions, cpu, psw) {
        return Some(next);
    }
    if !expected {
        return None;
    }
    interruptions.wait(guest, WAIT_SLICE);
    // Executed again. The PSW written back may carry a stale condition code, but the next one comes from storage.
    let held = HeldWait::new(psw_mask, site.address, psw);
    cpu.set_psw_mask(held.executing.mask);
    *cpu.held_wait = Some(held);
    Some(site.address)
}

/// After QEMU has interrupted a vCPU: an old PSW that shows how a wait was held off becomes the waiting one.
pub(crate) fn after_interruption(cpu: &mut Cpu<'_>) {
    let Some(held) = cpu.held_wait.take() else { return };
    for old in [
        offset_of!(Lowcore, external_old),
        offset_of!(Lowcore, io_old),
        offset_of!(Lowcore, machine_check_old),
        offset_of!(Lowcore, restart_old),
    ] {
        if let Some(shown) = held.shown(psw_from(cpu.fetch_lowcore(old))) {
            cpu.store_lowcore(old, &psw_bytes(shown));
        }
    }
}

/// A wait is no longer held off, because the vCPU executes the instruction or stands still, perhaps to migrate: what
/// goes on, perhaps elsewhere, is the instruction as it was reached.
pub(crate) fn release(cpu: &mut Cpu<'_>) {
    if let Some(held) = cpu.held_wait.take() {
        cpu.set_psw_mask(held.original);
    }
}

/// The PSW that is about to be loaded; `None` if it cannot be fetched, which QEMU then says itself.
fn operand(cpu: &mut Cpu<'_>, psw_mask: PswMask, load: PswLoad) -> Option<Psw> {
    let at = dat::wrap(psw_mask, cpu.operand_address(load.base, load.displacement.into()));
    let mut storage = GuestStorage::new(cpu, psw_mask);
    if load.short {
        let mut short = [0; 8];
        storage.fetch(at, &mut short).ok()?;
        Some(long_psw(u64::from_be_bytes(short)))
    } else {
        let mut long = [0; 16];
        storage.fetch(at, &mut long).ok()?;
        Some(psw_from(long))
    }
}

/// A short PSW (LPSW) as the long one it stands for.
const fn long_psw(short: u64) -> Psw {
    let mask = PswMask::from_bits_retain((short & !SHORT_PSW_BIT_12) & !SHORT_PSW_ADDRESS);
    Psw { mask, address: short & SHORT_PSW_ADDRESS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_ways_to_load_a_psw_decode() {
        let short = PswLoad { base: 1, displacement: 0x234, short: true };
        assert_eq!(PswLoad::decode([0x82, 0, 0x12, 0x34, 0, 0]), Some(short));
        assert_eq!(PswLoad::decode([0xb2, 0xb2, 0x12, 0x34, 0, 0]), Some(PswLoad { short: false, ..short }));
        let far = PswLoad { base: 15, displacement: -0x1000 + 0x0a0, short: false };
        assert_eq!(PswLoad::decode([0xeb, 0x00, 0xf0, 0xa0, 0xff, 0x71]), Some(far));
        assert_eq!(PswLoad::decode([0xb2, 0xb0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn a_short_psw_reads_as_the_long_one() {
        let psw = long_psw(0x020a_0001_8001_2345);
        assert_eq!((psw.mask.bits(), psw.address), (0x0202_0001_8000_0000, 0x0001_2345));
    }
}
