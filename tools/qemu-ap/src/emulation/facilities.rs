// SPDX-License-Identifier: GPL-2.0-or-later
//! Shows the guest the AP facility bits, which QEMU's CPU models lack under TCG.
//!
//! STFLE stores its list byte by byte, so a memory callback sees each store and adds the bits. STFL gives no such
//! callback: its word is patched before the next instruction of the same block. STFL as the last instruction of a block
//! is therefore not patched; Linux overwrites the word with STFLE's.

use std::ffi::{c_uint, c_void};

use ap_arch::facility;

use crate::cpu::dat;
use crate::ffi::{self, Insn};
use crate::plugin::plugin;

/// Where STFL stores its word, relative to the prefix.
const STFL_WORD: u64 = 0xc8;

/// STFLE: `B2B0` with base register and displacement.
pub(crate) const fn is_stfle(bytes: [u8; 6]) -> bool {
    matches!(bytes, [0xb2, 0xb0, ..])
}

/// STFL: `B2B1`.
pub(crate) const fn is_stfl(bytes: [u8; 6]) -> bool {
    matches!(bytes, [0xb2, 0xb1, ..])
}

/// Watches an STFLE.
pub(crate) fn watch_stfle(insn: Insn, bytes: [u8; 6]) {
    let operand = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    insn.on_execution_reading(before_stfle, operand as *mut c_void);
    insn.on_store(after_stfle_store);
}

/// Patches the word of an STFL that stands right before `insn`.
pub(crate) fn watch_after_stfl(insn: Insn) {
    insn.on_execution_reading(after_stfl, std::ptr::null_mut());
}

/// Byte `index` of the facility list as far as AP is concerned.
fn ap_byte(index: u64) -> u8 {
    let Some(plugin) = plugin() else { return 0 };
    let shown = plugin.host.guest().facilities();
    [(facility::APQCI, shown.apqci), (facility::APFT, shown.apft), (facility::APQI, shown.apqi)]
        .into_iter()
        .filter(|(bit, on)| *on && u64::from(bit / 8) == index)
        .fold(0, |byte, (bit, _)| byte | 0x80 >> (bit % 8))
}

extern "C" fn before_stfle(vcpu: c_uint, operand: *mut c_void) {
    let Some(plugin) = plugin() else { return };
    // SAFETY: this is a callback of that vCPU, and the borrow ends with it.
    let Some((vcpu, registers)) = (unsafe { plugin.vcpus.current(vcpu as usize) }) else { return };
    let (base, displacement) = (operand as usize >> 12 & 15, operand as u64 & 0xfff);
    let base = if base == 0 { 0 } else { vcpu.exchange.read_register(registers.general[base]) };
    let psw_mask = vcpu.exchange.read_register(registers.psw_mask);
    vcpu.stfle_operand = dat::wrap(psw_mask, base.wrapping_add(displacement));
}

extern "C" fn after_stfle_store(vcpu: c_uint, access: u32, vaddr: u64, _: *mut c_void) {
    let Some(plugin) = plugin() else { return };
    // SAFETY: as in `before_stfle`.
    let Some((vcpu, _)) = (unsafe { plugin.vcpus.current(vcpu as usize) }) else { return };
    let bits = ap_byte(vaddr.wrapping_sub(vcpu.stfle_operand));
    if bits == 0 {
        return;
    }
    let Some(absolute) = ffi::stored_at(access, vaddr) else { return };
    let mut byte = [0];
    if vcpu.exchange.read_absolute(absolute, &mut byte) {
        vcpu.exchange.write_absolute(absolute, &[byte[0] | bits]);
    }
}

extern "C" fn after_stfl(vcpu: c_uint, _: *mut c_void) {
    let Some(plugin) = plugin() else { return };
    // SAFETY: as in `before_stfle`.
    let Some((vcpu, registers)) = (unsafe { plugin.vcpus.current(vcpu as usize) }) else { return };
    let at = vcpu.exchange.read_register(registers.prefix) + STFL_WORD;
    let mut word = [0; 4];
    if vcpu.exchange.read_absolute(at, &mut word) {
        for (index, byte) in (0..).zip(&mut word) {
            *byte |= ap_byte(index);
        }
        vcpu.exchange.write_absolute(at, &word);
    }
}
