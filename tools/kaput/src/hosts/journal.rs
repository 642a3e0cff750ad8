// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is to be put back on which host, on disk before anything is changed: whatever happens to this program, the next
//! one finds it. One file for each host and run, in the user's state folder, or in `KAPUT_STATE`.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ap_admin::Record;
use serde::{Deserialize, Serialize};

/// The version written, and the only one read.
const VERSION: u32 = 1;

/// What the name of a journal begins with while it is being written; then comes the program that writes it.
const UNFINISHED: &str = ".writing-";

/// What a journal says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Entry {
    /// [`VERSION`].
    version: u32,
    /// The program that wrote it.
    pub pid: u32,
    /// The host, as the user named it.
    pub host: String,
    /// The configuration that ssh was given.
    pub ssh_config: Option<PathBuf>,
    /// What is changed there.
    pub record: Record,
}

impl Entry {
    /// An entry of this program.
    #[must_use]
    pub fn new(host: String, ssh_config: Option<PathBuf>, record: Record) -> Self {
        Self { version: VERSION, pid: std::process::id(), host, ssh_config, record }
    }
}

/// A journal that cannot be kept or read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the journal {}: {reason}", path.display())]
#[diagnostic(help("{fix}"))]
pub struct JournalError {
    path: PathBuf,
    reason: String,
    fix: &'static str,
}

fn wrong(path: &Path, reason: impl ToString) -> JournalError {
    let fix =
        "it says what is to be put back on a host, so nothing is changed without it; KAPUT_STATE names another folder";
    JournalError { path: path.to_owned(), reason: reason.to_string(), fix }
}

fn unreadable(path: &Path, reason: impl ToString) -> JournalError {
    let fix =
        "look at it by hand: it says what was changed on which host; once that host is as it was, remove the file";
    JournalError { fix, ..wrong(path, reason) }
}

/// The folder of the journals.
#[must_use]
pub fn folder() -> PathBuf {
    let named = |variable: &str, below: &str| std::env::var_os(variable).map(|base| PathBuf::from(base).join(below));
    let folder = named("KAPUT_STATE", "").or_else(|| named("XDG_STATE_HOME", "kaput"));
    folder.or_else(|| named("HOME", ".local/state/kaput")).unwrap_or_else(|| std::env::temp_dir().join("kaput-state"))
}

/// Writes a journal; it is on the disk when this returns.
///
/// # Errors
/// [`JournalError`].
pub fn write(folder: &Path, entry: &Entry) -> Result<PathBuf, JournalError> {
    write_to(&mut Disk, folder, entry)
}

/// Where a file or a folder is kept once it is written. There is one besides those of tests, so that no other can be
/// taken by mistake.
trait Storage {
    /// Returns when what was written would be there after a power cut.
    fn sync(&mut self, file: &File) -> io::Result<()>;
}

struct Disk;

impl Storage for Disk {
    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_all()
    }
}

/// The text is on the disk before it gets its name, the name before this returns.
fn write_to(disk: &mut impl Storage, folder: &Path, entry: &Entry) -> Result<PathBuf, JournalError> {
    let host: String = entry.host.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let path = folder.join(format!("{}-{host}.json", entry.record.uuid));
    let mut written = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let prefix = format!("{UNFINISHED}{}-", std::process::id());
        let mut file = tempfile::Builder::new().prefix(&prefix).tempfile_in(folder)?;
        serde_json::to_writer_pretty(&mut file, entry)?;
        file.write_all(b"\n")?;
        disk.sync(file.as_file())?;
        file.persist_noclobber(&path)?;
        disk.sync(&File::open(folder)?)
    };
    written().map_err(|error| wrong(&path, error))?;
    Ok(path)
}

/// A journal's file, and what it says or why that cannot be read.
pub type Found = (PathBuf, Result<Entry, JournalError>);

/// All journals there are, with their files. One that cannot be read says so in its place: the others must not wait for
/// it.
///
/// # Errors
/// [`JournalError`] for the folder; one that is not there has none.
pub fn all(folder: &Path) -> Result<Vec<Found>, JournalError> {
    let files = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        files => files.map_err(|error| wrong(folder, error))?,
    };
    let mut all = Vec::new();
    for file in files {
        let path = file.map_err(|error| wrong(folder, error))?.path();
        if is_orphan(&path) {
            _ = fs::remove_file(&path);
        }
        if path.extension().is_some_and(|extension| extension == "json") {
            let entry = read(&path);
            all.push((path, entry));
        }
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(all)
}

/// Whether who was writing this is gone. Nothing was changed by then.
fn is_orphan(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(UNFINISHED));
    let writer = name.and_then(|name| name.split('-').next()?.parse::<u32>().ok());
    writer.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

fn read(path: &Path) -> Result<Entry, JournalError> {
    let text = fs::read(path).map_err(|error| unreadable(path, error))?;
    let entry: Entry = serde_json::from_slice(&text).map_err(|error| unreadable(path, error))?;
    if entry.version == VERSION {
        Ok(entry)
    } else {
        Err(unreadable(path, format!("it is of version {}, not {VERSION}", entry.version)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(host: &str) -> Entry {
        Entry::new(
            host.to_owned(),
            None,
            Record { uuid: "u".to_owned(), changes: Vec::new(), queues: Default::default() },
        )
    }

    /// A disk that does as this says.
    struct Watched<S>(S);

    impl<S: FnMut(&File) -> io::Result<()>> Storage for Watched<S> {
        fn sync(&mut self, file: &File) -> io::Result<()> {
            (self.0)(file)
        }
    }

    #[test]
    fn the_disk_is_asked_for_real_and_its_errors_are_seen() {
        let (_reader, pipe) = io::pipe().expect("a pipe");
        let pipe = File::from(std::os::fd::OwnedFd::from(pipe));
        assert_eq!(Disk.sync(&pipe).expect_err("a pipe is on no disk").kind(), io::ErrorKind::InvalidInput);
        assert!(Disk.sync(&tempfile::tempfile().expect("a file")).is_ok());
    }

    #[test]
    fn a_journal_is_on_the_disk_before_it_has_its_name_and_its_name_is_before_the_host_is_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut synced = Vec::new();
        let mut disk = Watched(|file: &File| {
            let metadata = file.metadata()?;
            let named = all(folder.path()).expect("readable").len();
            synced.push((metadata.is_dir(), metadata.len() > 0, named));
            Ok(())
        });
        let path = write_to(&mut disk, folder.path(), &entry("ssh:b"));
        let length = fs::metadata(path.expect("written")).expect("there").len();
        assert!(length > 0);
        assert_eq!(synced, [(false, true, 0), (true, true, 1)]);
        let mut full = Watched(|_: &File| Err(io::ErrorKind::StorageFull.into()));
        assert!(write_to(&mut full, folder.path(), &entry("ssh:c")).is_err());
    }

    #[test]
    fn what_is_written_is_found_again_and_nothing_is_overwritten() {
        let state = tempfile::tempdir().expect("a folder");
        let folder = state.path().join("new");
        assert!(all(&folder).expect("none").is_empty());
        let path = write(&folder, &entry("ssh:b")).expect("written");
        write(&folder, &entry("ssh:a/../c")).expect("written");
        let found = all(&folder).expect("found");
        let hosts: Vec<&str> = found.iter().flat_map(|(_, entry)| entry).map(|entry| entry.host.as_str()).collect();
        assert_eq!(hosts, ["ssh:a/../c", "ssh:b"]);
        assert!(write(&folder, &entry("ssh:b")).is_err());
        fs::write(&path, "{\"version\": 1").expect("written");
        let found = all(&folder).expect("the folder can be read");
        let readable: Vec<bool> = found.iter().map(|(_, entry)| entry.is_ok()).collect();
        assert_eq!(readable, [true, false]);
        let told: Vec<String> =
            found.into_iter().filter_map(|(_, entry)| entry.err()).map(|error| error.to_string()).collect();
        let [ours, gone] = [std::process::id(), u32::MAX].map(|pid| folder.join(format!("{UNFINISHED}{pid}-x")));
        [&ours, &gone].into_iter().for_each(|path| fs::write(path, "").expect("written"));
        assert_eq!(all(&folder).expect("found").len(), 2);
        assert!(ours.exists() && !gone.exists());
        assert!(told[0].contains("u-ssh-b.json") && told.len() == 1, "{told:?}");
    }
}
