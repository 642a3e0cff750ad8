// SPDX-License-Identifier: MIT OR Apache-2.0
//! CPRBX, the block of 220 bytes that begins every CCA request and reply. AP reference 7.7.

use super::field::{bytes, put, u16_at, u32_at};
use crate::open_value::open_value;

open_value! {
    /// Which kind of CCA request: func_id. AP reference 7.7.
    pub struct CprbFunction(u16) {
        /// A request to use the card: `"T2"`.
        T2 = 0x5432, "T2 (usage)";
        /// Administrative: `"T3"`.
        T3 = 0x5433, "T3 (administrative)";
        /// Administrative: `"T5"`.
        T5 = 0x5435, "T5 (administrative)";
        /// Administrative: `"T6"`.
        T6 = 0x5436, "T6 (administrative)";
        /// Administrative: `"T7"`.
        T7 = 0x5437, "T7 (administrative)";
    }
}

/// The fields that mean something on the wire; all others are written as zero and not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Cprbx {
    /// Length of the block, [`Self::SIZE`].
    pub cprb_len: u16,
    /// [`Self::VERSION`].
    pub version: u8,
    /// [`CprbFunction`] as a number.
    pub func_id: u16,
    /// Request: bytes of the parameter block.
    pub req_parml: u32,
    /// Request: bytes of the data block.
    pub req_datal: u32,
    /// Request: space for the reply's CPRBX and parameters.
    pub rpl_msgbl: u32,
    /// Reply: bytes of the parameter block.
    pub rpld_parml: u32,
    /// Request: space for the reply's data.
    pub rpl_datal: u32,
    /// Reply: bytes of the data block.
    pub rpld_datal: u32,
    /// Reply: CCA return code, 0 is good.
    pub return_code: u16,
    /// Reply: CCA reason code.
    pub reason_code: u16,
    /// The domain it is for.
    pub domain: u16,
}

impl Cprbx {
    /// Bytes of the block.
    pub const SIZE: usize = 220;
    /// The only version.
    pub const VERSION: u8 = 2;

    /// The start of a usage request or a reply for a domain.
    #[must_use]
    pub fn usage(domain: u16) -> Self {
        let cprb_len = Self::SIZE as u16;
        Self { cprb_len, version: Self::VERSION, func_id: CprbFunction::T2.0, domain, ..Self::default() }
    }

    /// Reads a block.
    #[must_use]
    pub fn from_bytes(block: &[u8; Self::SIZE]) -> Self {
        Self {
            cprb_len: u16_at(block, 0),
            version: block[2],
            func_id: u16::from_be_bytes(bytes(block, 6)),
            req_parml: u32_at(block, 12),
            req_datal: u32_at(block, 16),
            rpl_msgbl: u32_at(block, 20),
            rpld_parml: u32_at(block, 24),
            rpl_datal: u32_at(block, 28),
            rpld_datal: u32_at(block, 32),
            return_code: u16_at(block, 144),
            reason_code: u16_at(block, 146),
            domain: u16_at(block, 170),
        }
    }

    /// The block as it stands in a message.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut block = [0; Self::SIZE];
        put(&mut block, 0, &self.cprb_len.to_be_bytes());
        block[2] = self.version;
        put(&mut block, 6, &self.func_id.to_be_bytes());
        let words = [self.req_parml, self.req_datal, self.rpl_msgbl, self.rpld_parml, self.rpl_datal, self.rpld_datal];
        for (index, word) in words.into_iter().enumerate() {
            put(&mut block, 12 + 4 * index, &word.to_be_bytes());
        }
        put(&mut block, 144, &self.return_code.to_be_bytes());
        put(&mut block, 146, &self.reason_code.to_be_bytes());
        put(&mut block, 170, &self.domain.to_be_bytes());
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_fields_stand_where_the_reference_says() {
        let block = Cprbx { return_code: 8, reason_code: 0x302, rpld_datal: 7, ..Cprbx::usage(0x33) }.to_bytes();
        assert_eq!((&block[..3], &block[6..8], block[35]), (&[0, 0xdc, 2][..], &b"T2"[..], 7));
        assert_eq!((&block[144..148], block[171]), (&[0, 8, 3, 2][..], 0x33));
    }

    proptest! {
        #[test]
        fn a_block_reads_back(head: (u16, u8, u16, u16, u16, u16), words: [u32; 6]) {
            let (cprb_len, version, func_id, return_code, reason_code, domain) = head;
            let [req_parml, req_datal, rpl_msgbl, rpld_parml, rpl_datal, rpld_datal] = words;
            let block = Cprbx {
                cprb_len, version, func_id, req_parml, req_datal, rpl_msgbl, rpld_parml, rpl_datal, rpld_datal,
                return_code, reason_code, domain,
            };
            prop_assert_eq!(Cprbx::from_bytes(&block.to_bytes()), block);
        }
    }
}
