// SPDX-License-Identifier: MIT OR Apache-2.0
//! The text files of the checkout, as people write them: what is built, fetched or compressed is not among them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Folders that hold nothing written by hand.
const SKIPPED: [&str; 3] = [".git", "corpus", "snapshots"];

/// A file and its text.
#[derive(Debug)]
pub(crate) struct Source {
    /// As seen from the checkout.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Source {
    /// Whether the name ends in a dot and one of these.
    pub(crate) fn is_a(&self, endings: &[&str]) -> bool {
        self.path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted))
    }

    /// Whether it exists for tests only, by its place or its name.
    pub(crate) fn is_test(&self) -> bool {
        let name = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let folders = self.path.parent().into_iter().flat_map(Path::components);
        let mut folders = folders.map(|part| part.as_os_str().to_string_lossy().into_owned());
        name == "tests"
            || name.ends_with("_test")
            || name.ends_with("_tests")
            || folders.any(|folder| matches!(&*folder, "tests" | "benches" | "examples"))
    }

    /// The text up to its module of tests.
    pub(crate) fn without_tests(&self) -> &str {
        let mut from = 0;
        while let Some(at) = self.text[from..].find("#[cfg(test)]").map(|at| at + from) {
            let rest = self.text[at..].trim_start_matches("#[cfg(test)]").trim_start();
            let module = rest.strip_prefix("pub(crate) ").unwrap_or(rest).strip_prefix("mod ");
            let body = module
                .map(|module| module.trim_start_matches(|letter: char| letter.is_alphanumeric() || letter == '_'));
            if body.is_some_and(|body| body.trim_start().starts_with('{')) {
                return &self.text[..at];
            }
            from = at + 1;
        }
        &self.text
    }

    /// Lines with their numbers from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }
}

/// All text files below `root`, in order.
pub(crate) fn all(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if kind.is_dir() && path != root.join("target") && !SKIPPED.contains(&&*name) {
                open.push(path);
            } else if kind.is_file()
                && let Ok(text) = fs::read_to_string(&path)
            {
                sources.push(Source { path: path.strip_prefix(root).unwrap_or(&path).to_owned(), text });
            }
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(sources)
}
