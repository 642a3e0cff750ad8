// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real driver as a device under test: each host is a Linux that somebody has.

use vfio_mig::HostControl;
use vfio_mig::conformance::{DeviceFactory, HostSetup, NoHost};

use crate::{LinuxHost, Machines};

/// The real driver as a device under test.
pub struct LinuxFactory<M>(pub M);

impl<M: Machines> DeviceFactory for LinuxFactory<M> {
    fn name(&self) -> String {
        self.0.name()
    }

    fn host(&self, setup: &HostSetup) -> Result<Box<dyn HostControl>, NoHost> {
        let host = LinuxHost::new(self.0.machine(setup)?, setup)?;
        Ok(Box::new(host))
    }
}
