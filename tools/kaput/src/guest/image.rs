// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guest image as the harness sees it: an ELF file that must be ours, the names of its cases, where its log ring
//! and its progress counter are.

use std::path::{Path, PathBuf};

use ap_arch::image::{CASES_SECTION, LOG_SYMBOL, PROGRESS_SYMBOL, case_names};
use object::{Architecture, Object, ObjectSection, ObjectSegment, ObjectSymbol, SymbolKind};

/// Bytes an image file may have, debug information included.
const LARGEST_FILE: u64 = 256 << 20;

/// Why a file is not our image.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ImageError {
    /// It cannot be read.
    #[error("cannot read the image {}: {source}", path.display())]
    #[diagnostic(help("build it with `cargo xtask build`, or name it with --image"))]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{} is not an image of ours: {reason}", path.display())]
    #[diagnostic(help(
        "expected an s390x ELF file with the section {CASES_SECTION} and the symbols {LOG_SYMBOL} and \
         {PROGRESS_SYMBOL}: build it with `cargo xtask build`"
    ))]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
}

/// A piece of guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First address.
    pub address: u64,
    /// Bytes.
    pub size: u64,
}

/// Our image.
#[derive(Clone, Debug)]
pub struct Image {
    /// The file.
    pub path: PathBuf,
    /// The names of all its cases, `suite/case`, in its order.
    pub cases: Vec<String>,
    /// The log ring.
    pub log: Region,
    /// The progress counter.
    pub progress: Region,
    /// The file's content, for the log's format strings.
    pub elf: Vec<u8>,
}

impl Image {
    /// Reads an image and checks that it is ours.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn read(path: &Path) -> Result<Self, ImageError> {
        let io = |source| ImageError::Io { path: path.to_owned(), source };
        let not_ours = |reason: String| ImageError::NotOurs { path: path.to_owned(), reason };
        let metadata = std::fs::metadata(path).map_err(io)?;
        if !metadata.is_file() || metadata.len() > LARGEST_FILE {
            return Err(not_ours("it is no file, or too large a one".to_owned()));
        }
        let elf = std::fs::read(path).map_err(io)?;
        let file = object::File::parse(&*elf).map_err(|error| not_ours(format!("it is no ELF file ({error})")))?;
        if file.architecture() != Architecture::S390x {
            return Err(not_ours(format!("it is for {:?}, not for s390x", file.architecture())));
        }
        let section = file.section_by_name(CASES_SECTION);
        let section = section.ok_or_else(|| not_ours(format!("it has no section {CASES_SECTION}")))?;
        let names = section.data().map_err(|error| not_ours(format!("its section {CASES_SECTION}: {error}")))?;
        let cases = case_names(names).map(|name| name.map(|(suite, case)| format!("{suite}/{case}")));
        let cases: Option<Vec<String>> = cases.collect();
        let cases = cases.filter(|cases| !cases.is_empty());
        let cases =
            cases.ok_or_else(|| not_ours(format!("its section {CASES_SECTION} holds no `suite/case` names")))?;
        // Two of some thousand symbols, and nearly all of the others are functions, whose names nobody has to read.
        let [mut log, mut progress] = [None, None];
        for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Data) {
            let place = || Some(Region { address: symbol.address(), size: symbol.size() });
            match symbol.name() {
                Ok(LOG_SYMBOL) => log = log.or_else(place),
                Ok(PROGRESS_SYMBOL) => progress = progress.or_else(place),
                _ => {}
            }
        }
        let missing = |name: &str| not_ours(format!("it has no symbol {name}"));
        let log = log.ok_or_else(|| missing(LOG_SYMBOL))?;
        let progress = progress.ok_or_else(|| missing(PROGRESS_SYMBOL))?;
        Ok(Self { path: path.to_owned(), cases, log, progress, elf })
    }

    /// The file without what only people and this program read, for hosts it has to be sent to.
    #[must_use]
    pub fn loadable(&self) -> Vec<u8> {
        let end = match object::File::parse(&*self.elf) {
            Ok(file) => file
                .segments()
                .map(|segment| segment.file_range())
                .map(|(start, size)| start.saturating_add(size))
                .max(),
            Err(_) => None,
        };
        let end = end.and_then(|end| usize::try_from(end).ok()).unwrap_or(usize::MAX);
        let mut part = self.elf[..end.min(self.elf.len())].to_vec();
        // ELF-64 header: e_shoff; e_shentsize, e_shnum and e_shstrndx.
        for field in [0x28..0x30, 0x3a..0x40] {
            if let Some(bytes) = part.get_mut(field) {
                bytes.fill(0);
            }
        }
        part
    }

    /// The names of its suites, in its order.
    #[must_use]
    pub fn suites(&self) -> Vec<&str> {
        let mut suites: Vec<&str> = self.cases.iter().filter_map(|case| Some(case.split_once('/')?.0)).collect();
        suites.dedup();
        suites
    }

    /// The cases of these suites.
    #[must_use]
    pub fn cases_of<'a>(&'a self, suites: &[&str]) -> Vec<&'a str> {
        let chosen = |case: &&str| case.split_once('/').is_some_and(|(suite, _)| suites.contains(&suite));
        self.cases.iter().map(String::as_str).filter(chosen).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_not_ours_are_refused_with_the_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = folder.path().join("text");
        std::fs::write(&text, "not an ELF file").expect("written");
        let own = std::env::current_exe().expect("this test");
        for (path, reason) in [(text.as_path(), "no ELF file"), (folder.path(), "no file"), (own.as_path(), "")] {
            let error = Image::read(path).expect_err("not ours").to_string();
            assert!(error.contains("is not an image of ours") && error.contains(reason), "{error}");
        }
        assert!(matches!(Image::read(Path::new("/nonexistent")), Err(ImageError::Io { .. })));
    }
}
