// SPDX-License-Identifier: MIT OR Apache-2.0
//! Text for a terminal: titled paragraphs that are wrapped, so that an item fits a screen whatever it has to say.

use std::fmt::Write as _;

use textwrap::{Options, WordSplitter};

/// Columns of a report.
pub const WIDTH: usize = 100;
/// Columns of a paragraph's title, indentation included.
const TITLE: usize = 14;

/// Adds a paragraph with a title; nothing where there is nothing to say. Each line of `content` starts a line.
pub fn paragraph(text: &mut String, title: &str, content: &str) {
    let mut title = title;
    for line in content.lines() {
        for piece in wrapped(line, WIDTH - TITLE) {
            _ = writeln!(text, "  {title:<width$}{piece}", width = TITLE - 2);
            title = "";
        }
    }
}

fn wrapped(line: &str, width: usize) -> Vec<String> {
    // An id is one word, hyphens and all: people copy it.
    let options = Options::new(width).subsequent_indent("  ").word_splitter(WordSplitter::NoHyphenation);
    textwrap::wrap(line, options).into_iter().map(|piece| piece.trim_end().to_owned()).collect()
}

/// The first of many, and how many more there are.
#[must_use]
pub fn first_few(items: &[String], shown: usize) -> String {
    let more = if items.len() > shown { format!(" +{}", items.len() - shown) } else { String::new() };
    format!("{}{more}", items[..items.len().min(shown)].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_is_wrapped_under_its_title() {
        let mut text = String::new();
        paragraph(&mut text, "what", &"word ".repeat(25));
        paragraph(&mut text, "nothing", "");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("  what        word ") && lines[1].starts_with("                word"), "{text}");
        assert!(lines.iter().all(|line| line.len() <= WIDTH), "{text}");
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let items = ["a", "b", "c"].map(str::to_owned);
        assert_eq!((first_few(&items, 2), first_few(&items, 3)), ("a, b +1".to_owned(), "a, b, c".to_owned()));
    }
}
