// SPDX-License-Identifier: MIT OR Apache-2.0
//! The driver's log: numbered lines, the newest of which are kept.

use std::collections::VecDeque;

use vfio_mig::{LogLevel, LogLine};

use crate::lock::Lock;

/// How many lines are kept: enough for one line per queue of the largest matrix.
const CAPACITY: usize = 65_536;

#[derive(Default)]
struct Lines {
    kept: VecDeque<LogLine>,
    next: u64,
}

/// Numbered lines. Its lock is a leaf: nothing is called with it held.
#[derive(Default)]
pub(crate) struct Log(Lock<Lines>);

/// Lines from some number on.
pub(crate) struct Excerpt {
    pub(crate) lines: Vec<LogLine>,
    pub(crate) next: u64,
    pub(crate) lost: u64,
}

impl Log {
    pub(crate) fn push(&self, level: LogLevel, text: impl Into<String>) {
        let mut lines = self.0.lock();
        if lines.kept.len() == CAPACITY {
            lines.kept.pop_front();
        }
        let number = lines.next;
        lines.next += 1;
        lines.kept.push_back(LogLine { number, level, text: text.into() });
    }

    pub(crate) fn error(&self, text: impl Into<String>) {
        self.push(LogLevel::Error, text);
    }

    pub(crate) fn debug(&self, text: impl Into<String>) {
        self.push(LogLevel::Debug, text);
    }

    /// At most `limit` lines from number `since` on.
    pub(crate) fn since(&self, since: u64, limit: usize) -> Excerpt {
        let lines = self.0.lock();
        let oldest = lines.next - lines.kept.len() as u64;
        let skip = usize::try_from(since.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let wanted: Vec<LogLine> = lines.kept.iter().skip(skip).take(limit).cloned().collect();
        let next = wanted.last().map_or(lines.next, |line| line.number + 1);
        Excerpt { lines: wanted, next, lost: oldest.saturating_sub(since) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_read_from_a_number_on() {
        let log = Log::default();
        for text in ["a", "b", "c"] {
            log.error(text);
        }
        let excerpt = log.since(1, 10);
        let texts: Vec<&str> = excerpt.lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!((texts, excerpt.next, excerpt.lost), (vec!["b", "c"], 3, 0));
        assert_eq!(log.since(0, 2).next, 2);
        assert_eq!(log.since(9, 2).lines, []);
    }

    #[test]
    fn the_oldest_lines_are_lost_and_counted() {
        let log = Log::default();
        for _ in 0..CAPACITY + 3 {
            log.debug("x");
        }
        let excerpt = log.since(1, 1);
        assert_eq!((excerpt.lines[0].number, excerpt.lost), (3, 2));
    }
}
