// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the hosts of the cases come from: the device under test, as the suite sees it.

use super::fixture::HostSetup;
use crate::HostControl;

/// Why there is no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoHost {
    /// This factory has no such host: the case is skipped with the reason.
    #[error("{0}")]
    Unfit(String),
    /// Something went wrong: nothing is known about the device.
    #[error("{0}")]
    Broken(String),
}

/// Makes hosts for the cases: models, or whatever stands for a real host.
pub trait DeviceFactory {
    /// What people call the device under test.
    fn name(&self) -> String;

    /// A fresh host as `setup` describes it.
    ///
    /// # Errors
    /// Why this factory cannot provide one.
    fn host(&self, setup: &HostSetup) -> Result<Box<dyn HostControl>, NoHost>;
}
