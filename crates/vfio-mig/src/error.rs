// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a device did not do what it was asked.

use crate::Errno;

/// Why a verb did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The device's own answer.
    #[error("{errno} ({}){}", errno.meaning(), detail_text(detail))]
    Refused {
        /// The number the uAPI returns.
        errno: Errno,
        /// A sentence for people; the uAPI has none, so it is empty on a real device.
        detail: String,
    },
    /// The device was not asked, or its answer did not arrive: nothing is known about its state.
    #[error("the device could not be asked: {0}")]
    Transport(String),
    /// The device was asked and does not answer: the call has not returned.
    #[error("the call does not return: {0}")]
    Hung(String),
}

fn detail_text(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}

impl DeviceError {
    /// The device's answer, with a sentence that says why.
    #[must_use]
    pub fn refused(errno: Errno, detail: impl Into<String>) -> Self {
        Self::Refused { errno, detail: detail.into() }
    }

    /// The device's error number, if the device answered at all.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            Self::Transport(_) | Self::Hung(_) => None,
        }
    }
}

impl From<Errno> for DeviceError {
    fn from(errno: Errno) -> Self {
        Self::Refused { errno, detail: String::new() }
    }
}
