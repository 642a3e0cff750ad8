// SPDX-License-Identifier: MIT OR Apache-2.0
//! The name of a queue in a host's configuration and in the control protocol.

use ap_arch::Apqn;
use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// A queue as `"05.0033"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueName(pub Apqn);

impl Serialize for QueueName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for QueueName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|error| D::Error::custom(format!("`{text}`: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_queue_is_refused_with_what_is_allowed() {
        let error = serde_json::from_str::<QueueName>(r#""5.100""#).unwrap_err().to_string();
        assert!(error.contains("ADAPTER.DOMAIN"), "{error}");
    }
}
