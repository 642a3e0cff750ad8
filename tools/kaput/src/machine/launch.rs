// SPDX-License-Identifier: MIT OR Apache-2.0
//! A QEMU from its command line to its first answers. The harness listens and QEMU connects, so nothing is polled; the
//! plugin listens before QEMU answers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ap_machine::{Facilities, Topology};
use futures_util::future::BoxFuture;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use vfio_ap::{HostConfig, MdevConfig};

use super::arguments::{self, Link, Setup};
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
use crate::scenario::{HostSpec, USUAL_UUID};

/// One QEMU that was started and does not answer yet.
pub struct Launching {
    /// Its place in [`crate::machine::observed::State::machines`].
    pub index: usize,
    process: Process,
    console: UnixListener,
    qmp: UnixListener,
    answers: Answers,
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

/// A place at a machine that another owns.
pub struct Seat {
    /// Where the plugin finds the machine.
    pub socket: PathBuf,
    /// How much of it the guest is shown.
    pub facilities: Facilities,
    /// Who answers for the guest's cards, once the guest may run.
    pub driver: BoxFuture<'static, Result<Control, ControlError>>,
}

/// Whose the guest's cards are.
pub enum Cards<'a> {
    /// The guest has none, or those of its host: QEMU runs without the plugin.
    Nobody,
    /// The plugin's, on a host of this description.
    Plugin(&'a HostSpec),
    /// Another's, who owns the machine.
    Owner(Seat),
}

/// Who will answer for them.
enum Answers {
    Nobody,
    /// The plugin, which listens there.
    Plugin(PathBuf),
    Owner(BoxFuture<'static, Result<Control, ControlError>>),
}

/// Everything about a machine that is to be started.
pub struct Plan<'a> {
    /// The host's name.
    pub host: &'a str,
    /// Whose its cards are.
    pub cards: Cards<'a>,
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
    pub fn launch(plan: Plan<'_>, observed: &Observed) -> Result<Self, MachineError> {
        let index = observed.add_machine(plan.host);
        let launched = Self::spawn(plan, observed, index);
        if launched.is_err() {
            observed.write(|state| state.machines[index].exit = Some("never started".to_owned()));
        }
        launched
    }

    fn spawn(plan: Plan<'_>, observed: &Observed, index: usize) -> Result<Self, MachineError> {
        let prefix = format!("{index:02}-{}", plan.host);
        let file = |kind: &str| plan.folder.file(&format!("{prefix}.{kind}"));
        let console =
            UnixListener::bind(file(socket_path::CONSOLE)).map_err(|e| MachineError::Io("console socket", e))?;
        let qmp = UnixListener::bind(file(socket_path::MONITOR)).map_err(|e| MachineError::Io("QMP socket", e))?;
        let names = Names::new(plan.connection, plan.folder, &prefix);
        let write = |config: &HostConfig| {
            let host = plan.folder.write_json(&format!("{prefix}.host.json"), config);
            host.map_err(|e| MachineError::Io("host description", e))
        };
        let line = |link| arguments::arguments(plan.setup, &|kind| names.path(kind), link, plan.incoming);
        let (arguments, answers) = match plan.cards {
            Cards::Nobody => (line(None), Answers::Nobody),
            Cards::Plugin(spec) => {
                write(&HostConfig { trace: plan.trace, ..spec.config(plan.host) })?;
                let given = spec.control.as_ref().map(|path| plan.folder.path().join(path.get_ref()));
                given.iter().for_each(|path| remove_stale_socket(path));
                let there = match (&given, plan.connection) {
                    (Some(given), None) => given.clone(),
                    _ => names.path(socket_path::CONTROL),
                };
                let here = given.unwrap_or_else(|| file(socket_path::CONTROL));
                (line(Some(Link::Control(&there))), Answers::Plugin(here))
            }
            Cards::Owner(Seat { socket, facilities, driver }) => {
                write(&HostConfig {
                    name: plan.host.to_owned(),
                    topology: Topology { facilities, ..Topology::default() },
                    mdev: MdevConfig { uuid: USUAL_UUID.to_owned(), ..MdevConfig::default() },
                    ..HostConfig::default()
                })?;
                (line(Some(Link::Machine(&socket))), Answers::Owner(driver))
            }
        };
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
                let control = match &answers {
                    Answers::Plugin(path) => Some(path.clone()),
                    Answers::Nobody | Answers::Owner(_) => None,
                };
                let (connection, names) = (Arc::clone(connection), names.clone());
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
            answers,
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
        let is_plugin = matches!(self.answers, Answers::Plugin(_));
        // QEMU takes one command after the other, so all are sent at once. Its first answer comes from the loop that
        // the plugin was started before, unlike its greeting.
        let (control, (), _) = tokio::try_join!(
            biased;
            async {
                qmp.execute(Capabilities {}).await?;
                Ok::<_, MachineError>(match self.answers {
                    Answers::Nobody => None,
                    Answers::Plugin(path) => Some(Control::connect(&path, self.records.control).await?),
                    Answers::Owner(driver) => Some(driver.await?),
                })
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
        if let Some(fault) = version.filter(|_| is_plugin).and_then(qemu::known_fault) {
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
