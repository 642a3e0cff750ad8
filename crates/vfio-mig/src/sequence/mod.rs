// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls of a device as data: what cases of races are written in, what a hunt draws, shrinks and keeps in a file, and
//! what a C program is made from. One step is one line of text, so all of them look alike.
//!
//! ```text
//! set resuming                    a state; a stream that comes with it is the one that is used from then on
//! get, size, reset, open          verbs of the device; `close` is of the stream, `close-device` of the device
//! read 24                         so many bytes
//! write all, write 0..20          of the stream that the device gave before the first step; behind its end are zeros
//! echo 1 > PATH                   an attribute; `@` is the folder of the device, `#` the number of the round
//! together: close | close-device  acts that begin at the same moment
//! park at 16: write all           it waits inside the driver where byte 16 is copied
//! fault at 40: write all          memory that is there only up to byte 40
//! begin: set running              it begins, and the next step does not wait for it
//! release                         the oldest of those two kinds goes on and ends
//! change 0: 00000006              bytes of the memory from which the newest of them copies
//! patch 8: 0f                     bytes of the stream for all writes that follow
//! fail #: echo UUID > PATH        an allocation of the kernel fails in it, here the one with the round's number
//! on b: get                       of another device than `a`
//! again 100                       all steps before it once more, so many rounds at most in all
//! ```

mod player;
mod text;

use std::ops::Range;

use crate::DeviceState;

pub use player::{Devices, Done, Player, devices};

/// Calls, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequence(pub Vec<Step>);

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The device; `None`: the first.
    pub device: Option<String>,
    /// What is done.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// One act, whose end is waited for.
    Plain(Act),
    /// Acts that begin at the same moment.
    Together(Vec<Act>),
    /// A read or write that waits where it copies this byte.
    Park(usize, Act),
    /// A read or write whose memory is not there from this byte on.
    Fault(usize, Act),
    /// An act that is not waited for.
    Begin(Act),
    /// The oldest of those that were parked or begun goes on and ends.
    Release,
    /// Other bytes at this place of what the newest of those copies.
    Change(usize, Vec<u8>),
    /// Other bytes at this place of the stream that is written from here on.
    Patch(usize, Vec<u8>),
    /// An act in which this allocation fails; `None`: the one with the number of the round.
    Fail(Option<u32>, Act),
    /// The steps before it make a round; so many are played at most. A player leaves it to who plays.
    Again(u32),
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A state is requested.
    Set(DeviceState),
    /// The state is asked for.
    Get,
    /// The size of the stream is asked for.
    Size,
    /// So many bytes are read.
    Read(usize),
    /// These bytes of the device's own stream are written; `None`: all.
    Write(Option<Range<usize>>),
    /// The stream is closed.
    Close,
    /// The device is reset.
    Reset,
    /// The device is opened.
    Open,
    /// The device is closed.
    CloseDevice,
    /// An attribute is written.
    Echo {
        /// What is written.
        value: String,
        /// Where.
        path: String,
    },
}

impl Act {
    /// Whether it copies from or to the user's memory.
    #[must_use]
    pub const fn copies(&self) -> bool {
        matches!(self, Self::Read(_) | Self::Write(_))
    }
}
