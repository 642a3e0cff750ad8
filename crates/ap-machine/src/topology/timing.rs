// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long things take, in nanoseconds of the machine's clock. Zero means: done when the instruction ends.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Durations of what the architecture calls asynchronous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Timing {
    /// From the acceptance of a request to its reply.
    pub engine: EngineTime,
    /// How long RAPQ, ZAPQ and AAPQ run.
    pub reset_ns: u64,
    /// From AQIC to the change of IR.
    pub aqic_ns: u64,
}

impl Timing {
    /// Those of a real machine, in order of magnitude, where nothing else is said.
    #[must_use]
    pub fn or_realistic(self) -> Self {
        let or = |ns: u64, realistic: u64| if ns == 0 { realistic } else { ns };
        let engine = if self.engine == EngineTime::Fixed(0) { EngineTime::LikeACard } else { self.engine };
        Self { engine, reset_ns: or(self.reset_ns, 2_000_000), aqic_ns: or(self.aqic_ns, 100_000) }
    }
}

/// How long an engine takes for a request. One queue works on one request at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineTime {
    /// So many nanoseconds for every request; with 0 the reply waits when NQAP ends.
    Fixed(u64),
    /// By kind and size of the request, about as long as a real card takes.
    LikeACard,
}

impl Default for EngineTime {
    fn default() -> Self {
        Self::Fixed(0)
    }
}

impl Serialize for EngineTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(ns) => serializer.serialize_u64(*ns),
            Self::LikeACard => serializer.serialize_str("like-a-card"),
        }
    }
}

impl<'de> Deserialize<'de> for EngineTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EngineTimeVisitor)
    }
}

struct EngineTimeVisitor;

impl Visitor<'_> for EngineTimeVisitor {
    type Value = EngineTime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"like-a-card\" or a number of nanoseconds")
    }

    fn visit_u64<E: Error>(self, ns: u64) -> Result<EngineTime, E> {
        Ok(EngineTime::Fixed(ns))
    }

    fn visit_i64<E: Error>(self, ns: i64) -> Result<EngineTime, E> {
        u64::try_from(ns).map(EngineTime::Fixed).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(ns), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<EngineTime, E> {
        match text {
            "like-a-card" => Ok(EngineTime::LikeACard),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }
}
