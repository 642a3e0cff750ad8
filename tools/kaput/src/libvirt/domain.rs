// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guest that libvirt runs on a host: described, created or received, and destroyed whatever happens. Its domain is
//! transient: libvirt forgets it with its end. A file on the host says how it is destroyed, for the time when nobody
//! here can say it any more.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use preflight::text::shell_word;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::daemon::Daemon;
use super::events::life;
use super::xml::{self, Ap, Description};
use crate::hosts::ssh::ShellStatus;
use crate::hosts::virsh::destroy;
use crate::machine::Machine;
use crate::machine::backoff::Pace;
use crate::machine::console::Console;
use crate::machine::error::MachineError;
use crate::machine::monitor::Monitor;
use crate::machine::observed::{Observed, State};
use crate::machine::process::{Names, Process, look_after};
use crate::machine::records::Records;
use crate::machine::run_folder::RunFolder;
use crate::outcome::events::What;
use crate::protocol::socket_path;
use crate::protocol::transcript::Transcript;
use crate::scenario::HostSpec;

/// How long a domain may live; a run ends long before.
const EVER: Duration = Duration::from_secs(1 << 20);

/// How long events may take to be heard before something is done that causes more.
const SOON: Duration = Duration::from_millis(200);

/// One guest in one libvirt.
pub(crate) struct Domain {
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) name: String,
    /// What its files there begin with.
    pub(crate) stem: String,
    transcript: Transcript,
    /// Where its machine is noted.
    observed: Observed,
    index: usize,
}

/// Why libvirt did not migrate a guest, in its words.
pub(crate) enum MigrationError {
    /// It does not migrate guests with such a device.
    NotSupported(String),
    /// It tried to.
    Failed(String),
}

/// Everything about a domain that is to be.
pub(crate) struct Plan<'a> {
    /// The scenario's host.
    pub(crate) host: &'a str,
    pub(crate) daemon: &'a Arc<Daemon>,
    /// The domain's name, on every host.
    pub(crate) name: &'a str,
    pub(crate) uuid: &'a str,
    pub(crate) machine: &'a str,
    pub(crate) qemu: &'a Path,
    pub(crate) append: &'a str,
    pub(crate) cpus: u8,
    pub(crate) kvm: Option<(&'a str, &'a str)>,
    /// The plugin and its arguments, where AP is emulated.
    pub(crate) emulated: Option<(&'a Path, &'a HostSpec)>,
    pub(crate) folder: &'a Arc<RunFolder>,
    pub(crate) started: Instant,
    pub(crate) answer: Duration,
}

/// A domain that is described to its host and not yet there.
pub(crate) struct Pending {
    pub(crate) index: usize,
    pub(crate) domain: Arc<Domain>,
    host: String,
    process: Process,
    console: PathBuf,
    observed: Observed,
    answer: Duration,
    names: Names,
}

impl Domain {
    /// Asks libvirt something about it.
    pub(crate) async fn virsh(&self, doing: &str, verb: &str, more: &[&str]) -> Result<String, MachineError> {
        self.transcript.sent(&format!("virsh {verb} {}", more.join(" ")));
        let arguments = [&[verb, &self.name][..], more].concat();
        let said = self.daemon.ask(doing, &arguments).await;
        match &said {
            Ok(said) => self.transcript.received(said),
            Err(error) => self.transcript.received(&error.to_string()),
        }
        Ok(said?)
    }

    /// Asks libvirt two things at once, the guest hardly gets to an instruction between them.
    async fn both(&self, doing: &str, verbs: [&str; 2]) -> Result<(), MachineError> {
        let line = verbs.map(|verb| format!("{verb} {}", self.name)).join("; ");
        self.transcript.sent(&format!("virsh '{line}'"));
        Ok(self.daemon.ask(doing, &[&line]).await.map(|_| ())?)
    }

    /// The file there that is named so.
    pub(crate) fn path(&self, kind: &str) -> PathBuf {
        self.daemon.connection.path(&format!("{}.{kind}", self.stem))
    }

    /// Starts to ask libvirt something that takes a while.
    pub(crate) async fn begin(
        &self,
        what: &str,
        arguments: &[&str],
    ) -> Result<oneshot::Receiver<ShellStatus>, MachineError> {
        self.transcript.sent(&format!("virsh {}", arguments.join(" ")));
        Ok(self.daemon.begin(&format!("{}.{what}", self.stem), arguments).await?)
    }

    /// How that ended.
    pub(crate) async fn outcome(
        &self,
        doing: &str,
        what: &str,
        status: Option<&ShellStatus>,
    ) -> Result<(), MachineError> {
        let said = status.map_or("no more is heard of it".to_owned(), ToString::to_string);
        self.transcript.received(&said);
        Ok(self.daemon.outcome(doing, &format!("{}.{what}", self.stem), status).await?)
    }

    /// How its migration to another libvirt ended.
    pub(crate) async fn migrated(&self, there: &Daemon, status: Option<&ShellStatus>) -> Result<(), MigrationError> {
        let Err(error) = self.outcome("migrate the guest", "migrate", status).await else { return Ok(()) };
        let said = error.to_string();
        // libvirt without a word for this migration says so before it begins, and has no other sign for it.
        if said.contains("cannot migrate a domain with <hostdev") {
            return Err(MigrationError::NotSupported(said));
        }
        // A destination that does not answer is the likelier cause, and the source cannot tell.
        Err(MigrationError::Failed(match there.ask("say whether it is there", &["list"]).await {
            Ok(_) => said,
            Err(error) => format!("{error}\n{said}"),
        }))
    }

    /// Where libvirt keeps what its QEMU says.
    fn log(&self) -> String {
        format!("/var/log/libvirt/qemu/{}.log", self.name)
    }

    /// From here on it is watched, until it has stopped or is to be destroyed.
    async fn live(self: Arc<Self>, killed: oneshot::Receiver<()>, mut said: File, _folder: Arc<RunFolder>) {
        let (observed, index) = (&self.observed, self.index);
        let stopped = |state: &State| state.machines[index].qmp_closed.then_some(());
        tokio::select! {
            _ = observed.until(Instant::now() + EVER, stopped) => {}
            _ = killed => {}
        }
        let mut end = String::new();
        if observed.look().machines[index].stopped.is_none() {
            self.transcript.sent("virsh destroy");
            end = destroy(&self.name);
        }
        // All in one: who was asked to end waits for it.
        let files = shell_word(&self.path("").display().to_string());
        end += &format!("log={}\n[ -r \"$log\" ] && tail -c 4096 \"$log\"\nrm -f \"$log\" {files}*\n", self.log());
        if let Ok(text) = self.daemon.connection.script("end a domain", &end).await {
            _ = said.write_all(text.as_bytes());
        }
        self.daemon.hearing.forget(&self.name, index);
        observed.write(|state| {
            let known = &mut state.machines[index];
            let how = known.stopped.clone().unwrap_or("Destroyed".to_owned());
            known.exit = Some(format!("libvirt: {how}"));
            if !known.dismissed && how != "Migrated" {
                state.event(Some(index), What::Ended { how });
            }
        });
    }
}

impl Pending {
    /// Tells the host everything, and has it watched.
    pub(crate) async fn prepare(plan: &Plan<'_>, observed: &Observed) -> Result<Self, MachineError> {
        let index = observed.add_machine(plan.host);
        let prepared = Self::describe(plan, observed, index).await;
        if prepared.is_err() {
            observed.write(|state| state.machines[index].exit = Some("never started".to_owned()));
        }
        prepared
    }

    async fn describe(plan: &Plan<'_>, observed: &Observed, index: usize) -> Result<Self, MachineError> {
        let prefix = format!("{index:02}-{}", plan.host);
        let stem = format!("{}-{prefix}", plan.folder.tag());
        let connection = &plan.daemon.connection;
        let names = Names::new(Some(connection), plan.folder, &prefix);
        let [console, host] = [socket_path::CONSOLE, "host.json"].map(|kind| names.path(kind));
        let ap = match (plan.kvm, plan.emulated) {
            (Some((cpu, uuid)), _) => Ap::Device { cpu, uuid },
            (None, Some((plugin, spec))) => {
                let config = serde_json::to_vec(&spec.config(plan.host)).map_err(io::Error::other);
                let config = config.map_err(|error| MachineError::Io("host description", error))?;
                connection.put(&format!("{stem}.host.json"), config).await?;
                Ap::Emulated { plugin, host: &host }
            }
            (None, None) => Ap::None,
        };
        let image = connection.image();
        let xml = xml::xml(&Description {
            name: plan.name,
            uuid: plan.uuid,
            machine: plan.machine,
            emulator: plan.qemu,
            image: &image,
            append: plan.append,
            cpus: plan.cpus,
            console: &console,
            ap,
        });
        let xml = xml.map_err(|error| MachineError::Io("domain description", error))?;
        plan.folder
            .write(&format!("{prefix}.xml"), &xml)
            .map_err(|error| MachineError::Io("domain description", error))?;
        let said = plan.folder.create_file(&format!("{prefix}.stderr"));
        let said = said.map_err(|error| MachineError::Io("error file", error))?;
        let transcript = Transcript::new(plan.started);
        let records =
            Records { prefix: prefix.clone(), qmp: transcript.clone(), control: Transcript::new(plan.started) };
        observed.write(|state| state.machines[index].records = Some(records));
        let domain = Arc::new(Domain {
            daemon: Arc::clone(plan.daemon),
            name: plan.name.to_owned(),
            stem,
            transcript,
            observed: observed.clone(),
            index,
        });
        let undo = format!("{}rm -f {}\n", destroy(plan.name), domain.log());
        connection.put(&format!("{}.undo", domain.stem), undo.into_bytes()).await?;
        connection.put(&format!("{}.xml", domain.stem), xml.into_bytes()).await?;
        plan.daemon.hear(plan.name, observed, index);
        let (kill, killed) = oneshot::channel();
        look_after(Arc::clone(&domain).live(killed, said, Arc::clone(plan.folder)));
        let process = Process::new(kill);
        let console =
            plan.daemon.forward(console, plan.folder.file(&format!("{prefix}.{}", socket_path::CONSOLE))).await?;
        let (host, observed, answer) = (plan.host.to_owned(), observed.clone(), plan.answer);
        Ok(Self { index, domain, host, process, console, observed, answer, names })
    }

    /// Has libvirt create it, stopped before its first instruction.
    pub(crate) async fn create(&self) -> Result<(), MachineError> {
        let (doing, xml) = ("create a domain", self.domain.path("xml").display().to_string());
        let ended = self.domain.begin("create", &["create", "--validate", "--paused", &xml]).await?;
        let status = ended.await.ok();
        self.domain.outcome(doing, "create", status.as_ref()).await
    }

    /// Connects with the console of a domain that is there.
    pub(crate) async fn ready(self) -> Result<(Machine, Arc<Domain>), MachineError> {
        let console =
            UnixStream::connect(&self.console).await.map_err(|e| MachineError::Io("console connection", e))?;
        let console = Console::take_over(console, &self.observed, self.index)?;
        self.observed.event(Some(self.index), What::Ready);
        let machine = Machine {
            index: self.index,
            host: self.host,
            control: None,
            monitor: Box::new(Arc::clone(&self.domain)),
            process: self.process,
            console,
            observed: self.observed,
            answer: self.answer,
            names: self.names,
        };
        Ok((machine, self.domain))
    }
}

impl Domain {
    /// Lets a domain that was created run, once its events are heard.
    pub(crate) async fn resume(&self, patience: Duration) -> Result<(), MachineError> {
        let resumed = async {
            self.heard(patience, ["resume", "suspend"]).await?;
            self.virsh("let a domain run", "resume", &[]).await.map(|_| ())
        };
        match resumed.await {
            Err(_) if self.is_gone().await => Ok(()),
            resumed => resumed,
        }
    }

    /// Whether it is not there any more. It goes with its guest's end, of which nothing may have been heard.
    async fn is_gone(&self) -> bool {
        let listed = self.daemon.ask("list its domains", &["list", "--all", "--name"]).await;
        let is_gone = listed.is_ok_and(|names| names.lines().all(|name| name.trim() != self.name));
        if is_gone {
            self.observed.write(|state| life(state, self.index, "Stopped Shutdown"));
        }
        is_gone
    }

    /// Waits until its events are heard: those who listen do not say when they begin to. What is done meanwhile, twice
    /// in a moment and without consequence, gives them something to tell.
    pub(crate) async fn heard(&self, patience: Duration, twice: [&str; 2]) -> Result<(), MachineError> {
        let deadline = Instant::now() + patience;
        let mut pace = Pace::until(deadline);
        loop {
            self.both("be heard", twice).await?;
            let heard = |state: &State| {
                let known = &state.machines[self.index];
                (known.qmp_closed || known.life_heard && known.running.is_some()).then_some(())
            };
            if self.observed.until(deadline.min(Instant::now() + SOON), heard).await.is_ok() {
                return Ok(());
            }
            if !pace.again().await {
                return Err(MachineError::Late("libvirt's events"));
            }
        }
    }
}

impl Monitor for Arc<Domain> {
    fn ask(&self, command: &'static str, arguments: Value) -> BoxFuture<'_, Result<Value, MachineError>> {
        Box::pin(async move {
            self.transcript.sent(command);
            self.daemon.ask_qemu(&self.name, command, &arguments).await
        })
    }

    /// The connection is libvirt's.
    fn cut(&self) {}

    /// QEMU runs as another user there.
    fn saves_files(&self) -> bool {
        false
    }
}
