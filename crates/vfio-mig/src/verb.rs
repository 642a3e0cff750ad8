// SPDX-License-Identifier: MIT OR Apache-2.0
//! Verbs as data, for those that do not come one after the other: two at once, or one that waits inside the driver for
//! the memory that it copies from or to.

use std::fmt;

use crate::{DeviceError, DeviceState};

/// A data stream that `set_state` returned: the file descriptor of the uAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct StreamId(pub u64);

/// A verb with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `MigrationDevice::set_state`.
    SetState(DeviceState),
    /// `MigrationDevice::state`.
    State,
    /// `MigrationDevice::data_size`.
    DataSize,
    /// `MigrationDevice::read`.
    Read(StreamId, usize),
    /// `MigrationDevice::write`.
    Write(StreamId, Vec<u8>),
    /// `MigrationDevice::close`.
    Close(StreamId),
    /// `MigrationDevice::reset`.
    Reset,
    /// `MigrationDevice::close_device`.
    CloseDevice,
}

/// What a verb answered that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It has no answer but that.
    Done,
    /// The stream that came with a state, if one did.
    Stream(Option<StreamId>),
    /// The present state.
    State(DeviceState),
    /// Bytes of a stream.
    Size(u64),
    /// What was read.
    Bytes(Vec<u8>),
    /// How many bytes were taken.
    Written(usize),
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done | Self::Stream(None) => f.write_str("ok"),
            Self::Stream(Some(_)) => f.write_str("ok, stream"),
            Self::State(state) => write!(f, "{state}"),
            Self::Size(size) => write!(f, "{size}"),
            Self::Bytes(bytes) if bytes.is_empty() => f.write_str("end"),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Written(count) => write!(f, "{count}"),
        }
    }
}

/// A verb that is under way, such as a read or write that waits inside the driver. Dropped without [`Parked::release`]
/// it is released, and its answer forgotten.
pub trait Parked {
    /// Whether it has ended although nobody released it, or ends in a moment.
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn has_ended(&mut self) -> Result<bool, DeviceError>;

    /// Stores other bytes at byte `at` of the user's buffer of a write, before the byte at which it waits.
    ///
    /// # Errors
    /// EFAULT: that byte is not there yet.
    fn change(&mut self, at: usize, bytes: &[u8]) -> Result<(), DeviceError>;

    /// Gives the driver the memory that it waits for; what the verb then answers.
    ///
    /// # Errors
    /// Those of the verb.
    fn release(self: Box<Self>) -> Result<Answered, DeviceError>;
}
