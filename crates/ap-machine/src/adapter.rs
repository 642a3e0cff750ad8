// SPDX-License-Identifier: MIT OR Apache-2.0
//! One adapter: its card, its state, its queues.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use ap_arch::{Apqi, Apqn, HwInfo, ResponseCode};

use crate::card::{Card, CardSlot};
use crate::queue::{Queue, QueueGuard};
use crate::timer::Timer;
use crate::topology::AdapterState;

/// An adapter's place in the machine. Whether it is part of the machine stands in the machine's matrix.
#[derive(Default)]
pub(crate) struct Adapter {
    /// The card's hardware information once more, for TAPQ.
    info: AtomicU64,
    slot: CardSlot,
    state: AtomicU8,
    queues: OnceLock<Box<[Queue]>>,
}

impl Adapter {
    /// Puts a card in; nobody may reach the adapter meanwhile.
    pub(crate) fn plug(&self, card: Card, state: AdapterState) {
        let card = Arc::new(card);
        self.info.store(card.info.0, Ordering::Relaxed);
        let queues = self.queues.get_or_init(|| std::iter::repeat_with(Queue::default).take(256).collect());
        self.slot.plug(&card);
        queues.iter().for_each(|queue| queue.plug(&card));
        self.set_state(state);
    }

    /// Takes the card out.
    pub(crate) fn unplug(&self) {
        self.info.store(0, Ordering::Relaxed);
        self.slot.unplug();
    }

    pub(crate) fn card(&self) -> Option<Arc<Card>> {
        self.slot.card()
    }

    /// Hardware information as TAPQ with T shows it, but for the bind state.
    pub(crate) fn info(&self) -> HwInfo {
        HwInfo(self.info.load(Ordering::Relaxed))
    }

    pub(crate) fn queue(&self, apqi: Apqi) -> Option<&Queue> {
        self.queues.get().map(|queues| &queues[usize::from(apqi.0)])
    }

    /// Has a queue of this adapter to oneself; `None` if there is no card.
    pub(crate) fn lock<'a>(&'a self, apqn: Apqn, timer: &'a Timer) -> Option<QueueGuard<'a>> {
        self.queue(apqn.apqi)?.lock(apqn, &self.slot, timer)
    }

    /// As [`Self::lock`], but for a queue that has never been used, which is as after a reset.
    pub(crate) fn lock_used<'a>(&'a self, apqn: Apqn, timer: &'a Timer) -> Option<QueueGuard<'a>> {
        let queue = self.queue(apqn.apqi)?;
        if queue.is_in_use() { queue.lock(apqn, &self.slot, timer) } else { None }
    }

    pub(crate) fn set_state(&self, state: AdapterState) {
        self.state.store(state as u8, Ordering::Release);
    }

    pub(crate) fn state(&self) -> AdapterState {
        match self.state.load(Ordering::Acquire) {
            0 => AdapterState::Configured,
            1 => AdapterState::Deconfigured,
            _ => AdapterState::Checkstopped,
        }
    }

    /// The response code every instruction to this adapter gets, if it does not work. AP reference 2.3.
    pub(crate) fn failure(&self) -> Option<ResponseCode> {
        match self.state() {
            AdapterState::Configured => None,
            AdapterState::Deconfigured => Some(ResponseCode::DECONFIGURED),
            AdapterState::Checkstopped => Some(ResponseCode::CHECKSTOPPED),
        }
    }
}
