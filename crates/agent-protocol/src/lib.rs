// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the harness asks of its agent in a Linux, and how the agent answers.
//!
//! The agent gives its own memory and its own system calls away and interprets nothing: what a call means is known by
//! whoever asks. So it never needs to change, and one binary serves an emulated LPAR and a mainframe.
//!
//! A frame is its length in 32 bits and so many bytes: the sequence number of the request in 32 bits, which the answer
//! repeats; its kind in 32 bits; what the kind has. All numbers are big-endian. Each request has one answer, in the
//! order of the requests, so several may be on their way. Nothing here allocates or panics.
#![no_std]
#![forbid(unsafe_code)]

mod field;
mod intake;
mod reply;
mod request;
mod serve;

pub use intake::{Intake, Received};
pub use reply::{Greeting, Refusal, Reply};
pub use request::Request;
pub use serve::{System, answer, refuse};

/// The version spoken here: it changes with every change of a frame.
pub const VERSION: u32 = 1;

/// Bytes that one poke or peek carries at most.
pub const MAX_DATA: usize = 256 * 1024;

/// Bytes of a frame behind its length, at most: sequence, kind, an address, data.
pub const MAX_FRAME: usize = HEADER + 8 + MAX_DATA;

/// Bytes of a frame's length.
pub const LENGTH: usize = 4;

/// Bytes that every frame has behind its length: sequence number and kind.
pub const HEADER: usize = 8;

/// Threads that calls can be made on; their numbers are below it.
pub const THREADS: u32 = 64;

/// The sequence number of an answer to a frame that had none that could be read.
pub const NO_SEQUENCE: u32 = u32::MAX;
