// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is answered.

use core::fmt;

use crate::field::Fields;
use crate::{HEADER, LENGTH};

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// To a hello.
    Greeting(Greeting),
    /// It is done: an address, or what the system call returned, an error as its negated number; else 0.
    Done(u64),
    /// The call still runs.
    Running,
    /// What stands at the address.
    Bytes(&'a [u8]),
    /// It is not done.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The error number that the kernel gave, if it was the kernel that refused; else 0.
        errno: u32,
    },
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The version it speaks.
    pub version: u32,
    /// The process's id: 1 where it is all that runs.
    pub process: u32,
}

/// Why a request is not carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Refusal(pub u32);

impl Refusal {
    /// The frame is longer than any may be; it was skipped.
    pub const TOO_LONG: Self = Self(1);
    /// The frame is too short for what its kind has, or too long.
    pub const MALFORMED: Self = Self(2);
    /// There is no such kind of request.
    pub const UNKNOWN: Self = Self(3);
    /// There is no such thread.
    pub const NO_THREAD: Self = Self(4);
    /// The thread has a call.
    pub const BUSY: Self = Self(5);
    /// The thread has no call, or not begun it.
    pub const IDLE: Self = Self(6);
    /// The memory cannot be read or written.
    pub const FAULT: Self = Self(7);
    /// The kernel gave no memory, or no thread.
    pub const NO_RESOURCES: Self = Self(8);

    /// What it means.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::TOO_LONG => "the frame is too long",
            Self::MALFORMED => "the frame has not what its kind has",
            Self::UNKNOWN => "there is no such request",
            Self::NO_THREAD => "there is no such thread",
            Self::BUSY => "the thread has a call already",
            Self::IDLE => "the thread has no call under way",
            Self::FAULT => "there is no such memory",
            Self::NO_RESOURCES => "the kernel gives no more memory or threads",
            _ => "for an unknown reason",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (refusal {})", self.meaning(), self.0)
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The kinds of answers, as they are numbered in a frame.
mod kind {
    pub(super) const GREETING: u32 = 0;
    pub(super) const DONE: u32 = 1;
    pub(super) const RUNNING: u32 = 2;
    pub(super) const BYTES: u32 = 3;
    pub(super) const REFUSED: u32 = 4;
}

impl<'a> Reply<'a> {
    /// Reads a frame without its length: the sequence number and the answer. `None`: it is no answer.
    #[must_use]
    pub fn decode(frame: &'a [u8]) -> Option<(u32, Self)> {
        let mut fields = Fields(frame);
        let (sequence, kind) = (fields.u32()?, fields.u32()?);
        let reply = match kind {
            kind::GREETING => Self::Greeting(Greeting { version: fields.u32()?, process: fields.u32()? }),
            kind::DONE => Self::Done(fields.u64()?),
            kind::RUNNING => Self::Running,
            kind::BYTES => Self::Bytes(fields.rest()),
            kind::REFUSED => Self::Refused { refusal: Refusal(fields.u32()?), errno: fields.u32()? },
            _ => return None,
        };
        fields.end((sequence, reply))
    }

    /// Writes the answer's frame into a buffer that has room for it; returns how long it is. Bytes stand in their place
    /// already.
    pub(crate) fn write(self, sequence: u32, out: &mut [u8]) -> usize {
        let (kind, fields) = match self {
            Self::Greeting(Greeting { version, process }) => (kind::GREETING, Some([version, process])),
            Self::Done(value) => (kind::DONE, Some([(value >> 32) as u32, value as u32])),
            Self::Running => (kind::RUNNING, None),
            Self::Bytes(bytes) => return written_bytes(sequence, bytes.len(), out),
            Self::Refused { refusal, errno } => (kind::REFUSED, Some([refusal.0, errno])),
        };
        let fields = fields.map(|fields| fields.map(u32::to_be_bytes));
        let fields = fields.as_ref().map_or(&[][..], |fields| fields.as_flattened());
        header(sequence, kind, fields.len(), out);
        if let Some(to) = out.get_mut(LENGTH + HEADER..LENGTH + HEADER + fields.len()) {
            to.copy_from_slice(fields);
        }
        LENGTH + HEADER + fields.len()
    }
}

/// The header of an answer of this many bytes that stand behind it already.
pub(crate) fn written_bytes(sequence: u32, size: usize, out: &mut [u8]) -> usize {
    header(sequence, kind::BYTES, size, out);
    LENGTH + HEADER + size
}

fn header(sequence: u32, kind: u32, size: usize, out: &mut [u8]) {
    let length = u32::try_from(HEADER + size).unwrap_or(u32::MAX);
    let words = [length.to_be_bytes(), sequence.to_be_bytes(), kind.to_be_bytes()];
    if let Some(to) = out.get_mut(..LENGTH + HEADER) {
        to.copy_from_slice(words.as_flattened());
    }
}
