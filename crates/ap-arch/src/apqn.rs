// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a queue is named: adapter, domain, and the two together. AP reference 0.

use core::fmt;
use core::str::FromStr;

/// Adapter number, 0 to 255 (without APXA 0 to 63). Prints as two hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Apid(pub u8);

/// Domain number inside every adapter, 0 to 255 (without APXA 0 to 15). Prints as four hex digits, as Linux does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Apqi(pub u8);

/// Adapter-queue number: the name of one queue. Prints as `05.0033`, as Linux does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Apqn {
    /// The adapter.
    pub apid: Apid,
    /// The domain.
    pub apqi: Apqi,
}

impl Apqn {
    /// The queue of `domain` in `adapter`.
    #[must_use]
    pub const fn new(adapter: u8, domain: u8) -> Self {
        Self { apid: Apid(adapter), apqi: Apqi(domain) }
    }

    /// From the 16-bit number: adapter in the high byte, domain in the low byte.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        let [adapter, domain] = bits.to_be_bytes();
        Self::new(adapter, domain)
    }

    /// The 16-bit number: adapter in the high byte, domain in the low byte.
    #[must_use]
    pub const fn bits(self) -> u16 {
        u16::from_be_bytes([self.apid.0, self.apqi.0])
    }

    /// All 65,536 queue numbers in ascending order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u16::MAX).map(Self::from_bits)
    }
}

impl fmt::Display for Apid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}", self.0)
    }
}

impl fmt::Display for Apqi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}

impl fmt::Display for Apqn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.apid, self.apqi)
    }
}

macro_rules! debug_as_display {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}
debug_as_display!(Apid, Apqi, Apqn);

/// A name that is not an adapter, a domain or a queue: see the [`fmt::Display`] text for what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseNameError(&'static str);

impl fmt::Display for ParseNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.0)
    }
}

impl core::error::Error for ParseNameError {}

fn parse_hex(text: &str, max_digits: usize, expected: &'static str) -> Result<u8, ParseNameError> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let well_formed = (1..=max_digits).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let value = u32::from_str_radix(digits, 16).ok().filter(|_| well_formed);
    value.and_then(|v| u8::try_from(v).ok()).ok_or(ParseNameError(expected))
}

impl FromStr for Apid {
    type Err = ParseNameError;
    /// One or two hex digits, `0x` optional.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex(text, 2, "an adapter number in hex, 00 to ff").map(Self)
    }
}

impl FromStr for Apqi {
    type Err = ParseNameError;
    /// One to four hex digits up to 00ff, `0x` optional.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex(text, 4, "a domain number in hex, 0000 to 00ff").map(Self)
    }
}

impl FromStr for Apqn {
    type Err = ParseNameError;
    /// `ADAPTER.DOMAIN` in hex, for example `05.0033`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = ParseNameError("a queue as ADAPTER.DOMAIN in hex, for example 05.0033");
        let (adapter, domain) = text.split_once('.').ok_or(expected)?;
        Ok(Self { apid: adapter.parse().map_err(|_| expected)?, apqi: domain.parse().map_err(|_| expected)? })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_queue_prints_and_parses_as_linux_names_it() {
        assert_eq!(Apqn::new(5, 0x33).to_string(), "05.0033");
        assert_eq!("05.0033".parse(), Ok(Apqn::new(5, 0x33)));
        assert_eq!(Apqn::from_bits(0x0533).bits(), 0x0533);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in ["", "5", "100", "5.0100", "5.00333", "+5.0033", "05.0033.", "g5.0033"] {
            assert!(bad.parse::<Apqn>().is_err(), "{bad:?} parsed");
        }
        assert!("".parse::<Apid>().is_err() && "+1".parse::<Apid>().is_err() && "100".parse::<Apqi>().is_err());
    }

    #[test]
    fn all_names_every_queue_once() {
        assert_eq!(Apqn::all().count(), 65_536);
        assert_eq!(Apqn::all().last(), Some(Apqn::new(255, 255)));
    }
}
