// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages that NQAP takes and DQAP delivers: layouts, builders into a caller's buffer, parsers of a borrowed slice.
//! AP reference 7.
//!
//! The guest builds requests and parses replies, the machine does the opposite, with the same layouts and without an
//! allocation. What a request *means* is the machine's business.

pub mod cca;
pub mod cprbx;
pub mod ep11;
mod field;
pub mod reply;
pub mod type50;
pub mod type6;

use crate::open_value::open_value;

pub use reply::{ErrorCode, ErrorReply, Reply, parse_reply};

open_value! {
    /// Byte 1 of every message. AP reference 7.
    pub struct MessageType(u8) {
        /// Request to a coprocessor.
        TYPE_06 = 0x06, "coprocessor request";
        /// Request to an accelerator.
        TYPE_50 = 0x50, "accelerator request";
        /// Reply of an accelerator.
        TYPE_80 = 0x80, "accelerator reply";
        /// Error reply.
        TYPE_82 = 0x82, "error reply";
        /// Reply of a coprocessor.
        TYPE_86 = 0x86, "coprocessor reply";
        /// Error reply of an EP11 coprocessor.
        TYPE_87 = 0x87, "EP11 error reply";
        /// Error reply.
        TYPE_88 = 0x88, "error reply (88)";
    }
}

impl MessageType {
    /// Of this message; `None` if it has no byte 1.
    #[must_use]
    pub fn of(message: &[u8]) -> Option<Self> {
        message.get(1).copied().map(Self)
    }
}

/// Why a message could not be built or taken apart. Lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageError {
    /// An operand does not fit into any format of the message.
    OperandTooLong {
        /// Its length.
        len: usize,
        /// The longest one.
        max: usize,
    },
    /// The buffer is too small for the message.
    BufferTooSmall {
        /// Its length.
        len: usize,
        /// What the message needs.
        needed: usize,
    },
    /// The message ends before its layout does.
    Truncated {
        /// Its length.
        len: usize,
        /// What the layout needs.
        needed: usize,
    },
    /// A message of another type than expected.
    Type(MessageType),
    /// A length or an offset inside of the message does not agree with the rest of it.
    Inconsistent {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
}

impl core::fmt::Display for MessageError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::OperandTooLong { len, max } => write!(f, "an operand has {len} bytes, at most {max} are possible"),
            Self::BufferTooSmall { len, needed } => write!(f, "the buffer has {len} bytes, the message needs {needed}"),
            Self::Truncated { len, needed } => write!(f, "the message has {len} bytes, its layout needs {needed}"),
            Self::Type(kind) => write!(f, "unexpected message type {kind}"),
            Self::Inconsistent { field, value } => {
                write!(f, "field {field} of the message is {value:#x}, which does not fit the rest")
            }
        }
    }
}

impl core::error::Error for MessageError {}
