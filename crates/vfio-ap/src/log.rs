// SPDX-License-Identifier: MIT OR Apache-2.0
//! The driver's log.

use vfio_mig::{LogLevel, LogLine};

use crate::control::LogReply;
use crate::lock::Lock;
use crate::numbered::Numbered;

/// Numbered lines. Its lock is a leaf: nothing is called with it held.
#[derive(Default)]
pub(crate) struct Log(Lock<Numbered<LogLine>>);

impl Log {
    pub(crate) fn push(&self, level: LogLevel, text: impl Into<String>) {
        self.0.lock().push(|number| LogLine { number, level, text: text.into() });
    }

    pub(crate) fn error(&self, text: impl Into<String>) {
        self.push(LogLevel::Error, text);
    }

    pub(crate) fn debug(&self, text: impl Into<String>) {
        self.push(LogLevel::Debug, text);
    }

    /// At most `limit` lines from number `since` on.
    pub(crate) fn since(&self, since: u64, limit: usize) -> LogReply {
        let (lines, next, lost) = self.0.lock().since(since, limit);
        LogReply { lines, next, lost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbered::CAPACITY;

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
