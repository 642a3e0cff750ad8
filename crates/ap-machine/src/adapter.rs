// SPDX-License-Identifier: MIT OR Apache-2.0
//! One adapter: its card, its state, its queues.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use ap_arch::{HwInfo, ResponseCode};

use crate::topology::AdapterState;

/// An adapter slot of the machine; whether a card is in it stands in the machine's matrix.
#[derive(Default)]
pub(crate) struct Adapter {
    info: AtomicU64,
    state: AtomicU8,
}

impl Adapter {
    pub(crate) fn plug(&self, info: HwInfo, state: AdapterState) {
        self.info.store(info.0, Ordering::Relaxed);
        self.set_state(state);
    }

    /// Hardware information as TAPQ with T shows it, but for the bind state.
    pub(crate) fn info(&self) -> HwInfo {
        HwInfo(self.info.load(Ordering::Relaxed))
    }

    pub(crate) fn set_state(&self, state: AdapterState) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// The response code every instruction to this adapter gets, if it does not work. AP reference 2.3.
    pub(crate) fn failure(&self) -> Option<ResponseCode> {
        match self.state.load(Ordering::Acquire) {
            0 => None,
            1 => Some(ResponseCode::DECONFIGURED),
            _ => Some(ResponseCode::CHECKSTOPPED),
        }
    }
}
