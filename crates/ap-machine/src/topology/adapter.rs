// SPDX-License-Identifier: MIT OR Apache-2.0
//! One adapter in a topology: what card it is and what differs from the usual.

use std::collections::BTreeMap;
use std::fmt;

use ap_arch::{Apid, HwInfo};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::error::TopologyError;
use super::hex;
use super::kind::CardKind;

/// One adapter. In a file either the kind alone (`"cex8a"`) or a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AdapterSpec {
    /// Generation and mode.
    pub kind: CardKind,
    /// How many messages a queue holds, 1 to 16.
    pub depth: u8,
    /// The largest message in bytes, a multiple of 4096 from 12288 to 61440. AP reference 2.4, ML.
    pub max_message: u32,
    /// NQAP of more bytes than this ends with response code 15; no such limit if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_request: Option<u32>,
    /// Bits 0 to 31 of the hardware information, instead of what the kind has. The engine follows the kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facilities: Option<u32>,
    /// Serial number, 8 characters from space to `~`; if missing, one made of the adapter number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// The state it starts in.
    pub state: AdapterState,
}

/// Whether an adapter works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdapterState {
    /// It works.
    #[default]
    Configured,
    /// Response code 03.
    Deconfigured,
    /// Response code 04.
    Checkstopped,
}

impl AdapterSpec {
    const DEFAULT_DEPTH: u8 = 8;
    const DEFAULT_MAX_MESSAGE: u32 = 3 * 4096;

    /// A card as it comes: depth 8, messages to 12 KiB, configured.
    #[must_use]
    pub const fn new(kind: CardKind) -> Self {
        Self {
            kind,
            depth: Self::DEFAULT_DEPTH,
            max_message: Self::DEFAULT_MAX_MESSAGE,
            max_request: None,
            facilities: None,
            serial: None,
            state: AdapterState::Configured,
        }
    }

    /// The hardware information that TAPQ with T shows, in a machine with or without APXA and the special-command
    /// facility. ND is the number of domains minus one. AP reference 2.4.
    #[must_use]
    pub(crate) fn hw_info(&self, apxa: bool, apsc: bool, max_domain: u8) -> HwInfo {
        let mut high = self.kind.facilities();
        if !apxa {
            high &= !HwInfo::APXA;
        }
        if !apsc {
            high &= !HwInfo::APSC;
        }
        let high = self.facilities.map_or(high, |word| u64::from(word) << 32);
        let units = self.max_message / 4096;
        let ml = if units == 3 { 0 } else { u64::from(units & 0xf) };
        let low = u64::from(self.kind.ap_type.0) << 24 | u64::from(max_domain) << 16 | ml << 8;
        HwInfo(high | low | u64::from((self.depth - 1) & 0xf))
    }

    pub(crate) fn check(&self, adapter: Apid) -> Result<(), TopologyError> {
        let wrong = |key, value: &dyn fmt::Display, expected| {
            Err(TopologyError::Adapter { adapter, key, value: value.to_string(), expected })
        };
        if !(1..=16).contains(&self.depth) {
            return wrong("depth", &self.depth, "1 to 16");
        }
        if !(12_288..=61_440).contains(&self.max_message) || !self.max_message.is_multiple_of(4096) {
            return wrong("max-message", &self.max_message, "a multiple of 4096 from 12288 to 61440");
        }
        if let Some(serial) =
            self.serial.as_ref().filter(|s| s.len() != 8 || !s.bytes().all(|b| (b' '..=b'~').contains(&b)))
        {
            return wrong("serial", serial, "8 characters from space to ~");
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for AdapterSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpecVisitor)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    kind: CardKind,
    depth: Option<u8>,
    max_message: Option<u32>,
    max_request: Option<u32>,
    #[serde(default, deserialize_with = "facility_word")]
    facilities: Option<u32>,
    serial: Option<String>,
    #[serde(default)]
    state: AdapterState,
}

/// A number, or a string of eight hex digits as sysfs shows it in `ap_functions` (`0x6A800000`).
fn facility_word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    struct Word;
    impl Visitor<'_> for Word {
        type Value = u32;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a 32-bit number, or a string of up to eight hex digits like \"0x6a800000\"")
        }
        fn visit_u64<E: Error>(self, value: u64) -> Result<u32, E> {
            u32::try_from(value).map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(value), &self))
        }
        fn visit_i64<E: Error>(self, value: i64) -> Result<u32, E> {
            u32::try_from(value).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<u32, E> {
            let digits = text.strip_prefix("0x").unwrap_or(text);
            let hex = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
            let value = u32::from_str_radix(digits, 16).ok().filter(|_| hex);
            value.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
        }
    }
    deserializer.deserialize_any(Word).map(Some)
}

struct SpecVisitor;

impl<'de> Visitor<'de> for SpecVisitor {
    type Value = AdapterSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the kind of a card as a string, or a table with the key kind")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<AdapterSpec, E> {
        let kind = text.parse().map_err(|expected| E::custom(format!("{text:?}: expected {expected}")))?;
        Ok(AdapterSpec::new(kind))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AdapterSpec, A::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(AdapterSpec {
            kind: table.kind,
            depth: table.depth.unwrap_or(AdapterSpec::DEFAULT_DEPTH),
            max_message: table.max_message.unwrap_or(AdapterSpec::DEFAULT_MAX_MESSAGE),
            max_request: table.max_request,
            facilities: table.facilities,
            serial: table.serial,
            state: table.state,
        })
    }
}

/// Puts a card at each number of a range; none may be there yet.
pub(super) fn insert(
    adapters: &mut BTreeMap<Apid, AdapterSpec>,
    range: &str,
    spec: &AdapterSpec,
) -> Result<(), String> {
    for apid in hex::range::<Apid>(range)?.map(Apid) {
        if adapters.insert(apid, spec.clone()).is_some() {
            return Err(format!("adapter {apid} is named twice"));
        }
    }
    Ok(())
}

pub(super) mod by_number {
    use super::{AdapterSpec, Apid, BTreeMap, Deserializer, Error, MapAccess, Visitor, fmt, insert};
    use serde::Serializer;

    pub(in crate::topology) fn serialize<S: Serializer>(
        adapters: &BTreeMap<Apid, AdapterSpec>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(adapters.iter().map(|(apid, spec)| (apid.to_string(), spec)))
    }

    pub(in crate::topology) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Apid, AdapterSpec>, D::Error> {
        deserializer.deserialize_map(MapVisitor)
    }

    struct MapVisitor;

    impl<'de> Visitor<'de> for MapVisitor {
        type Value = BTreeMap<Apid, AdapterSpec>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table of adapters, each key an adapter number in hex or a range like \"00-0f\"")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut adapters = BTreeMap::new();
            while let Some((range, spec)) = map.next_entry::<String, AdapterSpec>()? {
                insert(&mut adapters, &range, &spec).map_err(A::Error::custom)?;
            }
            Ok(adapters)
        }
    }
}
