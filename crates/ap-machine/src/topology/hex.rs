// SPDX-License-Identifier: MIT OR Apache-2.0
//! Adapter and domain numbers as hex strings in files, for `#[serde(with = …)]`: single ones and sets with ranges.

use std::fmt;

use ap_arch::{Apid, Apqi, Mask256};
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::ser::Serializer;

/// What is named: the parser of one number and the words for it.
pub(super) trait Name: Sized {
    /// "an adapter number", "a domain number".
    const WHAT: &'static str;
    /// One number.
    fn parse(text: &str) -> Result<u8, String>;
}

impl Name for Apid {
    const WHAT: &'static str = "an adapter number";
    fn parse(text: &str) -> Result<u8, String> {
        text.parse::<Self>().map(|apid| apid.0).map_err(|error| format!("{text:?}: {error}"))
    }
}

impl Name for Apqi {
    const WHAT: &'static str = "a domain number";
    fn parse(text: &str) -> Result<u8, String> {
        text.parse::<Self>().map(|apqi| apqi.0).map_err(|error| format!("{text:?}: {error}"))
    }
}

/// One number, or two joined by `-` for all from the first to the second.
pub(super) fn range<N: Name>(text: &str) -> Result<std::ops::RangeInclusive<u8>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (N::parse(first)?, N::parse(last)?);
    if first > last { Err(format!("{text:?}: the range ends before it begins")) } else { Ok(first..=last) }
}

struct OneVisitor<N>(std::marker::PhantomData<N>);

impl<N: Name> Visitor<'_> for OneVisitor<N> {
    type Value = u8;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as a string in hex", N::WHAT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u8, E> {
        N::parse(text).map_err(E::custom)
    }
}

struct SetVisitor<N>(std::marker::PhantomData<N>);

impl<'de, N: Name> Visitor<'de> for SetVisitor<N> {
    type Value = Mask256;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list, each item {} as a string in hex or a range like \"00-0f\"", N::WHAT)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Mask256, A::Error> {
        let mut mask = Mask256::EMPTY;
        while let Some(item) = items.next_element::<Item<N>>()? {
            item.0.for_each(|n| mask.insert(n));
        }
        Ok(mask)
    }
}

struct Item<N>(std::ops::RangeInclusive<u8>, std::marker::PhantomData<N>);

impl<'de, N: Name> serde::Deserialize<'de> for Item<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(ItemVisitor::<N>(std::marker::PhantomData))
            .map(|range| Self(range, std::marker::PhantomData))
    }
}

struct ItemVisitor<N>(std::marker::PhantomData<N>);

impl<N: Name> Visitor<'_> for ItemVisitor<N> {
    type Value = std::ops::RangeInclusive<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as a string in hex, or a range like \"00-0f\"", N::WHAT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        range::<N>(text).map_err(E::custom)
    }
}

macro_rules! one {
    ($(#[$meta:meta])* $module:ident, $name:ident) => {
        $(#[$meta])*
        pub mod $module {
            use super::*;

            /// Writes the number in hex.
            ///
            /// # Errors
            /// The serializer's.
            pub fn serialize<S: Serializer>(number: &$name, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(number)
            }

            /// Reads a number in hex.
            ///
            /// # Errors
            /// Whatever is no such number, with what is allowed.
            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                deserializer.deserialize_str(OneVisitor::<$name>(std::marker::PhantomData)).map($name)
            }
        }
    };
}
one!(/// One adapter number.
    adapter, Apid);
one!(/// One domain number.
    domain, Apqi);

macro_rules! set {
    ($(#[$meta:meta])* $module:ident, $name:ident) => {
        $(#[$meta])*
        pub mod $module {
            use super::*;

            /// Writes the numbers in hex, ascending.
            ///
            /// # Errors
            /// The serializer's.
            pub fn serialize<S: Serializer>(mask: &Mask256, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(mask.iter().map(|n| $name(n).to_string()))
            }

            /// Reads numbers and ranges in hex.
            ///
            /// # Errors
            /// Whatever is no such number, with what is allowed.
            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mask256, D::Error> {
                deserializer.deserialize_seq(SetVisitor::<$name>(std::marker::PhantomData))
            }
        }
    };
}
set!(/// A set of adapters: `["05", "08-0b"]`.
    adapters, Apid);
set!(/// A set of domains: `["33", "50-53"]`.
    domains, Apqi);

pub(super) mod optional_domains {
    use super::{Deserializer, Mask256, Serializer, domains};

    pub(in crate::topology) fn serialize<S: Serializer>(mask: &Option<Mask256>, s: S) -> Result<S::Ok, S::Error> {
        domains::serialize(&mask.unwrap_or_default(), s)
    }

    pub(in crate::topology) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Mask256>, D::Error> {
        domains::deserialize(d).map(Some)
    }
}
