// SPDX-License-Identifier: MIT OR Apache-2.0
//! What one host says of its AP configuration, as one JSON document. Texts of files, not conclusions: what they mean is
//! for [`crate::host`] to say, so a snapshot taken today can be judged by tomorrow's rules.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::attribute::{Attribute, UNREADABLE};
use crate::text::plain;

/// What the member `format` says.
pub const FORMAT: &str = "kaput-snapshot";

/// The version written, and the only one read.
pub const VERSION: u32 = 1;

/// The largest snapshot that is read, in bytes; a host with all 65,536 queues needs about a tenth.
pub const MAX_SIZE: u64 = 128 << 20;

/// Files of one folder, by name.
pub type Attributes = BTreeMap<Cow<'static, str>, Attribute>;

/// One host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Snapshot {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// What took it: `kaput` or `collect.sh`.
    pub taken_by: String,
    /// The kernel and the processor: `osrelease`, `facilities`, `prot_virt_guest`.
    pub host: Attributes,
    /// `/sys/bus/ap`.
    pub bus: Attributes,
    /// `/sys/devices/vfio_ap/matrix`: `features`.
    pub vfio_ap: Attributes,
    /// Drivers of the AP bus, each with the queues that are bound to it.
    pub drivers: Section<Vec<String>>,
    /// Cards by number, `05`.
    pub cards: Section<Attributes>,
    /// Queues by name, `05.0033`.
    pub queues: Section<Attributes>,
    /// Mediated devices of vfio_ap by UUID; `status` is that of the device's first queue.
    pub mdevs: Section<Attributes>,
    /// QEMU's `blocked-reasons`, when a monitor socket was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qemu: Option<Attributes>,
}

/// What is in a folder, by name, or why that cannot be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Section<T> {
    /// The entries.
    Listed(BTreeMap<String, T>),
    /// The folder could not be listed. In JSON `{"unreadable": "reason"}`.
    Unreadable(String),
}

impl<T> Section<T> {
    /// The entries; none where they are not known.
    pub fn entries(&self) -> impl Iterator<Item = (&String, &T)> {
        let listed = match self {
            Self::Listed(entries) => Some(entries),
            Self::Unreadable(_) => None,
        };
        listed.into_iter().flatten()
    }

    /// Why the entries are not known.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Listed(_) => None,
            Self::Unreadable(reason) => Some(reason),
        }
    }
}

impl<T: Serialize> Serialize for Section<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Listed(entries) => serializer.collect_map(entries),
            Self::Unreadable(reason) => serializer.collect_map([(UNREADABLE, reason)]),
        }
    }
}

struct SectionVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for SectionVisitor<T> {
    type Value = Section<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, or {\"unreadable\": \"reason\"}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Section<T>, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == UNREADABLE {
                return Ok(Section::Unreadable(map.next_value()?));
            }
            if entries.contains_key(&name) {
                return Err(de::Error::custom(format_args!("{name:?} is there twice")));
            }
            entries.insert(name, map.next_value()?);
        }
        Ok(Section::Listed(entries))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Section<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SectionVisitor(PhantomData))
    }
}

/// Why a text is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// No JSON, or JSON of another shape.
    #[error("{0}; expected a snapshot as `kaput collect` prints it")]
    Json(#[from] serde_json::Error),
    /// It says that it is something else.
    #[error(
        "`format` is {0:?}, `version` is {1}; expected {FORMAT:?} and {VERSION}: take the snapshot again with this \
         kaput"
    )]
    Version(String, u64),
    /// Another text.
    #[error(
        "{0}; `kaput collect` on the host prints a snapshot, and so does the script that `kaput collect --script` \
         prints"
    )]
    Other(&'static str),
}

/// Who a document says it is; read first, because another version may have another shape.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    format: String,
    #[serde(default)]
    version: u64,
}

impl Snapshot {
    /// Reads a snapshot.
    ///
    /// # Errors
    /// What is wrong, with line and column.
    pub fn from_json(text: &str) -> Result<Self, SnapshotError> {
        match serde_json::from_str::<Self>(text) {
            Ok(snapshot) if (snapshot.format.as_str(), snapshot.version) == (FORMAT, VERSION) => Ok(snapshot),
            Ok(snapshot) => Err(SnapshotError::Version(plain(&snapshot.format), snapshot.version.into())),
            Err(error) => match serde_json::from_str::<Head>(text) {
                Ok(head) if (head.format.as_str(), head.version) != (FORMAT, u64::from(VERSION)) => {
                    Err(SnapshotError::Version(plain(&head.format), head.version))
                }
                _ => Err(error.into()),
            },
        }
    }

    /// Writes a snapshot, one member a line so that two can be compared by eye.
    ///
    /// # Errors
    /// None in practice: strings and maps can always be written.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"{"format": "kaput-snapshot", "version": 1, "taken-by": "collect.sh",
        "host": {"osrelease": "6.18.0"}, "bus": {"apmask": "0x00"}, "vfio-ap": {"features": {"unreadable": "x"}},
        "drivers": {"vfio_ap": ["05.0033"]}, "cards": {"05": {"hwtype": "14"}}, "queues": {"05.0033": {"config": "1"}},
        "mdevs": {"unreadable": "permission denied"}}"#;

    #[test]
    fn a_snapshot_reads_back_as_it_was_written() {
        let snapshot = Snapshot::from_json(SMALL).unwrap();
        assert_eq!(snapshot.mdevs.reason(), Some("permission denied"));
        assert_eq!(Snapshot::from_json(&snapshot.to_json().unwrap()).unwrap(), snapshot);
    }

    #[test]
    fn what_is_no_snapshot_is_refused_with_the_place() {
        for (text, says) in [
            (SMALL[..SMALL.len() - 30].to_owned(), "line 4 column"),
            (SMALL.replace("\"version\": 1", "\"version\": 2"), "`version` is 2; expected \"kaput-snapshot\" and 1"),
            (r#"{"format": "kaput-snapshot", "version": 7, "new": []}"#.to_owned(), "`version` is 7"),
            ("{}".to_owned(), "`format` is \"\""),
            (SMALL.replace("\"host\"", "\"hots\""), "unknown field `hots`, expected one of"),
            (SMALL.replace("{\"05\": {\"hwtype\": \"14\"}}", "[]"), "an object, or {\"unreadable\""),
            (
                SMALL.replace("\"05.0033\": {", "\"05.0033\": {}, \"05.0033\": {"),
                "\"05.0033\" is there twice at line 3",
            ),
            (String::new(), "EOF"),
        ] {
            let error = Snapshot::from_json(&text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}\n{error}");
        }
    }
}
