// SPDX-License-Identifier: MIT OR Apache-2.0
//! The host of a guest with passed-through AP queues: the AP bus with its driver bindings, the matrix mediated devices
//! of vfio-ap, and their migration.
//!
//! It does what the driver is meant to do by the vfio-ap migration spec; each known fault of the posted driver is a
//! switch in [`defect`], off by default. It reaches the hardware by the host's door of `ap-machine`, with the
//! instructions a driver would issue, so what a guest sees of its queues is a consequence and not a second copy. The
//! guest's vCPUs go past it: they execute through [`Host::guest`] and take no lock of this crate.
#![forbid(unsafe_code)]

mod behaviour;
mod bus;
mod config;
mod context;
pub mod control;
pub mod defect;
mod hardware;
mod host;
mod host_config;
mod host_error;
mod hotplug;
mod lock;
mod log;
mod machine_request;
mod message;
mod migration;
pub mod model;
pub mod mutants;
mod numbered;
mod pause;
pub mod profile;
mod queue_name;
mod queue_set;
mod scripted;
mod serve;
mod session;
mod sysfs;
#[cfg(test)]
mod tests;
mod trace;

/// Whether a queue with `source`'s hardware information may be continued on one with `target`'s. vfio-ap migration spec
/// 5.4; the values are GR2 of TAPQ.
#[must_use]
pub fn is_compatible(source: ap_arch::HwInfo, target: u64) -> bool {
    migration::is_compatible(source, ap_arch::HwInfo(target), &defect::Defects::default())
}

pub use host::Host;
pub use host_config::{HostConfig, MdevConfig};
pub use host_error::HostError;
pub use machine_request::change_machine;
pub use scripted::ScriptedGuest;
pub use session::Session;
