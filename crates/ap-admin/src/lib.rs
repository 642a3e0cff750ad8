// SPDX-License-Identifier: MIT OR Apache-2.0
//! An administrator's work around one run: queues are taken from a host for a guest, and afterwards everything is as it
//! was, byte for byte, wherever the work was interrupted.
//!
//! [`plan`] looks at a snapshot of the host and says what to write, or why the queues are not to be had. Its [`Record`]
//! is stored before the first write; [`Record::undo`] compares it with a later snapshot and says what is still to be
//! put back. Nothing here reads or writes a host: the same plans are for this one, for one behind ssh, and for the
//! driver's model.
#![forbid(unsafe_code)]

mod plan;
mod record;

pub use plan::{Plan, Refusal, Wanted, existing, plan};
pub use preflight::fix::{AP, Check, MATRIX, Write};
pub use record::{Change, Foreign, Record, Undo};
