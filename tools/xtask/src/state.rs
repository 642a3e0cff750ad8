// SPDX-License-Identifier: MIT OR Apache-2.0
//! What earlier calls found out about files outside of the checkout and need not ask again, in one file of the target
//! folder: whether a QEMU takes the plugin, where the guest's libraries are. It knows nothing of what it keeps.
//!
//! A finding holds as long as the file it is about looks the same. The file is a convenience: a missing or unreadable
//! one costs time, never correctness, and a failure to write it is no error.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::layout::FileLook;

/// The remembered findings.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    #[serde(skip)]
    file: PathBuf,
    #[serde(skip)]
    changed: bool,
    /// By what they say and of which file.
    findings: BTreeMap<String, BTreeMap<PathBuf, (FileLook, Value)>>,
}

impl State {
    /// Reads the state of a target folder; empty where there is none.
    pub(crate) fn load(target: &Path) -> Self {
        let file = target.join("xtask.json");
        let text = fs::read_to_string(&file).unwrap_or_default();
        let state: Self = serde_json::from_str(&text).unwrap_or_default();
        Self { file, ..state }
    }

    /// An earlier finding about the file at `path`, if that file is still the same.
    pub(crate) fn recall<T: DeserializeOwned>(&self, what: &str, path: &Path) -> Option<T> {
        let (look, value) = self.findings.get(what)?.get(path)?;
        if FileLook::of(path)? != *look {
            return None;
        }
        T::deserialize(value).ok()
    }

    /// Remembers a finding about the file at `path`.
    pub(crate) fn remember(&mut self, what: &str, path: &Path, finding: &impl Serialize) {
        if let (Some(look), Ok(value)) = (FileLook::of(path), serde_json::to_value(finding)) {
            self.findings.entry(what.to_owned()).or_default().insert(path.to_path_buf(), (look, value));
            self.changed = true;
        }
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

    #[test]
    fn a_finding_holds_until_its_file_changes() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let qemu = folder.path().join("qemu");
        fs::write(&qemu, "one")?;
        let mut state = State::load(folder.path());
        state.remember("version", &qemu, &"11.1.3");
        state.save();
        let state = State::load(folder.path());
        assert_eq!(state.recall("version", &qemu), Some("11.1.3".to_owned()));
        assert_eq!(state.recall::<u64>("version", &qemu), None);
        assert_eq!(state.recall::<String>("other", &qemu), None);
        fs::write(&qemu, "other")?;
        assert_eq!(state.recall::<String>("version", &qemu), None);
        Ok(())
    }

    #[test]
    fn a_damaged_state_is_an_empty_one() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let qemu = folder.path().join("qemu");
        fs::write(&qemu, "one")?;
        fs::write(folder.path().join("xtask.json"), "{\"findings\":[")?;
        let mut state = State::load(folder.path());
        assert_eq!(state.recall::<u8>("answer", &qemu), None);
        state.remember("answer", &qemu, &42);
        state.save();
        assert_eq!(State::load(folder.path()).recall("answer", &qemu), Some(42));
        Ok(())
    }
}
