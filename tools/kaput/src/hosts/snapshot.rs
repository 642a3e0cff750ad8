// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a snapshot comes from: a file, a folder that looks like sysfs, this host, or another one by the system's ssh.
//! Over ssh the shell script goes in on standard input and the snapshot comes back; nothing is left there.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::time::{Duration, Instant};

use preflight::collect::SCRIPT;
use preflight::snapshot::MAX_SIZE;
use preflight::text::plain;
use preflight::{Attribute, Directory, Snapshot, SnapshotError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::protocol::qmp::command::{Capabilities, QueryMigrate};
use crate::protocol::qmp::{Qmp, QmpError};
use crate::protocol::transcript::Transcript;

/// How long ssh may take with everything: a person may have to type a password.
const SSH_PATIENCE: Duration = Duration::from_secs(120);

/// How long QEMU may take to answer.
const QMP_PATIENCE: Duration = Duration::from_secs(10);

/// A host, or what stands for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// This host.
    Local,
    /// Another one, as ssh names it.
    Ssh(String),
    /// A snapshot or a folder.
    Path(PathBuf),
}

impl FromStr for Place {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix("ssh:") {
            Some(host) => Self::Ssh(host.to_owned()),
            None if text == "local" => Self::Local,
            None => Self::Path(text.into()),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Ssh(host) => write!(f, "ssh:{}", plain(host)),
            Self::Path(path) => f.write_str(&plain(&path.display().to_string())),
        }
    }
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum PlaceError {
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
    /// ssh did not bring a snapshot.
    #[error("ssh {}: {reason}", plain(host))]
    #[diagnostic(help(
        "try `ssh {} true`; `kaput collect --script` prints the script to run there by hand",
        plain(host)
    ))]
    Ssh {
        /// The host.
        host: String,
        /// What happened, in ssh's words where it had any.
        reason: String,
    },
}

/// Takes or reads the snapshot of a host; with `monitor`, asks that QEMU too what blocks a migration.
///
/// # Errors
/// [`PlaceError`]. A QEMU that does not answer is recorded in the snapshot.
pub async fn load(place: &Place, monitor: Option<&Path>) -> Result<Snapshot, PlaceError> {
    let mut snapshot = match place {
        Place::Local => take(Path::new("/"))?,
        Place::Path(path) if path.is_dir() => take(path)?,
        Place::Path(path) => parse(place, &read_file(path)?)?,
        Place::Ssh(host) => parse(place, &over_ssh(host).await?)?,
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

fn take(root: &Path) -> Result<Snapshot, PlaceError> {
    Ok(preflight::collect::collect(&Directory::new(root)?))
}

fn parse(place: &Place, text: &str) -> Result<Snapshot, PlaceError> {
    Snapshot::from_json(text).map_err(|reason| PlaceError::Snapshot { place: place.to_string(), reason })
}

fn read_file(path: &Path) -> Result<String, PlaceError> {
    let wrong = |reason: String| PlaceError::Read { path: path.to_owned(), reason };
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

async fn bounded(reader: impl AsyncRead + Unpin) -> Result<String, String> {
    let mut bytes = Vec::new();
    reader.take(MAX_SIZE + 1).read_to_end(&mut bytes).await.map_err(|error| error.to_string())?;
    text(bytes)
}

async fn over_ssh(host: &str) -> Result<String, PlaceError> {
    let wrong = |reason: String| PlaceError::Ssh { host: host.to_owned(), reason };
    if host.is_empty() {
        return Err(wrong("no host is named; expected ssh:HOST or ssh:USER@HOST".to_owned()));
    }
    // The two dashes keep a host with a dash in front from being an option.
    let mut ssh = tokio::process::Command::new("ssh");
    ssh.args(["-T", "--", host, "sh", "-s"]);
    ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = ssh.spawn().map_err(|error| wrong(format!("cannot be started: {error}")))?;
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(wrong("has no standard streams".to_owned()));
    };
    let send = async move {
        // A host that refuses closes early; what it says and its exit status tell more than a broken pipe.
        _ = stdin.write_all(SCRIPT.as_bytes()).await;
        drop(stdin);
    };
    let whole = async {
        let said = async {
            let mut words = Vec::new();
            _ = stderr.take(64 << 10).read_to_end(&mut words).await;
            String::from_utf8_lossy(&words).into_owned()
        };
        let ((), text, said) = tokio::join!(send, bounded(stdout), said);
        (text, said, child.wait().await)
    };
    let Ok((text, said, status)) = tokio::time::timeout(SSH_PATIENCE, whole).await else {
        return Err(wrong(format!("brought no snapshot within {} s", SSH_PATIENCE.as_secs())));
    };
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).map(plain);
    match status {
        Ok(status) if status.success() => text.map_err(wrong),
        Ok(status) => Err(wrong(format!("{status}; {}", last.unwrap_or("it said nothing".to_owned())))),
        Err(error) => Err(wrong(error.to_string())),
    }
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
