// SPDX-License-Identifier: MIT OR Apache-2.0
//! Type 50: clear-key RSA for an accelerator, modular exponentiation (ME) and Chinese remainder (CRT). AP reference
//! 7.2.

use super::field::{put, put_right, room, u16_at};
use super::{MessageError, MessageType};
use crate::open_value::open_value;

/// Bytes before the operands.
pub const HEADER_LEN: usize = 16;

open_value! {
    /// Which operands follow and how wide they are.
    pub struct KeyblockType(u16) {
        /// Modular exponentiation to 1024 bits.
        MEB1 = 0x0001, "ME, 1024 bits";
        /// Modular exponentiation to 2048 bits.
        MEB2 = 0x0002, "ME, 2048 bits";
        /// Modular exponentiation to 4096 bits.
        MEB3 = 0x0003, "ME, 4096 bits";
        /// CRT to 1024 bits.
        CRB1 = 0x0011, "CRT, 1024 bits";
        /// CRT to 2048 bits.
        CRB2 = 0x0012, "CRT, 2048 bits";
        /// CRT to 4096 bits.
        CRB3 = 0x0013, "CRT, 4096 bits";
    }
}

impl KeyblockType {
    const ME: [(Self, usize); 3] = [(Self::MEB1, 128), (Self::MEB2, 256), (Self::MEB3, 512)];
    const CRT: [(Self, usize); 3] = [(Self::CRB1, 128), (Self::CRB2, 256), (Self::CRB3, 512)];

    /// Bytes of a modulus field (CRT: of the message field; the key's parts have half of it); `None` for an unknown
    /// type.
    #[must_use]
    pub fn width(self) -> Option<usize> {
        Self::ME.iter().chain(&Self::CRT).find(|(kind, _)| *kind == self).map(|(_, width)| *width)
    }

    /// Whether the operands are those of CRT.
    #[must_use]
    pub fn is_crt(self) -> bool {
        Self::CRT.iter().any(|(kind, _)| *kind == self)
    }

    /// Bytes of the whole message; `None` for an unknown type.
    #[must_use]
    pub fn message_len(self) -> Option<usize> {
        self.width().map(|width| HEADER_LEN + if self.is_crt() { 7 * width / 2 } else { 3 * width })
    }
}

/// The parts of a private key for CRT, each big-endian, leading zeros or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrtKey<'a> {
    /// First prime.
    pub p: &'a [u8],
    /// Second prime.
    pub q: &'a [u8],
    /// d mod (p - 1).
    pub dp: &'a [u8],
    /// d mod (q - 1).
    pub dq: &'a [u8],
    /// The inverse of q modulo p.
    pub u: &'a [u8],
}

/// Builds the request for `input` to the power of `exponent` modulo `modulus`, all big-endian, in the smallest format
/// that takes the longest of them. Returns the message's length.
///
/// # Errors
/// [`MessageError::OperandTooLong`] above 512 bytes, [`MessageError::BufferTooSmall`].
pub fn mex(out: &mut [u8], modulus: &[u8], exponent: &[u8], input: &[u8]) -> Result<usize, MessageError> {
    let longest = modulus.len().max(exponent.len()).max(input.len());
    let (kind, width) = smallest(&KeyblockType::ME, longest)?;
    let message = start(out, kind, HEADER_LEN + 3 * width)?;
    for (index, operand) in [exponent, modulus, input].into_iter().enumerate() {
        put_right(message, HEADER_LEN + index * width, width, operand);
    }
    Ok(message.len())
}

/// Builds the request for `input` to the power of the private key, in the smallest format that takes all parts.
/// Returns the message's length.
///
/// # Errors
/// [`MessageError::OperandTooLong`] above 256 bytes for a part of the key or 512 for the input,
/// [`MessageError::BufferTooSmall`].
pub fn crt(out: &mut [u8], key: &CrtKey<'_>, input: &[u8]) -> Result<usize, MessageError> {
    let parts = [key.p, key.q, key.dp, key.dq, key.u];
    let longest = parts.iter().map(|part| 2 * part.len()).max().unwrap_or(0).max(input.len());
    let (kind, width) = smallest(&KeyblockType::CRT, longest)?;
    let half = width / 2;
    let message = start(out, kind, HEADER_LEN + 5 * half + width)?;
    for (index, part) in parts.into_iter().enumerate() {
        put_right(message, HEADER_LEN + index * half, half, part);
    }
    put_right(message, HEADER_LEN + 5 * half, width, input);
    Ok(message.len())
}

fn smallest(formats: &[(KeyblockType, usize)], len: usize) -> Result<(KeyblockType, usize), MessageError> {
    let max = formats.iter().map(|(_, width)| *width).max().unwrap_or(0);
    formats.iter().copied().find(|(_, width)| len <= *width).ok_or(MessageError::OperandTooLong { len, max })
}

fn start(out: &mut [u8], kind: KeyblockType, len: usize) -> Result<&mut [u8], MessageError> {
    let message = room(out, len)?;
    message[..HEADER_LEN].fill(0);
    message[1] = MessageType::TYPE_50.0;
    put(message, 2, &(len as u16).to_be_bytes());
    put(message, 8, &kind.0.to_be_bytes());
    Ok(message)
}

/// The header of a request as it stands there; nothing is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Length of the whole message, as the header says.
    pub len: u16,
    /// Which operands follow.
    pub keyblock_type: KeyblockType,
    /// Whether the reserved bytes (0, 4, 6-7, 10-15) are zero; byte 5 is ignored.
    pub reserved_are_zero: bool,
}

impl Header {
    /// Reads the first 16 bytes, whatever the message's type.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; HEADER_LEN]) -> Self {
        let reserved = [0, 4, 6, 7, 10, 11, 12, 13, 14, 15];
        Self {
            len: u16_at(bytes, 2),
            keyblock_type: KeyblockType(u16_at(bytes, 8)),
            reserved_are_zero: reserved.iter().all(|at| bytes[*at] == 0),
        }
    }
}

/// The operands of a request, each as wide as its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operands<'a> {
    /// Modular exponentiation.
    Me {
        /// The exponent.
        exponent: &'a [u8],
        /// The modulus.
        modulus: &'a [u8],
        /// The number to raise.
        input: &'a [u8],
    },
    /// CRT.
    Crt {
        /// The private key.
        key: CrtKey<'a>,
        /// The number to raise.
        input: &'a [u8],
    },
}

impl<'a> Operands<'a> {
    /// The operands of a message of type `kind`; `None` if the type is unknown or the message has another length.
    #[must_use]
    pub fn parse(kind: KeyblockType, message: &'a [u8]) -> Option<Self> {
        let width = kind.width()?;
        let operands = message.get(HEADER_LEN..).filter(|_| Some(message.len()) == kind.message_len())?;
        if kind.is_crt() {
            let (parts, input) = operands.split_at(5 * width / 2);
            let part = |index: usize| &parts[index * width / 2..(index + 1) * width / 2];
            let key = CrtKey { p: part(0), q: part(1), dp: part(2), dq: part(3), u: part(4) };
            Some(Self::Crt { key, input })
        } else {
            let (exponent, rest) = operands.split_at(width);
            let (modulus, input) = rest.split_at(width);
            Some(Self::Me { exponent, modulus, input })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_lengths_are_those_of_the_reference() {
        for (kind, len) in [
            (KeyblockType::MEB1, 0x190),
            (KeyblockType::MEB2, 0x310),
            (KeyblockType::MEB3, 0x610),
            (KeyblockType::CRB1, 0x1d0),
            (KeyblockType::CRB2, 0x390),
            (KeyblockType::CRB3, 0x710),
        ] {
            assert_eq!(kind.message_len(), Some(len), "{kind}");
        }
        assert_eq!(KeyblockType(4).message_len(), None);
    }

    #[test]
    fn the_operands_stand_where_the_reference_says() {
        let mut out = [0xee; 2048];
        assert_eq!(mex(&mut out, &[0xaa; 129], &[3], &[7; 2]), Ok(784));
        assert_eq!(out[..16], [0, 0x50, 3, 0x10, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0]);
        assert_eq!((out[16], out[271], out[272 + 126], out[272 + 127], out[783]), (0, 3, 0, 0xaa, 7));
        let key = CrtKey { p: &[1], q: &[2], dp: &[3], dq: &[4], u: &[5] };
        assert_eq!(crt(&mut out, &key, &[6; 128]), Ok(464));
        assert_eq!([79, 143, 207, 271, 335, 336, 463].map(|at| out[at]), [1, 2, 3, 4, 5, 6, 6]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut out = [0; 2048];
        assert_eq!(mex(&mut out, &[1; 513], &[1], &[1]), Err(MessageError::OperandTooLong { len: 513, max: 512 }));
        let small = &mut out[..399];
        assert_eq!(mex(small, &[1], &[1], &[1]), Err(MessageError::BufferTooSmall { len: 399, needed: 400 }));
        let key = CrtKey { p: &[1; 257], q: &[], dp: &[], dq: &[], u: &[] };
        assert_eq!(crt(&mut out, &key, &[]), Err(MessageError::OperandTooLong { len: 514, max: 512 }));
    }

    fn stripped(operand: &[u8]) -> &[u8] {
        &operand[operand.iter().position(|byte| *byte != 0).unwrap_or(operand.len())..]
    }

    proptest! {
        #[test]
        fn what_is_built_parses(
            modulus in prop::collection::vec(any::<u8>(), 0..=512),
            exponent in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut out = [0xee; 2048];
            let len = mex(&mut out, &modulus, &exponent, &exponent).unwrap();
            let header = Header::from_bytes(out.first_chunk().unwrap());
            prop_assert!(header.reserved_are_zero && usize::from(header.len) == len);
            let operands = Operands::parse(header.keyblock_type, &out[..len]);
            let Some(Operands::Me { exponent: e, modulus: m, input }) = operands else {
                return Err(TestCaseError::fail("not ME"));
            };
            let expected = (stripped(&exponent), stripped(&modulus), stripped(&exponent));
            prop_assert_eq!((stripped(e), stripped(m), stripped(input)), expected);
            prop_assert_eq!(Operands::parse(header.keyblock_type, &out[..len - 1]), None);
        }
    }
}
