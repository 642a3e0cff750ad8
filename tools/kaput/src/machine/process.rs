// SPDX-License-Identifier: MIT OR Apache-2.0
//! The life of a QEMU's process, on this host or on another: from its start until it has ended, by itself or by order.
//! What stands elsewhere is brought there first and tidied up afterwards.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::process::Child;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::error::MachineError;
use super::observed::Observed;
use super::run_folder::RunFolder;
use crate::hosts::ssh::{Forward, HostConnection, HostError, ShellStatus};
use crate::outcome::events::What;
use crate::protocol::socket_path;

/// Those who look after processes: each ends its process when it is not needed any more, and tidies up after it. They
/// outlive who had the process started.
static TASKS: LazyLock<TaskTracker> = LazyLock::new(TaskTracker::new);

/// Has a process looked after.
pub(crate) fn look_after(task: impl Future<Output = ()> + Send + 'static) {
    TASKS.spawn(task);
}

/// Waits until every process that was started has ended, here and on other hosts, and is tidied up after.
pub async fn all_ended(patience: Duration) {
    TASKS.close();
    _ = tokio::time::timeout(patience, TASKS.wait()).await;
}

/// The names of a machine's files as its QEMU sees them.
#[derive(Clone)]
pub(crate) struct Names {
    /// The other host, where it is one.
    pub(super) connection: Option<Arc<HostConnection>>,
    /// The folder here.
    folder: Arc<RunFolder>,
    /// What the names begin with here.
    prefix: String,
    /// What they begin with there, where runs share a folder.
    stem: String,
}

impl Names {
    pub(crate) fn new(connection: Option<&Arc<HostConnection>>, folder: &Arc<RunFolder>, prefix: &str) -> Self {
        let stem = format!("{}-{prefix}", folder.tag());
        Self { connection: connection.cloned(), folder: Arc::clone(folder), prefix: prefix.to_owned(), stem }
    }

    fn here(&self, kind: &str) -> PathBuf {
        self.folder.file(&format!("{}.{kind}", self.prefix))
    }

    pub(crate) fn path(&self, kind: &str) -> PathBuf {
        match &self.connection {
            None => self.here(kind),
            Some(connection) => connection.path(&format!("{}.{kind}", self.stem)),
        }
    }

    /// Takes away a file that QEMU wrote.
    pub(super) async fn take(&self, kind: &str) -> Result<Vec<u8>, MachineError> {
        let Some(connection) = &self.connection else {
            let bytes = std::fs::read(self.here(kind)).map_err(|error| MachineError::Io("saved memory", error))?;
            _ = std::fs::remove_file(self.here(kind));
            return Ok(bytes);
        };
        // What stands there goes with the machine.
        Ok(connection.get(&format!("{}.{kind}", self.stem)).await?)
    }
}

/// A process that is killed when this is dropped.
pub(crate) struct Process {
    kill: Mutex<Option<oneshot::Sender<()>>>,
}

impl Process {
    /// Whoever has the receiving half of `kill` ends it when told, or when this is dropped.
    pub(crate) const fn new(kill: oneshot::Sender<()>) -> Self {
        Self { kill: Mutex::new(Some(kill)) }
    }

    pub(super) fn kill(&self) {
        self.kill.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Starts a program here.
pub(super) fn start_here(program: &Path, arguments: &[String], stderr: File) -> Result<Child, MachineError> {
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).kill_on_drop(true);
    command.spawn().map_err(|error| MachineError::Io("QEMU", error))
}

/// A program here, to its end; how it ended. The order to end it is also given by dropping its sender.
pub(super) async fn here(mut child: Child, mut killed: oneshot::Receiver<()>) -> String {
    let status = tokio::select! {
        status = child.wait() => status,
        _ = &mut killed => {
            _ = child.start_kill();
            child.wait().await
        }
    };
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// A program that is to run on another host.
pub(super) struct RemoteProcess {
    pub(super) connection: Arc<HostConnection>,
    pub(super) names: Names,
    /// The command line, as for a shell.
    pub(super) command: String,
    /// Where QEMU's error output goes in the end.
    pub(super) stderr: File,
    /// The plugin's socket, where there is a plugin.
    pub(super) control: Option<PathBuf>,
}

impl RemoteProcess {
    /// From the first file that is brought there to the last that is removed; how the program ended.
    pub(super) async fn run(mut self, mut killed: oneshot::Receiver<()>, observed: Observed, index: usize) -> String {
        let stem = self.names.stem.clone();
        let (pid, mut ended) = match self.start().await {
            Ok(started) => started,
            Err(error) => return error.to_string(),
        };
        observed.event(Some(index), What::Launched { pid });
        let how = tokio::select! {
            how = &mut ended => how,
            _ = &mut killed => {
                _ = self.connection.kill(&stem).await;
                ended.await
            }
        };
        let how = how.map(|status| status.to_string());
        match self.connection.get(&format!("{stem}.stderr")).await {
            Ok(said) => _ = self.stderr.write_all(&said),
            Err(error) => return how.unwrap_or(error.to_string()),
        }
        _ = self.connection.remove(&stem).await;
        how.unwrap_or("for an unknown reason".to_owned())
    }

    async fn start(&self) -> Result<(u32, oneshot::Receiver<ShellStatus>), HostError> {
        let (connection, names) = (&self.connection, &self.names);
        let from_there = |kind: &str| Forward::FromThere { there: names.path(kind), here: names.here(kind) };
        let mut forwards = vec![from_there(socket_path::CONSOLE), from_there(socket_path::MONITOR)];
        if let Some(control) = &self.control {
            forwards.push(Forward::FromHere { here: control.clone(), there: names.path(socket_path::CONTROL) });
            let host = std::fs::read(names.here("host.json")).unwrap_or_default();
            connection.put(&format!("{}.host.json", names.stem), host).await?;
        }
        connection.put(&format!("{}.command", names.stem), format!("exec {}", self.command).into_bytes()).await?;
        connection.forward(&forwards).await?;
        connection.start(&names.stem).await
    }
}
