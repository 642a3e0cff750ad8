// SPDX-License-Identifier: MIT OR Apache-2.0
//! Holds a guest's AP instructions while the driver changes what the guest has.
//!
//! KVM changes a guest's masks with all of its CPUs out of SIE. Here the masks follow some milliseconds later, and in
//! between a guest could put a message into a queue that the driver has just zeroized. So the guest's instructions wait
//! from before a change until the new masks are set, and whoever closes the gate waits for those that are under way.
//!
//! Nobody waits for ever: a gate that stays closed opens by itself, long before the guest's QEMU gives its machine up,
//! because a CPU that is held holds up its monitor too.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the gate stays closed, at most.
const LONGEST: Duration = Duration::from_secs(10);
/// How long an instruction that is under way may take. It needs nothing but its guest's QEMU.
const UNDER_WAY: Duration = Duration::from_secs(2);

/// The gate of one guest.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Instructions under way.
    inside: u32,
    /// Those who keep it closed.
    holders: u32,
    /// Whether the driver took a queue away unasked, and nobody has set the masks since.
    unasked: bool,
    /// Since when it is closed.
    since: Option<Instant>,
    /// How often it opened by itself.
    forced: u32,
}

impl State {
    fn close(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    fn open(&mut self) {
        if self.holders == 0 && !self.unasked {
            self.since = None;
        }
    }
}

/// An instruction under way.
#[derive(Debug)]
pub struct Inside<'g>(&'g Gate);

/// The gate is closed.
#[derive(Debug)]
pub struct Closed<'g>(&'g Gate);

/// An instruction of the guest did not end in time, so its QEMU does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck;

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets an instruction in as soon as the gate is open.
    pub fn pass(&self) -> Inside<'_> {
        let mut state = self.state();
        while let Some(since) = state.since {
            let Some(left) = LONGEST.checked_sub(since.elapsed()) else {
                // Whoever closed it is lost; its run ends with that.
                state.forced += 1;
                break;
            };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.inside += 1;
        Inside(self)
    }

    /// Closes the gate until the answer is dropped.
    ///
    /// # Errors
    /// [`Stuck`]; the gate is open then as it was before.
    pub fn close(&self) -> Result<Closed<'_>, Stuck> {
        let mut state = self.state();
        state.holders += 1;
        state.close();
        let closed = Closed(self);
        self.drained(state).then_some(closed).ok_or(Stuck)
    }

    /// Closes the gate because the driver is about to take a queue away that nobody asked it to. Says whether somebody
    /// must set the masks: [`Self::settle`] opens it.
    pub fn close_unasked(&self) -> bool {
        let mut state = self.state();
        let is_new = !std::mem::replace(&mut state.unasked, true);
        state.close();
        // An LPAR waits for nobody's QEMU for long, and loses nothing by it.
        if !self.drained(state) {
            self.state().forced += 1;
        }
        is_new
    }

    /// Whether a queue was taken away unasked since the masks were set.
    pub fn is_unasked(&self) -> bool {
        self.state().unasked
    }

    /// The masks will be read now, and are newer than everything until now.
    pub fn settle(&self, _closed: &Closed<'_>) {
        self.state().unasked = false;
    }

    /// How often instructions went in without new masks.
    pub fn forced(&self) -> u32 {
        self.state().forced
    }

    /// Waits for the instructions under way; whether they ended.
    fn drained(&self, state: MutexGuard<'_, State>) -> bool {
        let waited = self.changed.wait_timeout_while(state, UNDER_WAY, |state| state.inside > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.inside == 0
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.inside -= 1;
        if state.since.is_some() {
            self.0.changed.notify_all();
        }
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.holders -= 1;
        state.open();
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn an_instruction_waits_until_the_gate_is_open() {
        let (gate, went_in) = (Arc::new(Gate::default()), Arc::new(AtomicBool::new(false)));
        let closed = gate.close().expect("nobody is inside");
        let (its, flag) = (Arc::clone(&gate), Arc::clone(&went_in));
        let guest = thread::spawn(move || {
            let _inside = its.pass();
            flag.store(true, Ordering::SeqCst);
        });
        thread::sleep(Duration::from_millis(20));
        assert!(!went_in.load(Ordering::SeqCst));
        drop(closed);
        guest.join().expect("no panic");
        assert!(went_in.load(Ordering::SeqCst));
        assert_eq!(gate.forced(), 0);
    }

    #[test]
    fn who_closes_waits_for_instructions_under_way_and_gives_up_on_a_guest_that_stands_still() {
        let gate = Gate::default();
        let inside = gate.pass();
        assert_eq!(gate.close().err(), Some(Stuck));
        drop(inside);
        assert!(gate.close().is_ok());
        drop(gate.pass());
    }

    #[test]
    fn an_unasked_change_keeps_the_gate_closed_until_masks_read_after_it_are_set() {
        let gate = Gate::default();
        assert!(gate.close_unasked() && !gate.close_unasked());
        drop(gate.close().expect("nobody is inside"));
        assert!(gate.is_unasked());
        let closed = gate.close().expect("nobody is inside");
        gate.settle(&closed);
        // A queue goes while the masks are read: they may be older than that.
        assert!(gate.close_unasked());
        drop(closed);
        assert!(gate.is_unasked());
        let closed = gate.close().expect("nobody is inside");
        gate.settle(&closed);
        drop(closed);
        assert!(!gate.is_unasked());
        drop(gate.pass());
    }
}
