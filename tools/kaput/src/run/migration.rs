// SPDX-License-Identifier: MIT OR Apache-2.0
//! One migration by QMP: memory moves, the guest stands still, the AP configuration goes over, and both QEMUs end in
//! the states that go with what became of it. [`Migration::carry_out`] reads like the list in `docs/architecture.md`.

use std::time::Instant;

use vfio_ap::control::{Empty, Request, ValueReply};

use super::Run;
use super::blame::{self, Ended};
use super::handover::Handover;
use crate::machine::Machine;
use crate::machine::backoff::Pace;
use crate::machine::observed::State;
use crate::outcome::events::What;
use crate::protocol::qmp::command::{
    Migrate, MigrateCancel, MigrateContinue, MigrationStatus, QueryMigrate, QueryStatus, RunState, SetParameters,
    Status,
};
use crate::run::engine::Engine;
use crate::scenario::{Hop, Moment};

/// One migration of a guest between two QEMUs that answer.
#[derive(Clone, Copy)]
pub(super) struct Migration<'a> {
    pub(super) run: &'a Run<'a>,
    /// Which one, from 1.
    pub(super) number: usize,
    pub(super) hop: Hop<'a>,
    pub(super) source: &'a Machine,
    pub(super) destination: &'a Machine,
}

impl Migration<'_> {
    /// From the guest's request to the end states. Returns whether the guest is at the destination; if not, it runs on
    /// at the source.
    pub(super) async fn carry_out(self) -> Result<bool, Ended> {
        self.run.begin_migration(self.number, &self.hop, self.source).await?;
        self.moment(Moment::Asked).await?;
        if self.is_by_hand() {
            self.assign_alike().await?;
        }
        let channel = self.open_channel().await?;
        let ended = self.move_guest(channel.uri.clone()).await;
        ended.map_err(|ended| self.blame_link(&channel, ended))
    }

    async fn move_guest(self, uri: String) -> Result<bool, Ended> {
        let Self { run, hop, source, destination, .. } = self;
        let waits = &run.waits;

        // Memory goes while the guest runs; QEMU pauses once the guest must stand still.
        waits.ask(source, "the limits are set", limits(&hop, hop.with.mid_run)).await?;
        waits.ask(source, "the migration is started", Migrate { uri }).await?;
        let begun = |status: &MigrationStatus| (*status != "" && *status != "setup").then_some(());
        waits.status(source, destination, "memory moves", begun).await?;
        // Before the actions: on a real driver one may last as long as the memory takes.
        let before = if hop.with.mid_run { Some(self.progress().await?) } else { None };
        self.moment(Moment::Active).await?;
        if self.is_cancelled_at(Moment::Active) {
            return self.cancelled().await;
        }
        if let Some(before) = before {
            self.prove_mid_run(before).await?;
        }
        let paused = |status: &MigrationStatus| (*status == MigrationStatus::PRE_SWITCHOVER).then_some(());
        waits.status(source, destination, "memory moves", paused).await?;
        self.hosts_are_there().await?;
        self.moment(Moment::PreSwitchover).await?;
        if self.is_cancelled_at(Moment::PreSwitchover) {
            return self.cancelled().await;
        }
        source.drain_console();

        // The AP configuration goes from device to device; the real driver's goes with QEMU's stream.
        let handover = Handover { waits, source, destination, how: hop.with };
        let accepted = match run.tools.engine {
            Engine::Emulated if self.is_by_hand() => true,
            Engine::Emulated => handover.carry_out().await?,
            Engine::Kvm(_) | Engine::Libvirt(_) => true,
        };
        self.moment(Moment::HandedOver).await?;
        if self.is_cancelled_at(Moment::HandedOver) {
            return self.cancelled().await;
        }
        if accepted { self.switch_over().await } else { self.give_up(&handover).await }
    }

    /// Asks the LPARs once more before the guest goes over, where there are some: while memory moves nobody does.
    async fn hosts_are_there(self) -> Result<(), Ended> {
        for machine in [self.source, self.destination] {
            if machine.kernel().is_some() {
                let path = "/proc/version".to_owned();
                let read = machine.call(|c| c.ask::<ValueReply>(Request::SysfsRead { path })).await;
                self.run.waits.done(machine, "memory moves", read)?;
            }
        }
        Ok(())
    }

    /// Whether an administrator does what a driver that cannot migrate does not.
    pub(super) fn is_by_hand(self) -> bool {
        self.destination.kernel().is_some_and(|kernel| !kernel.migrates)
    }

    /// The destination's device is assigned as the source's is, before the guest comes.
    async fn assign_alike(self) -> Result<(), Ended> {
        let Self { run, source, destination, .. } = self;
        let path = |machine: &Machine| {
            let uuid = run.scenario.host(&machine.host).map_or("", |host| host.mdev.uuid.as_str());
            format!("/sys/devices/vfio_ap/matrix/{uuid}/ap_config")
        };
        let doing = "the destination's device is assigned as the source's is";
        let read = source.call(|c| c.ask(Request::SysfsRead { path: path(source) })).await;
        let ValueReply { value } = run.waits.done(source, doing, read)?;
        let write = destination.call(|c| c.ask(Request::SysfsWrite { path: path(destination), value })).await;
        run.waits.done(destination, doing, write).map(|Empty {}| ())?;
        run.observed().event(Some(destination.index), What::AssignedAlike);
        Ok(())
    }

    /// The destination has the configuration: the guest goes over.
    async fn switch_over(self) -> Result<bool, Ended> {
        let Self { run, source, destination, .. } = self;
        let go_on = MigrateContinue { state: MigrationStatus::PRE_SWITCHOVER };
        run.waits.ask(source, "it is told to go on", go_on).await?;
        self.moment(Moment::Continued).await?;
        if self.is_cancelled_at(Moment::Continued) && !self.came_too_late().await? {
            return self.cancelled().await;
        }
        let done = |status: &MigrationStatus| (*status == MigrationStatus::COMPLETED).then_some(());
        run.waits.status(source, destination, "the guest goes over", done).await?;
        run.waits.status(destination, source, "the guest goes over", done).await?;
        self.over(true).await
    }

    /// The destination refused: the guest stays. The device first: when the guest runs again, its device must.
    async fn give_up(self, handover: &Handover<'_>) -> Result<bool, Ended> {
        let Self { run, source, destination, .. } = self;
        handover.restore_source().await?;
        run.waits.ask(source, "the migration is cancelled", MigrateCancel {}).await?;
        let over = |status: &MigrationStatus| (*status == MigrationStatus::CANCELLED).then_some(());
        run.waits.status(source, destination, "the migration is cancelled", over).await?;
        let runs = |state: &State| (state.machines[source.index].running == Some(true)).then_some(());
        run.waits.soon(source, "the guest runs on", runs).await?;
        self.over(false).await
    }

    /// The end of a migration that somebody cancelled. QEMU lets the guest run again by itself, and the plugin brings
    /// the device back before the guest's first instruction: the harness only looks.
    async fn cancelled(self) -> Result<bool, Ended> {
        let Self { run, source, destination, hop, .. } = self;
        let over = |status: &MigrationStatus| (*status == MigrationStatus::CANCELLED).then_some(());
        run.waits.status(source, destination, "the migration is cancelled", over).await?;
        run.waits.runs_on(source, "the guest runs on").await?;
        if !self.is_by_hand() {
            Handover { waits: &run.waits, source, destination, how: hop.with }.source_runs().await?;
        }
        self.over(false).await
    }

    /// Whether a migration that was cancelled at the last moment had already succeeded.
    async fn came_too_late(self) -> Result<bool, Ended> {
        let over = |status: &MigrationStatus| match status.0.as_str() {
            MigrationStatus::COMPLETED => Some(true),
            MigrationStatus::CANCELLED => Some(false),
            _ => None,
        };
        let doing = "the migration is cancelled at the last moment";
        self.run.waits.status(self.source, self.destination, doing, over).await
    }

    /// A migration is over, and both QEMUs are as they must be.
    async fn over(self, accepted: bool) -> Result<bool, Ended> {
        self.end_states(accepted).await?;
        self.moment(Moment::Over).await?;
        Ok(accepted)
    }

    async fn moment(self, moment: Moment) -> Result<(), Ended> {
        self.run.moment(moment, self.number, self.source, self.destination).await
    }

    fn is_cancelled_at(self, moment: Moment) -> bool {
        self.run.cancels(moment, self.number)
    }

    /// How much the guest has done.
    async fn progress(self) -> Result<u64, Ended> {
        let count = self.source.read_doubleword(self.run.tools.image.progress.address).await;
        self.run.waits.done(self.source, "its progress is read", count)
    }

    /// Keeps the migration from converging until the guest has done something useful since it had done `before`, when
    /// pages began to move.
    async fn prove_mid_run(self, before: u64) -> Result<(), Ended> {
        let Self { run, source, hop, .. } = self;
        let deadline = Instant::now() + run.scenario.deadlines.migration;
        let mut passes = 0;
        loop {
            let seen = |state: &State| {
                let known = &state.machines[source.index];
                (known.passes > passes || known.migration != MigrationStatus::ACTIVE).then_some(known.passes)
            };
            let now = run.waits.soon(source, "memory moves", seen).await?;
            if now <= passes {
                return Err(blame::not_mid_run(source));
            }
            passes = now;
            let operations = self.progress().await?.wrapping_sub(before);
            if operations > 0 {
                run.observed().event(Some(source.index), What::MidRun { operations });
                break;
            }
            // The limits keep it from converging, so it goes on for as long as its guest does nothing.
            if Instant::now() > deadline {
                return Err(run.waits.stuck(source, "its guest is to be seen at work"));
            }
        }
        run.waits.ask(source, "the limits are opened", limits(&hop, false)).await.map(|_| ())
    }

    /// After every migration both QEMUs must be in the states that go with its outcome.
    async fn end_states(self, accepted: bool) -> Result<(), Ended> {
        let Self { run, source, destination, .. } = self;
        let doing = "its end state is asked";
        let ours = self.settled().await?;
        let theirs = run.waits.ask(destination, doing, QueryStatus {}).await?;
        let left = run.waits.ask(source, doing, QueryMigrate {}).await?;
        let arrived = run.waits.ask(destination, doing, QueryMigrate {}).await?;
        let expected = if accepted {
            [RunState::POSTMIGRATE, MigrationStatus::COMPLETED, RunState::RUNNING, MigrationStatus::COMPLETED]
        } else {
            // What becomes of the destination's own status is QEMU's business; its guest must not run.
            [RunState::RUNNING, MigrationStatus::CANCELLED, &*theirs.status.0, &*arrived.status.0]
        };
        let seen = [&*ours.status.0, &*left.status.0, &*theirs.status.0, &*arrived.status.0];
        if seen != expected || (!accepted && theirs.running) {
            return Err(blame::wrong_end_states(source, destination, &expected, &seen));
        }
        let (downtime, transferred) = (left.downtime, left.ram.map(|ram| ram.transferred));
        let done = What::MigrationDone { migration: self.number, accepted, downtime, transferred };
        run.observed().event(Some(source.index), done);
        Ok(())
    }

    /// What a source does once its migration is over. QEMU reports the migration's end a moment before it has drawn the
    /// consequence, and no event says that it has: it is asked again.
    async fn settled(self) -> Result<Status, Ended> {
        let mut pace = Pace::until(Instant::now() + self.run.scenario.deadlines.answer);
        loop {
            let status = self.run.waits.ask(self.source, "its end state is asked", QueryStatus {}).await?;
            if status.status != RunState::FINISH_MIGRATE || !pace.again().await {
                return Ok(status);
            }
        }
    }
}

/// The migration's limits: as the scenario says, or so tight that a guest that works keeps it from converging. The
/// first pass over the image's memory, some hundred KiB, then takes long enough for a guest that gets little of a busy
/// CPU.
fn limits(hop: &Hop<'_>, tight: bool) -> SetParameters {
    if tight {
        return SetParameters { max_bandwidth: Some(2 << 20), downtime_limit: Some(0) };
    }
    let bandwidth = hop.with.bandwidth.unwrap_or(1 << 40);
    SetParameters { max_bandwidth: Some(bandwidth), downtime_limit: Some(hop.with.downtime.unwrap_or(2000)) }
}
