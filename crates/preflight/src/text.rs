// SPDX-License-Identifier: MIT OR Apache-2.0
//! Texts of strangers on their way to a terminal or a shell. Snapshots are files that anybody may have written.

use std::borrow::Cow;

/// How much of a stranger's text is shown: more than any line that is meant to be copied has, a write of 256 numbers
/// for example.
const LONGEST: usize = 4096;

/// A text that can be shown in one line of a terminal: whatever is not printable is escaped, whatever is long cut.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        if plain.len() >= LONGEST {
            plain.push('…');
            break;
        }
        match c {
            ' '..='~' => plain.push(c),
            _ => plain.extend(c.escape_default()),
        }
    }
    plain
}

/// A text as one word of a POSIX shell. No word can hold a NUL, so none is left.
#[must_use]
pub fn shell_word(text: &str) -> String {
    let text = text.replace('\0', "");
    shlex::try_quote(&text).map(Cow::into_owned).unwrap_or_default()
}

/// Whether a mediated device can have this name: a UUID, or as the model has it letters, digits and hyphens.
#[must_use]
pub fn is_device_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_drives_a_terminal_is_left() {
        assert_eq!(plain("a\x1b[2J\r\nb\u{9b}\u{202e}ü"), "a\\u{1b}[2J\\r\\nb\\u{9b}\\u{202e}\\u{fc}");
        assert!(plain(&"a".repeat(10_000)).chars().count() <= 4097);
    }

    #[test]
    fn a_word_is_one_word() {
        for (text, word) in [
            ("vfio_ap", "vfio_ap"),
            ("", "''"),
            ("a b", "'a b'"),
            ("$(rm -rf /)", "'$(rm -rf /)'"),
            ("it's; `x`", r#""it's; "'`x`'"#),
            ("a\nb", "'a\nb'"),
            ("a\0b", "ab"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }
}
