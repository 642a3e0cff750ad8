// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guest's console: one stream over all the machines the guest was on. Bytes are joined first and cut into lines
//! then, so that a line begun on the source and ended on the destination is one line.
//!
//! Nothing a guest prints can hurt: lines and the whole are bounded, what is not text is counted and shown escaped.

/// Bytes of the longest line; what is longer is garbage.
const LONGEST_LINE: usize = 4096;

/// Bytes a guest may print in one run.
pub const LIMIT: usize = 4 << 20;

/// One line of the console, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Text.
    Text(String),
    /// Not text: bytes that are no UTF-8 or control characters, or too long a line; escaped and shortened.
    Garbage(String),
}

/// Joins and cuts. What was printed is the business of [`crate::guest::report`].
#[derive(Debug, Default)]
pub struct Console {
    partial: Vec<u8>,
    too_long: bool,
    seen: usize,
    flooded: bool,
}

impl Console {
    /// Takes bytes in the order the guest wrote them, whatever machine it was on; returns the lines they complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        if self.seen >= LIMIT {
            if !std::mem::replace(&mut self.flooded, true) {
                lines.push(Line::Garbage(format!("more than {LIMIT} bytes, the rest is not read")));
            }
            return lines;
        }
        self.seen += bytes.len();
        for &byte in bytes {
            if byte == b'\n' {
                lines.push(self.end_of_line());
            } else if self.partial.len() < LONGEST_LINE {
                self.partial.push(byte);
            } else {
                self.too_long = true;
            }
        }
        lines
    }

    /// What stands after the last line's end; a guest that died in mid-line leaves something here.
    #[must_use]
    pub fn rest(&self) -> String {
        self.partial.escape_ascii().to_string()
    }

    fn end_of_line(&mut self) -> Line {
        let bytes = std::mem::take(&mut self.partial);
        let too_long = std::mem::take(&mut self.too_long);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(&bytes);
        match std::str::from_utf8(bytes) {
            Ok(text) if !too_long && !text.contains(|c: char| c.is_control() && c != '\t') => {
                Line::Text(text.to_owned())
            }
            _ => Line::Garbage(bytes[..bytes.len().min(80)].escape_ascii().to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &str) -> Line {
        Line::Text(line.to_owned())
    }

    #[test]
    fn a_line_begun_on_the_source_ends_on_the_destination() {
        let mut console = Console::default();
        assert_eq!(console.feed(b"one\nPASS: mig"), [text("one")]);
        assert_eq!(console.rest(), "PASS: mig");
        assert_eq!(console.feed(b"ration\r\n"), [text("PASS: migration")]);
        assert_eq!(console.rest(), "");
    }

    #[test]
    fn garbage_is_told_apart_and_the_next_line_is_read_again() {
        let mut console = Console::default();
        let lines = console.feed(b"\xff\x00\x01\nPASS: a\nx\x1b[2J\n\tok\n");
        assert_eq!(lines[1], text("PASS: a"));
        assert_eq!(lines[0], Line::Garbage("\\xff\\x00\\x01".into()));
        assert!(matches!(&lines[2], Line::Garbage(_)) && lines[3] == text("\tok"));
    }

    #[test]
    fn a_line_without_end_costs_no_memory() {
        let mut console = Console::default();
        for _ in 0..100 {
            assert_eq!(console.feed(&[b'x'; 1000]), []);
        }
        assert!(console.partial.len() <= LONGEST_LINE);
        let lines = console.feed(b"\nPASS: after\n");
        assert!(matches!(&lines[0], Line::Garbage(shown) if shown.len() == 80) && lines[1] == text("PASS: after"));
    }

    #[test]
    fn a_flood_is_reported_once_and_then_ignored() {
        let mut console = Console::default();
        let flood = b"x\n".repeat(LIMIT / 2);
        assert_eq!(console.feed(&flood).len(), LIMIT / 2);
        assert!(matches!(&console.feed(b"more\n")[..], [Line::Garbage(_)]));
        assert_eq!(console.feed(b"more\n"), []);
    }
}
