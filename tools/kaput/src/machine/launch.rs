// SPDX-License-Identifier: MIT OR Apache-2.0
//! A QEMU from its command line to its first answers. The harness listens and QEMU connects, so nothing is polled; the
//! plugin listens before QEMU answers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use vfio_ap::HostConfig;

use super::arguments::{self, Setup};
use super::console::Console;
use super::error::MachineError;
use super::observed::Observed;
use super::process::{self, Names, Process};
use super::records::Records;
use super::run_folder::RunFolder;
use super::{MOMENT, Machine};
use crate::hosts::qemu;
use crate::hosts::ssh::HostConnection;
use crate::outcome::events::What;
use crate::protocol::control::{Control, ControlError};
use crate::protocol::qmp::command::{Capabilities, Cont, QueryStatus, SetCapabilities, Switch};
use crate::protocol::qmp::{Notice, Qmp, QmpError};
use crate::protocol::socket_path::{self, remove_stale_socket};
use crate::protocol::transcript::Transcript;
use crate::scenario::HostSpec;

/// One QEMU that was started and does not answer yet.
pub struct Launching {
    /// Its place in [`crate::machine::observed::State::machines`].
    pub index: usize,
    process: Process,
    console: UnixListener,
    qmp: UnixListener,
    control: Option<PathBuf>,
    observed: Observed,
    host: String,
    records: Records,
    answer: Duration,
    names: Names,
    /// Whether the host's own driver is what it has.
    real_driver: bool,
    /// Whether it waits for a guest instead of booting one.
    incoming: bool,
}

/// Everything about a machine that is to be started.
pub struct Plan<'a> {
    /// The host's name.
    pub host: &'a str,
    /// The host's description, for the plugin; `None` runs QEMU without the plugin.
    pub spec: Option<&'a HostSpec>,
    /// The other host it is to run on, if it is not to run here.
    pub connection: Option<&'a Arc<HostConnection>>,
    /// What all machines of the run have in common.
    pub setup: &'a Setup<'a>,
    /// Whether it waits for a guest instead of booting one.
    pub incoming: bool,
    /// The run's folder.
    pub folder: &'a Arc<RunFolder>,
    /// When the run began.
    pub started: Instant,
    /// Whether the host keeps the guest's AP instructions.
    pub trace: bool,
    /// How long an answer may take.
    pub answer: Duration,
}

impl Launching {
    /// Starts a QEMU. It has connected to nothing yet.
    ///
    /// # Errors
    /// [`MachineError::Io`].
    pub fn launch(plan: &Plan<'_>, observed: &Observed) -> Result<Self, MachineError> {
        let index = observed.add_machine(plan.host);
        let launched = Self::spawn(plan, observed, index);
        if launched.is_err() {
            observed.write(|state| state.machines[index].exit = Some("never started".to_owned()));
        }
        launched
    }

    fn spawn(plan: &Plan<'_>, observed: &Observed, index: usize) -> Result<Self, MachineError> {
        let prefix = format!("{index:02}-{}", plan.host);
        let file = |kind: &str| plan.folder.file(&format!("{prefix}.{kind}"));
        let console =
            UnixListener::bind(file(socket_path::CONSOLE)).map_err(|e| MachineError::Io("console socket", e))?;
        let qmp = UnixListener::bind(file(socket_path::MONITOR)).map_err(|e| MachineError::Io("QMP socket", e))?;
        let names = Names::new(plan.connection, plan.folder, &prefix);
        let (mut control, mut control_there) = (None, None);
        if let Some(spec) = plan.spec {
            let config = HostConfig { trace: plan.trace, ..spec.config(plan.host) };
            let host = plan.folder.write_json(&format!("{prefix}.host.json"), &config);
            host.map_err(|e| MachineError::Io("host description", e))?;
            let given = spec.control.as_ref().map(|path| plan.folder.path().join(path.get_ref()));
            given.iter().for_each(|path| remove_stale_socket(path));
            control_there = Some(match (&given, plan.connection) {
                (Some(given), None) => given.clone(),
                _ => names.path(socket_path::CONTROL),
            });
            control = Some(given.unwrap_or_else(|| file(socket_path::CONTROL)));
        }
        let arguments =
            arguments::arguments(plan.setup, &|kind| names.path(kind), control_there.as_deref(), plan.incoming);
        let command_line = arguments::for_people(plan.setup.qemu, &arguments);
        plan.folder
            .write(&format!("{prefix}.command"), &command_line)
            .map_err(|e| MachineError::Io("command line", e))?;
        let stderr =
            plan.folder.create_file(&format!("{prefix}.stderr")).map_err(|e| MachineError::Io("error file", e))?;
        let (kill, killed) = oneshot::channel();
        match plan.connection {
            None => {
                let child = process::start_here(plan.setup.qemu, &arguments, stderr)?;
                observed.event(Some(index), What::Launched { pid: child.id().unwrap_or_default() });
                let life = process::here(child, killed);
                process::look_after(reap(life, observed.clone(), index, Arc::clone(plan.folder)));
            }
            Some(connection) => {
                let (connection, names, control) = (Arc::clone(connection), names.clone(), control.clone());
                let process = process::RemoteProcess { connection, names, command: command_line, stderr, control };
                let life = process.run(killed, observed.clone(), index);
                process::look_after(reap(life, observed.clone(), index, Arc::clone(plan.folder)));
            }
        }
        let transcript = || Transcript::new(plan.started);
        let records = Records { prefix: prefix.clone(), qmp: transcript(), control: transcript() };
        let process = Process::new(kill);
        observed.write(|state| state.machines[index].records = Some(records.clone()));
        let launching = Self {
            index,
            process,
            console,
            qmp,
            control,
            observed: observed.clone(),
            host: plan.host.to_owned(),
            records,
            answer: plan.answer,
            names,
            real_driver: plan.setup.kvm.is_some(),
            incoming: plan.incoming,
        };
        Ok(launching)
    }

    /// Ends it, as a crash would.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Waits until QEMU and the plugin answer.
    ///
    /// # Errors
    /// [`MachineError`].
    pub async fn ready(self, patience: Duration) -> Result<Machine, MachineError> {
        let deadline = Instant::now() + patience;
        let (index, observed) = (self.index, self.observed.clone());
        let ended = |until| observed.until(until, |state| state.machines[index].exit.is_some().then_some(()));
        let answers = tokio::select! {
            answers = self.connect(deadline) => answers,
            ended = ended(deadline) => Err(match ended {
                Ok(()) => MachineError::Died,
                Err(_) => MachineError::Late("QEMU's greeting"),
            }),
        };
        match answers {
            // A connection that ends because QEMU does is seen to end a moment before. What QEMU refuses is its own
            // trouble, though it is ended for it.
            Err(trouble @ (MachineError::Qmp(QmpError::Closed(_)) | MachineError::Control(ControlError::Lost(_)))) => {
                Err(ended(deadline.min(Instant::now() + MOMENT)).await.map_or(trouble, |()| MachineError::Died))
            }
            answers => answers,
        }
    }

    async fn connect(self, deadline: Instant) -> Result<Machine, MachineError> {
        let index = self.index;
        let accept = |listener: UnixListener, what: &'static str| async move {
            listener.accept().await.map(|(stream, _): (UnixStream, _)| stream).map_err(|e| MachineError::Io(what, e))
        };
        let (console, qmp) =
            tokio::try_join!(accept(self.console, "console connection"), accept(self.qmp, "QMP connection"))?;
        let console = Console::take_over(console, &self.observed, index)?;
        let teller = self.observed.clone();
        let qmp = Qmp::new(qmp, self.records.qmp, move |notice| match notice {
            Notice::Greeting(version) => teller.write(|state| state.machines[index].version = Some(version)),
            Notice::Event(event) => teller.qmp_event(index, &event),
            Notice::Closed => teller.write(|state| state.machines[index].qmp_closed = true),
        });
        let greeted = self.observed.until(deadline, |state| {
            (state.machines[index].version.is_some() || state.machines[index].qmp_closed).then_some(())
        });
        greeted.await.map_err(|_| MachineError::Late("QEMU's greeting"))?;
        // Events tell each step; the pause gives the time in which the AP configuration goes over.
        let on = |capability| Switch { capability, state: true };
        let mut capabilities = vec![on("events"), on("pause-before-switchover")];
        if self.real_driver {
            // The driver's state goes with the stream: a destination that refuses it must be able to say so, or the
            // source believes that the guest is gone.
            capabilities.push(on("return-path"));
        }
        // QEMU takes one command after the other, so all are sent at once. Its first answer comes from the loop that
        // the plugin was started before, unlike its greeting.
        let (control, (), _) = tokio::try_join!(
            biased;
            async {
                qmp.execute(Capabilities {}).await?;
                match &self.control {
                    Some(path) => Ok::<_, MachineError>(Some(Control::connect(path, self.records.control).await?)),
                    None => Ok(None),
                }
            },
            async {
                self.observed.status(index, &qmp.execute(QueryStatus {}).await?);
                Ok(())
            },
            async { Ok(qmp.execute(SetCapabilities { capabilities }).await?) },
        )?;
        if !self.incoming {
            // Everybody listens: its first instruction.
            qmp.execute(Cont {}).await?;
        }
        self.observed.event(Some(index), What::Ready);
        let version = self.observed.write(|state| state.machines[index].version);
        if let Some(fault) = version.filter(|_| self.control.is_some()).and_then(qemu::known_fault) {
            self.observed.event(Some(index), What::Warned { text: fault.to_owned() });
        }
        Ok(Machine {
            index,
            host: self.host,
            control,
            monitor: Box::new(qmp),
            process: self.process,
            console,
            observed: self.observed,
            answer: self.answer,
            names: self.names,
        })
    }
}

/// Notes the end of a process. Until then its folder stays.
async fn reap(life: impl Future<Output = String>, observed: Observed, index: usize, _folder: Arc<RunFolder>) {
    let how = life.await;
    observed.write(|state| {
        if !state.machines[index].dismissed {
            state.event(Some(index), What::Ended { how: how.clone() });
        }
        state.machines[index].exit = Some(how);
    });
}
