// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine's time, and what becomes due while no instruction looks at its queue: replies that a guest wants to be
//! interrupted for.
//!
//! Everything else is found out by the next instruction on the queue. There is at most one entry a queue. The thread
//! starts with the first entry and ends with the timer. What it does with a queue that is due is its maker's: the timer
//! knows queues by name only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ap_arch::Apqn;

use crate::clock::Clock;

/// Looks at a queue that is due, and does what is due there.
type Look = Box<dyn Fn(Apqn) + Send + Sync>;

/// The timer of one machine; its thread ends with it.
pub(crate) struct Timer {
    /// Whether anything takes time at all.
    timed: bool,
    shared: Arc<Shared>,
}

/// What the thread shares with the instructions.
struct Shared {
    clock: Arc<dyn Clock>,
    look: Look,
    entries: Mutex<Entries>,
    changed: Condvar,
    /// As [`Entries::outstanding`], for those who look often.
    outstanding: AtomicUsize,
}

#[derive(Default)]
struct Entries {
    due: BTreeSet<(u64, Apqn)>,
    of_queue: BTreeMap<Apqn, u64>,
    /// Queues that were taken and are being looked at.
    in_hand: usize,
    started: bool,
    ended: bool,
}

impl Entries {
    fn schedule(&mut self, queue: Apqn, due: u64) {
        if let Some(earlier) = self.of_queue.insert(queue, due) {
            self.due.remove(&(earlier, queue));
        }
        self.due.insert((due, queue));
    }

    fn take_due(&mut self, now: u64) -> Option<Apqn> {
        let &(due, queue) = self.due.first().filter(|(due, _)| *due <= now)?;
        self.due.remove(&(due, queue));
        self.of_queue.remove(&queue);
        self.in_hand += 1;
        Some(queue)
    }

    /// What has not yet become a notification.
    fn outstanding(&self) -> usize {
        self.due.len() + self.in_hand
    }
}

impl Timer {
    /// A timer of this clock; where nothing takes time (`timed` is false) its time stands still.
    pub(crate) fn new(clock: Arc<dyn Clock>, timed: bool, look: Look) -> Self {
        let (entries, changed, outstanding) = Default::default();
        Self { timed, shared: Arc::new(Shared { clock, look, entries, changed, outstanding }) }
    }

    /// Nanoseconds of the clock.
    pub(crate) fn now(&self) -> u64 {
        if self.timed { self.shared.clock.now_ns() } else { 0 }
    }

    /// Has the queue looked at when it is due.
    pub(crate) fn schedule(&self, queue: Apqn, due: u64) {
        let mut entries = self.shared.entries();
        if entries.of_queue.get(&queue) == Some(&due) {
            return;
        }
        entries.schedule(queue, due);
        self.shared.count(&entries);
        if self.shared.clock.runs_by_itself() && !entries.started {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name("ap-timer".into());
            // Without a thread the interruption comes with the next instruction on the queue.
            entries.started = thread.spawn(move || shared.run()).is_ok();
        }
        self.shared.changed.notify_all();
    }

    /// Looks at every queue that is due.
    pub(crate) fn run_due(&self) {
        while self.shared.look_at_next(self.now()) {}
    }

    /// Whether anything is still to become due, or is just becoming so. Takes no lock.
    pub(crate) fn has_entries(&self) -> bool {
        self.shared.outstanding.load(Ordering::SeqCst) != 0
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.shared.entries().ended = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the next queue that is due, without holding the entries; whether there was one.
    fn look_at_next(&self, now: u64) -> bool {
        let Some(queue) = self.take_due(now) else { return false };
        (self.look)(queue);
        self.done();
        true
    }

    /// The next queue that is due; [`Self::done`] follows once it has been looked at.
    fn take_due(&self, now: u64) -> Option<Apqn> {
        self.entries().take_due(now)
    }

    /// A queue that was taken has been looked at: its notification, if there was one, is made.
    fn done(&self) {
        let mut entries = self.entries();
        entries.in_hand = entries.in_hand.saturating_sub(1);
        self.count(&entries);
    }

    fn count(&self, entries: &Entries) {
        self.outstanding.store(entries.outstanding(), Ordering::SeqCst);
    }

    fn run(&self) {
        let mut entries = self.entries();
        while !entries.ended {
            let now = self.clock.now_ns();
            entries = match entries.due.first().map(|(due, _)| *due) {
                None => self.changed.wait(entries).unwrap_or_else(PoisonError::into_inner),
                Some(due) if due > now => {
                    let wait = Duration::from_nanos(due - now);
                    self.changed.wait_timeout(entries, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                Some(_) => {
                    drop(entries);
                    self.look_at_next(now);
                    self.entries()
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_queue_has_one_entry_and_the_earliest_comes_first() {
        let (first, second) = (Apqn::new(1, 1), Apqn::new(2, 2));
        let mut entries = Entries::default();
        entries.schedule(first, 50);
        entries.schedule(second, 20);
        entries.schedule(first, 10);
        assert_eq!(entries.due.len(), 2);
        assert_eq!(entries.take_due(5), None);
        assert_eq!(entries.take_due(30), Some(first));
        assert_eq!(entries.take_due(30), Some(second));
        assert_eq!(entries.take_due(u64::MAX), None);
    }

    #[test]
    fn a_queue_is_waited_for_until_it_has_been_looked_at() {
        let timer = Timer::new(Arc::new(ManualClock::default()), true, Box::new(|_| ()));
        timer.schedule(Apqn::new(1, 1), 10);
        assert!(timer.has_entries());
        assert_eq!(timer.shared.take_due(10), Some(Apqn::new(1, 1)));
        assert!(timer.has_entries(), "its notification is not made yet");
        timer.shared.done();
        assert!(!timer.has_entries());
    }
}
