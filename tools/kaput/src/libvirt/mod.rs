// SPDX-License-Identifier: MIT OR Apache-2.0
//! libvirt in QEMU's place: it starts the guest on one host and migrates it to the other, with its own checks.

pub mod daemon;
pub(crate) mod domain;
mod events;
pub mod limits;
pub(crate) mod xml;
