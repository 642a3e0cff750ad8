// SPDX-License-Identifier: MIT OR Apache-2.0
//! Header of a type 6 request to a coprocessor. AP reference 7.5.

use super::MessageType;
use super::field::{bytes, put, u16_at, u32_at};

/// The fields that software uses; all others are written as zero and not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Type6Header {
    /// Offset of the CPRB, [`Self::SIZE`] in all known software.
    pub offset1: u32,
    /// Offset of the data block, 0 if there is none.
    pub offset2: u32,
    /// Who is to process it, ASCII and zeros: [`Self::AGENT_CCA`], [`Self::AGENT_EP11`].
    pub agent_id: [u8; 16],
    /// 0 for CCA, 1 for EP11.
    pub rqid: u16,
    /// CCA: a copy of the two letters that begin the parameter block.
    pub function_code: [u8; 2],
    /// Bytes of the four blocks of the request: CPRB with parameters, data, and two that nobody uses.
    pub to_card: [u32; 4],
    /// Space for the four blocks of the reply.
    pub from_card: [u32; 4],
}

impl Type6Header {
    /// Bytes of the header.
    pub const SIZE: usize = 88;
    /// Agent of a CCA coprocessor.
    pub const AGENT_CCA: [u8; 16] = *b"CA\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    /// Agent of an EP11 coprocessor.
    pub const AGENT_EP11: [u8; 16] = *b"XC\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

    /// Reads a header, whatever the message's type.
    #[must_use]
    pub fn from_bytes(message: &[u8; Self::SIZE]) -> Self {
        Self {
            offset1: u32_at(message, 16),
            offset2: u32_at(message, 20),
            agent_id: bytes(message, 32),
            rqid: u16_at(message, 48),
            function_code: bytes(message, 52),
            to_card: core::array::from_fn(|i| u32_at(message, 56 + 4 * i)),
            from_card: core::array::from_fn(|i| u32_at(message, 72 + 4 * i)),
        }
    }

    /// The header as NQAP takes it.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut message = [0; Self::SIZE];
        message[1] = MessageType::TYPE_06.0;
        put(&mut message, 16, &self.offset1.to_be_bytes());
        put(&mut message, 20, &self.offset2.to_be_bytes());
        put(&mut message, 32, &self.agent_id);
        put(&mut message, 48, &self.rqid.to_be_bytes());
        put(&mut message, 52, &self.function_code);
        for i in 0..4 {
            put(&mut message, 56 + 4 * i, &self.to_card[i].to_be_bytes());
            put(&mut message, 72 + 4 * i, &self.from_card[i].to_be_bytes());
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_fields_stand_where_the_reference_says() {
        let header = Type6Header {
            offset1: 0x58,
            agent_id: Type6Header::AGENT_CCA,
            function_code: *b"RL",
            to_card: [0xec, 0, 0, 0],
            from_card: [0xec, 4096, 0, 0],
            ..Type6Header::default()
        };
        let message = header.to_bytes();
        assert_eq!((message[1], message[19], &message[32..34], &message[52..54]), (6, 0x58, &b"CA"[..], &b"RL"[..]));
        assert_eq!((message[59], message[75], &message[76..80]), (0xec, 0xec, &[0, 0, 0x10, 0][..]));
    }

    proptest! {
        #[test]
        fn a_header_reads_back(
            offset1: u32, offset2: u32, agent_id: [u8; 16], rqid: u16, function_code: [u8; 2], to_card: [u32; 4],
            from_card: [u32; 4],
        ) {
            let header = Type6Header { offset1, offset2, agent_id, rqid, function_code, to_card, from_card };
            prop_assert_eq!(Type6Header::from_bytes(&header.to_bytes()), header);
        }
    }
}
