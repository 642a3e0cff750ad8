// SPDX-License-Identifier: MIT OR Apache-2.0
//! Snapshots become a fleet: a host is called as its file is.

use std::collections::BTreeMap;
use std::path::Path;

use super::Fleet;
use crate::foreign::{self, Document};
use crate::host::{Host, Malformed};
use crate::snapshot::SnapshotError;
use crate::text::plain;

/// Why files are no fleet.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// One file is no snapshot.
    #[error("{file}: {reason}")]
    Snapshot {
        /// The file.
        file: String,
        /// Line, column and what is wrong.
        reason: SnapshotError,
    },
    /// A name in a snapshot has another form than it must have.
    #[error("{file}: {reason}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong.
        reason: Malformed,
    },
    /// Two files are called the same.
    #[error("{first} and {second} would both be the host {name}: rename one, a host is called as its file is")]
    Twice {
        /// The host.
        name: String,
        /// A file.
        first: String,
        /// The other one.
        second: String,
    },
    /// A file has no name that a host can have.
    #[error("{0}: a host is called as its file is; expected HOST.json, HOST being letters, digits and . _ -")]
    Unnamed(String),
}

/// Reads one file after the other.
#[derive(Debug, Default)]
pub struct Reader {
    hosts: BTreeMap<String, (String, Host)>,
}

impl Reader {
    /// Reads one more file.
    ///
    /// # Errors
    /// [`FleetError`].
    pub fn add(&mut self, path: &Path, text: &str) -> Result<(), FleetError> {
        let file = plain(&path.display().to_string());
        let name = host_name(path).ok_or_else(|| FleetError::Unnamed(file.clone()))?;
        if let Some((first, _)) = self.hosts.get(name) {
            return Err(FleetError::Twice { name: name.to_owned(), first: first.clone(), second: file });
        }
        let other = |what| Err(SnapshotError::Other(what));
        let snapshot = match foreign::read(text) {
            Ok(Document::Host(snapshot)) => Ok(snapshot),
            Ok(Document::Guests(_)) => other("it is mdevctl's definition of a guest, and a fleet is hosts"),
            Ok(Document::Domain(_)) => other("it is a libvirt domain, and a fleet is hosts"),
            Err(reason) => Err(reason),
        };
        let snapshot = snapshot.map_err(|reason| FleetError::Snapshot { file: file.clone(), reason })?;
        let host = Host::new(&snapshot).map_err(|reason| FleetError::Malformed { file: file.clone(), reason })?;
        self.hosts.insert(name.to_owned(), (file, host));
        Ok(())
    }

    /// What was read.
    #[must_use]
    pub fn fleet(self) -> Fleet {
        Fleet::new(self.hosts.into_iter().map(|(name, (_, host))| (name, host)).collect())
    }
}

/// The name goes into commands, so it is one that a host can have.
fn host_name(path: &Path) -> Option<&str> {
    let file = path.file_name()?.to_str()?;
    let name = file.strip_suffix(".json").unwrap_or(file);
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let is_name = (1..=253).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with(['-', '.']);
    is_name.then_some(name)
}
