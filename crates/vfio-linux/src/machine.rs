// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Linux for a case, and whoever has such ones.

use std::sync::Arc;
use std::time::Duration;

use vfio_mig::conformance::{HostSetup, NoHost};

use crate::hardware::Unowned;
use crate::{Driver, Hardware, SystemCalls};

/// How long a call of the driver may take of a machine that runs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whose the Linux is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// It was made for one case and is thrown away: it may be wrecked, and nothing is put back.
    Expendable,
    /// It is somebody's: what a case changed is put back, as far as the kernel lets it.
    Borrowed,
}

/// A Linux for a case.
pub struct Machine {
    /// Its system calls.
    pub calls: Arc<dyn SystemCalls>,
    /// Who can do what no kernel can.
    pub hardware: Arc<dyn Hardware>,
    /// Whether it is thrown away afterwards.
    pub ownership: Ownership,
    /// How long a call may take before it hangs.
    pub patience: Duration,
    /// Which of its drivers is judged.
    pub driver: Driver,
}

impl Machine {
    /// One that is somebody's, and on hardware that is nobody's here.
    #[must_use]
    pub fn borrowed(calls: Arc<dyn SystemCalls>) -> Self {
        Self {
            calls,
            hardware: Arc::new(Unowned),
            ownership: Ownership::Borrowed,
            patience: PATIENCE,
            driver: Driver::VFIO_AP,
        }
    }

    /// One that was made for a case, with its owner.
    #[must_use]
    pub fn expendable(calls: Arc<dyn SystemCalls>, hardware: Arc<dyn Hardware>) -> Self {
        Self { calls, hardware, ownership: Ownership::Expendable, patience: PATIENCE, driver: Driver::VFIO_AP }
    }

    /// The same with another driver judged.
    #[must_use]
    pub fn with_driver(self, driver: Driver) -> Self {
        Self { driver, ..self }
    }
}

/// Whoever has Linuxes for the cases.
pub trait Machines {
    /// What people call the driver there.
    fn name(&self) -> String;

    /// A Linux on hardware as `setup` has it: its host, cards, highest domain number, interruptions.
    ///
    /// # Errors
    /// Why there is none: the case is skipped with that, or cannot be judged.
    fn machine(&self, setup: &HostSetup) -> Result<Machine, NoHost>;
}

/// One Linux that serves every case, as it is.
pub struct Native {
    name: String,
    calls: Arc<dyn SystemCalls>,
}

impl Native {
    /// By these calls.
    #[must_use]
    pub fn new(name: String, calls: Arc<dyn SystemCalls>) -> Self {
        Self { name, calls }
    }
}

impl Machines for Native {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn machine(&self, _setup: &HostSetup) -> Result<Machine, NoHost> {
        Ok(Machine::borrowed(Arc::clone(&self.calls)))
    }
}
