// SPDX-License-Identifier: MIT OR Apache-2.0
//! The hosts of a run: how one is reached, which two take part, what they have, and what has to be put back there.

pub mod cache;
pub mod cpu_model;
pub mod fleet;
pub mod foresight;
pub mod journal;
pub mod kernel_log;
pub mod name;
pub mod pair;
pub mod qemu;
pub mod queues;
pub mod snapshot;
pub mod ssh;
pub mod transport;
pub mod virsh;
