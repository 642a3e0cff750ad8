// SPDX-License-Identifier: MIT OR Apache-2.0
//! One queue as the machine keeps 65,536 of them: two words that anybody may read at any time, and the state behind a
//! lock, which exists only once the queue has been used.
//!
//! TAPQ reads the words and takes no lock. Who holds the lock publishes the words when it lets go.

mod state;

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use ap_arch::{Apqn, BindState, QueueStatus, ResponseCode};

pub use state::Counters;
pub(crate) use state::State;

use crate::card::{Card, CardSlot};
use crate::timer::Timer;

/// Nothing is due.
const NEVER: u64 = u64::MAX;

pub(crate) struct Queue {
    /// Status word in the low half, bind state above it.
    published: AtomicU64,
    /// When time changes the status next.
    due: AtomicU64,
    state: OnceLock<Box<Mutex<State>>>,
}

impl Default for Queue {
    fn default() -> Self {
        let published = publication(QueueStatus::new(QueueStatus::EMPTY, ResponseCode::NORMAL), BindState::USABLE);
        Self { published: AtomicU64::new(published), due: AtomicU64::new(NEVER), state: OnceLock::new() }
    }
}

fn publication(status: QueueStatus, bind: BindState) -> u64 {
    u64::from(bind.0) << 32 | u64::from(status.0)
}

impl Queue {
    /// Status and bind state now. Waits for nobody: if somebody has the queue, what was published last is the answer.
    pub(crate) fn observe(&self, timer: &Timer) -> (QueueStatus, BindState) {
        let due = self.due.load(Ordering::Acquire);
        if due != NEVER && due <= timer.now() {
            self.try_advance(timer);
        }
        let word = self.published.load(Ordering::Acquire);
        (QueueStatus(word as u32), BindState((word >> 32) as u8))
    }

    /// Does what is due, unless somebody has the queue; then the next look does it.
    fn try_advance(&self, timer: &Timer) {
        let Some(mutex) = self.state.get() else { return };
        let mut state = match mutex.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        state.advance(timer.now());
        self.publish(&state);
    }

    /// Makes it a queue of this card, as it is after a reset.
    pub(crate) fn plug(&self, card: &Arc<Card>) {
        if let Some(mutex) = self.state.get() {
            let mut state = mutex.lock().unwrap_or_else(PoisonError::into_inner);
            *state = State::new(card);
            self.publish(&state);
        } else {
            let status = QueueStatus::new(QueueStatus::EMPTY, ResponseCode::NORMAL);
            self.published.store(publication(status, card.binding.state()), Ordering::Release);
        }
    }

    /// Whether the queue has been used since the machine was built.
    pub(crate) fn is_in_use(&self) -> bool {
        self.state.get().is_some()
    }

    /// Has the queue to oneself, with everything done that is due.
    /// `None` if there is no card.
    pub(crate) fn lock<'a>(&'a self, name: Apqn, slot: &CardSlot, timer: &'a Timer) -> Option<QueueGuard<'a>> {
        if self.state.get().is_none() {
            let card = slot.card()?;
            self.state.get_or_init(|| Box::new(Mutex::new(State::new(&card))));
        }
        let mut state = self.state.get()?.lock().unwrap_or_else(PoisonError::into_inner);
        if !slot.has(&state.card) {
            *state = State::new(&slot.card()?);
        }
        state.advance(timer.now());
        Some(QueueGuard { queue: self, name, timer, state })
    }

    fn publish(&self, state: &State) {
        self.published.store(publication(state.status(), state.binding.state()), Ordering::Release);
        self.due.store(state.due().unwrap_or(NEVER), Ordering::Release);
    }
}

/// A queue that nobody else has at the moment.
pub(crate) struct QueueGuard<'a> {
    queue: &'a Queue,
    name: Apqn,
    timer: &'a Timer,
    state: MutexGuard<'a, State>,
}

impl Deref for QueueGuard<'_> {
    type Target = State;
    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for QueueGuard<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for QueueGuard<'_> {
    fn drop(&mut self) {
        self.queue.publish(&self.state);
        if let Some(due) = self.state.interruption_due() {
            self.timer.schedule(self.name, due);
        }
    }
}
