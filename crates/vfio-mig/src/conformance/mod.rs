// SPDX-License-Identifier: MIT OR Apache-2.0
//! The conformance suite: what any vfio-ap migration driver must do, each rule a named case, written against the two
//! traits of this crate and nothing else.
//!
//! A case judges a driver, not a taste: where drivers may differ it knows what else is accepted and says so
//! ([`Verdict::Differs`]). Each case sets up its own hosts, so cases do not depend on each other.

mod answer;
mod case;
mod cases;
mod fixture;
mod script;
mod side;

pub use case::{Case, CaseResult, Options, Verdict, run};
pub use cases::all as cases;
pub use fixture::{A, B, C, HostSetup, MdevSetup};

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
