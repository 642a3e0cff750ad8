// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real vfio_ap driver of some Linux as a device under test: the traits of `vfio-mig` over the system calls of a
//! process there.
//!
//! [`SystemCalls`] is all that is needed of that Linux: memory, and calls on threads. [`Agent`] has it from the agent,
//! a program of a few hundred lines; everything else, from the files of sysfs to the structures of VFIO, KVM and
//! iommufd, is here. Structures are big-endian on every host, because vfio_ap exists on s390x only. [`LinuxHost`]
//! prepares a host as a case wants it; what a machine's owner can do besides, where there is one, comes through
//! [`Hardware`].
#![forbid(unsafe_code)]

mod agent;
mod attach;
mod block;
mod calls;
mod checkers;
mod crycb;
mod device;
mod driver;
mod encode;
mod factory;
mod hardware;
mod host;
mod kmsg;
mod linux;
mod look;
mod machine;
mod mdev;
mod memory;
mod names;
mod number;
mod park;
mod setup;
mod uapi;
mod vm;

pub use agent::Agent;
pub use calls::{CallError, SystemCalls, Thread};
pub use crycb::masks as guest_masks_of;
pub use driver::Driver;
pub use factory::LinuxFactory;
pub use hardware::Hardware;
pub use host::LinuxHost;
pub use kmsg::stack_is_filled;
pub use linux::{Fd, Linux};
pub use look::Look;
pub use machine::{Machine, Machines, Native, Ownership};
pub use names::uuid_of;
