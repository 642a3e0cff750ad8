// SPDX-License-Identifier: MIT OR Apache-2.0
//! What earlier calls found out and need not be asked again, in one file of the target folder.
//!
//! Every entry names the look of the files it was drawn from; who reads an entry compares. The file is a convenience:
//! a missing or unreadable one costs time, never correctness, and a failure to write it is no error.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::layout::FileLook;
use crate::setup::guest_library::GuestLibrary;
use crate::setup::probe::Fit;

/// The remembered findings.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    #[serde(skip)]
    file: PathBuf,
    #[serde(skip)]
    changed: bool,
    qemus: BTreeMap<PathBuf, (FileLook, Fit)>,
    guest_library: Option<(FileLook, GuestLibrary)>,
    builds: BTreeMap<String, Build>,
}

/// What one build was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Build {
    /// Settings that change the result without being a file of the checkout.
    pub(crate) settings: Vec<String>,
    /// Every file read and every file made.
    pub(crate) files: BTreeMap<PathBuf, FileLook>,
}

impl State {
    /// Reads the state of a target folder; empty where there is none.
    pub(crate) fn load(target: &Path) -> Self {
        let file = target.join("xtask.json");
        let text = fs::read_to_string(&file).unwrap_or_default();
        let state: Self = serde_json::from_str(&text).unwrap_or_default();
        Self { file, ..state }
    }

    /// The earlier check of the QEMU at `path`, if that file is still the same.
    pub(crate) fn qemu(&self, path: &Path) -> Option<Fit> {
        let (look, fit) = self.qemus.get(path)?;
        (FileLook::of(path)? == *look).then(|| fit.clone())
    }

    /// Remembers a check.
    pub(crate) fn set_qemu(&mut self, path: &Path, fit: &Fit) {
        if let Some(look) = FileLook::of(path) {
            self.qemus.insert(path.to_path_buf(), (look, fit.clone()));
            self.changed = true;
        }
    }

    /// Where `core` and `alloc` came from with the same compiler.
    pub(crate) fn guest_library(&self, rustc: &Path) -> Option<GuestLibrary> {
        let (look, library) = self.guest_library.as_ref()?;
        (FileLook::of(rustc)? == *look).then(|| library.clone())
    }

    /// Remembers it.
    pub(crate) fn set_guest_library(&mut self, rustc: &Path, library: &GuestLibrary) {
        self.guest_library = FileLook::of(rustc).map(|look| (look, library.clone()));
        self.changed = true;
    }

    /// What the build of that name was made from.
    pub(crate) fn build(&self, name: &str) -> Option<&Build> {
        self.builds.get(name)
    }

    /// Remembers or forgets a build.
    pub(crate) fn set_build(&mut self, name: &str, build: Option<Build>) {
        self.builds.remove(name);
        self.builds.extend(build.map(|build| (name.to_owned(), build)));
        self.changed = true;
    }

    /// Writes the file anew where something changed, in one step.
    pub(crate) fn save(&mut self) {
        if std::mem::take(&mut self.changed) {
            // Forgetting is allowed, see the module's text.
            let _ = self.write();
        }
    }

    fn write(&self) -> std::io::Result<()> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(serde_json::to_string(self)?.as_bytes())?;
        file.persist(&self.file)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit() -> Fit {
        Fit { version: "11.1.3".into(), api: (7, 7) }
    }

    #[test]
    fn a_check_holds_until_its_file_changes() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let qemu = folder.path().join("qemu");
        fs::write(&qemu, "one")?;
        let mut state = State::load(folder.path());
        state.set_qemu(&qemu, &fit());
        state.save();
        assert_eq!(State::load(folder.path()).qemu(&qemu), Some(fit()));
        fs::write(&qemu, "other")?;
        assert_eq!(State::load(folder.path()).qemu(&qemu), None);
        Ok(())
    }

    #[test]
    fn a_damaged_state_is_an_empty_one() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("xtask.json"), "{\"qemus\":[")?;
        let mut state = State::load(folder.path());
        assert!(state.build("host").is_none());
        state.set_build("host", Some(Build { settings: Vec::new(), files: BTreeMap::new() }));
        state.save();
        assert!(State::load(folder.path()).build("host").is_some());
        Ok(())
    }
}
