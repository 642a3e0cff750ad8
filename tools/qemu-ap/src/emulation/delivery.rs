// SPDX-License-Identifier: GPL-2.0-or-later
//! Adapter interruptions: the notification byte is stored, then the interruption is made pending and delivered when the
//! PSW and control register 6 allow (AP reference 5.3).
//!
//! Delivery happens at the start of a translation block that leads back or anywhere, by a callback that generated code
//! takes only while this vCPU's flag is raised. What happens before a wait stands in `wait.rs`.

use std::mem::offset_of;
use std::sync::atomic::Ordering;

use ap_machine::Notification;
use s390x_asm::{Lowcore, Psw, PswMask};

use crate::cpu::vcpu::{Cpu, psw_bytes, psw_from};
use crate::state::interruptions::Interruptions;
use crate::state::plugin::Plugin;

/// Interruption-identification word of an adapter interruption, but for the subclass in bits 2-4. Linux,
/// `arch/s390/include/asm/lowcore.h` and `arch/s390/include/asm/tpi.h`: `adapter_IO` and `isc` of `struct tpi_info`.
const ADAPTER_INTERRUPTION: u32 = 0x8000_0000;

/// Stores the notification bytes of replies that became ready, then makes their interruptions pending.
pub(super) fn collect(plugin: &Plugin, cpu: &mut Cpu<'_>) {
    let Some(interruptions) = &plugin.interruptions else { return };
    let guest = plugin.host.guest();
    if guest.pending().load(Ordering::SeqCst) == 0 {
        return;
    }
    for Notification { nib, isc } in guest.take_notifications() {
        // An address that lost its storage since AQIC checked it gets nothing.
        cpu.exchange.write_absolute(nib, &[Notification::INDICATOR]);
        interruptions.make_pending(isc);
    }
    interruptions.announce(&plugin.vcpus);
}

/// Before a block of this logical address, while the vCPU's flag is raised: the address to go on at, if an interruption
/// is taken.
pub(crate) fn at_block(plugin: &Plugin, cpu: &mut Cpu<'_>, block: u64) -> Option<u64> {
    let interruptions = plugin.interruptions.as_ref()?;
    interruptions.looks(cpu);
    collect(plugin, cpu);
    if !interruptions.is_pending() {
        return None;
    }
    let mask = cpu.psw_mask();
    let psw = Psw { mask, address: block };
    let shown = cpu.held_wait.and_then(|held| held.shown(psw)).unwrap_or(psw);
    let next = deliver(interruptions, cpu, shown);
    if interruptions.is_pending() {
        interruptions.look_again(cpu);
    }
    next
}

/// Takes one interruption if the PSW (the current one, or the one about to be loaded) and control register 6 allow one,
/// and returns the address to go on at.
pub(super) fn deliver(interruptions: &Interruptions, cpu: &mut Cpu<'_>, psw: Psw) -> Option<u64> {
    if !psw.mask.contains(PswMask::IO) {
        return None;
    }
    let subclass = interruptions.take(cpu.control(6))?;
    let identification = ADAPTER_INTERRUPTION | u32::from(subclass) << 27;
    // Subsystem identification and parameter are zero.
    let mut code = [0; 12];
    code[8..].copy_from_slice(&identification.to_be_bytes());
    cpu.store_lowcore(offset_of!(Lowcore, io_subsystem), &code);
    cpu.store_lowcore(offset_of!(Lowcore, io_old), &psw_bytes(psw));
    let new = psw_from(cpu.fetch_lowcore(offset_of!(Lowcore, io_new)));
    cpu.set_psw_mask(new.mask);
    Some(new.address)
}
