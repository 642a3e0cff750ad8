// SPDX-License-Identifier: MIT OR Apache-2.0
//! Set-up: a QEMU, the guest's `core` and `alloc`, a Linux and the lab's kernel for the tests, found on this machine or
//! fetched into our cache.
//!
//! The system is never changed but by rustup, asked for the guest's target. Several checkouts and several calls may
//! share the cache: who fetches holds its lock, and everything arrives in one step.

mod apt;
pub(crate) mod bare;
pub(crate) mod guest_library;
mod kernel_source;
pub(crate) mod lab_kernel;
#[cfg(test)]
#[path = "tests/lacking.rs"]
mod lacking;
pub(crate) mod linux;
pub(crate) mod mdbook;
#[cfg(test)]
#[path = "tests/mirror.rs"]
mod mirror;
pub(crate) mod probe;
pub(crate) mod qemu;
mod sources;
mod unpacked;

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const LOCK_DEADLINE: Duration = Duration::from_secs(3600);
const LOCK_INTERVAL: Duration = Duration::from_millis(200);

/// Runs `work` while no other set-up works on the cache.
fn locked<T>(cache: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    fs::create_dir_all(cache).with_context(|| format!("cannot create the cache folder {}", cache.display()))?;
    let file = cache.join("lock");
    let lock = File::create(&file).with_context(|| format!("cannot write to the cache: {}", file.display()))?;
    let end = Instant::now() + LOCK_DEADLINE;
    let mut said = false;
    // A file lock cannot be waited for with a deadline other than by asking again.
    while let Err(error) = lock.try_lock() {
        match error {
            TryLockError::WouldBlock if Instant::now() < end => {
                if !said {
                    eprintln!("xtask: waiting for another set-up to finish with {}", cache.display());
                }
                said = true;
                thread::sleep(LOCK_INTERVAL);
            }
            TryLockError::WouldBlock => bail!("another set-up holds {} for too long", file.display()),
            TryLockError::Error(error) => return Err(error).context(format!("cannot lock {}", file.display())),
        }
    }
    remove_leftovers(cache);
    work()
}

/// What is `here`, or what `get` makes of it, which only one set-up does at a time.
fn found_or_got<T>(cache: &Path, here: impl Fn() -> Option<T>, get: impl FnOnce() -> Result<T>) -> Result<T> {
    match here() {
        Some(found) => Ok(found),
        // Another set-up may have been faster.
        None => locked(cache, || here().map_or_else(get, Ok)),
    }
}

/// What an interrupted set-up left. Called under the lock: nobody uses it.
fn remove_leftovers(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(".tmp") {
            // A leftover that cannot be removed costs space only.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Fills a new folder and puts it at `cache/name` in one step; an earlier one there is dropped.
fn replace(cache: &Path, name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let new = tempfile::tempdir_in(cache).with_context(|| format!("cannot write to {}", cache.display()))?;
    let (folder, place) = (new.path().join("new"), cache.join(name));
    fs::create_dir(&folder)?;
    fill(&folder)?;
    if place.exists() {
        fs::rename(&place, new.path().join("old"))?;
    }
    fs::rename(&folder, &place).with_context(|| format!("cannot create {}", place.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_appears_complete_or_not_at_all() -> Result<()> {
        let cache = tempfile::tempdir()?;
        let place = cache.path().join("qemu");
        let failed = replace(cache.path(), "qemu", |folder| {
            fs::write(folder.join("half"), "")?;
            bail!("interrupted")
        });
        assert!(failed.is_err());
        assert!(!place.exists());

        replace(cache.path(), "qemu", |folder| Ok(fs::write(folder.join("one"), "")?))?;
        replace(cache.path(), "qemu", |folder| Ok(fs::write(folder.join("two"), "")?))?;
        assert!(place.join("two").exists() && !place.join("one").exists());
        assert_eq!(fs::read_dir(cache.path())?.count(), 1);
        Ok(())
    }

    #[test]
    fn leftovers_of_a_killed_set_up_are_removed_by_the_next() -> Result<()> {
        let cache = tempfile::tempdir()?;
        let leftover = cache.path().join(".tmpAbCdEf/new/root");
        fs::create_dir_all(&leftover)?;
        fs::create_dir(cache.path().join("qemu"))?;
        locked(cache.path(), || Ok(()))?;
        assert!(!leftover.exists());
        assert!(cache.path().join("qemu").exists());
        Ok(())
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_named() {
        let error = locked(Path::new("/proc/kaput"), || Ok(())).expect_err("not writable");
        assert!(format!("{error:#}").starts_with("cannot create the cache folder /proc/kaput"), "{error:#}");
    }
}
