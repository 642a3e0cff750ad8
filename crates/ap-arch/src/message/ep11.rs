// SPDX-License-Identifier: MIT OR Apache-2.0
//! EP11: the CPRB of 32 bytes, the tagged payload behind it, and the whole request for information. AP reference 7.11.

use super::MessageError;
use super::field::{bytes, put, room, u32_at};
use super::type6::Type6Header;
use crate::open_value::open_value;

/// The block that begins every EP11 request and reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Ep11Cprb {
    /// Length of the block, [`Self::SIZE`].
    pub cprb_len: u16,
    /// [`Self::VERSION`].
    pub version: u8,
    /// [`Self::ADMINISTRATIVE`], [`Self::SPECIAL`].
    pub flags: u8,
    /// `"T4"`.
    pub func_id: [u8; 2],
    /// Who asks; 0 in all known software.
    pub source_id: u32,
    /// The domain it is for.
    pub target_id: u32,
    /// Request: all ones. Reply: 0 is good.
    pub return_code: u32,
    /// Bytes of the payload.
    pub payload_len: u32,
}

impl Ep11Cprb {
    /// Bytes of the block.
    pub const SIZE: usize = 32;
    /// The only version.
    pub const VERSION: u8 = 4;
    /// Flag: an administrative request.
    pub const ADMINISTRATIVE: u8 = 0x80;
    /// Flag: a special command; NQAP comes with the special-command bit.
    pub const SPECIAL: u8 = 0x20;

    /// Reads a block.
    #[must_use]
    pub fn from_bytes(block: &[u8; Self::SIZE]) -> Self {
        Self {
            cprb_len: u16::from_be_bytes(bytes(block, 0)),
            version: block[2],
            flags: block[5],
            func_id: bytes(block, 6),
            source_id: u32_at(block, 8),
            target_id: u32_at(block, 12),
            return_code: u32_at(block, 16),
            payload_len: u32_at(block, 28),
        }
    }

    /// The block as it stands in a message.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut block = [0; Self::SIZE];
        put(&mut block, 0, &self.cprb_len.to_be_bytes());
        (block[2], block[5]) = (self.version, self.flags);
        put(&mut block, 6, &self.func_id);
        put(&mut block, 8, &self.source_id.to_be_bytes());
        put(&mut block, 12, &self.target_id.to_be_bytes());
        put(&mut block, 16, &self.return_code.to_be_bytes());
        put(&mut block, 28, &self.payload_len.to_be_bytes());
        block
    }
}

open_value! {
    /// What a request for information asks for.
    pub struct QueryType(u32) {
        /// The module: [`MODULE_INFO_LEN`] bytes.
        MODULE = 1, "module";
        /// The domain: [`DOMAIN_INFO_LEN`] bytes.
        DOMAIN = 3, "domain";
    }
}

/// Function of a request for information, with the API number 1 in the high halfword.
pub const GET_INFO: u32 = 0x0001_0026;
/// Bytes of the module information.
pub const MODULE_INFO_LEN: usize = 196;
/// Bytes of the domain information.
pub const DOMAIN_INFO_LEN: usize = 80;
/// Bytes of a request for information.
pub const INFO_REQUEST_LEN: usize = 148;

/// Builds a request for information. Returns its length, [`INFO_REQUEST_LEN`]. `reply_space` is the space for the reply
/// behind its header of 48 bytes.
///
/// # Errors
/// [`MessageError::BufferTooSmall`].
pub fn info_request(out: &mut [u8], domain: u32, query: QueryType, reply_space: u32) -> Result<usize, MessageError> {
    const PAYLOAD_LEN: usize = 28;
    let message = room(out, INFO_REQUEST_LEN)?;
    let header = Type6Header {
        offset1: Type6Header::SIZE as u32,
        agent_id: Type6Header::AGENT_EP11,
        rqid: 1,
        to_card: [(Ep11Cprb::SIZE + PAYLOAD_LEN) as u32, 0, 0, 0],
        from_card: [reply_space, 0, 0, 0],
        ..Type6Header::default()
    };
    let cprb = Ep11Cprb {
        cprb_len: Ep11Cprb::SIZE as u16,
        version: Ep11Cprb::VERSION,
        func_id: *b"T4",
        target_id: domain,
        return_code: u32::MAX,
        payload_len: PAYLOAD_LEN as u32,
        ..Ep11Cprb::default()
    };
    put(message, 0, &header.to_bytes());
    put(message, 88, &cprb.to_bytes());
    put(message, 120, &[0x30, 0x82, 0, (PAYLOAD_LEN - 4) as u8]);
    for (index, value) in [GET_INFO, domain, query.0, 0].into_iter().enumerate() {
        put(message, 124 + 6 * index, &[0x04, 0x04]);
        put(message, 126 + 6 * index, &value.to_be_bytes());
    }
    Ok(message.len())
}

/// The next item of a tagged payload: tag, content, and what follows. Lengths to 126 stand directly, others behind
/// `81` or `82`. `None` if the item reaches beyond the end or has another form of length.
#[must_use]
pub fn item(payload: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = payload.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7e => (usize::from(first), rest),
        0x81 => rest.split_first().map(|(len, rest)| (usize::from(*len), rest))?,
        0x82 => rest.split_first_chunk::<2>().map(|(len, rest)| (usize::from(u16::from_be_bytes(*len)), rest))?,
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

/// The next item of a payload, if it is a number of four bytes with tag `04`; and what follows.
#[must_use]
pub fn number(payload: &[u8]) -> Option<(u32, &[u8])> {
    let (tag, content, rest) = item(payload)?;
    let content = <[u8; 4]>::try_from(content).ok().filter(|_| tag == 0x04)?;
    Some((u32::from_be_bytes(content), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_request_for_information_is_that_of_the_reference() {
        let mut out = [0xee; 148];
        assert_eq!(info_request(&mut out, 0x33, QueryType::MODULE, 12_240), Ok(148));
        assert_eq!((&out[32..34], out[49], out[59]), (&b"XC"[..], 1, 60));
        assert_eq!((&out[88..91], &out[94..96], out[103]), (&[0, 0x20, 4][..], &b"T4"[..], 0x33));
        assert_eq!(out[120..136], [0x30, 0x82, 0, 24, 4, 4, 0, 1, 0, 0x26, 4, 4, 0, 0, 0, 0x33]);
        let (tag, content, rest) = item(&out[120..]).unwrap();
        assert_eq!((tag, content.len(), rest), (0x30, 24, &[][..]));
        assert_eq!(number(content).map(|(function, _)| function), Some(GET_INFO));
    }

    #[test]
    fn the_three_forms_of_length_are_read_and_others_are_not() {
        assert_eq!(item(&[4, 1, 9, 8]), Some((4, &[9][..], &[8][..])));
        assert_eq!(item(&[4, 0x81, 1, 9]), Some((4, &[9][..], &[][..])));
        assert_eq!(item(&[4, 0x82, 0, 1, 9]), Some((4, &[9][..], &[][..])));
        for bad in [&[][..], &[4], &[4, 2, 9], &[4, 0x81], &[4, 0x82, 0], &[4, 0x83, 0, 0, 1, 9], &[4, 0x7f]] {
            assert_eq!(item(bad), None, "{bad:?}");
        }
        assert_eq!(number(&[5, 4, 0, 0, 0, 1]), None);
    }

    proptest! {
        #[test]
        fn a_cprb_reads_back(cprb_len: u16, version: u8, flags: u8, func_id: [u8; 2], words: [u32; 4]) {
            let [source_id, target_id, return_code, payload_len] = words;
            let cprb = Ep11Cprb { cprb_len, version, flags, func_id, source_id, target_id, return_code, payload_len };
            prop_assert_eq!(Ep11Cprb::from_bytes(&cprb.to_bytes()), cprb);
        }
    }
}
