// SPDX-License-Identifier: MIT OR Apache-2.0
//! One file of sysfs as it was read: its text, or why there is none. That a value could not be read is a fact of its
//! own and is kept as such; a rule that needs the value then answers "unknown", never "yes".

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// The one key of an object that stands for something that could not be read.
pub(crate) const UNREADABLE: &str = "unreadable";

/// Content of one file, without the newline at its end. In JSON a string, or `{"unreadable": "reason"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// What it said.
    Text(String),
    /// Why it said nothing.
    Unreadable(Cow<'static, str>),
}

impl Attribute {
    /// The reason that stands for a file that is not there.
    pub const MISSING: Self = Self::Unreadable(Cow::Borrowed("no such file"));

    /// What a file said. Bytes that are not printable ASCII become `?`: no file of this kind has any, and nothing that
    /// could drive a terminal gets into a snapshot.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let printable = |b: &u8| if matches!(b, b' '..=b'~' | b'\n') { char::from(*b) } else { '?' };
        Self::Text(bytes.iter().map(printable).collect())
    }

    /// That it could not be read, and why.
    #[must_use]
    pub fn unreadable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Unreadable(reason.into())
    }

    /// Whether the file is not there, as opposed to one that exists and cannot be read.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        *self == Self::MISSING
    }
}

impl Serialize for Attribute {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Unreadable(reason) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(UNREADABLE, reason)?;
                map.end()
            }
        }
    }
}

struct AttributeVisitor;

impl<'de> Visitor<'de> for AttributeVisitor {
    type Value = Attribute;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text of a file, or {\"unreadable\": \"reason\"}")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Attribute, E> {
        Ok(Attribute::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attribute, A::Error> {
        let Some((key, reason)) = map.next_entry::<Cow<'de, str>, String>()? else {
            return Err(A::Error::missing_field(UNREADABLE));
        };
        if key != UNREADABLE {
            return Err(A::Error::unknown_field(&key, &[UNREADABLE]));
        }
        if let Some(more) = map.next_key::<String>()? {
            return Err(A::Error::unknown_field(&more, &[UNREADABLE]));
        }
        Ok(Attribute::unreadable(reason))
    }
}

impl<'de> Deserialize<'de> for Attribute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AttributeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_and_a_reason_are_written_and_read() {
        for (attribute, json) in [
            (Attribute::from_bytes(b"0xff\n"), r#""0xff""#),
            (Attribute::from_bytes(b"05.0033\n05.003a\n"), r#""05.0033\n05.003a""#),
            (Attribute::MISSING, r#"{"unreadable":"no such file"}"#),
        ] {
            assert_eq!(serde_json::to_string(&attribute).unwrap(), json);
            assert_eq!(serde_json::from_str::<Attribute>(json).unwrap(), attribute);
        }
        assert!(serde_json::from_str::<Attribute>(r#"{"unreadable":"no such file"}"#).unwrap().is_missing());
    }

    #[test]
    fn control_characters_do_not_get_in() {
        assert_eq!(Attribute::from_bytes(b"a\x1b[31m\xff\n"), Attribute::Text("a?[31m?".to_owned()));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in ["1", "null", "{}", r#"{"a":"b"}"#, r#"{"unreadable":"x","b":"y"}"#, r#"{"unreadable":1}"#] {
            assert!(serde_json::from_str::<Attribute>(bad).is_err(), "{bad} was read");
        }
    }
}
