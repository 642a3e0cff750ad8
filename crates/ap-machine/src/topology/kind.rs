// SPDX-License-Identifier: MIT OR Apache-2.0
//! The name of a card: generation and mode, `cex4a` to `cex8p`. AP reference 2.5.

use std::fmt;
use std::str::FromStr;

use ap_arch::{ApType, CardMode, HwInfo};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Generation and mode of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CardKind {
    /// The generation, CEX4 to CEX8.
    pub ap_type: ApType,
    /// What it does.
    pub mode: CardMode,
}

impl CardKind {
    /// What [`FromStr`] takes, for error messages.
    pub const EXPECTED: &'static str = "a card from cex4a to cex8p: cex, a generation from 4 to 8, and a for an \
                                        accelerator, c for a CCA coprocessor or p for an EP11 coprocessor";

    /// Bits 0 to 15 of the hardware information with extended addressing and the special-command facility, as the
    /// reference composes them. AP reference 2.4. Stateless-command filtering came with CEX8.
    #[must_use]
    pub const fn facilities(self) -> u64 {
        let mode = match self.mode {
            CardMode::Accelerator => HwInfo::ACCELERATOR | HwInfo::MEX4K | HwInfo::CRT4K,
            CardMode::Cca => HwInfo::CCA | HwInfo::APSC,
            CardMode::Ep11 => HwInfo::EP11,
        };
        let filtering = if self.ap_type.0 >= ApType::CEX8.0 { HwInfo::SLCF } else { 0 };
        mode | HwInfo::APXA | HwInfo::NATIVE | filtering
    }
}

impl fmt::Display for CardKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cex{}{}", self.ap_type.0.saturating_sub(6), self.mode.letter().to_ascii_lowercase())
    }
}

impl FromStr for CardKind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.to_ascii_lowercase();
        let &[generation, letter] = lower.strip_prefix("cex").unwrap_or_default().as_bytes() else {
            return Err(Self::EXPECTED);
        };
        let mode = match letter {
            b'a' => CardMode::Accelerator,
            b'c' => CardMode::Cca,
            b'p' => CardMode::Ep11,
            _ => return Err(Self::EXPECTED),
        };
        if !(b'4'..=b'8').contains(&generation) {
            return Err(Self::EXPECTED);
        }
        Ok(Self { ap_type: ApType(generation - b'0' + 6), mode })
    }
}

impl Serialize for CardKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CardKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|expected| serde::de::Error::custom(format!("{text:?}: expected {expected}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifteen_kinds_print_and_parse() {
        for generation in 4..=8 {
            for letter in ["a", "c", "p"] {
                let name = format!("cex{generation}{letter}");
                assert_eq!(name.parse::<CardKind>().unwrap().to_string(), name);
            }
        }
        assert_eq!("CEX8P".parse::<CardKind>().unwrap().ap_type, ApType::CEX8);
        for bad in ["", "cex", "cex8", "cex3a", "cex9a", "cex8b", "cex8aa", "8a"] {
            assert!(bad.parse::<CardKind>().is_err(), "{bad:?} parsed");
        }
    }

    #[test]
    fn the_facilities_are_those_the_reference_composes() {
        for (name, word) in [
            ("cex7a", 0x6a80_u64),
            ("cex7c", 0x9280),
            ("cex7p", 0x0680),
            ("cex8a", 0x6b80),
            ("cex8c", 0x9380),
            ("cex8p", 0x0780),
        ] {
            assert_eq!(name.parse::<CardKind>().unwrap().facilities(), word << 48, "{name}");
        }
    }
}
