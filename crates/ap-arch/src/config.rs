// SPDX-License-Identifier: MIT OR Apache-2.0
//! The 128-byte block that PQAP(QCI) stores. AP reference 3.

use crate::{Mask256, Matrix};

/// Configuration information: what AP resources the executing configuration has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QciBlock {
    /// Flag bits, the first four bytes of the block.
    pub flags: u32,
    /// Na: the highest adapter number (meaningful with APXA).
    pub max_adapter: u8,
    /// Nd: the highest domain number (meaningful with APXA).
    pub max_domain: u8,
    /// Adapters, usage domains and control domains.
    pub matrix: Matrix,
}

impl QciBlock {
    /// Bytes of the block.
    pub const SIZE: usize = 128;
    /// Alignment of the operand.
    pub const ALIGNMENT: u64 = 8;
    /// S: special-command facility.
    pub const APSC: u32 = 0x8000_0000;
    /// N: extended addressing.
    pub const APXA: u32 = 0x4000_0000;
    /// C: QACT is available.
    pub const QACT: u32 = 0x2000_0000;
    /// R: reply code 8A instead of response code 42 in some cases.
    pub const RC8A: u32 = 0x1000_0000;
    /// B: Secure Execution bind facility.
    pub const APSB: u32 = 0x0080_0000;
    /// Flag bits that nothing defines; L and Lext (0x0f00_0000) are named by kvm-unit-tests only.
    pub const FLAGS_RESERVED: u32 = 0x007f_ffff;

    /// Whether any of these flag bits is set.
    #[must_use]
    pub const fn has(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }

    /// The highest adapter and domain that can exist: Na and Nd with APXA and a value that is not zero, else 63 and 15.
    #[must_use]
    pub const fn limits(&self) -> (u8, u8) {
        let apxa = self.has(Self::APXA);
        let adapter = if apxa && self.max_adapter != 0 { self.max_adapter } else { 63 };
        let domain = if apxa && self.max_domain != 0 { self.max_domain } else { 15 };
        (adapter, domain)
    }

    /// Reads a stored block; reserved bytes are not looked at, see [`Self::reserved_are_zero`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let word = |at: usize| core::array::from_fn(|i| bytes[at + i]);
        let mask = |at: usize| Mask256::from_bytes(&core::array::from_fn(|i| bytes[at + i]));
        Self {
            flags: u32::from_be_bytes(word(0)),
            max_adapter: bytes[4],
            max_domain: bytes[5],
            matrix: Matrix { adapters: mask(16), domains: mask(48), control_domains: mask(80) },
        }
    }

    /// The block as it is stored.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0..4].copy_from_slice(&self.flags.to_be_bytes());
        bytes[4] = self.max_adapter;
        bytes[5] = self.max_domain;
        bytes[16..48].copy_from_slice(&self.matrix.adapters.to_bytes());
        bytes[48..80].copy_from_slice(&self.matrix.domains.to_bytes());
        bytes[80..112].copy_from_slice(&self.matrix.control_domains.to_bytes());
        bytes
    }

    /// Whether the reserved bytes of a stored block (6-15 and 112-127) are zero.
    #[must_use]
    pub fn reserved_are_zero(bytes: &[u8; Self::SIZE]) -> bool {
        bytes[6..16].iter().chain(&bytes[112..]).all(|byte| *byte == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_masks_stand_at_16_48_and_80() {
        let mut bytes = [0; QciBlock::SIZE];
        (bytes[0], bytes[4], bytes[5]) = (0x40, 0xff, 0x54);
        (bytes[16], bytes[48], bytes[80]) = (0x80, 0x40, 0x20);
        let block = QciBlock::from_bytes(&bytes);
        assert!(block.has(QciBlock::APXA) && block.matrix.adapters.contains(0));
        assert!(block.matrix.domains.contains(1) && block.matrix.control_domains.contains(2));
        assert_eq!(block.limits(), (255, 0x54));
        assert!(QciBlock::reserved_are_zero(&bytes));
        bytes[127] = 1;
        assert!(!QciBlock::reserved_are_zero(&bytes));
    }

    proptest! {
        #[test]
        fn what_is_stored_reads_back(flags: u32, na: u8, nd: u8, words: [[u64; 4]; 3]) {
            let [adapters, domains, control_domains] = words.map(Mask256::from_words);
            let matrix = Matrix { adapters, domains, control_domains };
            let block = QciBlock { flags, max_adapter: na, max_domain: nd, matrix };
            prop_assert_eq!(QciBlock::from_bytes(&block.to_bytes()), block);
        }
    }
}
