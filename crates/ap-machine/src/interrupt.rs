// SPDX-License-Identifier: MIT OR Apache-2.0
//! Interruption of a guest when a reply becomes available: who armed a queue, and what waits for the CPU side.
//! AP reference 5.
//!
//! The machine cannot write guest storage: it notes (NIB, ISC) and sets a pending word. The CPU side stores the byte
//! and makes the adapter interruption, in this order, in the context of a CPU.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A reply has become available: store a byte, then interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Notification {
    /// Interruption subclass, 0 to 7.
    pub isc: u8,
    /// Absolute address of the notification indicator byte, which becomes [`Self::INDICATOR`].
    pub nib: u64,
}

impl Notification {
    /// What is stored into the indicator byte.
    pub const INDICATOR: u8 = 0x01;
}

/// What waits for the CPUs of one configuration. Equal notifications coalesce.
#[derive(Default)]
pub(crate) struct Notifications {
    pending: AtomicU64,
    waiting: Mutex<BTreeSet<Notification>>,
    waker: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Notifications {
    pub(crate) fn pending(&self) -> &AtomicU64 {
        &self.pending
    }

    pub(crate) fn set_waker(&self, waker: Box<dyn Fn() + Send + Sync>) -> bool {
        self.waker.set(waker).is_ok()
    }

    pub(crate) fn take(&self) -> Vec<Notification> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.pending.store(0, Ordering::SeqCst);
        std::mem::take(&mut *waiting).into_iter().collect()
    }

    pub(crate) fn notify(&self, notification: Notification) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(notification);
        self.pending.fetch_or(0x80 >> notification.isc, Ordering::SeqCst);
        drop(waiting);
        if let Some(wake) = self.waker.get() {
            wake();
        }
    }
}

/// What AQIC registered: where to, and for whom.
#[derive(Clone)]
pub(crate) struct Registration {
    pub(crate) notification: Notification,
    pub(crate) target: Arc<Notifications>,
}

impl Registration {
    pub(crate) fn notify(&self) {
        self.target.notify(self.notification);
    }
}

/// Interruption state of a queue. Changes take time, which is what the two states between are for.
#[derive(Clone, Default)]
pub(crate) enum Interruption {
    #[default]
    Off,
    TurningOn(Registration, u64),
    On(Registration),
    TurningOff(Registration, u64),
}

impl Interruption {
    /// What the IR bit shows, and whether a reply interrupts.
    pub(crate) fn is_enabled(&self) -> bool {
        matches!(self, Self::On(_) | Self::TurningOff(..))
    }

    /// What is registered, if AQIC was the last to change it and enabled it.
    pub(crate) fn registration(&self) -> Option<&Registration> {
        match self {
            Self::On(registration) | Self::TurningOn(registration, _) => Some(registration),
            Self::Off | Self::TurningOff(..) => None,
        }
    }

    /// When the next change is due.
    pub(crate) fn due(&self) -> Option<u64> {
        match self {
            Self::TurningOn(_, due) | Self::TurningOff(_, due) => Some(*due),
            Self::Off | Self::On(_) => None,
        }
    }

    /// Does what is due; whether interruption has just become enabled.
    pub(crate) fn advance(&mut self, now: u64) -> bool {
        if self.due().is_none_or(|due| due > now) {
            return false;
        }
        match std::mem::take(self) {
            Self::TurningOn(registration, _) => {
                *self = Self::On(registration);
                true
            }
            _ => false,
        }
    }

    /// A reply has become available.
    pub(crate) fn notify(&self) {
        if let Self::On(registration) | Self::TurningOff(registration, _) = self {
            registration.notify();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_notifications_coalesce_and_the_pending_word_shows_their_subclasses() {
        let waiting = Notifications::default();
        for (isc, nib) in [(6, 0x2000), (6, 0x2000), (3, 0x3000)] {
            waiting.notify(Notification { isc, nib });
        }
        assert_eq!(waiting.pending().load(Ordering::SeqCst), 0x80 >> 6 | 0x80 >> 3);
        assert_eq!(waiting.take(), [Notification { isc: 3, nib: 0x3000 }, Notification { isc: 6, nib: 0x2000 }]);
        assert_eq!((waiting.pending().load(Ordering::SeqCst), waiting.take().len()), (0, 0));
    }
}
