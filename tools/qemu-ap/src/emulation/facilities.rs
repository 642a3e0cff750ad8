// SPDX-License-Identifier: GPL-2.0-or-later
//! Shows the guest the AP facility bits, which QEMU's CPU models lack under TCG.
//!
//! STFLE stores its list byte by byte, so a memory callback sees each store and adds the bits. STFL gives no such
//! callback: its word is patched before the next instruction of the same block. STFL as the last instruction of a block
//! is therefore not patched; Linux overwrites the word with STFLE's.

use std::mem::offset_of;

use s390x_asm::Lowcore;

use crate::cpu::dat;
use crate::cpu::vcpu::Cpu;
use crate::ffi::Stored;
use crate::state::plugin::Plugin;

/// STFLE: its operand's base register and displacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stfle {
    base: u8,
    displacement: u16,
}

impl Stfle {
    /// `B2B0` with base register and displacement; `None` for anything else.
    pub(crate) const fn decode(bytes: [u8; 6]) -> Option<Self> {
        match bytes {
            [0xb2, 0xb0, high, low, ..] => {
                Some(Self { base: high >> 4, displacement: (high as u16 & 0xf) << 8 | low as u16 })
            }
            _ => None,
        }
    }
}

/// STFL: `B2B1`.
pub(crate) const fn is_stfl(bytes: [u8; 6]) -> bool {
    matches!(bytes, [0xb2, 0xb1, ..])
}

/// Byte `index` of the facility list as far as AP is concerned.
fn ap_byte(plugin: &Plugin, index: u64) -> u8 {
    let bits = plugin.host.guest().facilities().bits().filter(|bit| u64::from(bit / 8) == index);
    bits.fold(0, |byte, bit| byte | 0x80 >> (bit % 8))
}

/// Before an STFLE: remembers where it stores.
pub(crate) fn before_stfle(cpu: &mut Cpu<'_>, stfle: Stfle) {
    let psw_mask = cpu.psw_mask();
    *cpu.stfle_operand = dat::wrap(psw_mask, cpu.operand_address(stfle.base, stfle.displacement.into()));
}

/// After each byte that an STFLE stores.
pub(crate) fn after_stfle_store(plugin: &Plugin, cpu: &mut Cpu<'_>, stored: &Stored) {
    let bits = ap_byte(plugin, stored.vaddr.wrapping_sub(*cpu.stfle_operand));
    if bits == 0 {
        return;
    }
    let Some(absolute) = stored.absolute() else { return };
    let mut byte = [0];
    if cpu.exchange.read_absolute(absolute, &mut byte) {
        cpu.exchange.write_absolute(absolute, &[byte[0] | bits]);
    }
}

/// After an STFL, before the next instruction.
pub(crate) fn after_stfl(plugin: &Plugin, cpu: &mut Cpu<'_>) {
    let mut word: [u8; 4] = cpu.fetch_lowcore(offset_of!(Lowcore, facility_list));
    for (index, byte) in (0..).zip(&mut word) {
        *byte |= ap_byte(plugin, index);
    }
    cpu.store_lowcore(offset_of!(Lowcore, facility_list), &word);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_stfle_decodes() {
        assert_eq!(Stfle::decode([0xb2, 0xb0, 0x12, 0x34, 0, 0]), Some(Stfle { base: 1, displacement: 0x234 }));
        assert_eq!(Stfle::decode([0xb2, 0xb1, 0x12, 0x34, 0, 0]), None);
        assert!(is_stfl([0xb2, 0xb1, 0, 0, 0, 0]) && !is_stfl([0xb2, 0xb0, 0, 0, 0, 0]));
    }
}
