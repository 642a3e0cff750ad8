// SPDX-License-Identifier: MIT OR Apache-2.0
//! The s390x CPU as guest image and plugin need it: one function per instruction, one type per architected structure.
//!
//! The structures are plain values that compile and are tested on every host; the instructions exist on s390x only, in
//! [`asm`]. Nothing here knows AP beyond the encodings of its three instructions: what their registers mean stands in
//! the `ap-arch` crate. Bit numbers in the docs are IBM's: bit 0 is the most significant. "Principles of Operation"
//! is IBM's z/Architecture manual.
#![no_std]

#[cfg(target_arch = "s390x")]
pub mod asm;
pub mod facility;
#[cfg(target_arch = "s390x")]
pub mod linux;
pub mod lowcore;
pub mod psw;
pub mod sccb;
pub mod tod;

pub use facility::FacilityList;
pub use lowcore::Lowcore;
pub use psw::{Psw, PswMask};
pub use tod::Tod;
