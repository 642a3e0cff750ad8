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
use std::time::{Duration, SystemTime};

use ap_arch::{Apid, Apqi};
use ap_machine::Topology;

use super::lpar::{From, Lpar, LparError, command_line};
use super::owner::{FACILITIES, Owner};
use super::parts::Parts;

/// How many files stay in the cache: each has about 20 MB.
const STAY: usize = 8;
const ENDING: &str = "lpar";
/// A file without its name is written in a second; one that is older was left by a harness that was killed.
const LEFT: Duration = Duration::from_secs(3600);

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

    /// The kernel.
    #[must_use]
    pub fn kernel(&self) -> &Path {
        &self.parts.kernel
    }

    /// An LPAR that goes on from a file of somebody's own, which was made by [`Lpar::keep`].
    ///
    /// # Errors
    /// [`LparError`].
    pub fn lpar_of(&self, file: &Path, owner: &Owner, folder: &Path, name: &str) -> Result<Lpar, LparError> {
        Lpar::start(&self.parts, owner, From::File(file), folder, name)
    }

    /// A fresh LPAR on this hardware; its files in `folder` begin with `name`.
    ///
    /// # Errors
    /// [`LparError`].
    pub fn lpar(&self, owner: &Owner, folder: &Path, name: &str) -> Result<Lpar, LparError> {
        let start = |file: &Path| Lpar::start(&self.parts, owner, From::File(file), folder, name);
        let file = self.file(owner.highest, folder, name)?;
        match start(&file) {
            // The file is damaged, or another harness has just removed it: once it is made anew.
            Err(LparError::Ended { .. } | LparError::Silent { .. } | LparError::Agent(_) | LparError::Cpus(_)) => {
                _ = fs::remove_file(&file);
                start(&self.file(owner.highest, folder, name)?)
            }
            started => started,
        }
    }

    /// The file for these highest numbers, made if it is not there.
    fn file(&self, (max_adapter, max_domain): (Apid, Apqi), folder: &Path, name: &str) -> Result<PathBuf, LparError> {
        let file = self.path((max_adapter, max_domain));
        let _one = self.boots.lock().unwrap_or_else(PoisonError::into_inner);
        if file.is_file() {
            return Ok(file);
        }
        let keep = |error| LparError::Io("the cache of LPARs", error);
        let topology = Topology { max_adapter, max_domain, ..Topology::default() };
        let owner = Owner::new(&topology)?;
        let lpar = Lpar::start(&self.parts, &owner, From::Kernel, folder, &format!("{name}-boot"))?;
        // Renamed into place: another harness may do the same.
        let new = tempfile::NamedTempFile::new_in(&self.place).map_err(keep)?;
        lpar.keep(new.path())?;
        new.persist(&file).map_err(|error| keep(error.error))?;
        self.forget_old();
        Ok(file)
    }

    fn path(&self, (max_adapter, max_domain): (Apid, Apqi)) -> PathBuf {
        self.place.join(format!("{:016x}-{:02x}-{:02x}.{ENDING}", self.key, max_adapter.0, max_domain.0))
    }

    /// Removes what was made longest ago, and what was left half made.
    fn forget_old(&self) {
        let entries = fs::read_dir(&self.place).into_iter().flatten().flatten().map(|entry| entry.path());
        let (kept, others): (Vec<PathBuf>, Vec<PathBuf>) =
            entries.partition(|path| path.extension().is_some_and(|end| end == ENDING));
        let age = |path: &PathBuf| path.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let is_left = |path: &&PathBuf| age(path).elapsed().is_ok_and(|age| age > LEFT);
        let mut kept = kept;
        kept.sort_by_key(|path| std::cmp::Reverse(age(path)));
        // One that cannot be removed costs space only.
        kept.iter().skip(STAY).chain(others.iter().filter(is_left)).for_each(|path| _ = fs::remove_file(path));
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
    (&parts.machine, parts.memory, parts.cpus, command_line(), "one of the CPUs online").hash(&mut hasher);
    FACILITIES.bits().collect::<Vec<u32>>().hash(&mut hasher);
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts of a QEMU that ends at once, in this folder.
    fn of_no_use(folder: &Path) -> Parts {
        let file = |name: &str| {
            let path = folder.join(name);
            fs::write(&path, "").expect("written");
            path
        };
        Parts {
            qemu: which::which("false").expect("a program that fails"),
            machine: "s390-ccw-virtio-11.1".to_owned(),
            plugin: file("plugin"),
            kernel: file("kernel"),
            initramfs: file("initramfs"),
            memory: "64M",
            cpus: 2,
        }
    }

    #[test]
    fn a_kept_file_from_which_no_lpar_comes_is_removed_for_a_new_boot() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = Kept::new(of_no_use(folder.path()), folder.path().join("kept")).expect("a cache");
        let topology = Topology::default();
        let file = kept.path((topology.max_adapter, topology.max_domain));
        fs::write(&file, "cut off").expect("written");
        let owner = Owner::new(&topology).expect("hardware");
        let Err(error) = kept.lpar(&owner, folder.path(), "0") else { panic!("it cannot boot") };
        assert!(matches!(error, LparError::Ended { .. }), "{error}");
        assert!(!file.exists());
    }

    #[test]
    fn the_newest_files_stay_and_what_is_half_made_goes_when_it_is_old() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("kept");
        let kept = Kept::new(of_no_use(folder.path()), place.clone()).expect("a cache");
        let now = SystemTime::now();
        let write = |name: String, age: Duration| {
            let file = fs::File::create(place.join(name)).expect("created");
            file.set_modified(now - age).expect("dated");
        };
        for number in 0..=STAY as u64 {
            write(format!("{number}.{ENDING}"), Duration::from_secs(10 * number));
        }
        write(".tmp-new".to_owned(), Duration::ZERO);
        write(".tmp-old".to_owned(), 2 * LEFT);
        kept.forget_old();
        let there = |name: &str| place.join(name).exists();
        assert!(there("0.lpar") && there("7.lpar") && !there("8.lpar"));
        assert!(there(".tmp-new") && !there(".tmp-old"));
    }

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
