// SPDX-License-Identifier: MIT OR Apache-2.0
//! Work without pause on another CPU: RSA on one accelerator queue, each answer judged, while this CPU asks for one
//! migration after the other. Its figures are counted from one migration to the next.

use crate::ap::exchange::Failure;
use crate::ap::instructions::Ap;
use crate::ap::observe;
use crate::ap::rsa::{self, Vector};
use crate::case::report;
use crate::machine::clock::{self, Deadline};
use crate::machine::cpus::{self, OtherCpu, OtherCpuError};
use alloc::string::String;
use ap_arch::Apqn;
use core::sync::atomic::{AtomicU64, Ordering};
use spin::Mutex;

/// How long the work may take to go on after a migration, in milliseconds.
const LIMIT_MILLIS: u64 = 10_000;

static WORK: Mutex<Option<(Ap, Apqn)>> = Mutex::new(None);
static DONE: AtomicU64 = AtomicU64::new(0);
static LOST: AtomicU64 = AtomicU64::new(0);
static LONGEST_GAP: AtomicU64 = AtomicU64::new(0);
static WRONG: Mutex<Option<String>> = Mutex::new(None);

/// The figures of the work from one migration to the next.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    /// Right answers.
    pub(crate) done: u64,
    /// Requests that had to be repeated.
    pub(crate) lost: u64,
    /// The longest time from one right answer to the next, in microseconds of the TOD clock.
    pub(crate) longest_gap: u64,
    /// Right answers since the work began.
    pub(crate) total: u64,
    /// Right answers from the announcement to the key.
    pub(crate) on_the_way: u64,
    /// Whether there were more after the key.
    pub(crate) goes_on: bool,
    /// Why the work ended, if it did.
    pub(crate) wrong: Option<String>,
}

/// The work, under way.
pub(crate) struct Continuous {
    cpu: OtherCpu,
    /// The queue that belongs to it.
    pub(crate) queue: Apqn,
    done: u64,
    lost: u64,
    announced_at: u64,
    longest_gap: u64,
}

impl Continuous {
    /// Has another CPU begin.
    pub(crate) fn start(ap: Ap, queue: Apqn) -> Result<Self, OtherCpuError> {
        *WORK.lock() = Some((ap.quiet(), queue));
        let cpu = cpus::start_other(work)?;
        Ok(Self { cpu, queue, done: 0, lost: 0, announced_at: 0, longest_gap: 0 })
    }

    /// The migration is about to be announced.
    pub(crate) fn announced(&mut self) {
        self.announced_at = DONE.load(Ordering::SeqCst);
    }

    /// The key came: waits until the work has gone on, and returns the figures since the last time.
    pub(crate) fn leg(&mut self) -> Leg {
        let at_the_key = DONE.load(Ordering::SeqCst);
        let deadline = Deadline::in_millis(LIMIT_MILLIS);
        // Two, because one answer may have been under way.
        let goes_on = loop {
            let goes_on = DONE.load(Ordering::SeqCst) >= at_the_key + 2;
            if goes_on || deadline.is_over() || WRONG.lock().is_some() {
                break goes_on;
            }
        };
        let (total, lost) = (DONE.load(Ordering::SeqCst), LOST.load(Ordering::SeqCst));
        let leg = Leg {
            done: total - self.done,
            lost: lost - self.lost,
            longest_gap: LONGEST_GAP.swap(0, Ordering::SeqCst),
            total,
            on_the_way: at_the_key - self.announced_at,
            goes_on,
            wrong: WRONG.lock().clone(),
        };
        (self.done, self.lost) = (total, lost);
        self.longest_gap = self.longest_gap.max(leg.longest_gap);
        leg
    }

    /// Ends the work of the other CPU, and reports the figures of all of it.
    pub(crate) fn end(self) -> Result<(), OtherCpuError> {
        let (done, lost, gap) = (self.done, self.lost, self.longest_gap);
        report::info(format_args!("continuous: {done} operations in all, {lost} repeated, longest gap {gap} us"));
        self.cpu.end()
    }
}

fn work() {
    let Some((ap, apqn)) = WORK.lock().take() else { return };
    let mut last = clock::now();
    while !cpus::must_end() {
        cpus::forget_translations();
        match rsa::compute(&ap, apqn, Vector::PUBLIC) {
            Ok(()) => {
                let now = clock::now();
                LONGEST_GAP.fetch_max(now.micros_since(last), Ordering::SeqCst);
                last = now;
                DONE.fetch_add(1, Ordering::SeqCst);
            }
            Err(Failure::Lost(_)) => {
                LOST.fetch_add(1, Ordering::SeqCst);
                observe::settled(&ap, apqn);
            }
            Err(Failure::Wrong(reason)) => {
                *WRONG.lock() = Some(reason);
                return;
            }
        }
    }
}
