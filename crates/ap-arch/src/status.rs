// SPDX-License-Identifier: MIT OR Apache-2.0
//! The AP queue status word that PQAP (except QCI), NQAP and DQAP leave in GR1. AP reference 1.4, 2.2 and 2.3.

use crate::open_value::open_value;

open_value! {
    /// Response code of the status word. AP reference 2.3.
    pub struct ResponseCode(u8) {
        /// Done, accepted, or queue operational.
        NORMAL = 0x00, "normal";
        /// The queue is not in the configuration.
        Q_NOT_AVAIL = 0x01, "queue not available";
        /// A reset of this queue is running.
        RESET_IN_PROGRESS = 0x02, "reset in progress";
        /// The adapter is deconfigured.
        DECONFIGURED = 0x03, "deconfigured";
        /// The adapter is checkstopped.
        CHECKSTOPPED = 0x04, "checkstopped";
        /// Resources are busy, retry.
        BUSY = 0x05, "busy";
        /// AQIC: the notification address is invalid.
        INVALID_ADDRESS = 0x06, "invalid address";
        /// AQIC: the queue is already in the requested state.
        OTHERWISE_CHANGED = 0x07, "otherwise changed";
        /// AQIC: the GISA operand is invalid.
        INVALID_GISA = 0x08, "invalid GISA";
        /// Bound to another configuration.
        Q_BOUND_TO_ANOTHER = 0x09, "queue bound to another";
        /// Binding or association is still running.
        STATE_CHANGE_IN_PROGRESS = 0x0a, "state change in progress";
        /// Not bound.
        Q_NOT_BOUND = 0x0b, "queue not bound";
        /// NQAP: the queue is full.
        Q_FULL = 0x10, "queue full";
        /// DQAP: no reply is available now. The same number as [`Self::Q_FULL`].
        NO_PENDING_REPLY = 0x10, "queue full or no pending reply";
        /// Index too big; nothing but the name is known.
        INDEX_TOO_BIG = 0x11, "index too big";
        /// A continuation without a first part.
        NO_FIRST_PART = 0x13, "no first part";
        /// NQAP: larger than the queue accepts.
        MESSAGE_TOO_BIG = 0x15, "message too big";
        /// NQAP: a required facility is missing.
        REQ_FAC_NOT_INST = 0x16, "required facility not installed";
        /// BAPQ failed.
        Q_BIND_ERROR = 0x30, "bind error";
        /// AAPQ: not available for association.
        Q_NOT_AVAIL_FOR_ASSOC = 0x31, "not available for association";
        /// AAPQ: the queue is not empty.
        Q_NOT_EMPTY = 0x32, "queue not empty";
        /// BAPQ: limit of bound queues exceeded.
        BIND_LIMIT_EXCEEDED = 0x33, "bind limit exceeded";
        /// AAPQ: no such secret.
        INVALID_ASSOC_SECRET = 0x34, "invalid association secret";
        /// Asynchronous: the association secret is not unique.
        ASSOC_SECRET_NOT_UNIQUE = 0x35, "association secret not unique";
        /// Asynchronous: the association failed.
        ASSOC_FAILED = 0x36, "association failed";
        /// NQAP: the domain cannot be used for this message.
        INVALID_DOMAIN = 0x42, "invalid domain";
    }
}

/// The AP queue status word: bits 32-63 of GR1 on output.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct QueueStatus(pub u32);

impl QueueStatus {
    /// E: nothing at all in the queue, no unprocessed request and no unfetched reply.
    pub const EMPTY: u32 = 0x8000_0000;
    /// R: at least one reply can be dequeued now.
    pub const REPLIES_WAITING: u32 = 0x4000_0000;
    /// F: no further request would be accepted.
    pub const FULL: u32 = 0x2000_0000;
    /// A: the response code reports an asynchronous error of an earlier operation.
    pub const ASYNC: u32 = 0x0200_0000;
    /// IR: interruption is enabled for this queue.
    pub const INTERRUPT_ENABLED: u32 = 0x0100_0000;
    /// The response code.
    pub const RESPONSE: u32 = 0x00ff_0000;
    /// Bits that are zero in every status word.
    pub const RESERVED: u32 = 0x1c00_ffff;

    /// A status word from flag bits and a response code.
    #[must_use]
    pub const fn new(flags: u32, response: ResponseCode) -> Self {
        Self(flags | (response.0 as u32) << 16)
    }

    /// From GR1; the high word is not part of the status.
    #[must_use]
    pub const fn from_gr1(gr1: u64) -> Self {
        Self(gr1 as u32)
    }

    /// Whether any of these flag bits is set.
    #[must_use]
    pub const fn has(self, flags: u32) -> bool {
        self.0 & flags != 0
    }

    /// The response code.
    #[must_use]
    pub const fn response(self) -> ResponseCode {
        ResponseCode((self.0 >> 16) as u8)
    }
}

impl core::fmt::Display for QueueStatus {
    /// Flags by their letters, then the response code: `E-- -- rc 00 (normal)`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (bit, letter) in [
            (Self::EMPTY, "E"),
            (Self::REPLIES_WAITING, "R"),
            (Self::FULL, "F"),
            (Self::ASYNC, "A"),
            (Self::INTERRUPT_ENABLED, "I"),
        ] {
            f.write_str(if self.has(bit) { letter } else { "-" })?;
        }
        write!(f, " rc {}", self.response())
    }
}

impl core::fmt::Debug for QueueStatus {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// Condition code of an instruction, 0 to 3. AP reference 1.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConditionCode(u8);

impl ConditionCode {
    /// Done.
    pub const CC0: Self = Self(0);
    /// DQAP: partial receive.
    pub const CC1: Self = Self(1);
    /// NQAP, DQAP: partial completion, execute again.
    pub const CC2: Self = Self(2);
    /// Response code not zero.
    pub const CC3: Self = Self(3);

    /// The two low bits of `bits`.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 3)
    }

    /// The number, 0 to 3.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// What PQAP and a finished NQAP or DQAP set: 3 where the response code is not zero, else 0.
    #[must_use]
    pub const fn of(status: QueueStatus) -> Self {
        if status.response().0 == 0 { Self::CC0 } else { Self::CC3 }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn an_unknown_response_code_stays_printable() {
        assert_eq!(ResponseCode(0x77).to_string(), "77 (unknown)");
        assert_eq!(ResponseCode(0x01).to_string(), "01 (queue not available)");
    }

    #[test]
    fn the_condition_code_follows_the_response_code() {
        let normal = QueueStatus::new(QueueStatus::EMPTY, ResponseCode::NORMAL);
        assert_eq!(ConditionCode::of(normal), ConditionCode::CC0);
        assert_eq!(normal.to_string(), "E---- rc 00 (normal)");
        assert_eq!(ConditionCode::of(QueueStatus::new(0, ResponseCode::BUSY)), ConditionCode::CC3);
    }

    #[test]
    fn only_the_low_word_of_gr1_counts() {
        assert_eq!(QueueStatus::from_gr1(0xffff_ffff_0001_0000).response(), ResponseCode::Q_NOT_AVAIL);
    }
}
