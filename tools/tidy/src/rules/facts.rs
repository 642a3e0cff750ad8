// SPDX-License-Identifier: MIT OR Apache-2.0
//! The facts of `ap-arch` about a machine or a driver name where they are from: a section of one of the two papers, in
//! the comment of the item or in the header of its file.

use super::Finding;
use crate::files::Source;

/// How a source begins, in a comment.
const SOURCES: [&str; 2] = ["AP reference ", "migration spec "];
/// What guest and harness say to each other is our own word; it has no source but the file itself.
const OUR_OWN: [&str; 5] = ["image.rs", "log_ring.rs", "report.rs", "open_value.rs", "lib.rs"];

/// Public items without a source.
pub(super) fn sources(source: &Source) -> Vec<Finding> {
    let Ok(name) = source.path.strip_prefix("crates/ap-arch/src") else { return Vec::new() };
    if source.is_test() || OUR_OWN.iter().any(|own| name.ends_with(own)) {
        return Vec::new();
    }
    let text = source.without_tests();
    let header: Vec<&str> = text
        .lines()
        .map_while(|line| line.strip_prefix("//"))
        .filter_map(|line| line.strip_prefix(['!', ' ']))
        .collect();
    if names_one(&header.join(" ")) {
        return Vec::new();
    }
    let mut comment = String::new();
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(more) = line.trim().strip_prefix("///") {
            comment.push_str(more);
        } else if line.starts_with("pub ") && !names_one(&comment) {
            found.push(Finding::new(source, number, "a public item without a source"));
            comment.clear();
        } else if !line.trim().starts_with("#[") {
            comment.clear();
        }
    }
    found
}

/// Whether a comment names a section.
fn names_one(comment: &str) -> bool {
    let comment = comment.split_whitespace().collect::<Vec<_>>().join(" ");
    SOURCES.iter().any(|source| {
        let mut places = comment.match_indices(source);
        places.any(|(at, _)| comment[at + source.len()..].starts_with(|digit: char| digit.is_ascii_digit()))
    })
}
