// SPDX-License-Identifier: MIT OR Apache-2.0
//! The s390x Adjunct Processor (AP) architecture as types, and what guest and harness say to each other.
//!
//! Everything that two sides must agree on is written here once: the guest image, the emulated machine, the vfio-ap
//! model and the harness all use it. Values that come from a machine or a peer are newtypes over integers with named
//! constants, so that an unknown value stays representable and printable; decoding to something narrower returns an
//! `Option` or a `Result`. All multi-byte fields are big-endian by construction, on every host. Bit numbers in the
//! docs are IBM's: bit 0 is the most significant.
//!
//! Sources are named as in the project's AP reference: "AP reference 2.2" is its section 2.2.
#![no_std]
#![forbid(unsafe_code)]

mod open_value;

pub mod apqn;
pub mod command;
pub mod config;
pub mod exception;
pub mod facility;
pub mod hwinfo;
pub mod image;
pub mod log_ring;
pub mod mask;
pub mod matrix;
pub mod message;
pub mod report;
pub mod status;
pub mod stream;
pub mod survival;

pub use apqn::{Apid, Apqi, Apqn};
pub use command::{FunctionCode, Gr0};
pub use config::QciBlock;
pub use exception::ProgramCode;
pub use hwinfo::{ApType, BindState, CardMode, HwInfo};
pub use mask::Mask256;
pub use matrix::Matrix;
pub use status::{ConditionCode, QueueStatus, ResponseCode};
