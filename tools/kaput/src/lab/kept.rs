// SPDX-License-Identifier: MIT OR Apache-2.0
//! LPARs that have booted once, kept without adapters: a case gets a fresh one in a tenth of a second.
//!
//! The hardware is not in the file, so one file serves hosts of every kind. Linux reads the highest numbers of adapter
//! and domain at its boot and never again: a file is for one pair of them.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::SystemTime;

use ap_arch::{Apid, Apqi};
use ap_machine::Topology;

use super::lpar::{From, Lpar, LparError, command_line};
use super::owner::FACILITIES;
use super::parts::Parts;

/// How many files stay in the cache: each has about 20 MB.
const STAY: usize = 8;
const ENDING: &str = "lpar";

/// The kept LPARs of one kernel.
#[derive(Debug)]
pub struct Kept {
    parts: Parts,
    /// The cache's folder.
    place: PathBuf,
    /// What all its files depend on.
    key: u64,
    /// One boots at a time.
    boots: Mutex<()>,
}

impl Kept {
    /// Those of LPARs that are made from `parts`.
    ///
    /// # Errors
    /// [`LparError::Io`].
    pub fn new(parts: Parts, place: PathBuf) -> Result<Self, LparError> {
        let key = key(&parts).map_err(|error| LparError::Io("what the LPAR is made from", error))?;
        fs::create_dir_all(&place).map_err(|error| LparError::Io("the cache of LPARs", error))?;
        Ok(Self { parts, place, key, boots: Mutex::new(()) })
    }

    /// A fresh LPAR on this hardware. `name` tells its files in `folder` from those of others.
    ///
    /// # Errors
    /// [`LparError`].
    pub fn lpar(&self, topology: &Topology, folder: &Path, name: &str) -> Result<Lpar, LparError> {
        let file = self.file((topology.max_adapter, topology.max_domain), folder, name)?;
        Lpar::start(&self.parts, topology, From::File(&file), folder, name)
    }

    /// The file for these highest numbers, made if it is not there.
    fn file(&self, (max_adapter, max_domain): (Apid, Apqi), folder: &Path, name: &str) -> Result<PathBuf, LparError> {
        let file = self.place.join(format!("{:016x}-{:02x}-{:02x}.{ENDING}", self.key, max_adapter.0, max_domain.0));
        let _one = self.boots.lock().unwrap_or_else(PoisonError::into_inner);
        if file.is_file() {
            return Ok(file);
        }
        let keep = |error| LparError::Io("the cache of LPARs", error);
        let topology = Topology { max_adapter, max_domain, ..Topology::default() };
        let lpar = Lpar::start(&self.parts, &topology, From::Kernel, folder, &format!("{name}-boot"))?;
        // Renamed into place: another harness may do the same.
        let new = tempfile::NamedTempFile::new_in(&self.place).map_err(keep)?;
        lpar.keep(new.path())?;
        new.persist(&file).map_err(|error| keep(error.error))?;
        self.forget_old();
        Ok(file)
    }

    /// Removes what was made longest ago.
    fn forget_old(&self) {
        let entries = fs::read_dir(&self.place).into_iter().flatten().flatten();
        let kept = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == ENDING));
        let age = |path: &PathBuf| path.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut kept: Vec<PathBuf> = kept.collect();
        kept.sort_by_key(|path| std::cmp::Reverse(age(path)));
        // One that cannot be removed costs space only.
        kept.iter().skip(STAY).for_each(|path| _ = fs::remove_file(path));
    }
}

/// Everything that a kept LPAR depends on but the highest numbers. Programs count by their looks, what boots by its
/// content.
fn key(parts: &Parts) -> io::Result<u64> {
    let mut hasher = DefaultHasher::new();
    for program in [&parts.qemu, &parts.plugin] {
        let data = fs::metadata(program)?;
        (program, data.len(), data.modified().ok()).hash(&mut hasher);
    }
    for content in [&parts.kernel, &parts.initramfs] {
        fs::read(content)?.hash(&mut hasher);
    }
    (&parts.machine, parts.memory, parts.cpus, command_line()).hash(&mut hasher);
    FACILITIES.bits().collect::<Vec<u32>>().hash(&mut hasher);
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_kernel_or_agent_has_another_key_and_another_path_of_them_has_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("written");
            path
        };
        let parts = |kernel: &str, initramfs: &str| Parts {
            qemu: write("qemu", ""),
            machine: "s390-ccw-virtio-11.1".to_owned(),
            plugin: write("plugin", ""),
            kernel: write(kernel, kernel),
            initramfs: write("initramfs", initramfs),
            memory: "64M",
            cpus: 2,
        };
        let of = |parts: &Parts| key(parts).expect("readable");
        let first = parts("one", "agent");
        let usual = of(&first);
        fs::copy(folder.path().join("one"), folder.path().join("copy")).expect("copied");
        assert_eq!(of(&Parts { kernel: folder.path().join("copy"), ..first.clone() }), usual);
        assert_ne!(of(&Parts { cpus: 1, ..first.clone() }), usual);
        assert_ne!(of(&parts("two", "agent")), usual);
        assert_ne!(of(&parts("one", "another")), usual);
    }
}
