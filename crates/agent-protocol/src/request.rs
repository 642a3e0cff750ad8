// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be asked.

use crate::HEADER;
use crate::field::Fields;

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Who is there? Answered by [`crate::Greeting`], whatever version is named.
    Hello {
        /// The version that the asking side speaks.
        version: u32,
    },
    /// So many bytes of fresh memory, whole pages; its address is answered.
    Map {
        /// Bytes.
        length: u64,
    },
    /// Bytes are stored at an address.
    Poke {
        /// Where.
        address: u64,
        /// At most [`crate::MAX_DATA`].
        bytes: &'a [u8],
    },
    /// Bytes at an address are answered.
    Peek {
        /// Where.
        address: u64,
        /// How many, at most [`crate::MAX_DATA`].
        length: u32,
    },
    /// A system call is prepared on a thread, which has none; [`Request::Start`] begins it.
    Call {
        /// Number of the thread.
        thread: u32,
        /// Number of the system call.
        number: u64,
        /// Its arguments.
        arguments: [u64; 6],
    },
    /// The prepared calls of these threads begin; those of several at the same moment, as near as the CPUs allow.
    Start {
        /// Bit N, counted from the least significant one, stands for thread N.
        threads: u64,
    },
    /// The result of a thread's call is answered, or after so long that it still runs.
    Wait {
        /// Number of the thread.
        thread: u32,
        /// Milliseconds.
        milliseconds: u32,
    },
}

/// The kinds of requests, as they are numbered in a frame.
mod kind {
    pub(super) const HELLO: u32 = 0;
    pub(super) const MAP: u32 = 1;
    pub(super) const POKE: u32 = 2;
    pub(super) const PEEK: u32 = 3;
    pub(super) const CALL: u32 = 4;
    pub(super) const START: u32 = 5;
    pub(super) const WAIT: u32 = 6;
}

impl<'a> Request<'a> {
    /// Reads what a frame of this kind has. `None`: the fields are not those of the kind. `Some(None)`: there is no
    /// such kind.
    pub(crate) fn decode(kind: u32, fields: &'a [u8]) -> Option<Option<Self>> {
        let mut fields = Fields(fields);
        let request = match kind {
            kind::HELLO => Self::Hello { version: fields.u32()? },
            kind::MAP => Self::Map { length: fields.u64()? },
            kind::POKE => Self::Poke { address: fields.u64()?, bytes: fields.rest() },
            kind::PEEK => Self::Peek { address: fields.u64()?, length: fields.u32()? },
            kind::CALL => {
                let (thread, number) = (fields.u32()?, fields.u64()?);
                let mut arguments = [0; 6];
                for argument in &mut arguments {
                    *argument = fields.u64()?;
                }
                Self::Call { thread, number, arguments }
            }
            kind::START => Self::Start { threads: fields.u64()? },
            kind::WAIT => Self::Wait { thread: fields.u32()?, milliseconds: fields.u32()? },
            _ => return Some(None),
        };
        fields.end(Some(request))
    }

    /// Appends the request's frame.
    pub fn encode(&self, sequence: u32, out: &mut impl Extend<u8>) {
        let mut word = |value: u32| out.extend(value.to_be_bytes());
        word(u32::try_from(HEADER + self.size()).unwrap_or(u32::MAX));
        word(sequence);
        word(self.kind());
        match *self {
            Self::Hello { version } => word(version),
            Self::Map { length } => out.extend(length.to_be_bytes()),
            Self::Poke { address, bytes } => {
                out.extend(address.to_be_bytes());
                out.extend(bytes.iter().copied());
            }
            Self::Peek { address, length } => {
                out.extend(address.to_be_bytes());
                out.extend(length.to_be_bytes());
            }
            Self::Call { thread, number, arguments } => {
                out.extend(thread.to_be_bytes());
                out.extend(number.to_be_bytes());
                arguments.into_iter().for_each(|argument| out.extend(argument.to_be_bytes()));
            }
            Self::Start { threads } => out.extend(threads.to_be_bytes()),
            Self::Wait { thread, milliseconds } => {
                out.extend(thread.to_be_bytes());
                out.extend(milliseconds.to_be_bytes());
            }
        }
    }

    const fn kind(&self) -> u32 {
        match self {
            Self::Hello { .. } => kind::HELLO,
            Self::Map { .. } => kind::MAP,
            Self::Poke { .. } => kind::POKE,
            Self::Peek { .. } => kind::PEEK,
            Self::Call { .. } => kind::CALL,
            Self::Start { .. } => kind::START,
            Self::Wait { .. } => kind::WAIT,
        }
    }

    /// Bytes of the fields.
    const fn size(&self) -> usize {
        match self {
            Self::Hello { .. } => 4,
            Self::Map { .. } | Self::Start { .. } | Self::Wait { .. } => 8,
            Self::Poke { bytes, .. } => 8 + bytes.len(),
            Self::Peek { .. } => 12,
            Self::Call { .. } => 60,
        }
    }
}
