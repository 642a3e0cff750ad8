// SPDX-License-Identifier: MIT OR Apache-2.0
//! One thing that an administrator does, or the owner of a mediated device.

use std::fmt;

use vfio_ap::control::Request;

/// Where a path begins that is not absolute.
const BUS: &str = "/sys/bus/ap/";

/// Where the mediated devices are.
const MATRIX: &str = "/sys/devices/vfio_ap/matrix/";

/// See the module's text.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Writes to an attribute, with one call.
    Write {
        /// Its path, absolute or below `/sys/bus/ap/`.
        path: String,
        /// What is written.
        value: String,
    },
    /// Changes the hardware. The bus is scanned after it until nothing changes any more: twice, because a scan brings a
    /// queue from one fault to another by way of none.
    Hardware(Request),
    /// Asks a mediated device something by its file.
    Device {
        /// The device.
        mdev: String,
        /// What.
        verb: Verb,
    },
}

/// What a mediated device is asked by its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// To be opened for the guest of a device: its own, or another's.
    Open {
        /// The device whose guest it is.
        guest: String,
    },
    /// To be closed.
    Close,
    /// VFIO_DEVICE_RESET.
    Reset,
    /// VFIO_DEVICE_GET_INFO.
    Info,
    /// Its migration state, by VFIO_DEVICE_FEATURE.
    State,
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

    /// A write to an attribute of a mediated device.
    #[must_use]
    pub fn of_mdev(mdev: &str, attribute: &str, value: impl Into<String>) -> Self {
        Self::write(format!("{MATRIX}{mdev}/{attribute}"), value)
    }

    /// Whether the bus is scanned in it.
    #[must_use]
    pub fn scans(&self) -> bool {
        match self {
            Self::Write { path, .. } => path == "scans",
            Self::Hardware(_) => true,
            Self::Device { .. } => false,
        }
    }

    /// The device that is removed by it. One that is open is closed before: the kernel waits for that, the model
    /// refuses.
    #[must_use]
    pub fn removes(&self) -> Option<&str> {
        match self {
            Self::Write { path, .. } => path.strip_prefix(MATRIX)?.strip_suffix("/remove"),
            _ => None,
        }
    }

    /// Whether it is about the masks of the bus.
    #[must_use]
    pub fn is_about_masks(&self) -> bool {
        matches!(self, Self::Write { path, .. } if path == "apmask" || path == "aqmask")
    }

    /// The whole of a path in a step.
    #[must_use]
    pub fn absolute(path: &str) -> String {
        if path.starts_with('/') { path.to_owned() } else { format!("{BUS}{path}") }
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
            Self::Device { mdev, verb: Verb::Open { guest } } => write!(f, "{mdev}: open for the guest of {guest}"),
            Self::Device { mdev, verb } => write!(f, "{mdev}: {verb:?}"),
        }
    }
}
