// SPDX-License-Identifier: MIT OR Apache-2.0
//! The story of one run: QEMUs are started, the guest is migrated when it asks, the AP configuration goes over while it
//! stands still, and everybody is asked how it went. [`Run::story`] and [`Run::migrate`] read like the design's list; what goes
//! wrong on the way ends the story with a verdict.

mod actions;
mod asks;
mod by_libvirt;
mod channel;
mod close;
pub mod engine;
mod handover;
mod refusal;
pub mod tools;
mod wait;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio_util::task::AbortOnDropHandle;

use crate::machine::Machine;
use crate::machine::arguments::Setup;
use crate::machine::backoff::Pace;
use crate::machine::error::MachineError;
use crate::machine::launch::{Launching, Plan, Records};
use crate::machine::observed::{Observed, State};
use crate::machine::run_folder::{FolderError, RunFolder};
use crate::outcome::events::What;
use crate::outcome::finished::Finished;
use crate::outcome::judge::{self, Evidence};
use crate::outcome::trace::Trace;
use crate::outcome::transfer::Transfer;
use crate::outcome::verdict::KernelLine;
use crate::outcome::verdict::{Kind, Verdict};
use crate::protocol::qmp::command::{
    Migrate, MigrateCancel, MigrateContinue, MigrationStatus, QueryMigrate, QueryStatus, RunState, SetParameters,
    Status,
};
use crate::run::engine::Engine;
use crate::run::tools::Tools;
use crate::scenario::load::Loaded;
use crate::scenario::{Hop, Moment, Scenario};

/// What the guest's suite `hot-unplug` says once it is ready.
const WAITS_FOR_UNPLUG: &str = "hot-unplug: waiting for a domain to go";

/// What is wanted besides the verdict.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// Keep the run folder whatever the verdict is.
    pub keep: bool,
    /// Keep nothing, not even of a run that is not as expected: it was meant to be so.
    pub discard: bool,
    /// Keep every AP instruction of the guest.
    pub trace: bool,
}

/// Runs a scenario to its verdict.
///
/// # Errors
/// [`FolderError`] if there is no place for a run; everything else is a verdict.
pub async fn run(tools: &Tools, loaded: &Loaded, wishes: Wishes) -> Result<Finished, FolderError> {
    watched(tools, loaded, wishes, |_| ()).await
}

/// The same, for somebody who wants to see it happen: `watch` is shown what is known before anything is.
///
/// # Errors
/// Those of [`run`].
pub async fn watched(
    tools: &Tools,
    loaded: &Loaded,
    wishes: Wishes,
    watch: impl FnOnce(&Observed),
) -> Result<Finished, FolderError> {
    carry_out(RunFolder::create()?, tools, loaded, wishes, watch).await
}

/// As [`run`], with the run folder under `base`.
///
/// # Errors
/// Those of [`run`].
pub async fn run_in(base: &Path, tools: &Tools, loaded: &Loaded, wishes: Wishes) -> Result<Finished, FolderError> {
    carry_out(RunFolder::create_in(base)?, tools, loaded, wishes, |_| ()).await
}

async fn carry_out(
    folder: Arc<RunFolder>,
    tools: &Tools,
    loaded: &Loaded,
    wishes: Wishes,
    watch: impl FnOnce(&Observed),
) -> Result<Finished, FolderError> {
    let mut run = Run::new(tools, &loaded.scenario, folder, wishes.trace);
    watch(&run.observed);
    let story = match &tools.engine {
        Engine::Libvirt(libvirt) => run.story_by_libvirt(libvirt).await,
        Engine::Emulated | Engine::Kvm(_) => run.story().await,
    };
    Ok(run.close(story, loaded, wishes).await)
}

struct Run<'a> {
    tools: &'a Tools,
    scenario: &'a Scenario,
    append: String,
    folder: Arc<RunFolder>,
    started: Instant,
    observed: Observed,
    records: Vec<Records>,
    transfers: Vec<Transfer>,
    /// The machine the guest is on.
    home: Option<Machine>,
    /// Which migration the story is at, from 0.
    hop: usize,
    /// Keys the guest got without a migration.
    keys_without_migration: Cell<usize>,
    /// What the guest could reach when it was last looked at.
    matrix: Option<What>,
    /// What the guest did, if that is wanted.
    trace: Option<Trace>,
    /// Where a guest goes by TCP.
    link: Option<String>,
    /// Where the kernels' logs stood at first, where there is one to be asked.
    marks: Option<refusal::Marks>,
    /// What the kernel said that was asked.
    kernel_log: Vec<KernelLine>,
}

/// A destination that is being started while other things happen.
type Preparing = AbortOnDropHandle<Result<Machine, MachineError>>;

impl<'a> Run<'a> {
    fn new(tools: &'a Tools, scenario: &'a Scenario, folder: Arc<RunFolder>, trace: bool) -> Self {
        let started = Instant::now();
        let append = scenario.command_line();
        let observed = Observed::new(started);
        let (records, transfers) = (Vec::new(), Vec::new());
        Self {
            tools,
            scenario,
            append,
            folder,
            started,
            observed,
            records,
            transfers,
            home: None,
            hop: 0,
            keys_without_migration: Cell::new(0),
            matrix: None,
            trace: trace.then(Trace::new),
            link: None,
            marks: None,
            kernel_log: Vec::new(),
        }
    }

    /// From the first QEMU's start to the guest's end.
    async fn story(&mut self) -> Result<(), Box<Verdict>> {
        let scenario = self.scenario;
        let hops = scenario.hops();
        self.mark_logs().await;
        let source = self.launch(scenario.start(), false)?;
        let mut next = self.prepare(hops.first())?;
        self.home = Some(self.arrive(source).await?);
        self.the_guest_speaks().await?;
        for (number, hop) in hops.iter().enumerate() {
            self.hop = number;
            if !self.the_guest_asks(number).await? {
                return Ok(());
            }
            if number == 0 {
                self.note_matrix().await?;
            }
            let Some(preparing) = next.take() else { break };
            let destination = self.wait_for_destination(preparing).await?;
            let Some(source) = self.home.take() else { break };
            let accepted = match self.migrate(&source, &destination, hop).await {
                Err(ended) => {
                    let ended = self.blame_link(&source, &destination, ended);
                    self.after_failure(&source, &destination, ended).await
                }
                accepted => accepted,
            };
            let arrived = *accepted.as_ref().unwrap_or(&self.is_gone(&source));
            let (home, other) = if arrived { (destination, source) } else { (source, destination) };
            self.fetch_trace(&other).await;
            other.dismiss();
            self.home = Some(home);
            accepted?;
            self.note_matrix().await?;
            let Some(home) = &self.home else { break };
            home.press_key()
                .await
                .map_err(|trouble| wait::verdict(&self.observed, home, "the key is pressed", trouble))?;
            // While the guest looks around, which keeps one CPU busy; a migration leaves none to spare.
            next = self.prepare(hops.get(number + 1))?;
        }
        self.the_guest_ends().await
    }

    /// Whether machines have the plugin.
    fn has_plugin(&self) -> bool {
        self.scenario.plugin && self.tools.engine.is_emulated()
    }

    /// Notes what the host lets the guest reach, where that is news.
    async fn note_matrix(&mut self) -> Result<(), Box<Verdict>> {
        let Some(home) = self.home.as_ref().filter(|_| self.has_plugin()) else { return Ok(()) };
        let host = self.device(home, "its matrix is read", home.call(|c| c.host()).await)?;
        let uuid = self.scenario.host(&home.host).map(|spec| spec.mdev.uuid.as_str());
        let Some(mdev) = host.mdevs.into_iter().find(|mdev| Some(mdev.uuid.as_str()) == uuid) else { return Ok(()) };
        let (adapters, domains) = (mdev.guest_adapters, mdev.guest_domains);
        let matrix = What::Matrix { adapters, domains, control_domains: mdev.guest_control_domains };
        if self.matrix.as_ref() != Some(&matrix) {
            self.observed.event(Some(home.index), matrix.clone());
            self.matrix = Some(matrix);
        }
        Ok(())
    }

    /// One migration. Returns whether the guest is at the destination; if not, it runs on at the source.
    async fn migrate(&mut self, source: &Machine, destination: &Machine, hop: &Hop<'_>) -> Result<bool, Box<Verdict>> {
        self.migratable(source).await?;
        let (number, to) = (self.hop + 1, hop.to.to_owned());
        self.observed.event(Some(source.index), What::MigrationBegun { migration: number, to });
        self.moment(Moment::Asked, source, destination).await?;

        // Memory goes while the guest runs; QEMU pauses once the guest must stand still.
        let uri = self.open_way(source, destination, number).await?;
        self.ask(source, "the limits are set", limits(hop, hop.with.mid_run)).await?;
        self.ask(source, "the migration is started", Migrate { uri }).await?;
        self.status(source, destination, "memory moves", |status| (*status != "" && *status != "setup").then_some(()))
            .await?;
        self.moment(Moment::Active, source, destination).await?;
        if self.cancels(Moment::Active) {
            return self.cancelled(source, destination).await;
        }
        if hop.with.mid_run {
            self.prove_mid_run(source, hop).await?;
        }
        let paused = |status: &MigrationStatus| (*status == MigrationStatus::PRE_SWITCHOVER).then_some(());
        self.status(source, destination, "memory moves", paused).await?;
        self.moment(Moment::PreSwitchover, source, destination).await?;
        if self.cancels(Moment::PreSwitchover) {
            return self.cancelled(source, destination).await;
        }
        source.drain_console();

        // The AP configuration goes from device to device; the real driver's goes with QEMU's stream.
        let transfer = match self.tools.engine {
            Engine::Emulated => self.hand_over(source, destination, hop.with).await?,
            Engine::Kvm(_) | Engine::Libvirt(_) => Transfer { to: destination.host.clone(), ..Transfer::default() },
        };
        let accepted = transfer.refused.is_none();
        self.transfers.push(transfer);
        self.moment(Moment::HandedOver, source, destination).await?;
        if self.cancels(Moment::HandedOver) {
            return self.cancelled(source, destination).await;
        }

        if accepted {
            self.ask(source, "it is told to go on", MigrateContinue { state: MigrationStatus::PRE_SWITCHOVER }).await?;
            self.moment(Moment::Continued, source, destination).await?;
            if self.cancels(Moment::Continued) && !self.came_too_late(source, destination).await? {
                return self.cancelled(source, destination).await;
            }
            let done = |status: &MigrationStatus| (*status == MigrationStatus::COMPLETED).then_some(());
            self.status(source, destination, "the guest goes over", done).await?;
            self.status(destination, source, "the guest goes over", done).await?;
        } else {
            // The device first: when the guest runs again, its device must.
            self.restore_source(source).await?;
            self.ask(source, "the migration is cancelled", MigrateCancel {}).await?;
            let over = |status: &MigrationStatus| (*status == MigrationStatus::CANCELLED).then_some(());
            self.status(source, destination, "the migration is cancelled", over).await?;
            self.wait(source, "the guest runs on", |state| {
                (state.machines[source.index].running == Some(true)).then_some(())
            })
            .await?;
        }
        self.over(source, destination, accepted).await
    }

    /// The end of a migration that somebody cancelled. QEMU lets the guest run again by itself, and the plugin brings the device
    /// back before the guest's first instruction: the harness only looks.
    async fn cancelled(&mut self, source: &Machine, destination: &Machine) -> Result<bool, Box<Verdict>> {
        let doing = "the migration is cancelled";
        let over = |status: &MigrationStatus| (*status == MigrationStatus::CANCELLED).then_some(());
        self.status(source, destination, doing, over).await?;
        self.wait(source, "the guest runs on", |state| {
            (state.machines[source.index].running != Some(false)).then_some(())
        })
        .await?;
        if self.transfers.len() == self.hop {
            self.transfers.push(Transfer { to: destination.host.clone(), ..Transfer::default() });
        }
        if let Some(transfer) = self.transfers.last_mut() {
            transfer.cancelled = true;
        }
        self.device_runs(source).await?;
        self.over(source, destination, false).await
    }

    /// Whether a migration that was cancelled at the last moment had already succeeded.
    async fn came_too_late(&self, source: &Machine, destination: &Machine) -> Result<bool, Box<Verdict>> {
        let over = |status: &MigrationStatus| match status.0.as_str() {
            MigrationStatus::COMPLETED => Some(true),
            MigrationStatus::CANCELLED => Some(false),
            _ => None,
        };
        self.status(source, destination, "the migration is cancelled at the last moment", over).await
    }

    /// A migration is over, and both QEMUs are as they must be.
    async fn over(&self, source: &Machine, destination: &Machine, accepted: bool) -> Result<bool, Box<Verdict>> {
        self.end_states(source, destination, accepted).await?;
        self.moment(Moment::Over, source, destination).await?;
        Ok(accepted)
    }

    /// Keeps the migration from converging until the guest has done something useful while pages moved.
    async fn prove_mid_run(&self, source: &Machine, hop: &Hop<'_>) -> Result<(), Box<Verdict>> {
        let count = || async {
            let count = source.read_doubleword(self.tools.image.progress.address).await;
            count.map_err(|trouble| wait::verdict(&self.observed, source, "its progress is read", trouble))
        };
        let before = count().await?;
        let deadline = Instant::now() + self.scenario.deadlines.migration;
        let mut passes = 0;
        loop {
            let seen = |state: &State| {
                let known = &state.machines[source.index];
                (known.passes > passes || known.migration != MigrationStatus::ACTIVE).then_some(known.passes)
            };
            let now = self.wait(source, "memory moves", seen).await?;
            if now <= passes {
                return Err(self.not_mid_run(source));
            }
            passes = now;
            let operations = count().await?.wrapping_sub(before);
            if operations > 0 {
                self.observed.event(Some(source.index), What::MidRun { operations });
                break;
            }
            // The limits keep it from converging, so it goes on for as long as its guest does nothing.
            if Instant::now() > deadline {
                return Err(self.stuck(source, "its guest is to be seen at work"));
            }
        }
        self.ask(source, "the limits are opened", limits(hop, false)).await.map(|_| ())
    }

    /// After every migration both QEMUs must be in the states that go with its outcome.
    async fn end_states(&self, source: &Machine, destination: &Machine, accepted: bool) -> Result<(), Box<Verdict>> {
        let doing = "its end state is asked";
        let ours = self.settled(source).await?;
        let theirs = self.ask(destination, doing, QueryStatus {}).await?;
        let left = self.ask(source, doing, QueryMigrate {}).await?;
        let arrived = self.ask(destination, doing, QueryMigrate {}).await?;
        let expected = if accepted {
            [RunState::POSTMIGRATE, MigrationStatus::COMPLETED, RunState::RUNNING, MigrationStatus::COMPLETED]
        } else {
            // What becomes of the destination's own status is QEMU's business; its guest must not run.
            [RunState::RUNNING, MigrationStatus::CANCELLED, &*theirs.status.0, &*arrived.status.0]
        };
        let seen = [&*ours.status.0, &*left.status.0, &*theirs.status.0, &*arrived.status.0];
        if seen != expected || (!accepted && theirs.running) {
            return Err(self.wrong_end_states(source, destination, &expected, &seen));
        }
        let (downtime, transferred) = (left.downtime, left.ram.map(|ram| ram.transferred));
        let done = What::MigrationDone { migration: self.hop + 1, accepted, downtime, transferred };
        self.observed.event(Some(source.index), done);
        Ok(())
    }

    /// What a source does once its migration is over. QEMU tells the migration's end a moment before it has drawn the consequence,
    /// and no event tells that it has: it is asked again.
    async fn settled(&self, source: &Machine) -> Result<Status, Box<Verdict>> {
        let mut pace = Pace::until(Instant::now() + self.scenario.deadlines.answer);
        loop {
            let status = self.ask(source, "its end state is asked", QueryStatus {}).await?;
            if status.status != RunState::FINISH_MIGRATE || !pace.again().await {
                return Ok(status);
            }
        }
    }

    /// Starts a QEMU for a host.
    fn launch(&mut self, host: &str, incoming: bool) -> Result<Launching, Box<Verdict>> {
        let spec = self.scenario.host(host).filter(|_| self.has_plugin());
        let starts_here = host == self.scenario.start();
        let far = if starts_here { &self.tools.hosts.source } else { &self.tools.hosts.destination }.as_ref();
        let there = far.map(|far| (PathBuf::from(&far.hello.qemu), PathBuf::from(&far.hello.plugin), far.image()));
        let (qemu, plugin, image) = match &there {
            Some((qemu, plugin, image)) => (&**qemu, &**plugin, &**image),
            None => (&*self.tools.qemu, &*self.tools.plugin, &*self.tools.image.path),
        };
        let (machine, append, cpus) = (&*self.tools.machine, &*self.append, self.scenario.guest.cpus.get_ref().get());
        let kvm = match &self.tools.engine {
            Engine::Emulated | Engine::Libvirt(_) => None,
            Engine::Kvm(kvm) => Some((&*kvm.cpu, if starts_here { &*kvm.source } else { &*kvm.destination })),
        };
        let setup = Setup { qemu, machine, plugin, image, append, cpus, kvm };
        let (folder, started, answer) = (&self.folder, self.started, self.scenario.deadlines.answer);
        let trace = self.trace.is_some();
        let plan = Plan { host, spec, far, setup: &setup, incoming, folder, started, trace, answer };
        let (launching, records) =
            Launching::launch(&plan, &self.observed).map_err(|t| self.launch_failed(host, incoming, &t))?;
        self.records.push(records);
        Ok(launching)
    }

    /// Starts the destination of a migration in the background.
    fn prepare(&mut self, hop: Option<&Hop<'_>>) -> Result<Option<Preparing>, Box<Verdict>> {
        let Some(hop) = hop else { return Ok(None) };
        let launching = self.launch(hop.to, true)?;
        let patience = self.scenario.deadlines.start;
        Ok(Some(AbortOnDropHandle::new(tokio::spawn(launching.ready(patience)))))
    }

    /// Waits for the first QEMU.
    async fn arrive(&mut self, launching: Launching) -> Result<Machine, Box<Verdict>> {
        let index = launching.index;
        for action in self.actions(Moment::Boot) {
            self.observed.event(Some(index), What::Action { action: action.to_string() });
            // Nothing else is possible so early.
            launching.kill();
        }
        launching
            .ready(self.scenario.deadlines.start)
            .await
            .map_err(|trouble| self.never_started(index, false, trouble))
    }

    async fn wait_for_destination(&self, preparing: Preparing) -> Result<Machine, Box<Verdict>> {
        let index = self.observed.look().machines.len() - 1;
        match preparing.await {
            Ok(ready) => ready.map_err(|trouble| self.never_started(index, true, trouble)),
            Err(error) => {
                Err(Verdict::new(Kind::HarnessFailed, format!("a task of the harness ended: {error}")).ended())
            }
        }
    }

    /// The guest's first line.
    async fn the_guest_speaks(&self) -> Result<(), Box<Verdict>> {
        let Some(home) = &self.home else { return Ok(()) };
        let spoke = |state: &State| state.guest.lines > 0 || has_ended(state, home);
        self.guest(home, "its first line", spoke).await?;
        self.moment(Moment::Suites, home, home).await?;
        let awaited = self.scenario.asks.iter().any(|ask| ask.at == Moment::Waiting);
        if !awaited && self.actions(Moment::Waiting).next().is_none() {
            return Ok(());
        }
        let waits =
            |state: &State| state.guest.info.iter().any(|info| info == WAITS_FOR_UNPLUG) || has_ended(state, home);
        self.guest(home, "that it waits for a domain to go", waits).await?;
        self.moment(Moment::Waiting, home, home).await
    }

    /// The guest's request for a migration; false if it ended instead.
    async fn the_guest_asks(&self, number: usize) -> Result<bool, Box<Verdict>> {
        let Some(home) = &self.home else { return Ok(false) };
        let ready = |state: &State| state.guest.asked > number || has_ended(state, home);
        self.guest(home, "its request for a migration", ready).await?;
        // The news of the end can overtake the last lines, which are all in the socket by then.
        home.drain_console();
        Ok(self.observed.look().guest.asked > number)
    }

    /// The guest's end, on the machine it is on now.
    async fn the_guest_ends(&self) -> Result<(), Box<Verdict>> {
        let Some(home) = &self.home else { return Ok(()) };
        // One request more than there are migrations would wait for ever: it ends the story, and the judge names it.
        let hops = self.scenario.hops().len();
        let ended = |state: &State| state.guest.asked > hops || has_ended(state, home);
        self.guest(home, "its end", ended).await?;
        home.drain_console();
        Ok(())
    }
}

/// Whether the guest has stopped itself on this machine.
fn has_ended(state: &State, machine: &Machine) -> bool {
    state.machines[machine.index].guest_ended.is_some()
}

/// The migration's limits: as the scenario says, or so tight that a guest that works keeps it from converging. The first
/// pass over the image's memory, some hundred KiB, then takes long enough for a guest that gets little of a busy CPU.
fn limits(hop: &Hop<'_>, tight: bool) -> SetParameters {
    if tight {
        return SetParameters { max_bandwidth: Some(2 << 20), downtime_limit: Some(0) };
    }
    let bandwidth = hop.with.bandwidth.unwrap_or(1 << 40);
    SetParameters { max_bandwidth: Some(bandwidth), downtime_limit: Some(hop.with.downtime.unwrap_or(2000)) }
}
