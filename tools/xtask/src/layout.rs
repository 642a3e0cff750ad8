// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where things stand: the checkout, cargo's target folder, our cache; and which compiler cargo runs.
//!
//! Nothing here starts a process: `cargo xtask` has told us by its environment what cargo and rustup know.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// The folders everything else is relative to.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// cargo's target folder for the host.
    pub(crate) target: PathBuf,
    /// What was fetched once and serves all checkouts.
    pub(crate) cache: PathBuf,
    /// The compiler.
    pub(crate) toolchain: Toolchain,
}

/// The cargo that started us, and the compiler beside it.
#[derive(Debug, Clone)]
pub(crate) struct Toolchain {
    /// cargo itself, not rustup's proxy where that can be told.
    pub(crate) cargo: PathBuf,
    /// rustc itself, likewise.
    pub(crate) rustc: PathBuf,
    /// The folder that holds `lib/rustlib`.
    pub(crate) sysroot: PathBuf,
}

impl Layout {
    /// Reads it from the environment.
    ///
    /// # Errors
    /// When there is no home for the cache, or we were not started by cargo.
    pub(crate) fn discover() -> Result<Self> {
        let package =
            env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let Some(root) = package.ancestors().nth(2).map(Path::to_path_buf) else {
            bail!("{} is not the folder of xtask in a checkout", package.display());
        };
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => env::current_dir().context("the current folder is gone")?.join(folder),
            None => root.join("target"),
        };
        let cache = cache_folder(|name| env::var_os(name).filter(|value| !value.is_empty()))?;
        Ok(Self { root, target, cache, toolchain: Toolchain::discover()? })
    }
}

impl Toolchain {
    fn discover() -> Result<Self> {
        let Some(cargo) = env::var_os("CARGO").map(PathBuf::from) else {
            bail!("start this as `cargo xtask`, so that it knows which cargo to use");
        };
        let rustc = cargo.with_file_name("rustc");
        match cargo.ancestors().nth(2) {
            Some(sysroot) if rustc.exists() && sysroot.join("lib/rustlib").exists() => {
                Ok(Self { sysroot: sysroot.to_path_buf(), cargo, rustc })
            }
            _ => bail!("there is no rustc beside {} (rustup installs both together)", cargo.display()),
        }
    }
}

fn cache_folder(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let folder = variable("KAPUT_CACHE")
        .map(PathBuf::from)
        .or_else(|| variable("XDG_CACHE_HOME").map(|folder| Path::new(&folder).join("kaput")))
        .or_else(|| variable("HOME").map(|folder| Path::new(&folder).join(".cache/kaput")))
        .context("no place for the cache: set HOME, XDG_CACHE_HOME or KAPUT_CACHE")?;
    std::path::absolute(folder).context("the current folder is gone")
}

/// The first executable of that name in `PATH`.
pub(crate) fn in_path(name: &str) -> Option<PathBuf> {
    which::which(name).ok()
}

/// What a file looked like; another look means it may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileLook {
    /// Nanoseconds since 1970.
    pub(crate) modified: u64,
    /// Bytes.
    pub(crate) size: u64,
}

impl FileLook {
    /// `None` when there is no such file.
    pub(crate) fn of(file: &Path) -> Option<Self> {
        let metadata = fs::metadata(file).ok()?;
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Self { modified: u64::try_from(modified.as_nanos()).ok()?, size: metadata.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Option<PathBuf> {
        let variable = |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value.into());
        cache_folder(variable).ok()
    }

    #[test]
    fn the_cache_is_ours_before_the_users_before_the_default() {
        let (home, xdg, ours) = (("HOME", "/home/u"), ("XDG_CACHE_HOME", "/x"), ("KAPUT_CACHE", "/k"));
        assert_eq!(with(&[home, xdg, ours]), Some("/k".into()));
        assert_eq!(with(&[home, xdg]), Some("/x/kaput".into()));
        assert_eq!(with(&[home]), Some("/home/u/.cache/kaput".into()));
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn a_changed_file_looks_different() -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        let before = FileLook::of(file.path());
        fs::write(file.path(), "x")?;
        assert!(before.is_some());
        assert_ne!(before, FileLook::of(file.path()));
        assert_eq!(FileLook::of(Path::new("/nonexistent")), None);
        Ok(())
    }
}
