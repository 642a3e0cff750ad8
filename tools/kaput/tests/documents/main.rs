// SPDX-License-Identifier: MIT OR Apache-2.0
//! A lint over the project's own documents and comments: the findings of the group "documentation" are rules here, each
//! with a piece of text that breaks it.

mod conformance;
mod finding_page;
mod findings;
mod layout;
mod markup;
mod names;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use vfio_mig::catalogue::{self, Group};

/// One place where a rule is broken: line from 1, and what is wrong.
type Faults = Vec<(usize, String)>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All files of the tree with this extension: path from the root, and text.
fn files(extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry")) {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() {
                // What is built or fetched, and what fuzzing damages, is nobody's document.
                if !name.starts_with('.') && !["target", "corpus"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push((path.clone(), fs::read_to_string(&path).expect("text")));
            }
        }
    }
    assert!(!found.is_empty(), "no file ends with .{extension}");
    found
}

/// Asserts that no document breaks this rule.
fn all_keep(rule: impl Fn(&str) -> Faults, texts: impl IntoIterator<Item = (PathBuf, String)>) {
    let mut broken = Vec::new();
    for (path, text) in texts {
        let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        broken.extend(rule(&text).into_iter().map(|(line, what)| format!("{shown}:{line}: {what}")));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The comments of a Rust file, each on its line; the other lines are empty.
fn comments(text: &str) -> String {
    let comment = |line: &str| {
        let line = line.trim_start();
        line.strip_prefix("//").map_or(String::new(), |comment| comment.trim_start_matches(['/', '!']).to_owned())
    };
    text.lines().map(comment).collect::<Vec<_>>().join("\n")
}

/// All documents, but for what quotes a fault of a document: the findings of that group, and their ids elsewhere.
fn documents() -> Vec<(PathBuf, String)> {
    let quoting = catalogue::findings().filter(|finding| finding.group == Group::Documentation);
    let ids: Vec<&str> = quoting.map(|finding| finding.id).collect();
    let is_own = |path: &Path| path.file_stem().is_some_and(|name| ids.iter().any(|id| name == *id));
    let without = |text: String| ids.iter().fold(text, |text, id| text.replace(id, "finding"));
    let others = files("md").into_iter().filter(|(path, _)| !is_own(path));
    others.map(|(path, text)| (path, without(text))).collect()
}

fn documents_and_comments() -> Vec<(PathBuf, String)> {
    let rust = files("rs").into_iter().map(|(path, text)| (path, comments(&text)));
    // The rules' own examples of what is wrong.
    let own = |path: &Path| path.components().any(|part| part.as_os_str() == "documents");
    documents().into_iter().chain(rust).filter(|(path, _)| !own(path)).collect()
}
