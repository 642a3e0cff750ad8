// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hardware information that TAPQ leaves in GR2: facilities, mode, type, depth. AP reference 2.4 and 2.5.

use crate::open_value::open_value;

open_value! {
    /// AP type: the generation of the card. AP reference 2.5.
    pub struct ApType(u8) {
        /// Crypto Express 4.
        CEX4 = 10, "CEX4";
        /// Crypto Express 5.
        CEX5 = 11, "CEX5";
        /// Crypto Express 6.
        CEX6 = 12, "CEX6";
        /// Crypto Express 7.
        CEX7 = 13, "CEX7";
        /// Crypto Express 8.
        CEX8 = 14, "CEX8";
    }
}

open_value! {
    /// Bind and associate state of a queue (Secure Execution), two bits. AP reference 2.4.
    pub struct BindState(u8) {
        /// Bound and associated, or Secure Execution plays no part.
        USABLE = 0, "usable";
        /// Bound, not associated: no secure keys.
        BOUND = 1, "bound, not associated";
        /// Available for binding.
        UNBOUND = 2, "available for binding";
        /// Unusable.
        UNUSABLE = 3, "unusable";
    }
}

/// What a card does: exactly one of the bits D, A, X from CEX4 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CardMode {
    /// Accelerator: clear-key RSA by type 50 messages.
    Accelerator,
    /// CCA coprocessor: type 6 messages, agent "CA".
    Cca,
    /// EP11 (XCP) coprocessor: type 6 messages, agent "XC".
    Ep11,
}

impl CardMode {
    /// The letter in a card's name: CEX8**A**, CEX8**C**, CEX8**P**.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Accelerator => 'A',
            Self::Cca => 'C',
            Self::Ep11 => 'P',
        }
    }
}

/// GR2 of TAPQ. Bits 0-31 are delivered only with the T bit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct HwInfo(pub u64);

impl HwInfo {
    /// S, APSC: the special-command bit of NQAP is allowed.
    pub const APSC: u64 = 1 << 63;
    /// M: the accelerator does 4096-bit modular exponentiation.
    pub const MEX4K: u64 = 1 << 62;
    /// C: the accelerator does 4096-bit CRT.
    pub const CRT4K: u64 = 1 << 61;
    /// D: CCA coprocessor mode.
    pub const CCA: u64 = 1 << 60;
    /// A: accelerator mode.
    pub const ACCELERATOR: u64 = 1 << 59;
    /// X: EP11 (XCP) mode.
    pub const EP11: u64 = 1 << 58;
    /// N: extended addressing.
    pub const APXA: u64 = 1 << 57;
    /// SL: stateless-command filtering by hardware.
    pub const SLCF: u64 = 1 << 56;
    /// F: full native card function.
    pub const NATIVE: u64 = 1 << 55;
    /// R: only stateless functions.
    pub const STATELESS: u64 = 1 << 54;
    /// What only a TAPQ with the T bit delivers.
    pub const FACILITY_WORD: u64 = 0xffff_ffff_0000_0000;

    /// Whether any of these bits is set.
    #[must_use]
    pub const fn has(self, bits: u64) -> bool {
        self.0 & bits != 0
    }

    /// The card's mode; `None` without exactly one of the three mode bits.
    #[must_use]
    pub const fn mode(self) -> Option<CardMode> {
        match self.0 & (Self::CCA | Self::ACCELERATOR | Self::EP11) {
            Self::ACCELERATOR => Some(CardMode::Accelerator),
            Self::CCA => Some(CardMode::Cca),
            Self::EP11 => Some(CardMode::Ep11),
            _ => None,
        }
    }

    /// The AP type.
    #[must_use]
    pub const fn ap_type(self) -> ApType {
        ApType((self.0 >> 24) as u8)
    }

    /// Bind and associate state.
    #[must_use]
    pub const fn bind_state(self) -> BindState {
        BindState((self.0 >> 46) as u8 & 3)
    }

    /// With this bind and associate state.
    #[must_use]
    pub const fn with_bind_state(self, state: BindState) -> Self {
        Self(self.0 & !(3 << 46) | (state.0 as u64 & 3) << 46)
    }

    /// Functional classification, bits 8-15.
    #[must_use]
    pub const fn class(self) -> u8 {
        (self.0 >> 48) as u8
    }

    /// How many messages the queue holds.
    #[must_use]
    pub const fn depth(self) -> usize {
        (self.0 & 0xf) as usize + 1
    }

    /// The largest message in bytes; a field of 0 means 12 KiB.
    #[must_use]
    pub const fn max_message_len(self) -> usize {
        match self.0 >> 8 & 0xf {
            0 => 3 * 4096,
            units => units as usize * 4096,
        }
    }

    /// The high word, as sysfs shows it in `ap_functions`.
    #[must_use]
    pub const fn facilities(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl core::fmt::Display for HwInfo {
    /// The card's name where type and mode are known (`CEX8C`), then the raw value.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if let (Some(name), Some(mode)) = (self.ap_type().name(), self.mode()) {
            write!(f, "{name}{} ", mode.letter())?;
        }
        write!(f, "{:016x}", self.0)
    }
}

impl core::fmt::Debug for HwInfo {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn an_accelerator_reads_as_the_reference_composes_it() {
        let info = HwInfo(0x6a80_0000_0e00_0007);
        assert_eq!(info.to_string(), "CEX8A 6a8000000e000007");
        assert_eq!((info.ap_type(), info.mode()), (ApType::CEX8, Some(CardMode::Accelerator)));
        assert_eq!((info.depth(), info.max_message_len()), (8, 12_288));
        assert!(info.has(HwInfo::NATIVE) && !info.has(HwInfo::STATELESS));
        assert_eq!(info.with_bind_state(BindState::UNBOUND).bind_state(), BindState::UNBOUND);
    }

    #[test]
    fn two_modes_at_once_are_no_mode() {
        assert_eq!(HwInfo(HwInfo::CCA | HwInfo::EP11).mode(), None);
    }
}
