// SPDX-License-Identifier: MIT OR Apache-2.0
//! The AP bus of a real Linux and that of the driver's model, held against each other, and where vfio_ap is loaded
//! that driver with its mediated devices: both get the same random steps of an administrator, and after each step the
//! answers and everything that is watched must be equal.
//!
//! [`generate`] makes the steps of a seed. An [`Administrator`] carries them out: [`Model`] is one, a Linux is
//! another, as a guest or as an LPAR that is reached from elsewhere. [`first_difference`] and [`shrink`] say where
//! the two part, and the fewest steps that lead there. [`Kernel`] knows what differs between kernels, in one table.
//!
//! This crate opens no connection: how a Linux is reached is the harness's.
#![forbid(unsafe_code)]

mod administrator;
mod compare;
mod generate;
mod kernel;
mod mdevs;
mod model;
mod run;
mod step;
mod watch;

pub use administrator::{Administrator, Outcome, Seen};
pub use compare::{Parting, first_difference, shrink};
pub use generate::{Universe, generate};
pub use kernel::{CHOICES, Choice, DIFFERENCES, Difference, Kernel};
pub use model::Model;
pub use run::Plan;
pub use step::{Step, Verb};
pub use watch::{BUS, DRIVER, DRIVERS, GUEST, LOG, RESETS, State, Watch, masks};
