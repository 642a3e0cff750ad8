// SPDX-License-Identifier: MIT OR Apache-2.0
//! `rst-markup-malformed`: tables whose rows differ in columns, lists that run into the paragraph before.

use super::{Faults, all_keep, documents};

/// Columns of a table row; a bar in code or behind a backslash is text.
fn columns(row: &str) -> usize {
    let (mut bars, mut in_code, mut escaped) = (0, false, false);
    for character in row.trim().chars() {
        match character {
            '`' if !escaped => in_code = !in_code,
            '|' if !escaped && !in_code => bars += 1,
            _ => {}
        }
        escaped = character == '\\' && !escaped;
    }
    bars
}

fn uneven_tables(text: &str) -> Faults {
    let mut faults = Faults::new();
    let mut head: Option<usize> = None;
    let mut in_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        in_code ^= line.trim_start().starts_with("```");
        if in_code || !line.starts_with('|') {
            head = None;
            continue;
        }
        let here = columns(line);
        let expected = *head.get_or_insert(here);
        if here != expected || !line.trim_end().ends_with('|') {
            faults
                .push((number, format!("a row of {} columns in a table of {}", here.saturating_sub(1), expected - 1)));
        }
    }
    faults
}

fn is_item(line: &str) -> bool {
    let line = line.trim_start();
    let numbered = line
        .split_once(". ")
        .is_some_and(|(number, _)| number.bytes().all(|b| b.is_ascii_digit()) && !number.is_empty());
    line.starts_with("* ") || line.starts_with("- ") || numbered
}

/// A list needs an empty line before its first item, or a line of the list.
fn glued_lists(text: &str) -> Faults {
    let mut faults = Faults::new();
    let (mut last, mut in_list, mut in_code) = ("", false, false);
    for (number, line) in (1..).zip(text.lines()) {
        in_code ^= line.trim_start().starts_with("```");
        if !in_code {
            if is_item(line) && !in_list && !last.trim().is_empty() {
                faults.push((number, "a list without an empty line before it".to_owned()));
            }
            // An item's further paragraphs are indented.
            in_list = is_item(line) || (in_list && (line.trim().is_empty() || line.starts_with(' ')));
        }
        last = line;
    }
    faults
}

#[test]
fn every_row_of_a_table_has_the_columns_of_its_head() {
    assert_eq!(uneven_tables("| a |\n| --- |\n| b | c |").len(), 1);
    assert_eq!(uneven_tables("| a | b |\n| --- | --- |\n| b").len(), 1);
    assert!(uneven_tables("| a | b |\n| --- | --- |\n| `x | y` | \\| |").is_empty());
    all_keep(uneven_tables, documents());
}

#[test]
fn every_list_stands_apart_from_the_paragraph_before() {
    assert_eq!(glued_lists("text:\n* one\n* two").len(), 1);
    assert_eq!(glued_lists("text:\n1. one").len(), 1);
    assert!(glued_lists("text:\n\n* one\n  and more\n* two").is_empty());
    all_keep(glued_lists, documents());
}
