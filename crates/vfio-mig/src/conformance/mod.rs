// SPDX-License-Identifier: MIT OR Apache-2.0
//! The conformance suite: what any vfio-ap migration driver must do, each rule a named case, written against the two
//! traits of this crate and nothing else.
//!
//! A case judges a driver, not a taste: where drivers may differ it knows what else is accepted and says so
//! ([`Verdict::Differs`]). Each case sets up its own hosts, so cases do not depend on each other.

mod answer;
mod case;
pub(crate) mod cases;
mod factory;
mod fixture;
mod record;
mod recording;
mod run;
mod script;
mod side;

pub use case::Case;
pub use cases::all as cases;
pub use cases::races;
pub use factory::{DeviceFactory, NoHost};
pub use fixture::{A, B, C, HostSetup, MdevSetup};
pub use recording::Recording;
pub use run::{CaseResult, Options, Progress, Verdict, record, run, run_several};
