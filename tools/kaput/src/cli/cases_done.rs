// SPDX-License-Identifier: MIT OR Apache-2.0
//! How far a suite is, while it runs: a line at a terminal, one now and then elsewhere, on standard error.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use vfio_mig::conformance::Progress;

use crate::conformance::word;

/// Between two lines where there is no terminal.
const STEP: Duration = Duration::from_secs(10);

/// The line.
pub(super) struct CasesDone {
    bar: ProgressBar,
    begin: Instant,
    /// When the last line was written where there is no terminal.
    said: Mutex<Instant>,
}

impl CasesDone {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::no_length();
        if let Ok(style) = ProgressStyle::with_template("  {pos} of {len} cases, {elapsed}: {msg}") {
            bar.set_style(style);
        }
        Self { bar, begin: Instant::now(), said: Mutex::new(Instant::now()) }
    }

    /// A case is done.
    pub(super) fn show(&self, progress: Progress<'_>) {
        let Progress { result, done, all } = progress;
        self.bar.set_length(all as u64);
        self.bar.set_message(format!("{} {}", word(result.verdict), result.case));
        self.bar.set_position(done as u64);
        if !self.bar.is_hidden() {
            return;
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.elapsed() >= STEP {
            *said = Instant::now();
            eprintln!("  {done} of {all} cases, {} s", self.begin.elapsed().as_secs());
        }
    }
}

impl Drop for CasesDone {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
