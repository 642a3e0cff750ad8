// SPDX-License-Identifier: MIT OR Apache-2.0
//! General register 0 of PQAP, NQAP and DQAP: function code, modifier bits and queue number. AP reference 1.2 and 2.1.

use crate::open_value::open_value;
use crate::{Apid, Apqi, Apqn};

open_value! {
    /// Function code of PQAP, bits 32-39 of GR0. AP reference 2.1.
    pub struct FunctionCode(u8) {
        /// Test queue.
        TAPQ = 0, "TAPQ";
        /// Reset queue.
        RAPQ = 1, "RAPQ";
        /// Reset and zeroize queue.
        ZAPQ = 2, "ZAPQ";
        /// Queue interruption control.
        AQIC = 3, "AQIC";
        /// Query configuration information.
        QCI = 4, "QCI";
        /// Query AP compatibility type.
        QACT = 5, "QACT";
        /// "Best AP": nothing but its name and an alignment rule is known.
        BEST_AP = 6, "best AP";
        /// Bind queue (Secure Execution).
        BAPQ = 7, "BAPQ";
        /// Associate queue (Secure Execution).
        AAPQ = 8, "AAPQ";
    }
}

/// General register 0 of an AP instruction. Only the low word has a meaning; software keeps the high word 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Gr0(pub u64);

impl Gr0 {
    /// T, bit 40: TAPQ delivers the facility bits too. Needs facility 15.
    pub const T: u64 = 0x0080_0000;
    /// Bit 41: F (unbind as well) for RAPQ and ZAPQ, I for QACT, S (special command) for NQAP.
    pub const BIT_41: u64 = 0x0040_0000;
    /// Bits 42-47, reserved for every PQAP function.
    pub const BITS_42_47: u64 = 0x003f_0000;
    /// NQAP, bit 33, L: the last or only part of the message.
    pub const NQAP_LAST: u64 = 0x4000_0000;
    /// DQAP, bit 32: the first receive of a message; a continuation comes with it off.
    pub const DQAP_FIRST: u64 = 0x8000_0000;

    /// A PQAP function on one queue.
    #[must_use]
    pub const fn pqap(function: FunctionCode, apqn: Apqn) -> Self {
        Self((function.0 as u64) << 24 | apqn.bits() as u64)
    }

    /// NQAP of a whole message to one queue.
    #[must_use]
    pub const fn nqap(apqn: Apqn) -> Self {
        Self(Self::NQAP_LAST | apqn.bits() as u64)
    }

    /// The first DQAP of a message from one queue.
    #[must_use]
    pub const fn dqap(apqn: Apqn) -> Self {
        Self(Self::DQAP_FIRST | apqn.bits() as u64)
    }

    /// With these bits set as well.
    #[must_use]
    pub const fn with(self, bits: u64) -> Self {
        Self(self.0 | bits)
    }

    /// Whether any of these bits is set.
    #[must_use]
    pub const fn has(self, bits: u64) -> bool {
        self.0 & bits != 0
    }

    /// PQAP: the function code.
    #[must_use]
    pub const fn function(self) -> FunctionCode {
        FunctionCode((self.0 >> 24) as u8)
    }

    /// The queue number in the low halfword.
    #[must_use]
    pub const fn apqn(self) -> Apqn {
        Apqn { apid: Apid((self.0 >> 8) as u8), apqi: Apqi(self.0 as u8) }
    }
}

impl core::fmt::Debug for Gr0 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_are_those_of_the_reference() {
        let queue = Apqn::new(0x12, 0x34);
        assert_eq!(Gr0::pqap(FunctionCode::ZAPQ, queue).0, 0x0200_1234);
        assert_eq!(Gr0::pqap(FunctionCode::TAPQ, queue).with(Gr0::T).0, 0x0080_1234);
        assert_eq!(Gr0::nqap(queue).0, 0x4000_1234);
        assert_eq!(Gr0::dqap(queue).0, 0x8000_1234);
        assert_eq!(Gr0(0x0300_1234).function(), FunctionCode::AQIC);
        assert_eq!(Gr0(0x0300_1234).apqn(), queue);
    }
}
