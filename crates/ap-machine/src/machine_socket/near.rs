// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keeps the two threads of a conversation on one CPU. An instruction from afar is two wake-ups. On one CPU they are
//! two switches, a few microseconds together; a CPU that is idle is woken by another in tens of microseconds, and a
//! scheduler prefers the idle one each time.
//!
//! So a thread stays on its CPU from its first instruction until it waits ([`may_move`]), and the owner's thread goes
//! there. Neither loses by it: one of the two sleeps always. Whoever may not run there stays away, and is slower.

use std::cell::RefCell;

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// The calling thread, bound to one CPU until this is dropped.
#[derive(Debug)]
struct Bound {
    cpu: usize,
    before: CpuSet,
}

impl Bound {
    /// `None` where the thread may not run on that CPU.
    fn to(cpu: usize) -> Option<Self> {
        let before = sched_getaffinity(None).ok().filter(|before| cpu < CpuSet::MAX_CPU && before.is_set(cpu))?;
        let mut only = CpuSet::new();
        only.set(cpu);
        sched_setaffinity(None, &only).ok()?;
        Some(Self { cpu, before })
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Without success it is slower, nothing else.
        _ = sched_setaffinity(None, &self.before);
    }
}

thread_local! {
    static BOUND: RefCell<Option<Bound>> = const { RefCell::new(None) };
}

/// The CPU on which the calling thread stays from now on.
pub(super) fn stay() -> u64 {
    BOUND.with_borrow_mut(|bound| {
        if bound.is_none() {
            *bound = Bound::to(sched_getcpu());
        }
        bound.as_ref().map_or(u64::MAX, |bound| bound.cpu as u64)
    })
}

/// The calling thread, which executed from afar, will wait for something else now, and may run anywhere again.
pub fn may_move() {
    BOUND.with_borrow_mut(|bound| drop(bound.take()));
}

/// The owner's thread, which goes where it is asked from.
#[derive(Debug, Default)]
pub(super) struct Follower {
    bound: Option<Bound>,
    asked: u64,
}

impl Follower {
    /// An instruction comes from this CPU. The second one in a row counts: several CPUs may share the connection.
    pub(super) fn asked_from(&mut self, cpu: u64) {
        let again = std::mem::replace(&mut self.asked, cpu) == cpu;
        let is_there = self.bound.as_ref().is_some_and(|bound| bound.cpu as u64 == cpu);
        if again
            && !is_there
            && let Ok(cpu) = usize::try_from(cpu)
        {
            self.bound = None;
            self.bound = Bound::to(cpu);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> u32 {
        sched_getaffinity(None).expect("a set").count()
    }

    #[test]
    fn a_thread_stays_where_it_is_until_it_may_move() {
        let before = allowed();
        let cpu = stay();
        assert_eq!((allowed(), sched_getcpu() as u64), (1, cpu));
        assert_eq!(stay(), cpu);
        may_move();
        assert_eq!(allowed(), before);
    }

    #[test]
    fn the_owner_goes_where_it_is_asked_from_twice_and_back_at_the_end() {
        let (before, here) = (allowed(), sched_getcpu() as u64);
        let mut follower = Follower::default();
        follower.asked_from(u64::MAX);
        follower.asked_from(u64::MAX);
        follower.asked_from(here);
        assert_eq!(allowed(), before);
        follower.asked_from(here);
        assert_eq!((allowed(), sched_getcpu() as u64), (1, here));
        drop(follower);
        assert_eq!(allowed(), before);
    }
}
