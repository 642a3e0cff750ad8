// SPDX-License-Identifier: MIT OR Apache-2.0
//! The folder of one run: sockets while it runs, and everything about it afterwards. Removed when nobody needs it.
//!
//! It stands under a short path, because a unix socket's path is limited: in `KAPUT_RUNS`, or where temporary files go.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::protocol::socket_path::{LONGEST, LONGEST_NAME, TAG};

/// How the folders' names begin.
const PREFIX: &str = "kaput-";

/// Bytes that the path of the folder in which they are made may have.
const LONGEST_BASE: usize = LONGEST - LONGEST_NAME - "/".len() - PREFIX.len() - TAG;

/// Why there is no folder.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum FolderError {
    /// It cannot be made.
    #[error("cannot make a run folder in {}: {source}", base.display())]
    #[diagnostic(help("set KAPUT_RUNS to a folder that can be written"))]
    Create {
        /// Where.
        base: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Sockets in it would have too long paths.
    #[error("the run folder's path has {length} bytes, too many for sockets in it: {}", path.display())]
    #[diagnostic(help("set KAPUT_RUNS to a folder with a short path, at most {LONGEST_BASE} bytes"))]
    TooLong {
        /// The folder.
        path: PathBuf,
        /// Bytes of its path.
        length: usize,
    },
}

/// A run's folder; removed on drop unless it is kept. Whoever looks after a process that uses it has a part in it.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    is_kept: AtomicBool,
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if !self.is_kept.load(Ordering::Relaxed) {
            _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

impl RunFolder {
    /// Makes an empty one.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn create() -> Result<Arc<Self>, FolderError> {
        Self::create_in(&Self::base())
    }

    /// Where they are made.
    #[must_use]
    pub fn base() -> PathBuf {
        std::env::var_os("KAPUT_RUNS").map_or_else(std::env::temp_dir, PathBuf::from)
    }

    /// Makes an empty one under `base`.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn create_in(base: &Path) -> Result<Arc<Self>, FolderError> {
        let create = |source| FolderError::Create { base: base.to_owned(), source };
        let base_path = std::path::absolute(base).map_err(create)?;
        let folder = tempfile::Builder::new().prefix(PREFIX).rand_bytes(TAG).tempdir_in(base_path).map_err(create)?;
        let length = folder.path().as_os_str().len();
        if length + LONGEST_NAME > LONGEST {
            return Err(FolderError::TooLong { path: folder.path().to_owned(), length });
        }
        Ok(Arc::new(Self { path: folder.keep(), is_kept: AtomicBool::new(false) }))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What tells it from the folders of other runs, in a few characters.
    #[must_use]
    pub fn tag(&self) -> String {
        let name = self.path().file_name().unwrap_or_default().to_string_lossy();
        name.strip_prefix(PREFIX).unwrap_or(&name).to_owned()
    }

    /// The path of a file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Creates a file in it.
    ///
    /// # Errors
    /// The file system's.
    pub fn create_file(&self, name: &str) -> io::Result<File> {
        File::create(self.file(name))
    }

    /// Writes a file in it; an empty text makes no file.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> io::Result<()> {
        if text.as_ref().is_empty() { Ok(()) } else { std::fs::write(self.file(name), text) }
    }

    /// Writes a value as JSON for people and programs.
    ///
    /// # Errors
    /// The file system's.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
        text.push('\n');
        self.write(name, text)
    }

    /// Keeps it. Sockets, which are of no use any more, are removed.
    pub fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
        for entry in std::fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| !kind.is_file() && !kind.is_dir()) {
                _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_gone_when_nobody_needs_it_and_stays_when_somebody_does() {
        let folder = RunFolder::create().expect("a folder");
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
        let folder = RunFolder::create().expect("a folder");
        folder.write("note", "text").expect("written");
        _ = std::os::unix::net::UnixListener::bind(folder.file("socket")).expect("a socket");
        let path = folder.path().to_owned();
        folder.keep();
        drop(folder);
        assert!(path.join("note").exists() && !path.join("socket").exists());
        std::fs::remove_dir_all(path).expect("removed");
    }

    #[test]
    fn a_path_too_long_for_sockets_is_refused_with_what_to_do() {
        let base = tempfile::tempdir().expect("a folder");
        let long = base.path().join("x".repeat(90));
        std::fs::create_dir(&long).expect("a folder");
        assert!(matches!(RunFolder::create_in(&long), Err(FolderError::TooLong { .. })));
        assert_eq!(std::fs::read_dir(&long).expect("readable").count(), 0, "nothing is left behind");
    }
}
