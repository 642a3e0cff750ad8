// SPDX-License-Identifier: MIT OR Apache-2.0
//! One QEMU: started, reached over QMP, its console and the plugin's control socket, and ended whatever happens.
//!
//! The harness listens and QEMU connects, so nothing is polled; the plugin listens before QEMU greets. A dropped machine
//! is a killed machine; if the harness itself is killed, QEMU notices that its parent is gone.

pub mod arguments;
pub mod backoff;
mod console;
pub(crate) mod domain;
pub mod emulator;
pub mod observed;
mod process;
pub mod run_folder;

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use qapi_spec::Command;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use vfio_ap::HostConfig;

use crate::guest::image::Place;
use crate::hosts::ssh::{Far, FarError};
use crate::machine::observed::Observed;
use crate::machine::run_folder::RunFolder;
use crate::outcome::events::What;
use crate::protocol::control::{Control, ControlError};
use crate::protocol::qmp::command::{Capabilities, HumanMonitor, PhysicalMemorySave, SetCapabilities, Switch};
use crate::protocol::qmp::{Notice, Qmp, QmpError};
use crate::protocol::transcript::Transcript;
use crate::scenario::HostSpec;
use arguments::Setup;
use console::ConsoleSocket;

/// How long after its connections' end a process may be seen to end.
pub(crate) const MOMENT: Duration = Duration::from_secs(2);

/// What can go wrong with one machine. The run makes a verdict of it: only the run knows what it was doing.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Its process ended.
    #[error("QEMU ended")]
    Died,
    /// It did not do something in time.
    #[error("{0} did not come in time")]
    Late(&'static str),
    /// QMP.
    #[error(transparent)]
    Qmp(#[from] QmpError),
    /// The plugin.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A file or a socket of ours.
    #[error("{0}: {1}")]
    Io(&'static str, io::Error),
    /// The host it runs on, where that is another one.
    #[error(transparent)]
    Far(#[from] FarError),
}

/// How QEMU is asked.
enum Monitor {
    /// Over a connection of ours.
    Qmp(Qmp),
    /// By the libvirt that runs it.
    Libvirt(Arc<domain::Domain>),
}

/// A process that is killed when this is dropped.
struct Process {
    kill: Mutex<Option<oneshot::Sender<()>>>,
}

impl Process {
    fn kill(&self) {
        self.kill.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// One QEMU that answers.
pub struct Machine {
    /// Its place in [`crate::machine::observed::State::machines`].
    pub index: usize,
    /// The host it stands for.
    pub host: String,
    /// The plugin, if QEMU has it.
    control: Option<Control>,
    monitor: Monitor,
    process: Process,
    console: Arc<ConsoleSocket>,
    /// Ends with the console.
    listener: JoinHandle<()>,
    observed: Observed,
    answer: Duration,
    names: process::Names,
}

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
    names: process::Names,
    /// Whether the host's own driver is what it has.
    real_driver: bool,
}

/// What was said to and by a machine.
#[derive(Clone)]
pub struct Records {
    /// File name prefix in the run folder, `00-A`.
    pub prefix: String,
    /// QMP.
    pub qmp: Transcript,
    /// The control socket.
    pub control: Transcript,
}

/// Everything about a machine that is to be started.
pub struct Plan<'a> {
    /// The host's name.
    pub host: &'a str,
    /// The host's description, for the plugin; `None` runs QEMU without the plugin.
    pub spec: Option<&'a HostSpec>,
    /// The other host it is to run on, if it is not to run here.
    pub far: Option<&'a Arc<Far>>,
    /// What all machines of the run have in common.
    pub setup: &'a Setup<'a>,
    /// Whether it waits for a guest instead of booting one.
    pub incoming: bool,
    /// The run's folder.
    pub folder: &'a RunFolder,
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
    /// [`Trouble::Io`].
    pub fn launch(plan: &Plan<'_>, observed: &Observed) -> Result<(Self, Records), Trouble> {
        let index = observed.add_machine(plan.host);
        let launched = Self::spawn(plan, observed, index);
        if launched.is_err() {
            observed.write(|state| state.machines[index].exit = Some("never started".to_owned()));
        }
        launched
    }

    fn spawn(plan: &Plan<'_>, observed: &Observed, index: usize) -> Result<(Self, Records), Trouble> {
        let prefix = format!("{index:02}-{}", plan.host);
        let file = |kind: &str| plan.folder.file(&format!("{prefix}.{kind}"));
        let console = UnixListener::bind(file("console-socket")).map_err(|e| Trouble::Io("console socket", e))?;
        let qmp = UnixListener::bind(file("qmp-socket")).map_err(|e| Trouble::Io("QMP socket", e))?;
        let names = process::Names::new(plan.far, plan.folder, &prefix);
        let (mut control, mut control_there) = (None, None);
        if let Some(spec) = plan.spec {
            let config = HostConfig { trace: plan.trace, ..spec.config(plan.host) };
            let host = plan.folder.write_json(&format!("{prefix}.host.json"), &config);
            host.map_err(|e| Trouble::Io("host description", e))?;
            let given = spec.control.as_ref().map(|path| plan.folder.path().join(path.get_ref()));
            given.iter().for_each(|path| remove_stale_socket(path));
            control_there = Some(match (&given, plan.far) {
                (Some(given), None) => given.clone(),
                _ => names.path("control-socket"),
            });
            control = Some(given.unwrap_or_else(|| file("control-socket")));
        }
        let arguments =
            arguments::arguments(plan.setup, &|kind| names.path(kind), control_there.as_deref(), plan.incoming);
        let command_line = arguments::for_people(plan.setup.qemu, &arguments);
        plan.folder.write(&format!("{prefix}.command"), &command_line).map_err(|e| Trouble::Io("command line", e))?;
        let stderr = plan.folder.create_file(&format!("{prefix}.stderr")).map_err(|e| Trouble::Io("error file", e))?;
        let (kill, killed) = oneshot::channel();
        match plan.far {
            None => {
                let child = process::start_here(plan.setup.qemu, &arguments, stderr)?;
                observed.event(Some(index), What::Launched { pid: child.id().unwrap_or_default() });
                tokio::spawn(reap(process::here(child, killed), observed.clone(), index));
            }
            Some(far) => {
                let (far, names, control) = (Arc::clone(far), names.clone(), control.clone());
                let errand = process::Errand { far, names, command: command_line, stderr, control };
                tokio::spawn(reap(errand.run(killed, observed.clone(), index), observed.clone(), index));
            }
        }
        let transcript = || Transcript::new(plan.started);
        let records = Records { prefix: prefix.clone(), qmp: transcript(), control: transcript() };
        let process = Process { kill: Mutex::new(Some(kill)) };
        let launching = Self {
            index,
            process,
            console,
            qmp,
            control,
            observed: observed.clone(),
            host: plan.host.to_owned(),
            records: records.clone(),
            answer: plan.answer,
            names,
            real_driver: plan.setup.kvm.is_some(),
        };
        Ok((launching, records))
    }

    /// Ends it, as a crash would.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Waits until QEMU and the plugin answer.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn ready(self, patience: Duration) -> Result<Machine, Trouble> {
        let deadline = Instant::now() + patience;
        let (index, observed) = (self.index, self.observed.clone());
        let ended = |until| observed.until(until, |state| state.machines[index].exit.is_some().then_some(()));
        let answers = tokio::select! {
            answers = self.connect(deadline) => answers,
            ended = ended(deadline) => Err(ended.map_or(Trouble::Late("QEMU's greeting"), |()| Trouble::Died)),
        };
        match answers {
            // A connection that ends because QEMU does is seen to end a moment before.
            Err(trouble @ (Trouble::Qmp(_) | Trouble::Control(_))) => {
                Err(ended(deadline.min(Instant::now() + MOMENT)).await.map_or(trouble, |()| Trouble::Died))
            }
            answers => answers,
        }
    }

    async fn connect(self, deadline: Instant) -> Result<Machine, Trouble> {
        let index = self.index;
        let accept = |listener: UnixListener, what: &'static str| async move {
            listener.accept().await.map(|(stream, _): (UnixStream, _)| stream).map_err(|e| Trouble::Io(what, e))
        };
        let (console, qmp) =
            tokio::try_join!(accept(self.console, "console connection"), accept(self.qmp, "QMP connection"))?;
        let heard = ConsoleSocket::heard(console, &self.observed, index);
        let (console, listener) = heard.map_err(|e| Trouble::Io("console connection", e))?;
        let teller = self.observed.clone();
        let qmp = Qmp::new(qmp, self.records.qmp, move |notice| match notice {
            Notice::Greeting(version) => teller.write(|state| state.machines[index].version = Some(version)),
            Notice::Event(event) => teller.qmp_event(index, &event),
            Notice::Closed => teller.write(|state| state.machines[index].qmp_closed = true),
        });
        let greeted = self.observed.until(deadline, |state| {
            (state.machines[index].version.is_some() || state.machines[index].qmp_closed).then_some(())
        });
        greeted.await.map_err(|_| Trouble::Late("QEMU's greeting"))?;
        qmp.execute(Capabilities {}).await?;
        // Events tell each step; the pause gives the time in which the AP configuration goes over.
        let on = |capability| Switch { capability, state: true };
        let mut capabilities = vec![on("events"), on("pause-before-switchover")];
        if self.real_driver {
            // The driver's state goes with the stream: a destination that refuses it must be able to say so, or the source
            // believes that the guest is gone.
            capabilities.push(on("return-path"));
        }
        qmp.execute(SetCapabilities { capabilities }).await?;
        let control = match &self.control {
            Some(path) => Some(Control::connect(path, self.records.control).await?),
            None => None,
        };
        self.observed.event(Some(index), What::Ready);
        Ok(Machine {
            index,
            host: self.host,
            control,
            monitor: Monitor::Qmp(qmp),
            process: self.process,
            console,
            listener,
            observed: self.observed,
            answer: self.answer,
            names: self.names,
        })
    }
}

/// Removes what a QEMU that was killed left behind where the next one is to listen. Anything else stays: then the plugin says
/// what is in its way.
pub(crate) fn remove_stale_socket(path: &Path) {
    let is_refused =
        || std::os::unix::net::UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
    if std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) && is_refused() {
        _ = std::fs::remove_file(path);
    }
}

/// Notes the end of a process.
async fn reap(life: impl Future<Output = String>, observed: Observed, index: usize) {
    let how = life.await;
    observed.write(|state| {
        if !state.machines[index].dismissed {
            state.event(Some(index), What::Ended { how: how.clone() });
        }
        state.machines[index].exit = Some(how);
    });
}

impl Machine {
    /// Sends a QMP command.
    ///
    /// # Errors
    /// [`Trouble`]; a QEMU that died meanwhile is [`Trouble::Died`], whatever the connection says.
    pub async fn ask<C: Command>(&self, command: C) -> Result<C::Ok, Trouble> {
        let deadline = tokio::time::Instant::now() + self.answer;
        let answer = async {
            match &self.monitor {
                Monitor::Qmp(qmp) => Ok(qmp.execute(command).await?),
                Monitor::Libvirt(domain) => domain.ask(&command).await,
            }
        };
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Err(error @ (Trouble::Qmp(QmpError::Closed(_)) | Trouble::Far(_)))) => Err(self.died_or(error).await),
            Ok(answer) => answer,
            Err(_) => Err(Trouble::Late(C::NAME)),
        }
    }

    /// Calls the plugin.
    ///
    /// # Errors
    /// [`Trouble`]; a QEMU that died meanwhile is [`Trouble::Died`], whatever the connection says.
    pub async fn call<'a, T, F: Future<Output = Result<T, ControlError>>>(
        &'a self,
        call: impl FnOnce(&'a Control) -> F,
    ) -> Result<T, Trouble> {
        let control = self.control.as_ref().ok_or_else(|| ControlError::Lost("this QEMU has no plugin".to_owned()))?;
        let deadline = tokio::time::Instant::now() + self.answer;
        match tokio::time::timeout_at(deadline, call(control)).await {
            Ok(Err(error @ ControlError::Lost(_))) => Err(self.died_or(error.into()).await),
            Ok(answer) => Ok(answer?),
            Err(_) => Err(ControlError::Lost("no answer in time".to_owned()).into()),
        }
    }

    /// A connection ended: because QEMU did? Its end is seen a moment later than the connection's.
    async fn died_or(&self, otherwise: Trouble) -> Trouble {
        let soon = Instant::now() + self.answer.min(MOMENT);
        let index = self.index;
        let died = self.observed.until(soon, |state| state.machines[index].exit.is_some().then_some(())).await;
        died.map_or(otherwise, |()| Trouble::Died)
    }

    /// Presses the key the guest waits for.
    ///
    /// # Errors
    /// [`Trouble::Io`].
    pub async fn press_key(&self) -> Result<(), Trouble> {
        self.console.press(ap_arch::report::handshake::KEY).await.map_err(|e| Trouble::Io("console", e))?;
        self.observed.event(Some(self.index), What::Key);
        Ok(())
    }

    /// Takes what the guest printed and nobody has read yet. The guest must be stopped: then this is all.
    pub fn drain_console(&self) {
        self.console.drain(&self.observed, self.index);
    }

    /// The host it runs on, where that is another one.
    #[must_use]
    pub fn far(&self) -> Option<&Arc<Far>> {
        self.names.far.as_ref()
    }

    /// Reads guest memory.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn read_memory(&self, place: Place) -> Result<Vec<u8>, Trouble> {
        if matches!(self.monitor, Monitor::Libvirt(_)) {
            return Err(Trouble::Io("guest memory", io::Error::other("libvirt does not show it")));
        }
        let filename = self.names.path("memory").display().to_string();
        self.ask(PhysicalMemorySave { val: place.address, size: place.size, filename }).await?;
        self.names.take("memory").await
    }

    /// Reads a doubleword of guest memory.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn read_doubleword(&self, address: u64) -> Result<u64, Trouble> {
        let text = self.ask(HumanMonitor { command_line: format!("xp /1gx {address:#x}") }).await?;
        let value = text.trim().rsplit_once(' ').and_then(|(_, value)| value.strip_prefix("0x"));
        let value = value.and_then(|value| u64::from_str_radix(value, 16).ok());
        value.ok_or_else(|| QmpError::Unexpected { command: "human-monitor-command", reason: text }.into())
    }

    /// Ends it, as a crash would.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Cuts the QMP connection.
    pub fn cut_qmp(&self) {
        if let Monitor::Qmp(qmp) = &self.monitor {
            qmp.cut();
        }
    }

    /// Cuts the connection to the plugin.
    pub fn cut_control(&self) {
        if let Some(control) = &self.control {
            control.cut();
        }
    }

    /// Ends it because it is not needed any more.
    pub fn dismiss(self) {
        self.observed.write(|state| state.machines[self.index].dismissed = true);
        self.kill();
    }
}
