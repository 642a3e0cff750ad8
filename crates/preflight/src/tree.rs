// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where files come from: a folder that holds `sys` and `proc`, a folder that is a sysfs itself, or a model's surface.
//!
//! A folder is a stranger's: what is no plain file is not waited for, and nothing is read beyond a bound.

use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::attribute::Attribute;

/// The longest file read, in bytes. The kernel's end at one page; a model's may name every queue there is.
const MAX_FILE: u64 = 1 << 20;

/// How many entries of a folder are read: every queue and every card there can be, and some.
const MAX_ENTRIES: usize = 70_000;

/// Reads files by their paths below the root, for example `sys/bus/ap/apmask`.
pub trait Tree: Sync {
    /// The names in a folder, ascending.
    ///
    /// # Errors
    /// Why it cannot be listed; [`Attribute::MISSING`] if it is not there.
    fn list(&self, folder: &str) -> Result<Vec<String>, Attribute>;

    /// One file.
    fn read(&self, file: &str) -> Attribute;
}

/// A folder of the file system.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
    /// Whether the root is a sysfs and not the parent of one.
    is_sysfs: bool,
}

/// A folder that holds no sysfs.
#[derive(Debug, thiserror::Error)]
#[error("{}: there is neither `sys/bus` nor `bus` in it; expected a folder that looks like `/` or like \
    `/sys`", path.display())]
pub struct NoSysfs {
    path: PathBuf,
}

impl Directory {
    /// A folder that looks like `/` or like `/sys`.
    ///
    /// # Errors
    /// [`NoSysfs`].
    pub fn new(path: &Path) -> Result<Self, NoSysfs> {
        let is_sysfs = !path.join("sys/bus").is_dir();
        if is_sysfs && !path.join("bus").is_dir() {
            return Err(NoSysfs { path: path.to_owned() });
        }
        Ok(Self { root: path.to_owned(), is_sysfs })
    }

    fn path(&self, file: &str) -> Result<PathBuf, Attribute> {
        if !self.is_sysfs {
            return Ok(self.root.join(file));
        }
        let inside = file.strip_prefix("sys/").ok_or(Attribute::unreadable("not a part of sysfs"))?;
        Ok(self.root.join(inside))
    }
}

impl Tree for Directory {
    fn list(&self, folder: &str) -> Result<Vec<String>, Attribute> {
        let entries = std::fs::read_dir(self.path(folder)?).map_err(|error| reason(&error))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| reason(&error))?;
            if names.len() == MAX_ENTRIES {
                return Err(Attribute::unreadable("more entries than there can be queues"));
            }
            names.extend(entry.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn read(&self, file: &str) -> Attribute {
        match self.path(file) {
            Ok(path) => read_file(&path).unwrap_or_else(|error| reason(&error)),
            Err(reason) => reason,
        }
    }
}

fn read_file(path: &Path) -> std::io::Result<Attribute> {
    // Not blocking, so that a pipe in a folder of files does not wait for its writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let mut file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let mut small = [0; 256];
    let length = file.read(&mut small)?;
    if length < small.len() && small[..length].ends_with(b"\n") {
        return Ok(Attribute::from_bytes(&small[..length]));
    }
    let mut bytes = small[..length].to_vec();
    file.take(MAX_FILE + 1 - bytes.len() as u64).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Ok(Attribute::unreadable("longer than 1 MiB"));
    }
    Ok(Attribute::from_bytes(&bytes))
}

/// The same words as the shell script's.
fn reason(error: &std::io::Error) -> Attribute {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT | Errno::NOTDIR) => Attribute::MISSING,
        _ => {
            let text = error.to_string();
            Attribute::unreadable(text.split(" (os error").next().unwrap_or_default().to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_and_a_sysfs_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let said = Directory::new(folder.path()).unwrap_err().to_string();
        assert!(said.contains("neither `sys/bus` nor `bus`") && said.contains(&folder.path().display().to_string()));
        std::fs::create_dir_all(folder.path().join("sys/bus/ap")).unwrap();
        std::fs::write(folder.path().join("sys/bus/ap/apmask"), "0x0f\n").unwrap();
        for (path, proc) in
            [(folder.path().to_owned(), "no such file"), (folder.path().join("sys"), "not a part of sysfs")]
        {
            let tree = Directory::new(&path).unwrap();
            assert_eq!(tree.read("sys/bus/ap/apmask"), Attribute::Text("0x0f".to_owned()));
            assert_eq!(tree.list("sys/bus/ap"), Ok(vec!["apmask".to_owned()]));
            assert_eq!(tree.read("proc/sys/kernel/osrelease"), Attribute::unreadable(proc));
            assert!(tree.read("sys/bus/ap/aqmask").is_missing());
            assert!(tree.list("sys/bus/ap/devices").unwrap_err().is_missing());
        }
    }

    #[test]
    fn what_is_no_plain_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("bus/ap")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, folder.path().join("bus/pipe"), rustix::fs::FileType::Fifo, Mode::RWXU, 0)
            .unwrap();
        let tree = Directory::new(folder.path()).unwrap();
        assert_eq!(tree.read("sys/bus/pipe"), Attribute::Text(String::new()));
        assert!(matches!(tree.read("sys/bus/ap"), Attribute::Unreadable(_)));
    }

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("bus")).unwrap();
        std::fs::write(folder.path().join("bus/long"), vec![b'a'; (1 << 20) + 1]).unwrap();
        std::fs::write(folder.path().join("bus/page"), vec![b'a'; 4096]).unwrap();
        let tree = Directory::new(folder.path()).unwrap();
        assert_eq!(tree.read("sys/bus/long"), Attribute::unreadable("longer than 1 MiB"));
        assert_eq!(tree.read("sys/bus/page"), Attribute::Text("a".repeat(4096)));
    }
}
