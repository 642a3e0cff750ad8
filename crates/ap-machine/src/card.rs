// SPDX-License-Identifier: MIT OR Apache-2.0
//! A card, and the slot it is plugged into.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ap_arch::{Apid, CardMode, HwInfo};

use crate::binding::Binding;
use crate::topology::AdapterSpec;

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

/// The slot of one adapter: at most one card is in.
#[derive(Default)]
pub(crate) struct CardSlot {
    /// The card's number once more, 0 if there is none.
    number: AtomicU64,
    card: RwLock<Option<Arc<Card>>>,
}

impl CardSlot {
    pub(crate) fn plug(&self, card: &Arc<Card>) {
        *self.card.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(card));
        self.number.store(card.number, Ordering::Release);
    }

    pub(crate) fn unplug(&self) {
        self.number.store(0, Ordering::Release);
        *self.card.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether this is the card that is in. Takes no lock.
    pub(crate) fn has(&self, card: &Card) -> bool {
        self.number.load(Ordering::Acquire) == card.number
    }

    pub(crate) fn card(&self) -> Option<Arc<Card>> {
        self.card.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
