// SPDX-License-Identifier: MIT OR Apache-2.0
//! What stands behind the CPRBX of a CCA request: two letters, rule array, VUD block and key block; and the whole
//! request for random numbers. AP reference 7.7 to 7.10.

use super::cprbx::Cprbx;
use super::field::{put, room};
use super::type6::Type6Header;
use super::{MessageError, field};

/// A parameter block taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters<'a> {
    /// The function's two letters.
    pub function: [u8; 2],
    /// Rule array: keywords of eight bytes, padded with blanks.
    pub rules: &'a [u8],
    /// Verb-unique data.
    pub vud: &'a [u8],
    /// Key block, without its length.
    pub key: &'a [u8],
}

impl<'a> Parameters<'a> {
    /// Takes a parameter block apart. A block that is not there at all counts as empty; bytes behind the key block are
    /// not looked at.
    ///
    /// # Errors
    /// [`MessageError::Truncated`] or [`MessageError::Inconsistent`] if a length reaches beyond the end or is below 2.
    pub fn parse(block: &'a [u8]) -> Result<Self, MessageError> {
        let function = *field::head::<2>(block)?;
        let (rules, rest) = length_prefixed(&block[2..], "rule array length")?;
        let (vud, rest) = length_prefixed(rest, "VUD length")?;
        let (key, _) = length_prefixed(rest, "key block length")?;
        Ok(Self { function, rules, vud, key })
    }

    /// The only keyword of the rule array, if there is exactly one.
    #[must_use]
    pub fn rule(&self) -> Option<[u8; 8]> {
        <[u8; 8]>::try_from(self.rules).ok()
    }
}

/// A block that begins with its own length, two bytes that count themselves; and what follows it.
fn length_prefixed<'a>(bytes: &'a [u8], field: &'static str) -> Result<(&'a [u8], &'a [u8]), MessageError> {
    if bytes.is_empty() {
        return Ok((&[], &[]));
    }
    let len = u16::from_be_bytes(*field::head::<2>(bytes)?);
    let content = usize::from(len).checked_sub(2).and_then(|content| bytes[2..].split_at_checked(content));
    content.ok_or(MessageError::Inconsistent { field, value: len.into() })
}

/// Bytes of a request for random numbers.
pub const RANDOM_REQUEST_LEN: usize = 324;

/// Builds the request for `wanted` random bytes from a domain. Returns its length, [`RANDOM_REQUEST_LEN`].
/// AP reference 7.8.
///
/// # Errors
/// [`MessageError::BufferTooSmall`].
pub fn random_request(out: &mut [u8], domain: u16, wanted: u32) -> Result<usize, MessageError> {
    const PARAMETERS: &[u8; 16] = b"RL\x00\x0aRANDOM  \x00\x02\x00\x02";
    let message = room(out, RANDOM_REQUEST_LEN)?;
    let block_len = (Cprbx::SIZE + PARAMETERS.len()) as u32;
    let header = Type6Header {
        offset1: Type6Header::SIZE as u32,
        agent_id: Type6Header::AGENT_CCA,
        function_code: *b"RL",
        to_card: [block_len, 0, 0, 0],
        from_card: [block_len, wanted, 0, 0],
        ..Type6Header::default()
    };
    let req_parml = PARAMETERS.len() as u32;
    let cprbx = Cprbx { req_parml, rpl_msgbl: block_len, rpl_datal: wanted, ..Cprbx::usage(domain) };
    put(message, 0, &header.to_bytes());
    put(message, Type6Header::SIZE, &cprbx.to_bytes());
    put(message, Type6Header::SIZE + Cprbx::SIZE, PARAMETERS);
    Ok(message.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_request_for_random_numbers_is_that_of_the_reference() {
        let mut out = [0xee; 400];
        assert_eq!(random_request(&mut out, 0x33, 4096), Ok(324));
        assert_eq!((&out[52..54], out[59], out[75], &out[76..80]), (&b"RL"[..], 0xec, 0xec, &[0, 0, 0x10, 0][..]));
        assert_eq!((out[88 + 15], out[88 + 171]), (16, 0x33));
        let parameters = Parameters::parse(&out[308..324]).unwrap();
        assert_eq!(parameters, Parameters { function: *b"RL", rules: b"RANDOM  ", vud: &[], key: &[] });
        assert_eq!(parameters.rule(), Some(*b"RANDOM  "));
        assert_eq!(random_request(&mut out[..323], 0, 0), Err(MessageError::BufferTooSmall { len: 323, needed: 324 }));
    }

    #[test]
    fn a_length_that_reaches_beyond_the_end_is_refused() {
        let wrong = |field, value| Err(MessageError::Inconsistent { field, value });
        assert_eq!(Parameters::parse(b"FQ\x00\x0bSTATICSA"), wrong("rule array length", 11));
        assert_eq!(Parameters::parse(b"FQ\x00\x0aSTATICSA\x00\x01"), wrong("VUD length", 1));
        assert_eq!(Parameters::parse(b"FQ\x00"), Err(MessageError::Truncated { len: 1, needed: 2 }));
        assert_eq!(Parameters::parse(b"F"), Err(MessageError::Truncated { len: 1, needed: 2 }));
        assert_eq!(Parameters::parse(b"FQ\x00\x0aSTATICSA").map(|p| p.vud), Ok(&[][..]));
    }

    proptest! {
        #[test]
        fn no_parameter_block_makes_the_parser_panic(block in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Parameters::parse(&block);
        }
    }
}
