// SPDX-License-Identifier: MIT OR Apache-2.0
//! One thing that an administrator does.

use std::fmt;

use vfio_ap::control::Request;

/// See the module's text.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Writes to an attribute, with one call.
    Write {
        /// Its path below `/sys/bus/ap/`.
        path: String,
        /// What is written.
        value: String,
    },
    /// Changes the hardware. The bus is scanned after it until nothing changes any more: twice, because a scan brings a
    /// queue from one fault to another by way of none.
    Hardware(Request),
}

impl Step {
    /// How often the bus is scanned after a change of the hardware.
    pub const SCANS: usize = 2;

    /// A write.
    #[must_use]
    pub fn write(path: impl Into<String>, value: impl Into<String>) -> Self {
        Self::Write { path: path.into(), value: value.into() }
    }

    /// A scan that is asked for.
    #[must_use]
    pub fn scan() -> Self {
        Self::write("scans", "1")
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { path, value } => write!(f, "{value:?} > {path}"),
            Self::Hardware(request) => match serde_json::to_string(request) {
                Ok(text) => f.write_str(&text),
                Err(error) => write!(f, "{error}"),
            },
        }
    }
}
