// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds scenario files and reads them. What is wrong is reported with its place in the file and what is allowed there.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use ap_machine::Topology;
use miette::{Diagnostic, NamedSource, SourceSpan};
use thiserror::Error;

use super::{Scenario, pattern};
use crate::guest::image::Image;

/// Bytes a scenario file may have.
const LARGEST_FILE: u64 = 1 << 20;

/// Why there is no scenario.
#[derive(Debug, Error, Diagnostic)]
pub enum ScenarioError {
    /// No file of that name.
    #[error("there is no scenario `{name}`")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        #[help]
        known: String,
    },
    /// The folder or a file cannot be read.
    #[error("cannot read {path}")]
    #[diagnostic(help("name a scenario from `kaput list`, or the path of a file that is there"))]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The content is wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Content(Box<ContentError>),
}

/// What is wrong in a scenario file, and where.
#[derive(Debug, Error, Diagnostic)]
#[error("{message}")]
pub struct ContentError {
    message: String,
    #[source_code]
    file: NamedSource<String>,
    #[label("here")]
    place: Option<SourceSpan>,
    #[help]
    help: Option<String>,
}

impl ScenarioError {
    /// A fault at a place of a scenario file.
    pub(crate) fn at(
        path: &Path,
        text: &str,
        message: String,
        place: Option<Range<usize>>,
        help: Option<String>,
    ) -> Self {
        let file = NamedSource::new(path.display().to_string(), text.to_owned()).with_language("TOML");
        Self::Content(Box::new(ContentError { message, file, place: place.map(SourceSpan::from), help }))
    }
}

/// A scenario with the text it was read from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The scenario.
    pub scenario: Scenario,
    /// Its file.
    pub path: PathBuf,
    /// The file's content.
    pub text: String,
}

impl Loaded {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn from_file(path: &Path) -> Result<Self, ScenarioError> {
        Self::from_text(path, read(path)?)
    }

    /// Reads a text as if it stood in a file of this name.
    ///
    /// # Errors
    /// [`ScenarioError::Content`].
    pub fn from_text(path: &Path, text: String) -> Result<Self, ScenarioError> {
        let mut scenario: Scenario = toml::from_str(&text)
            .map_err(|error| ScenarioError::at(path, &text, error.message().to_owned(), error.span(), None))?;
        scenario.name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        scenario.choose(scenario.driver.clone());
        scenario.check().map_err(|f| ScenarioError::at(path, &text, f.message, f.place, Some(f.help)))?;
        Ok(Self { scenario, path: path.to_owned(), text })
    }

    /// Checks the names of suites and cases against an image.
    ///
    /// # Errors
    /// [`ScenarioError::Content`] at the first name that the image does not have.
    pub fn check_against(&self, image: &Image) -> Result<(), ScenarioError> {
        let suites = image.suites();
        let chosen = image.cases_of(&self.scenario.suites());
        for suite in &self.scenario.guest.suites {
            if !suites.contains(&suite.get_ref().as_str()) {
                let help = format!("the image has the suites {}", suites.join(", "));
                return Err(self.fault(format!("the image has no suite `{}`", suite.get_ref()), suite.span(), help));
            }
        }
        let expect = &self.scenario.expect;
        for wanted in expect.failing.iter().chain(&expect.skipped) {
            if !chosen.iter().any(|case| pattern::fits(case, wanted.get_ref())) {
                let help = format!("the chosen suites have the cases {}", chosen.join(", "));
                let message = format!("there is no case `{}` in the chosen suites", wanted.get_ref());
                return Err(self.fault(message, wanted.span(), help));
            }
        }
        Ok(())
    }

    fn fault(&self, message: String, place: Range<usize>, help: String) -> ScenarioError {
        ScenarioError::at(&self.path, &self.text, message, Some(place), Some(help))
    }
}

/// Reads AP hardware from a TOML file of its own.
///
/// # Errors
/// [`ScenarioError`].
pub fn topology(path: &Path) -> Result<Topology, ScenarioError> {
    let text = read(path)?;
    let wrong = |message, place, help| ScenarioError::at(path, &text, message, place, help);
    let topology: Topology =
        toml::from_str(&text).map_err(|error| wrong(error.message().to_owned(), error.span(), None))?;
    topology.check().map_err(|error| wrong(error.to_string(), None, None))?;
    Ok(topology)
}

fn read(path: &Path) -> Result<String, ScenarioError> {
    let io_error = |source| ScenarioError::Io { path: path.to_owned(), source };
    let mut text = String::new();
    // Its length is not asked: a pipe and a device have none, and no end perhaps.
    let file = File::open(path).map_err(io_error)?;
    file.take(LARGEST_FILE + 1).read_to_string(&mut text).map_err(io_error)?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(io_error(io::Error::new(io::ErrorKind::FileTooLarge, "such a file has at most 1 MiB")));
    }
    Ok(text)
}

/// The names of all scenarios in a folder, sorted.
///
/// # Errors
/// [`ScenarioError::Io`].
pub fn names(folder: &Path) -> Result<Vec<String>, ScenarioError> {
    let io_error = |source| ScenarioError::Io { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io_error)? {
        let path = entry.map_err(io_error)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Whether a word names a file and not a scenario of the folder.
#[must_use]
pub fn is_file(word: &str) -> bool {
    word.contains('/') || Path::new(word).extension().is_some_and(|extension| extension == "toml")
}

/// Finds what `words` stand for: names, patterns with `*`, `?` or `[…]`, tags as `tag:WORD`, and paths of files. Each
/// scenario is there once, in the order of the words.
///
/// # Errors
/// [`ScenarioError`]; a word that nothing answers to is one.
pub fn choose(folder: &Path, words: &[String]) -> Result<Vec<Loaded>, ScenarioError> {
    let mut chosen: Vec<Loaded> = Vec::new();
    for word in words {
        let found = if let Some(tag) = word.strip_prefix("tag:") {
            tagged(folder, tag)?
        } else if !is_file(word) && word.contains(['*', '?', '[']) {
            matching(folder, word)?
        } else {
            vec![find(folder, word)?]
        };
        for loaded in found {
            if !chosen.iter().any(|known| known.path == loaded.path) {
                chosen.push(loaded);
            }
        }
    }
    Ok(chosen)
}

fn tagged(folder: &Path, tag: &str) -> Result<Vec<Loaded>, ScenarioError> {
    let all = names(folder)?.iter().map(|name| find(folder, name)).collect::<Result<Vec<_>, _>>()?;
    let mut tags: Vec<String> = all.iter().flat_map(|loaded| loaded.scenario.tags.clone()).collect();
    tags.sort();
    tags.dedup();
    let found: Vec<Loaded> = all.into_iter().filter(|loaded| loaded.scenario.tags.iter().any(|t| t == tag)).collect();
    if found.is_empty() {
        let known = format!("the tags are {}", tags.join(", "));
        return Err(ScenarioError::Unknown { name: format!("tag:{tag}"), known });
    }
    Ok(found)
}

fn matching(folder: &Path, word: &str) -> Result<Vec<Loaded>, ScenarioError> {
    let known = names(folder)?;
    let nothing = |reason: String| ScenarioError::Unknown { name: word.to_owned(), known: reason };
    let pattern = glob::Pattern::new(word).map_err(|error| nothing(format!("it is no pattern: {}", error.msg)))?;
    let found: Vec<&String> = known.iter().filter(|name| pattern.matches(name)).collect();
    if found.is_empty() {
        return Err(nothing(format!("the scenarios are {}", known.join(", "))));
    }
    found.into_iter().map(|name| find(folder, name)).collect()
}

/// Finds a scenario by its name in the folder, or by the path of its file.
///
/// # Errors
/// [`ScenarioError`].
pub fn find(folder: &Path, name: &str) -> Result<Loaded, ScenarioError> {
    if is_file(name) {
        return Loaded::from_file(Path::new(name));
    }
    let known = names(folder)?;
    if known.iter().any(|known| known == name) {
        return Loaded::from_file(&folder.join(format!("{name}.toml")));
    }
    Err(ScenarioError::Unknown { name: name.to_owned(), known: format!("the scenarios are {}", known.join(", ")) })
}
