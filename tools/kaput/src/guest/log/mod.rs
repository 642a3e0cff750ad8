// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guest's log: defmt frames out of a copy of the ring in guest memory, as lines for people.

mod instruction;

use ap_arch::log_ring::{self, RingError};
use defmt_decoder::{DecodeError, Table};

/// How the guest notes that a case has failed.
const FAIL: &str = "FAIL";
/// How it notes that its key was pressed.
const KEY: &str = " key, ";

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The image has no format strings, or unreadable ones.
    #[error("the image's log table: {0}")]
    Table(String),
    /// The memory holds no ring.
    #[error("{0}")]
    Ring(RingError),
}

/// A decoded log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The entries, oldest first.
    pub lines: Vec<String>,
    /// How many bytes were overwritten before.
    pub lost_bytes: u64,
    /// How many entries could not be decoded.
    pub malformed: usize,
}

impl Log {
    /// Decodes `memory`, which begins with the ring, by the format strings of the image `elf`.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn decode(elf: &[u8], memory: &[u8]) -> Result<Self, LogError> {
        let (header, older, younger) = log_ring::contents(memory).map_err(LogError::Ring)?;
        let table = Table::parse(elf).map_err(|error| LogError::Table(error.to_string()))?;
        let table = table.ok_or_else(|| LogError::Table("it has none".to_owned()))?;
        let mut bytes = [older, younger].concat();
        if header.lost_bytes() > 0 {
            // The oldest frame lost its beginning.
            let first_end = bytes.iter().position(|byte| *byte == 0).map_or(bytes.len(), |at| at + 1);
            bytes.drain(..first_end);
        }
        let mut log = Self { lost_bytes: header.lost_bytes(), ..Self::default() };
        let mut decoder = table.new_stream_decoder();
        decoder.received(&bytes);
        // Each turn takes at least one byte, or ends.
        for _ in 0..=bytes.len() {
            match decoder.decode() {
                Ok(frame) => log.lines.push(frame.display(false).to_string()),
                Err(DecodeError::UnexpectedEof) => break,
                Err(DecodeError::Malformed) => log.malformed += 1,
            }
        }
        Ok(log)
    }

    /// The log as text, with what is missing said first.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.lost_bytes > 0 {
            text.push_str(&format!("({} older bytes were overwritten)\n", self.lost_bytes));
        }
        if self.malformed > 0 {
            text.push_str(&format!("({} entries could not be decoded)\n", self.malformed));
        }
        self.lines.iter().for_each(|line| {
            text.push_str(line);
            text.push('\n');
        });
        text
    }

    /// The youngest entries before the failure of the case `failed`, or of all, oldest of them first; each with its
    /// host, and instructions decoded. `hosts` says where the guest was, one host more than keys were pressed.
    #[must_use]
    pub fn last(&self, count: usize, failed: Option<&str>, hosts: &[&str]) -> Vec<String> {
        let end = failed.and_then(|case| self.lines.iter().position(|line| line.ends_with(&format!("{FAIL} {case}"))));
        let end = end.unwrap_or(self.lines.len());
        let is_key = |line: &&String| line.contains(KEY);
        let keys = self.lines.iter().filter(is_key).count();
        // The oldest may be lost: the guest is now where the last key was pressed.
        let before = hosts.len().saturating_sub(keys + 1);
        let shown = end.saturating_sub(count)..end;
        let host = |at: usize| {
            let pressed = before + self.lines[..=at].iter().filter(is_key).count();
            hosts.get(pressed).copied().unwrap_or_default()
        };
        shown.map(|at| format!("{}: {}", host(at), instruction::decoded(&self.lines[at]))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_instructions_are_those_before_the_failure_each_with_its_host() {
        let lines = [
            "1 TAPQ",
            "2 INFO key, 3 operations",
            "3 QCI",
            "4 TAPQ",
            "5 ERROR FAIL a/b",
            "6 NQAP",
            "7 INFO key, 1 operations",
            "8 DQAP",
        ];
        let log = Log { lines: lines.map(str::to_owned).to_vec(), ..Log::default() };
        let hosts = ["A", "B", "A"];
        assert_eq!(
            log.last(3, Some("a/b"), &hosts),
            ["B: 2 INFO key, 3 operations", "B: 3 QCI", "B: 4 TAPQ"].map(str::to_owned)
        );
        assert_eq!(log.last(1, None, &hosts), ["A: 8 DQAP".to_owned()]);
        assert_eq!(log.last(8, Some("a/b"), &hosts)[0], "A: 1 TAPQ");
        // The oldest entries are lost, and with them how often the guest had moved before.
        let younger = Log { lines: log.lines[4..].to_vec(), ..Log::default() };
        assert_eq!(younger.last(1, None, &hosts), ["A: 8 DQAP".to_owned()]);
        assert_eq!(younger.last(9, None, &hosts)[0], "B: 5 ERROR FAIL a/b");
        assert!(Log::default().last(3, None, &[]).is_empty());
    }
}
