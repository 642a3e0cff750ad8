// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report: which case runs, what became of it, how many there were. The words and numbers are `ap_arch::report`'s.
//! It is one for the whole guest, because a trap or a panic must be able to finish it.

use super::log;
use super::outcome::{Outcome, Stop};
use crate::machine::{self, console};
use ap_arch::report::{CaseVerdict, ExitStatus, Summary};
use core::fmt::Arguments;
use spin::Mutex;

struct Report {
    summary: Summary,
    current: Option<(&'static str, &'static str)>,
}

/// What fails outside of any case.
const NO_CASE: (&str, &str) = ("kaput", "guest");

static REPORT: Mutex<Report> = Mutex::new(Report { summary: Summary::new(), current: None });

/// A case begins.
pub(crate) fn begin(suite: &'static str, case: &'static str) {
    REPORT.lock().current = Some((suite, case));
}

/// The case that runs ended so.
pub(crate) fn outcome(outcome: Outcome) {
    match outcome {
        Ok(()) => end(CaseVerdict::Pass, None),
        Err(Stop::Skip(reason)) => end(CaseVerdict::Skip, Some(format_args!("{reason}"))),
        Err(Stop::Fail(reason)) => {
            let (suite, case) = REPORT.lock().current.unwrap_or(NO_CASE);
            log::failed(suite, case);
            fail_current(format_args!("{reason}"));
        }
    }
}

/// The case that runs is over.
fn end(verdict: CaseVerdict, detail: Option<Arguments<'_>>) {
    let mut report = REPORT.lock();
    let (suite, case) = report.current.take().unwrap_or(NO_CASE);
    report.summary.count(verdict);
    match detail {
        None => console::print(format_args!("{}: {suite}: {case}\n", verdict.word())),
        Some(detail) => console::print(format_args!("{}: {suite}: {case} ({detail})\n", verdict.word())),
    }
}

/// Whatever runs has failed.
pub(crate) fn fail_current(detail: Arguments<'_>) {
    end(CaseVerdict::Fail, Some(detail));
}

/// Something to know.
pub(crate) fn info(text: Arguments<'_>) {
    console::print(format_args!("INFO: {text}\n"));
}

/// Prints the counts and returns the status to end with.
pub(crate) fn summary() -> ExitStatus {
    let summary = REPORT.lock().summary;
    console::print(format_args!("{summary}\n"));
    summary.exit_status()
}

/// Ends the guest without going on, for this reason.
pub(crate) fn abort(reason: Arguments<'_>) -> ! {
    console::print(format_args!("ABORT: {reason}\n"));
    summary();
    machine::end(ExitStatus::ABORT)
}

/// Makes the report usable for a guest that is about to end, whatever it was doing.
pub(crate) fn break_lock() {
    if REPORT.is_locked() {
        // SAFETY: the guest ends: the code that held the lock is never returned to, and other CPUs say nothing more.
        unsafe { REPORT.force_unlock() };
    }
}
