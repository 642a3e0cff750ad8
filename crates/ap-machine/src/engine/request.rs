// SPDX-License-Identifier: MIT OR Apache-2.0
//! What goes into an engine and what comes out of it.

use ap_arch::Apqn;
use ap_arch::message::ErrorReply;

use super::random::RandomSource;
use super::time::Work;
use crate::card::Card;

/// A message that NQAP has accepted.
pub(crate) struct Request<'a> {
    pub(crate) random: &'a RandomSource,
    pub(crate) card: &'a Card,
    pub(crate) apqn: Apqn,
    pub(crate) message: &'a [u8],
    /// The special-command bit of NQAP.
    pub(crate) special: bool,
    /// How often the queue's master keys were changed.
    pub(crate) key_changes: u8,
}

/// What DQAP will deliver, and how much work it was.
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    pub(crate) work: Work,
}

impl Reply {
    pub(crate) fn error(reply: ErrorReply) -> Self {
        Self { bytes: reply.to_bytes().to_vec(), work: Work::Refusal }
    }
}
