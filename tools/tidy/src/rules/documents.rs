// SPDX-License-Identifier: MIT OR Apache-2.0
//! The documents: sections that are cited anywhere are headings there, links lead to a file and a heading, and the
//! files that are named exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Finding;
use crate::files::Source;
use crate::source::clean;

/// How a document is cited, and where it is.
const CITED: [(&str, &str); 2] =
    [("AP reference ", "docs/ap-reference.md"), ("migration spec ", "docs/migration-specification.md")];
/// Between two numbers of one citation.
const JOINTS: [&str; 5] = [", ", " and ", " to ", " or ", "; "];
/// Folders of the checkout.
const OURS: [&str; 7] = ["src/", "crates/", "tools/", "docs/", "boot/", "kvm-unit-tests/", ".github/"];
/// Names what was once.
const HISTORY: &str = "CHANGELOG.md";
/// The folder of the book; a link out of it leads nowhere in the book.
const BOOK: &str = "docs";

/// Citations of sections that are no headings.
pub(super) fn citations(sources: &[Source]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (phrase, document) in CITED {
        let known = sources.iter().find(|source| source.path == Path::new(document)).map(sections).unwrap_or_default();
        for source in sources.iter().filter(|source| !source.path.starts_with("tools/tidy")) {
            let own = source.path == Path::new(document);
            let phrases: &[&str] = if own { &[phrase, "ection ", "ections "] } else { &[phrase] };
            let (text, lines) = running(source);
            let at = |place: usize| lines[lines.partition_point(|(begin, _)| *begin <= place) - 1].1;
            for phrase in phrases {
                for (place, _) in text.match_indices(phrase) {
                    let unknown = numbers(&text[place + phrase.len()..]).into_iter().filter(|n| !known.contains(*n));
                    let what = |number| format!("{document} has no section {number}");
                    found.extend(unknown.map(|number| Finding::new(source, at(place), what(number))));
                }
            }
        }
    }
    found
}

/// The numbers of a document's headings: `### 2.3 Title` and `## 2. Title`.
fn sections(document: &Source) -> BTreeSet<String> {
    let headings = document.text.lines().filter_map(|line| line.strip_prefix("##"));
    let number =
        |heading: &str| heading.trim_start_matches('#').split_whitespace().next().map(|first| first.to_owned());
    headings.filter_map(number).map(|number| number.trim_end_matches('.').to_owned()).collect()
}

/// The text in one line, without the marks of comments, and where in it each line begins.
fn running(source: &Source) -> (String, Vec<(usize, usize)>) {
    let (mut text, mut lines) = (String::new(), Vec::new());
    for (number, line) in source.lines() {
        lines.push((text.len(), number));
        text.push_str(line.trim_start().trim_start_matches(['/', '!', '#', '*']).trim());
        text.push(' ');
    }
    (text, lines)
}

/// The numbers that a citation begins with: `2.3 and 9.5.` names two.
fn numbers(text: &str) -> Vec<&str> {
    let mut numbers = Vec::new();
    let mut rest = text;
    loop {
        let length = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
        let number = rest[..length].trim_end_matches('.');
        if number.is_empty() || !number.starts_with(|first: char| first.is_ascii_digit()) {
            return numbers;
        }
        numbers.push(number);
        let after = &rest[number.len()..];
        let Some(next) = JOINTS.iter().find_map(|joint| after.strip_prefix(joint)) else { return numbers };
        rest = next;
    }
}

/// Links of the documents that lead to no file or to no heading, or out of the book.
pub(super) fn links(sources: &[Source]) -> Vec<Finding> {
    let documents: BTreeMap<&Path, &Source> =
        sources.iter().filter(|source| source.is_a(&["md"])).map(|source| (source.path.as_path(), source)).collect();
    let files: BTreeSet<&Path> = sources.iter().map(|source| source.path.as_path()).collect();
    let mut found = Vec::new();
    for source in documents.values() {
        let mut in_code = false;
        for (number, line) in source.lines() {
            in_code ^= line.trim_start().starts_with("```");
            if in_code {
                continue;
            }
            for target in targets(line) {
                let (file, heading) = target.split_once('#').unwrap_or((target, ""));
                let path = if file.is_empty() { source.path.clone() } else { clean(&source.path.with_file_name(file)) };
                let leaves_the_book = source.path.starts_with(BOOK) && !path.starts_with(BOOK);
                let has_heading = |document: &&Source| heading.is_empty() || anchors(document).contains(heading);
                let is_there = files.contains(path.as_path()) || files.iter().any(|file| file.starts_with(&path));
                let what = match documents.get(path.as_path()) {
                    _ if leaves_the_book => "leads out of the book",
                    Some(document) if has_heading(document) => continue,
                    Some(_) => "leads to no heading",
                    None if is_there => continue,
                    None => "leads to no file",
                };
                found.push(Finding::new(source, number, format!("`{target}` {what}")));
            }
        }
    }
    found
}

/// Files and folders that a document names in backquotes, and that are not there.
pub(super) fn paths(sources: &[Source]) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| source.is_a(&["md"]) && source.path != Path::new(HISTORY)) {
        for (number, line) in source.lines() {
            let named = line.split('`').skip(1).step_by(2).filter(|name| is_path(name));
            let is_there =
                |name: &&str| sources.iter().any(|source| source.path.starts_with(name.trim_end_matches('/')));
            let missing = named.filter(|name| !is_there(name));
            found.extend(missing.map(|name| Finding::new(source, number, format!("there is no `{name}`"))));
        }
    }
    found
}

/// Whether it is a path of the checkout, and no pattern or a path of Linux.
fn is_path(name: &str) -> bool {
    let begins = OURS.iter().any(|folder| name.starts_with(folder));
    begins && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter))
}

/// What the links of a line lead to, those into the web left out.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let links = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    links.filter(|target| !target.contains("://"))
}

/// The names by which a document's headings are linked to.
fn anchors(document: &Source) -> BTreeSet<String> {
    let headings = document.text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let letters = heading.to_lowercase();
    let kept = letters.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.to_owned() }
    }

    fn shown(found: &[Finding]) -> Vec<String> {
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn cited_sections_are_headings_also_where_a_line_ends_in_the_citation() {
        let reference = source("docs/ap-reference.md", "## 2. Functions\n\n### 2.3 Codes\n\nSee section 2.9.\n");
        let code = source(
            "src/a.rs",
            "/// AP reference 2.3 and 2.4.\n//! more. AP\n//! reference 2, 3.1.\n/// AP reference 2.3, row 7",
        );
        let other = source("docs/migration-specification.md", "## 1. A\n");
        let found = citations(&[reference, code, other]);
        assert_eq!(
            shown(&found),
            [
                "docs/ap-reference.md:5: docs/ap-reference.md has no section 2.9",
                "src/a.rs:1: docs/ap-reference.md has no section 2.4",
                "src/a.rs:2: docs/ap-reference.md has no section 3.1",
            ]
        );
    }

    #[test]
    fn files_that_are_named_exist() {
        let files = [
            source("README.md", "`src/a.rs` `src/b.rs` `src/` `crates/x` `src/*.rs` `s390x/ap.c`"),
            source("src/a.rs", ""),
        ];
        assert_eq!(
            shown(&paths(&files)),
            ["README.md:1: there is no `src/b.rs`", "README.md:1: there is no `crates/x`"]
        );
    }

    #[test]
    fn links_lead_to_files_and_headings_inside_the_book() {
        let files = [
            source("README.md", "[a](docs/a.md) [b](docs/a.md#a-1-b) [c](docs) [d](docs/x.md) [e](https://x.org)"),
            source("docs/a.md", "# A.1 `b`\n\n[a](#a1-b) [b](#nothing) [c](../README.md)\n```\n[d](x.md)\n```\n"),
        ];
        assert_eq!(
            shown(&links(&files)),
            [
                "README.md:1: `docs/a.md#a-1-b` leads to no heading",
                "README.md:1: `docs/x.md` leads to no file",
                "docs/a.md:3: `#nothing` leads to no heading",
                "docs/a.md:3: `../README.md` leads out of the book",
            ]
        );
    }
}
