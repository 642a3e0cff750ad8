// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was said on a connection, line by line with the time since the run began. Bounded: after the limit lines are
//! only counted, so that a peer that never stops talking costs no memory.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Bytes a transcript keeps.
const LIMIT: usize = 4 << 20;

/// A shared, growing record; clones write into the same one.
#[derive(Clone, Debug)]
pub struct Transcript {
    started: Instant,
    record: Arc<Mutex<Record>>,
}

#[derive(Debug, Default)]
struct Record {
    text: String,
    left_out: u64,
}

impl Transcript {
    /// An empty transcript whose clock began at `started`.
    #[must_use]
    pub fn new(started: Instant) -> Self {
        Self { started, record: Arc::default() }
    }

    /// Something the harness sent.
    pub fn sent(&self, line: &str) {
        self.line("->", line);
    }

    /// Something the harness received.
    pub fn received(&self, line: &str) {
        self.line("<-", line);
    }

    /// A remark of the harness.
    pub fn note(&self, line: &str) {
        self.line("--", line);
    }

    fn line(&self, arrow: &str, line: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        if record.text.len() + line.len() > LIMIT {
            record.left_out += 1;
        } else {
            _ = writeln!(record.text, "{seconds:10.6} {arrow} {}", line.trim_end());
        }
    }

    /// Everything recorded so far, as text.
    #[must_use]
    pub fn text(&self) -> String {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        match record.left_out {
            0 => record.text.clone(),
            n => format!("{}... and {n} more lines, left out\n", record.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_in_the_order_they_came_with_their_direction() {
        let transcript = Transcript::new(Instant::now());
        transcript.sent("one\n");
        transcript.clone().received("two");
        let text = transcript.text();
        let ends: Vec<&str> = text.lines().filter_map(|line| line.trim_start().split_once(' ')).map(|l| l.1).collect();
        assert_eq!(ends, ["-> one", "<- two"]);
    }

    #[test]
    fn what_exceeds_the_limit_is_counted_not_kept() {
        let transcript = Transcript::new(Instant::now());
        let long = "x".repeat(LIMIT / 2);
        (0..4).for_each(|_| transcript.received(&long));
        assert!(transcript.text().len() < LIMIT + 100);
        assert!(transcript.text().ends_with("... and 3 more lines, left out\n"), "one fits, three do not");
    }
}
