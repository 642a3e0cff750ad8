// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lab: the real vfio_ap driver, in an LPAR that QEMU emulates, on hardware that this process owns.
//!
//! * [`machines`]: LPARs for the cases of the conformance suite
//! * [`hardware`]: what the owner of an LPAR's hardware can do that no kernel can
//! * [`kept`]: LPARs that have booted once
//! * [`lpar`]: one LPAR
//! * [`owner`]: the AP hardware of one LPAR
//! * [`parts`]: what LPARs are made from
//! * [`kernel`]: the kernel that the LPAR boots, and how it is built
//! * [`cpio`]: the initial RAM file system of a Linux
//! * [`shell`]: an LPAR at the terminal
//! * [`compare`]: two kernels by what the cases said of each
//! * [`cache`]: what is kept for the next time

pub mod cache;
pub mod compare;
pub mod cpio;
pub mod hardware;
pub mod kept;
pub mod kernel;
pub mod lpar;
pub mod machines;
pub mod owner;
pub mod parts;
pub mod shell;
