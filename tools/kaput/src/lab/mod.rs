// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lab: the real vfio_ap driver, in an LPAR that QEMU emulates, on hardware that this process owns.
//!
//! * [`host`]: one host of a run, whose guest is in a QEMU of its own
//! * [`fit`]: which scenarios make sense there
//! * [`supply`]: LPARs for runs, by their kernel
//! * [`machines`]: LPARs for the cases of the conformance suite
//! * [`hardware`]: what the owner of an LPAR's hardware can do that no kernel can
//! * [`hunt`]: random calls, until the kernel complains
//! * [`kept`]: LPARs that have booted once
//! * [`lpar`]: one LPAR
//! * [`owner`]: the AP hardware of one LPAR
//! * [`gate`]: holds a guest's instructions while its masks change
//! * [`parts`]: what LPARs are made from
//! * [`kernel`]: the kernel that the LPAR boots, and how it is built
//! * [`cpio`]: the initial RAM file system of a Linux
//! * [`shell`]: an LPAR at the terminal
//! * [`busybox`]: the shell that it runs
//! * [`compare`]: two kernels by what the cases said of each
//! * [`cache`]: what is kept for the next time

pub mod busybox;
pub mod cache;
pub mod compare;
pub mod cpio;
pub mod fit;
pub mod gate;
pub mod hardware;
pub mod host;
pub mod hunt;
pub mod kept;
pub mod kernel;
pub mod lpar;
pub mod machines;
pub mod owner;
pub mod parts;
pub mod prepared;
mod requests;
pub mod shell;
pub mod supply;
