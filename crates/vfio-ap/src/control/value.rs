// SPDX-License-Identifier: MIT OR Apache-2.0
//! Values of the protocol that JSON has no type for: bytes and 64-bit registers.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

/// Bytes as lowercase hex digits, two each.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct HexBytes(pub Vec<u8>);

impl fmt::Debug for HexBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl From<Vec<u8>> for HexBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&const_hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hex;
        impl Visitor<'_> for Hex {
            type Value = HexBytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes as hex digits, two each, for example \"76666170\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<HexBytes, E> {
                let wrong = || E::custom(format!("{} characters that are not pairs of hex digits", text.len()));
                // The library takes a prefix, which the protocol does not have.
                let digits = if text.starts_with("0x") { "x" } else { text };
                const_hex::decode(digits).map(HexBytes).map_err(|_| wrong())
            }
        }
        deserializer.deserialize_str(Hex)
    }
}

/// A 64-bit value: written as `"0x…"`, because many JSON readers cannot hold one as a number; a number is read too.
#[derive(Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Hex64(pub u64);

impl fmt::Debug for Hex64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Serialize for Hex64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#018x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Hex64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hex;
        impl Visitor<'_> for Hex {
            type Value = Hex64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a 64-bit value as \"0x…\" or as a number")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Hex64, E> {
                Ok(Hex64(number))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Hex64, E> {
                let digits = text.strip_prefix("0x").filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
                let value = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
                value.map(Hex64).ok_or_else(|| E::custom(format!("`{text}` is no 64-bit value such as \"0x40000533\"")))
            }
        }
        deserializer.deserialize_any(Hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_registers_read_back_as_written() {
        let bytes = HexBytes(vec![0, 0x7f, 0xff]);
        assert_eq!(serde_json::to_string(&bytes).unwrap(), r#""007fff""#);
        assert_eq!(serde_json::from_str::<HexBytes>(r#""007FfF""#).unwrap(), bytes);
        let register = Hex64(u64::MAX);
        assert_eq!(serde_json::from_str::<Hex64>(&serde_json::to_string(&register).unwrap()).unwrap(), register);
        assert_eq!(serde_json::from_str::<Hex64>("7").unwrap(), Hex64(7));
    }

    #[test]
    fn what_is_no_value_is_refused_with_what_is_allowed() {
        for bad in [r#""0""#, r#""0g""#, r#""é0""#, r#""0x00""#, "7"] {
            assert!(serde_json::from_str::<HexBytes>(bad).is_err(), "{bad} was read");
        }
        assert!(serde_json::from_str::<Hex64>(r#""0x+1""#).is_err());
    }
}
