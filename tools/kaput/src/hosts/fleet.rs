// SPDX-License-Identifier: MIT OR Apache-2.0
//! The snapshots of many hosts: files, and folders of them.

use std::path::{Path, PathBuf};

use preflight::fleet::Fleet;
use preflight::fleet::read::{FleetError, Reader};
use preflight::text::plain;

use super::snapshot::{SnapshotSourceError, read_file};

/// The most hosts of a fleet: every guest is asked about every one of them.
const MOST: usize = 256;

/// The most answers of a fleet, each guest's to each host: a minute or two of work.
const MOST_ANSWERS: usize = 1_000_000;

/// Why there is no fleet.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum FleetSourceError {
    /// A file cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Read(#[from] SnapshotSourceError),
    /// What was read is no fleet.
    #[error(transparent)]
    #[diagnostic(help("a fleet is snapshots, one of each host: `kaput collect -o HOST.json` writes one"))]
    Fleet(#[from] FleetError),
    /// A folder has no snapshot in it.
    #[error("{0}: there is no snapshot in this folder; expected files HOST.json, one for each host")]
    #[diagnostic(help("`kaput collect ssh:HOST -o {0}/HOST.json` writes one"))]
    Empty(String),
    /// More hosts than are compared.
    #[error("these are {0} hosts, and {MOST} are the most that are compared with each other")]
    #[diagnostic(help("give fewer hosts: the one to be emptied, and those that could take its guests"))]
    TooMany(usize),
    /// More guests than are compared.
    #[error("{0} guests on {1} hosts are more than are compared: guests times hosts may be {MOST_ANSWERS}")]
    #[diagnostic(help("give fewer hosts: the one to be emptied, and those that could take its guests"))]
    TooManyGuests(usize, usize),
}

/// Reads files, and of folders every file that ends in `.json`.
///
/// # Errors
/// [`FleetSourceError`].
pub fn read(paths: &[PathBuf]) -> Result<Fleet, FleetSourceError> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(snapshots(path)?);
        } else {
            files.push(path.clone());
        }
    }
    if files.len() > MOST {
        return Err(FleetSourceError::TooMany(files.len()));
    }
    let mut reader = Reader::default();
    for file in files {
        reader.add(&file, &read_file(&file)?)?;
    }
    let fleet = reader.fleet();
    let (guests, hosts) = (fleet.guests.len(), fleet.members.len());
    if guests * hosts > MOST_ANSWERS {
        return Err(FleetSourceError::TooManyGuests(guests, hosts));
    }
    Ok(fleet)
}

fn snapshots(folder: &Path) -> Result<Vec<PathBuf>, FleetSourceError> {
    let wrong =
        |error: std::io::Error| SnapshotSourceError::Read { path: folder.to_owned(), reason: error.to_string() };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() { Err(FleetSourceError::Empty(plain(&folder.display().to_string()))) } else { Ok(files) }
}
