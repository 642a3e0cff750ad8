// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the hosts of the cases come from: the device under test, as the suite sees it.

use super::fixture::HostSetup;
use crate::HostControl;

/// Makes hosts for the cases: models, or whatever stands for a real host.
pub trait DeviceFactory {
    /// What people call the device under test.
    fn name(&self) -> String;

    /// A fresh host as `setup` describes it.
    ///
    /// # Errors
    /// Why this factory cannot provide one: the case is skipped with that reason.
    fn host(&self, setup: &HostSetup) -> Result<Box<dyn HostControl>, String>;
}
