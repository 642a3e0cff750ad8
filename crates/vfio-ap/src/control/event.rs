// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a host says without being asked.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something that happened without being asked for. A client ignores events it does not know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its name: `migration-state`, `guest-matrix`, `overflow`.
    pub event: String,
    /// What belongs to it.
    #[serde(default)]
    pub data: Value,
}
