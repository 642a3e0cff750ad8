// SPDX-License-Identifier: MIT OR Apache-2.0
//! RSA requests to a CCA coprocessor: the verbs PK (public) and PD (private, CRT) with a clear key in a token, as Linux
//! sends them. AP reference 7.10.

use crate::ap::cca;
use alloc::vec::Vec;
use ap_arch::message::type50::CrtKey;

/// Bytes of the token's header, of a private section without its parts, and of a public section without its numbers.
const TOKEN_HEADER: usize = 8;
const PRIVATE_SECTION: usize = 132;
const PUBLIC_SECTION: usize = 12;

/// `input` to the power of `exponent` modulo `modulus`.
pub(super) fn pk(domain: u16, modulus: &[u8], exponent: &[u8], input: &[u8]) -> Vec<u8> {
    let mut section = Vec::new();
    public_section(&mut section, modulus.len(), modulus, exponent);
    request(domain, *b"PK", *b"MRP     ", input, &section)
}

/// `input` to the power of the private key. The modulus is not sent, only its length.
pub(super) fn pd(domain: u16, key: &CrtKey<'_>, width: usize, input: &[u8]) -> Vec<u8> {
    /// What p, dp and u have before them.
    const LEADING: usize = 8;
    let short = width / 2;
    let padding = (3 * (short + LEADING) + 2 * short).next_multiple_of(8) - (3 * (short + LEADING) + 2 * short);
    let lengths = [short + LEADING, short, short + LEADING, short, short + LEADING];
    let parts = [key.p, key.q, key.dp, key.dq, key.u];
    let length = PRIVATE_SECTION + lengths.iter().sum::<usize>() + padding + width;

    let mut section = alloc::vec![0; PRIVATE_SECTION];
    section[0] = 0x08;
    put(&mut section, 2, length);
    section[28] = 0x40;
    section[50] = 0x80;
    for (index, length) in lengths.iter().enumerate() {
        put(&mut section, 54 + 2 * index, *length);
    }
    put(&mut section, 64, width);
    put(&mut section, 70, padding);
    for (part, length) in parts.into_iter().zip(lengths) {
        section.resize(section.len() + length - part.len(), 0);
        section.extend_from_slice(part);
    }
    section.resize(section.len() + padding, 0);
    section.resize(section.len() + width, 0xff);
    public_section(&mut section, width, &[], &[1, 0, 1]);
    request(domain, *b"PD", *b"ZERO-PAD", input, &section)
}

/// `width` is the modulus's, whether or not it is sent.
fn public_section(section: &mut Vec<u8>, width: usize, modulus: &[u8], exponent: &[u8]) {
    let start = section.len();
    section.resize(start + PUBLIC_SECTION, 0);
    section[start] = 0x04;
    put(section, start + 2, PUBLIC_SECTION + exponent.len() + modulus.len());
    put(section, start + 6, exponent.len());
    put(section, start + 8, 8 * width);
    put(section, start + 10, modulus.len());
    section.extend_from_slice(exponent);
    section.extend_from_slice(modulus);
}

fn request(domain: u16, function: [u8; 2], rule: [u8; 8], input: &[u8], sections: &[u8]) -> Vec<u8> {
    // After the block's own length: the length of what follows, and flags; then the token.
    let mut key = alloc::vec![0; 4 + TOKEN_HEADER];
    put(&mut key, 0, sections.len() + TOKEN_HEADER + 4);
    key[4] = 0x1e;
    put(&mut key, 6, sections.len() + TOKEN_HEADER);
    key.extend_from_slice(sections);
    cca::request(domain, function, rule, input, &key, 0)
}

fn put(bytes: &mut [u8], at: usize, value: usize) {
    bytes[at..at + 2].copy_from_slice(&(value as u16).to_be_bytes());
}
