// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine's time: nanoseconds that only go forward. Tests move it by hand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A source of time.
pub trait Clock: Send + Sync {
    /// Nanoseconds since some fixed moment; never less than before.
    fn now_ns(&self) -> u64;

    /// Whether it goes on by itself, at the speed of real time. If not, whoever moves it calls
    /// [`crate::Machine::run_due`] afterwards.
    fn runs_by_itself(&self) -> bool;
}

/// Real time, from the creation of the clock.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock(Instant);

impl Default for MonotonicClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for MonotonicClock {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn runs_by_itself(&self) -> bool {
        true
    }
}

/// Time that stands still until somebody moves it.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// Lets time pass.
    pub fn advance(&self, ns: u64) {
        self.0.fetch_add(ns, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn runs_by_itself(&self) -> bool {
        false
    }
}
