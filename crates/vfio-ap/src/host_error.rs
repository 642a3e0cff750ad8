// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a host cannot be set up from its configuration. Apart from both, because both return it.

use ap_machine::TopologyError;
use vfio_mig::DeviceError;

use crate::defect::UnknownDefect;
use crate::profile::UnknownProfile;

/// Why a host cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The configuration is not what [`crate::HostConfig`] says.
    #[error("host configuration: {0}")]
    Json(#[from] serde_json::Error),
    /// The hardware is impossible.
    #[error("host configuration, topology: {0}")]
    Topology(#[from] TopologyError),
    /// A defect is unknown.
    #[error("host configuration, defects: {0}")]
    Defect(#[from] UnknownDefect),
    /// A profile is unknown.
    #[error("host configuration, profile: {0}")]
    Profile(#[from] UnknownProfile),
    /// A mediated device cannot be what it should be.
    #[error("host configuration, mediated device `{uuid}`: {reason}")]
    Mdev {
        /// Its name.
        uuid: String,
        /// What the driver says.
        reason: DeviceError,
    },
}
