// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rules beyond the layout. Each looks at all files and returns where it is broken.

mod code;
mod crates;
mod documents;
mod facts;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;

pub(crate) use text::lines;

use crate::files::Source;
use crate::workspace::Crate;

/// Where a rule is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl Finding {
    fn new(source: &Source, line: usize, what: impl Into<String>) -> Self {
        Self { file: source.path.clone(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

/// A rule and where it is broken.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) rule: &'static str,
    pub(crate) at: Vec<Finding>,
}

/// Looks at everything, a rule after the other.
pub(crate) fn check(sources: &[Source], crates: &[Crate]) -> Result<Vec<Broken>> {
    let each = |rule, check: fn(&Source) -> Vec<Finding>| Broken { rule, at: sources.iter().flat_map(check).collect() };
    Ok(vec![
        each("inline assembly stands in s390x-asm and boot/ alone", code::assembly),
        each("every `unsafe` says why it is sound", code::unsafe_reasons),
        each("a number from outside is no enum", code::enums),
        each("no file takes another in as text", code::includes),
        each("every public fact of ap-arch has a source", facts::sources),
        each("a file begins with its licence and what it is", text::header),
        each("lines end at 120 characters", text::width),
        Broken { rule: "a module with children is folder/mod.rs", at: text::folders(sources) },
        Broken { rule: "crates build on those that the architecture names", at: crates::order(sources, crates)? },
        Broken { rule: "a section that is cited is there", at: documents::citations(sources) },
        Broken { rule: "links of the documents lead somewhere", at: documents::links(sources) },
        Broken { rule: "files that the documents name exist", at: documents::paths(sources) },
        Broken { rule: "the tree does not grow", at: text::size(sources) },
    ])
}
