// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clear RSA keys as they come in a key block: a token of sections. AP reference 7.10.

use ap_arch::message::type50::CrtKey;

/// A clear RSA key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RsaKey<'a> {
    Public {
        modulus: &'a [u8],
        exponent: &'a [u8],
    },
    Private {
        parts: CrtKey<'a>,
        /// Bytes of the modulus, which itself is not transmitted.
        width: usize,
    },
}

impl<'a> RsaKey<'a> {
    /// The public key of a key block; `None` if it is malformed.
    pub(super) fn public(block: &'a [u8]) -> Option<Self> {
        let section = section(block, 0x04)?;
        let [exponent_len, bits, modulus_len] = [6, 8, 10].map(|at| field(section, at));
        let (exponent_len, modulus_len) = (exponent_len?, modulus_len?);
        let key = section.get(12..)?;
        let (exponent, rest) = key.split_at_checked(exponent_len)?;
        let modulus = rest.get(..modulus_len)?;
        (bits?.div_ceil(8) == modulus_len && modulus_len > 0).then_some(Self::Public { modulus, exponent })
    }

    /// The private key of a key block in CRT form; `None` if it is malformed.
    pub(super) fn private(block: &'a [u8]) -> Option<Self> {
        const PARTS_AT: usize = 132;
        const CLEAR_CRT: u8 = 0x40;
        let section = section(block, 0x08).filter(|section| section.get(28) == Some(&CLEAR_CRT))?;
        let mut rest = section.get(PARTS_AT..)?;
        let mut parts = [&[][..]; 5];
        for (index, part) in parts.iter_mut().enumerate() {
            (*part, rest) = rest.split_at_checked(field(section, 54 + 2 * index)?)?;
        }
        let [p, q, dp, dq, u] = parts;
        let width = field(section, 64).filter(|width| *width > 0)?;
        Some(Self::Private { parts: CrtKey { p, q, dp, dq, u }, width })
    }
}

/// The first section of this kind in the token of a key block. The block's first four bytes are the length of what
/// follows and flags, then the token's header has eight bytes.
fn section(block: &[u8], id: u8) -> Option<&[u8]> {
    const TOKEN_ID: u8 = 0x1e;
    let token = block.get(4..)?;
    let token_len = field(token, 2).filter(|_| token[0] == TOKEN_ID)?;
    let mut rest = token.get(8..token_len)?;
    loop {
        let len = field(rest, 2).filter(|len| *len >= 4)?;
        let (section, after) = rest.split_at_checked(len)?;
        if section[0] == id {
            return Some(section);
        }
        rest = after;
    }
}

/// The halfword at `at`.
fn field(bytes: &[u8], at: usize) -> Option<usize> {
    let halfword = bytes.get(at..)?.first_chunk()?;
    Some(usize::from(u16::from_be_bytes(*halfword)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// ulen, flags, token header, public section with exponent 3 and a modulus of two bytes.
    const PUBLIC: [u8; 27] =
        [0, 27, 0, 0, 0x1e, 0, 0, 23, 0, 0, 0, 0, 0x04, 0, 0, 15, 0, 0, 0, 1, 0, 16, 0, 2, 3, 0xab, 0xcd];

    #[test]
    fn a_public_key_reads_as_the_reference_lays_it_out() {
        let key = RsaKey::Public { modulus: &[0xab, 0xcd], exponent: &[3] };
        assert_eq!(RsaKey::public(&PUBLIC), Some(key));
        assert_eq!(RsaKey::private(&PUBLIC), None);
    }

    #[test]
    fn a_key_that_is_cut_off_anywhere_is_no_key() {
        for len in 0..PUBLIC.len() {
            assert_eq!(RsaKey::public(&PUBLIC[..len]), None, "{len}");
        }
    }

    proptest! {
        #[test]
        fn no_key_block_makes_the_reader_panic(
            mut block in prop::collection::vec(any::<u8>(), 0..300),
            at in 0..8usize,
        ) {
            let _ = RsaKey::public(&block);
            let token = [0x1e, 0, 0, 200, 0, 0, 0, 0, 0x08, 0, 0, 150];
            for (target, byte) in block.iter_mut().skip(4).zip(token).skip(at) {
                *target = byte;
            }
            let _ = RsaKey::private(&block);
        }
    }
}
