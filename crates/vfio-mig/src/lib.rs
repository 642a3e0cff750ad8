// SPDX-License-Identifier: MIT OR Apache-2.0
//! The VFIO migration uAPI as traits, so that a test asks the same questions of a model in this process, of one behind
//! a control socket, and later of a real driver.
//!
//! [`MigrationDevice`] has the uAPI's verbs with the uAPI's errors; [`HostControl`] is what a test needs besides:
//! sysfs, the driver's log, reset counters, a bystander guest, hardware faults. Each says by [`Capabilities`] what it
//! can do: a case that needs more is skipped with the reason.
//!
//! Sources are named as in the project's documents: "vfio-ap migration spec 2.2" is its section 2.2.
#![forbid(unsafe_code)]

pub mod capabilities;
pub mod catalogue;
pub mod complaint;
pub mod conformance;
pub mod device;
pub mod errno;
pub mod error;
pub mod host;
pub mod sequence;
pub mod state;
pub mod verb;

pub use capabilities::{Capabilities, Capability};
pub use complaint::Complaint;
pub use device::MigrationDevice;
pub use errno::Errno;
pub use error::DeviceError;
pub use host::{AdapterFault, GuestCall, GuestReply, HostControl, LogLevel, LogLine, QueueAnswer};
pub use state::DeviceState;
pub use verb::{Answered, Parked, StreamId, Verb};
