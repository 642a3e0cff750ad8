// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guest's log: defmt frames out of a copy of the ring in guest memory, as lines for people.

use ap_arch::log_ring::{self, RingError};
use defmt_decoder::{DecodeError, Table};

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

    /// The youngest entries, oldest of them first.
    #[must_use]
    pub fn last(&self, count: usize) -> Vec<String> {
        self.lines[self.lines.len().saturating_sub(count)..].to_vec()
    }
}
