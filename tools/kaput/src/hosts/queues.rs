// SPDX-License-Identifier: MIT OR Apache-2.0
//! The queues of real hosts that a run's guest gets: taken before it, given back after it. What is to be put back
//! stands in a journal before anything is changed, and one way of giving back serves the end, an error, Ctrl-C and a
//! crash.

use std::path::PathBuf;
use std::sync::Arc;

use ap_admin::{AP, MATRIX, Record, Refusal, Wanted, Write};
use ap_arch::Matrix;
use preflight::fix::check_script;
use preflight::report::human;
use preflight::text::shell_word;

use crate::hosts::foresight::{judged, look, look_after};
use crate::hosts::journal::{self, Entry, JournalError};
use crate::hosts::kernel_log::Witness;
use crate::hosts::name::Site;
use crate::hosts::ssh::{HostConnection, HostError, SILENCE};
use crate::hosts::virsh::{destroy_all, mark_of};

/// Seconds to wait for another kaput on the same host: at the start none may be there, and after a crash the far side
/// of the one that crashed takes a while to notice.
const AT_START: u32 = 2;
const AFTER_A_CRASH: u32 = SILENCE.as_secs() as u32 + 20;

/// How often a host is looked at before something counts as not to be put back.
const ATTEMPTS: usize = 4;

/// What a guest is to have on each host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// A mediated device that exists; nothing of it is changed.
    Existing(String),
    /// One that is made for the run.
    Assigned(Matrix),
}

/// Why a host's queues could not be taken or given back.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ResourceError {
    /// The host.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Host(#[from] HostError),
    /// The journal.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
    /// The host is not as it was.
    #[error("host {host} is not as it was: {what}")]
    #[diagnostic(help("look at it by hand; {} says what was changed, and `kaput restore` tries \
        again", journal.display()))]
    Left {
        /// The host.
        host: String,
        /// What is not as it was.
        what: String,
        /// The file that says what was changed.
        journal: PathBuf,
    },
}

/// What a run has on one host.
#[derive(Debug)]
pub struct Claim {
    connection: Arc<HostConnection>,
    /// The mediated device's folder, for QEMU.
    pub device: String,
    /// What is to be put back.
    journal: Option<(PathBuf, Record)>,
    /// What is changed before, in this order.
    writes: Vec<Write>,
}

/// A name for a mediated device: a UUID of version 4.
#[must_use]
pub fn random_uuid() -> String {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string()
}

/// Looks whether a host can give a run what it is to have there, and writes down what is to be put back. Nothing is
/// changed yet. `uuid` names the mediated device, if one is made.
///
/// # Errors
/// [`ResourceError`].
pub async fn claim(connection: Arc<HostConnection>, device: &Device, uuid: &str) -> Result<Claim, ResourceError> {
    let doing = "give its queues to a guest";
    let refused = |connection: &HostConnection, why: Refusal| connection.refusal(doing, &why, why.fix());
    let folder = |uuid: &str| format!("{MATRIX}/{uuid}");
    let matrix = match device {
        Device::Existing(uuid) => {
            let snapshot = look(&connection).await?;
            ap_admin::existing(&snapshot, uuid).map_err(|refusal| refused(&connection, refusal))?;
            return Ok(Claim { connection, device: folder(uuid), journal: None, writes: Vec::new() });
        }
        Device::Assigned(matrix) => *matrix,
    };
    connection.lock(AP, AT_START).await?;
    let snapshot = look(&connection).await?;
    let wanted = Wanted { uuid: uuid.to_owned(), matrix };
    let plan = ap_admin::plan(&snapshot, &wanted).map_err(|refusal| refused(&connection, refusal))?;
    let entry =
        Entry::new(connection.name().to_owned(), connection.ssh_config().map(PathBuf::from), plan.record.clone());
    let journal = journal::write(&journal::folder(), &entry)?;
    Ok(Claim { connection, device: folder(uuid), journal: Some((journal, plan.record)), writes: plan.writes })
}

/// Writes, and reads back what must have come of it: a write can be taken and change nothing.
async fn carry_out(connection: &HostConnection, write: &Write) -> Result<(), HostError> {
    let Write { path, value, checks } = write;
    connection.write(path, value).await?;
    if !checks.is_empty() {
        connection.script(&format!("keep {value:?} in {path}"), &check_script(&connection.hello.root, checks)).await?;
    }
    Ok(())
}

/// The same writes as shell commands that go on where one is refused.
fn all_at_once(root: &str, writes: &[Write]) -> String {
    let put = "store() { cat > \"$1\"; }\n\
        put() { printf '%s\\n' \"$1\" | \"${KAPUT_STORE:-store}\" \"$2\"; } > /dev/null 2>&1\n";
    let line = |Write { path, value, .. }: &Write| {
        format!("put {} {}\n", shell_word(value), shell_word(&format!("{root}{path}")))
    };
    put.to_owned() + &writes.iter().map(line).collect::<String>()
}

/// Whether the guest of these two devices will survive, as preflight judges; what it says where it will not.
///
/// # Errors
/// [`ResourceError`], also for a host that says what no kernel does.
pub async fn foresee(source: &Claim, destination: &Claim) -> Result<Option<String>, ResourceError> {
    let judgement = judged((&source.connection, source.mdev()), (&destination.connection, destination.mdev())).await?;
    let text = || human::screen(&judgement, source.connection.name(), destination.connection.name());
    Ok((judgement.verdict() == preflight::Verdict::No).then(text))
}

impl Claim {
    /// The name of the mediated device.
    fn mdev(&self) -> &str {
        self.device.rsplit('/').next().unwrap_or_default()
    }

    /// Who reports what the host's kernel logs about it.
    #[must_use]
    pub fn witness(&self) -> Witness {
        Witness::new(Arc::clone(&self.connection), self.mdev().to_owned())
    }

    /// Changes what is to be changed. Whether it comes to its end or not, [`Claim::give_back`] undoes it.
    ///
    /// # Errors
    /// [`ResourceError`].
    pub async fn take(&self) -> Result<(), ResourceError> {
        for write in &self.writes {
            carry_out(&self.connection, write).await?;
        }
        Ok(())
    }

    /// Puts everything back.
    ///
    /// # Errors
    /// [`ResourceError`]; the journal stays then.
    pub async fn give_back(self) -> Result<(), ResourceError> {
        match &self.journal {
            None => Ok(()),
            Some((journal, record)) => put_back(&self.connection, journal.clone(), record).await,
        }
    }
}

/// Puts back what a journal says, and removes the journal once the host is seen to be as it was.
async fn put_back(connection: &HostConnection, journal: PathBuf, record: &Record) -> Result<(), ResourceError> {
    let left =
        |what: String| ResourceError::Left { host: connection.name().to_owned(), what, journal: journal.clone() };
    // A guest of a run that was interrupted would keep the device.
    connection.stop().await.map_err(|error| left(error.to_string()))?;
    let (mut commands, mut last) = (String::new(), None);
    for attempt in 0..ATTEMPTS {
        let now = look_after(connection, &commands).await.map_err(|error| left(error.to_string()))?;
        let undo = record.undo(&now);
        if let Some(foreign) = undo.foreign.first() {
            return Err(left(foreign.to_string()));
        }
        if undo.writes.is_empty() {
            return std::fs::remove_file(&journal).map_err(|error| left(error.to_string()));
        }
        commands.clear();
        if attempt == 0 {
            // Whoever was asked to end does so within a second: what was not done shows in one look afterwards.
            commands = all_at_once(&connection.hello.root, &undo.writes);
            continue;
        }
        for write in &undo.writes {
            last = carry_out(connection, write).await.err().or(last);
        }
    }
    Err(left(last.map_or("what was written to it does not stay".to_owned(), |error| error.to_string())))
}

/// Puts back whatever journals say. Returns each host's name, and how it went; a journal that cannot be read is named
/// by its file, after the others.
///
/// # Errors
/// [`JournalError`] if the folder of the journals cannot be read.
pub async fn restore(ssh_config: Option<PathBuf>) -> Result<Vec<(String, Result<(), ResourceError>)>, JournalError> {
    let (mut told, mut unreadable) = (Vec::new(), Vec::new());
    for (path, entry) in journal::all(&journal::folder())? {
        match entry {
            Ok(entry) => {
                let result = restore_one(path, &entry, ssh_config.clone()).await;
                told.push((entry.host, result));
            }
            Err(error) => unreadable.push((path.display().to_string(), Err(error.into()))),
        }
    }
    told.append(&mut unreadable);
    Ok(told)
}

async fn restore_one(path: PathBuf, entry: &Entry, ssh_config: Option<PathBuf>) -> Result<(), ResourceError> {
    let site: Site = entry.host.parse().map_err(|reason| ResourceError::Left {
        host: entry.host.clone(),
        what: reason,
        journal: path.clone(),
    })?;
    let connection = HostConnection::connect(&site, ssh_config.or(entry.ssh_config.clone()).as_deref()).await?;
    connection.lock(AP, AFTER_A_CRASH).await?;
    // What could not be ended in its time would keep the device.
    destroy_all(&connection, mark_of(&entry.record.uuid)).await?;
    put_back(&connection, path, &entry.record).await?;
    connection.close().await;
    Ok(())
}
