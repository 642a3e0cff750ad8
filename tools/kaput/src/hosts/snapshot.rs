// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a snapshot comes from: a file, a folder that looks like sysfs, this host, or another one by the system's ssh.
//! Over ssh the shell script goes in on standard input and the snapshot comes back; nothing is left there. Files of
//! this host are read on a thread of their own: a pipe or a driver may let one wait.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use preflight::collect::{QEMU, QEMU_SCRIPT, SCRIPT};
use preflight::snapshot::MAX_SIZE;
use preflight::text::{is_device_name, plain};
use preflight::{Attribute, Directory, Snapshot, SnapshotError, foreign};
use tokio::net::UnixStream;

use crate::hosts::name::Site;
use crate::hosts::ssh::{self, HostError};
use crate::protocol::qmp::command::{Capabilities, QueryMigrate};
use crate::protocol::qmp::{Qmp, QmpError};
use crate::protocol::transcript::Transcript;

/// How long QEMU may take to answer.
const QMP_PATIENCE: Duration = Duration::from_secs(10);

/// Bytes that a QEMU's options and version may have.
const MAX_QEMU: u64 = 1 << 16;

/// A host, or what stands for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotSource {
    /// A host.
    Host(Site),
    /// A snapshot or a folder.
    Path(PathBuf),
}

impl FromStr for SnapshotSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text == "local" || text.starts_with("ssh:") {
            true => text.parse().map(Self::Host),
            false => Ok(Self::Path(text.into())),
        }
    }
}

impl fmt::Display for SnapshotSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(site) => site.fmt(f),
            Self::Path(path) => f.write_str(&plain(&path.display().to_string())),
        }
    }
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum SnapshotSourceError {
    /// A file cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    #[diagnostic(help(
        "a host is a snapshot by `kaput collect`, a folder that looks like sysfs, `local`, or `ssh:HOST`"
    ))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What was read is no snapshot.
    #[error("{place}: {reason}")]
    Snapshot {
        /// Where it came from.
        place: String,
        /// Line, column and what is wrong.
        reason: SnapshotError,
    },
    /// A folder is no sysfs.
    #[error(transparent)]
    NoSysfs(#[from] preflight::tree::NoSysfs),
    /// The host.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Host(#[from] HostError),
}

/// Takes or reads the snapshot of a host, by ssh with this configuration; with `monitor`, asks that QEMU too what
/// blocks a migration.
///
/// # Errors
/// [`SnapshotSourceError`]. A QEMU that does not answer is recorded in the snapshot.
pub async fn load(
    place: &SnapshotSource,
    ssh_config: Option<&Path>,
    monitor: Option<&Path>,
) -> Result<Snapshot, SnapshotSourceError> {
    let mut snapshot = match place {
        SnapshotSource::Host(Site::Ssh(destination)) => {
            let said = ssh::once(destination, ssh_config, SCRIPT, MAX_SIZE).await?;
            parse(&place.to_string(), &String::from_utf8_lossy(&said))?
        }
        SnapshotSource::Host(Site::Local) => {
            let mut snapshot = read(PathBuf::from("/")).await?;
            // A host that cannot be asked for its QEMU has none as far as preflight goes.
            let said = ssh::once("", None, QEMU_SCRIPT, MAX_QEMU).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&said).trim_end().to_owned();
            snapshot.host.extend((!text.is_empty()).then_some((Cow::Borrowed(QEMU), Attribute::Text(text))));
            snapshot
        }
        SnapshotSource::Path(path) => read(path.clone()).await?,
    };
    if let Some(socket) = monitor {
        let answer = match tokio::time::timeout(QMP_PATIENCE, blocked_reasons(socket)).await {
            Ok(answer) => answer.unwrap_or_else(Attribute::unreadable),
            Err(_) => Attribute::unreadable(format!("QEMU did not answer within {} s", QMP_PATIENCE.as_secs())),
        };
        snapshot.qemu = Some([(Cow::Borrowed("blocked-reasons"), answer)].into());
    }
    Ok(snapshot)
}

/// What a folder looks like, or a file says.
async fn read(path: PathBuf) -> Result<Snapshot, SnapshotSourceError> {
    let name = path.clone();
    let read = tokio::task::spawn_blocking(move || match path.is_dir() {
        true => Ok(preflight::collect::collect(&Directory::new(&path)?)),
        false => parse(&plain(&path.display().to_string()), &read_file(&path)?),
    });
    read.await.unwrap_or_else(|error| Err(SnapshotSourceError::Read { path: name, reason: error.to_string() }))
}

/// A snapshot, or what else is known to say something of a host.
fn parse(place: &str, text: &str) -> Result<Snapshot, SnapshotSourceError> {
    let host = foreign::read(text).and_then(|document| document.into_host(place.rsplit('/').next().unwrap_or(place)));
    host.map_err(|reason| SnapshotSourceError::Snapshot { place: place.to_owned(), reason })
}

/// The mediated device that is named: by its UUID, or by a file that has one in it, a libvirt domain or mdevctl's
/// definition.
///
/// # Errors
/// [`SnapshotSourceError`] for a file that cannot be read, or has not one device in it.
pub fn device(named: &str) -> Result<String, SnapshotSourceError> {
    let path = Path::new(named);
    if is_device_name(named) && !path.is_file() {
        return Ok(named.to_owned());
    }
    let wrong = |reason: &str| SnapshotSourceError::Read { path: path.to_owned(), reason: reason.to_owned() };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let text = match path.is_file() {
        true => read_file(path)?,
        false => return Err(wrong("expected the UUID of a mediated device, or a file that names it")),
    };
    let document = foreign::read(&text)
        .map_err(|reason| SnapshotSourceError::Snapshot { place: plain(&path.display().to_string()), reason })?;
    match &document.devices(name)[..] {
        [device] => Ok(device.clone()),
        [] => Err(wrong("it names no mediated device of vfio_ap")),
        _ => Err(wrong("it names several mediated devices of vfio_ap: give the UUID of one")),
    }
}

pub(super) fn read_file(path: &Path) -> Result<String, SnapshotSourceError> {
    let wrong = |reason: String| SnapshotSourceError::Read { path: path.to_owned(), reason };
    let kind = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
    if !kind.is_file() {
        return Err(wrong("it is neither a file nor a folder".to_owned()));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
    text(bytes).map_err(wrong)
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.len() as u64 > MAX_SIZE {
        return Err(format!("it is longer than {} MiB, and so no snapshot", MAX_SIZE >> 20));
    }
    String::from_utf8(bytes).map_err(|_| "it is no text, and so no snapshot".to_owned())
}

/// One reason a line.
async fn blocked_reasons(socket: &Path) -> Result<Attribute, String> {
    let stream = UnixStream::connect(socket).await.map_err(|error| format!("{}: {error}", socket.display()))?;
    let qmp = Qmp::new(stream, Transcript::new(Instant::now()), |_| {});
    let said = |error: QmpError| error.to_string();
    qmp.execute(Capabilities {}).await.map_err(said)?;
    let migration = qmp.execute(QueryMigrate {}).await.map_err(said)?;
    Ok(Attribute::from_bytes(migration.blocked_reasons.join("\n").as_bytes()))
}
