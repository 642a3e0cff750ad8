// SPDX-License-Identifier: MIT OR Apache-2.0
//! A queue that can be used: what TAPQ says of it, and the mode of its card.

use crate::ap::instructions::Answer;
use ap_arch::{Apqn, CardMode, HwInfo, ResponseCode};

/// A queue that is operational, and what it takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queue {
    /// Its number.
    pub(crate) apqn: Apqn,
    /// The hardware information that TAPQ stored.
    pub(crate) info: HwInfo,
    /// The mode of its card.
    pub(crate) mode: CardMode,
}

impl Queue {
    /// The queue, if what TAPQ answered says that it is operational and which mode its card has.
    pub(crate) fn usable(apqn: Apqn, answer: &Answer) -> Option<Self> {
        let mode = answer.info.mode().filter(|_| answer.status.response() == ResponseCode::NORMAL)?;
        Some(Self { apqn, info: answer.info, mode })
    }
}
