// SPDX-License-Identifier: MIT OR Apache-2.0
//! The migration states of a VFIO device, as numbers that may be ones we do not know.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

/// `enum vfio_device_mig_state` of the uAPI. Prints as `stop-copy`, or as the number where it has no name.
///
/// Serialises as that name, or as the number; reads both.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceState(pub u32);

impl DeviceState {
    /// An arc failed and no valid state could be restored; only a reset leaves it.
    pub const ERROR: Self = Self(0);
    /// The device does nothing.
    pub const STOP: Self = Self(1);
    /// Normal operation.
    pub const RUNNING: Self = Self(2);
    /// Stopped, with a readable stream.
    pub const STOP_COPY: Self = Self(3);
    /// Stopped, with a writable stream.
    pub const RESUMING: Self = Self(4);
    /// Running without peer-to-peer DMA; vfio-ap has no such state.
    pub const RUNNING_P2P: Self = Self(5);
    /// Running, with a readable stream; vfio-ap has no such state.
    pub const PRE_COPY: Self = Self(6);
    /// Both of the two before; vfio-ap has no such state.
    pub const PRE_COPY_P2P: Self = Self(7);

    /// Every state the uAPI names, in its order.
    pub const NAMED: [Self; 8] = [
        Self::ERROR,
        Self::STOP,
        Self::RUNNING,
        Self::STOP_COPY,
        Self::RESUMING,
        Self::RUNNING_P2P,
        Self::PRE_COPY,
        Self::PRE_COPY_P2P,
    ];

    /// The state's name in the control protocol and in messages.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::ERROR => Some("error"),
            Self::STOP => Some("stop"),
            Self::RUNNING => Some("running"),
            Self::STOP_COPY => Some("stop-copy"),
            Self::RESUMING => Some("resuming"),
            Self::RUNNING_P2P => Some("running-p2p"),
            Self::PRE_COPY => Some("pre-copy"),
            Self::PRE_COPY_P2P => Some("pre-copy-p2p"),
            _ => None,
        }
    }
}

impl fmt::Display for DeviceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for DeviceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not a migration state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no migration state: expected a number, or one of error, stop, running, stop-copy, resuming, running-p2p, \
     pre-copy, pre-copy-p2p"
)]
pub struct ParseStateError(String);

impl FromStr for DeviceState {
    type Err = ParseStateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::NAMED.into_iter().find(|state| state.name() == Some(text));
        named.or_else(|| text.parse().ok().map(Self)).ok_or_else(|| ParseStateError(text.to_owned()))
    }
}

impl Serialize for DeviceState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.name() {
            Some(name) => serializer.serialize_str(name),
            None => serializer.serialize_u32(self.0),
        }
    }
}

impl<'de> Deserialize<'de> for DeviceState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrNumber;
        impl Visitor<'_> for NameOrNumber {
            type Value = DeviceState;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a migration state: a number of 32 bits, or a name such as \"stop-copy\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<DeviceState, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<DeviceState, E> {
                u32::try_from(number).map(DeviceState).map_err(|_| E::custom(ParseStateError(number.to_string())))
            }
        }
        deserializer.deserialize_any(NameOrNumber)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_read_back_as_they_print() {
        for state in DeviceState::NAMED.into_iter().chain([DeviceState(99)]) {
            assert_eq!(state.to_string().parse(), Ok(state));
        }
        assert!("stopped".parse::<DeviceState>().is_err());
    }

    #[test]
    fn the_numbers_are_those_of_the_uapi() {
        use vfio_bindings::bindings::vfio as uapi;
        let pairs = [
            (DeviceState::ERROR, uapi::vfio_device_mig_state_VFIO_DEVICE_STATE_ERROR),
            (DeviceState::STOP, uapi::vfio_device_mig_state_VFIO_DEVICE_STATE_STOP),
            (DeviceState::RUNNING, uapi::vfio_device_mig_state_VFIO_DEVICE_STATE_RUNNING),
            (DeviceState::STOP_COPY, uapi::vfio_device_mig_state_VFIO_DEVICE_STATE_STOP_COPY),
            (DeviceState::RESUMING, uapi::vfio_device_mig_state_VFIO_DEVICE_STATE_RESUMING),
            (DeviceState::RUNNING_P2P, uapi::vfio_device_mig_state_VFIO_DEVICE_STATE_RUNNING_P2P),
            (DeviceState::PRE_COPY, uapi::vfio_device_mig_state_VFIO_DEVICE_STATE_PRE_COPY),
            (DeviceState::PRE_COPY_P2P, uapi::vfio_device_mig_state_VFIO_DEVICE_STATE_PRE_COPY_P2P),
        ];
        for (ours, theirs) in pairs {
            assert_eq!(ours.0, theirs);
        }
    }
}
