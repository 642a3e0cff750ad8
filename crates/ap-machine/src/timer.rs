// SPDX-License-Identifier: MIT OR Apache-2.0
//! What becomes due while no instruction looks at its queue: replies that a guest wants to be interrupted for.
//!
//! Everything else is found out by the next instruction on the queue. There is at most one entry a queue. The thread
//! starts with the first entry and ends with the machine; it only computes and sets pending words.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ap_arch::Apqn;

use crate::clock::Clock;
use crate::machine::Machine;

#[derive(Default)]
pub(crate) struct Timer {
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
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the queue looked at when it is due.
    pub(crate) fn schedule(self: &Arc<Self>, queue: Apqn, due: u64, machine: &Weak<Machine>, clock: &Arc<dyn Clock>) {
        let mut entries = self.entries();
        if entries.of_queue.get(&queue) == Some(&due) {
            return;
        }
        entries.schedule(queue, due);
        self.tell(&entries);
        if clock.runs_by_itself() && !entries.started {
            let (timer, machine, clock) = (Arc::clone(self), Weak::clone(machine), Arc::clone(clock));
            let thread = std::thread::Builder::new().name("ap-timer".into());
            // Without a thread the interruption comes with the next instruction on the queue.
            entries.started = thread.spawn(move || timer.run(&machine, clock.as_ref())).is_ok();
        }
        self.changed.notify_all();
    }

    /// The next queue that is due; [`Self::done`] follows once it has been looked at.
    pub(crate) fn take_due(&self, now: u64) -> Option<Apqn> {
        self.entries().take_due(now)
    }

    /// A queue that was taken has been looked at: its notification, if there was one, is made.
    pub(crate) fn done(&self) {
        let mut entries = self.entries();
        entries.in_hand = entries.in_hand.saturating_sub(1);
        self.tell(&entries);
    }

    fn tell(&self, entries: &Entries) {
        self.outstanding.store(entries.outstanding(), Ordering::SeqCst);
    }

    /// Whether anything is still to become due, or is just becoming so.
    pub(crate) fn has_entries(&self) -> bool {
        self.outstanding.load(Ordering::SeqCst) != 0
    }

    /// Ends the thread.
    pub(crate) fn end(&self) {
        self.entries().ended = true;
        self.changed.notify_all();
    }

    fn run(&self, machine: &Weak<Machine>, clock: &dyn Clock) {
        let mut entries = self.entries();
        while !entries.ended {
            let now = clock.now_ns();
            entries = match entries.due.first().map(|(due, _)| *due) {
                None => self.changed.wait(entries).unwrap_or_else(PoisonError::into_inner),
                Some(due) if due > now => {
                    let wait = Duration::from_nanos(due - now);
                    self.changed.wait_timeout(entries, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                Some(_) => {
                    drop(entries);
                    let Some(machine) = machine.upgrade() else { return };
                    machine.run_due();
                    drop(machine);
                    self.entries()
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let timer = Timer::default();
        let mut entries = timer.entries();
        entries.schedule(Apqn::new(1, 1), 10);
        timer.tell(&entries);
        drop(entries);
        assert!(timer.has_entries());
        assert_eq!(timer.take_due(10), Some(Apqn::new(1, 1)));
        assert!(timer.has_entries(), "its notification is not made yet");
        timer.done();
        assert!(!timer.has_entries());
    }
}
