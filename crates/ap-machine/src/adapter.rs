// SPDX-License-Identifier: MIT OR Apache-2.0
//! One adapter: its card, its state, its queues.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use ap_arch::{Apid, Apqi, CardMode, HwInfo, ResponseCode};

use crate::binding::Binding;
use crate::queue::Queue;
use crate::topology::{AdapterSpec, AdapterState};

/// What is plugged into an adapter.
pub(crate) struct Card {
    /// Tells cards apart; not 0.
    pub(crate) number: u64,
    pub(crate) mode: CardMode,
    /// As TAPQ with T shows it, but for the bind state.
    pub(crate) info: HwInfo,
    pub(crate) max_request: Option<u32>,
    /// Serial number, 8 characters.
    pub(crate) serial: String,
    /// How the bind state of its queues starts.
    pub(crate) binding: Binding,
    /// Whether its queues are busy after a reset, and interrupt for a reply only if there was none.
    pub(crate) strict: bool,
}

impl Card {
    pub(crate) fn new(number: u64, apid: Apid, spec: &AdapterSpec, info: HwInfo, secure: bool) -> Self {
        Self {
            number,
            mode: spec.kind.mode,
            info,
            max_request: spec.max_request,
            serial: spec.serial.clone().unwrap_or_else(|| format!("KAPUT{:03}", apid.0)),
            binding: Binding::new(spec.kind.mode, secure),
            strict: false,
        }
    }
}

/// An adapter's place in the machine. Whether it is part of the machine stands in the machine's matrix.
#[derive(Default)]
pub(crate) struct Adapter {
    /// The card's hardware information once more, for TAPQ.
    info: AtomicU64,
    /// The card's number once more, 0 if there is none.
    card_number: AtomicU64,
    state: AtomicU8,
    card: RwLock<Option<Arc<Card>>>,
    queues: OnceLock<Box<[Queue]>>,
}

impl Adapter {
    /// Puts a card in; nobody may reach the adapter meanwhile.
    pub(crate) fn plug(&self, card: Card, state: AdapterState) {
        let card = Arc::new(card);
        self.info.store(card.info.0, Ordering::Relaxed);
        *self.card.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&card));
        let queues = self.queues.get_or_init(|| std::iter::repeat_with(Queue::default).take(256).collect());
        self.card_number.store(card.number, Ordering::Release);
        queues.iter().for_each(|queue| queue.plug(&card));
        self.set_state(state);
    }

    /// Takes the card out.
    pub(crate) fn unplug(&self) {
        self.info.store(0, Ordering::Relaxed);
        self.card_number.store(0, Ordering::Release);
        *self.card.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether this is the card that is in.
    pub(crate) fn has(&self, card: &Card) -> bool {
        self.card_number.load(Ordering::Acquire) == card.number
    }

    pub(crate) fn card(&self) -> Option<Arc<Card>> {
        self.card.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hardware information as TAPQ with T shows it, but for the bind state.
    pub(crate) fn info(&self) -> HwInfo {
        HwInfo(self.info.load(Ordering::Relaxed))
    }

    pub(crate) fn queue(&self, apqi: Apqi) -> Option<&Queue> {
        self.queues.get().map(|queues| &queues[usize::from(apqi.0)])
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
