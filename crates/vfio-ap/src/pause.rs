// SPDX-License-Identifier: MIT OR Apache-2.0
//! A read or write that stands still where it copies from or to its user, as a real one does whose memory is not there
//! yet. What it holds meanwhile it goes on holding.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::lock::Lock;

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Coming,
    Waiting,
    Released,
}

/// One such place in one call.
#[derive(Default)]
pub(crate) struct Pause(Mutex<Stage>, Condvar);

impl Pause {
    /// The copying side: stands still until it is released.
    pub(crate) fn stand_still(&self) {
        let mut stage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *stage == Stage::Coming {
            *stage = Stage::Waiting;
            self.1.notify_all();
        }
        drop(self.1.wait_while(stage, |stage| *stage != Stage::Released).unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether the copying side has come here, or comes within that time.
    pub(crate) fn is_reached(&self, patience: Duration) -> bool {
        let stage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.1.wait_timeout_while(stage, patience, |stage| *stage == Stage::Coming);
        *waited.unwrap_or_else(PoisonError::into_inner).0 != Stage::Coming
    }

    /// Lets it go on, or pass without standing still.
    pub(crate) fn release(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Stage::Released;
        self.1.notify_all();
    }
}

/// Stands still if that was asked for, once.
pub(crate) fn stand_still(place: &Lock<Option<Arc<Pause>>>) {
    let pause = place.lock().take();
    if let Some(pause) = pause {
        pause.stand_still();
    }
}
