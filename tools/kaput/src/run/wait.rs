// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waits: for answers, for what is observed of machines, and for what the guest says. Each has a deadline, and each
//! ends with a verdict where nothing came.

use std::cell::Cell;
use std::time::{Duration, Instant};

use qapi_spec::Command;

use super::blame::{self, Ended};
use crate::machine::error::MachineError;
use crate::machine::observed::{Observed, State};
use crate::machine::{MOMENT, Machine};
use crate::outcome::verdict::{Kind, RunVerdict};
use crate::protocol::qmp::QmpError;
use crate::protocol::qmp::command::{MigrationStatus, QueryMigrate};
use crate::scenario::Deadlines;

/// What is observed of a run, and how long each thing may take.
pub(super) struct Waits {
    pub(super) observed: Observed,
    deadlines: Deadlines,
    /// Keys the guest got without a migration.
    keys: Cell<usize>,
}

impl Waits {
    pub(super) const fn new(observed: Observed, deadlines: Deadlines) -> Self {
        Self { observed, deadlines, keys: Cell::new(0) }
    }

    /// Asks QEMU something it has no reason to refuse.
    pub(super) async fn ask<C: Command>(&self, machine: &Machine, doing: &str, command: C) -> Result<C::Ok, Ended> {
        self.done(machine, doing, machine.ask(command).await)
    }

    /// An answer that has no reason to be an error.
    pub(super) fn done<T>(&self, machine: &Machine, doing: &str, answer: Result<T, MachineError>) -> Result<T, Ended> {
        answer.map_err(|error| blame::of_machine(&self.observed.look(), machine.index, doing, &error))
    }

    /// How long an answer may take that is asked for again and again.
    pub(super) const fn answer(&self) -> Duration {
        self.deadlines.answer
    }

    /// Waits for something a machine must do soon.
    pub(super) async fn soon<T>(
        &self,
        machine: &Machine,
        doing: &str,
        mut ready: impl FnMut(&State) -> Option<T>,
    ) -> Result<T, Ended> {
        let deadline = Instant::now() + self.deadlines.migration;
        let look = |state: &State| alive(state, machine.index, &mut ready);
        match self.observed.until(deadline, look).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(index)) => Err(self.lost(index, doing).await),
            Err(_late) => Err(self.stuck(machine, doing)),
        }
    }

    /// Waits until the migration of `whose` has the wanted status; an end of another kind, and the other side's death,
    /// end it.
    pub(super) async fn status<T>(
        &self,
        whose: &Machine,
        other: &Machine,
        doing: &str,
        wanted: impl Fn(&MigrationStatus) -> Option<T>,
    ) -> Result<T, Ended> {
        let ready = |state: &State| {
            let status = &state.machines[whose.index].migration;
            match wanted(status) {
                Some(found) => Some(Ok(found)),
                None if status.is_final() => Some(Err(Some(status.clone()))),
                None => is_lost(state, other.index).then_some(Err(None)),
            }
        };
        match self.soon(whose, doing, ready).await? {
            Ok(found) => Ok(found),
            Err(None) => Err(self.lost(other.index, doing).await),
            Err(Some(status)) => Err(self.failed(whose, other, doing, &status).await),
        }
    }

    /// Waits until nothing says any more that the guest stands still.
    pub(super) async fn runs_on(&self, machine: &Machine, doing: &str) -> Result<(), Ended> {
        self.soon(machine, doing, |state| (state.machines[machine.index].running != Some(false)).then_some(())).await
    }

    /// Waits for the guest's next milestone on the machine it is on. A guest that has nothing to migrate for waits for
    /// a key all the same, and gets it.
    pub(super) async fn guest(
        &self,
        home: &Machine,
        milestone: &str,
        ready: impl Fn(&State) -> bool,
    ) -> Result<(), Ended> {
        let patience = self.deadlines.guest;
        let deadline = Instant::now() + patience;
        loop {
            let pressed = self.keys.get();
            let mut look = |state: &State| {
                ready(state).then_some(true).or_else(|| (state.guest.asked_for_key > pressed).then_some(false))
            };
            match self.observed.until(deadline, |state| alive(state, home.index, &mut look)).await {
                Ok(Ok(true)) => return Ok(()),
                Ok(Ok(false)) => {
                    self.keys.set(pressed + 1);
                    self.done(home, "the key is pressed", home.press_key().await)?;
                }
                Ok(Err(index)) => return Err(self.lost(index, "the guest ran").await),
                Err(_late) => return Err(blame::silent(&self.observed.look(), home, milestone, patience)),
            }
        }
    }

    /// A QEMU whose process ended, or whose QMP connection did: the end of the process is seen a moment later.
    async fn lost(&self, index: usize, doing: &str) -> Ended {
        let soon = Instant::now() + MOMENT;
        let died = self.observed.until(soon, |state| state.machines[index].exit.is_some().then_some(())).await;
        let error = died.map_or(MachineError::Qmp(QmpError::Closed("its events")), |()| MachineError::Died);
        blame::of_machine(&self.observed.look(), index, doing, &error)
    }

    /// A QEMU that did not come up.
    pub(super) fn never_started(&self, index: usize, incoming: bool, error: &MachineError) -> Ended {
        blame::never_started(&self.observed.look(), index, incoming, self.deadlines.start, error)
    }

    /// A migration that does not get on.
    pub(super) fn stuck(&self, machine: &Machine, doing: &str) -> Ended {
        blame::stuck(&self.observed.look(), machine, doing, self.deadlines.migration)
    }

    async fn failed(&self, whose: &Machine, other: &Machine, doing: &str, status: &MigrationStatus) -> Ended {
        let reason = whose.ask(QueryMigrate {}).await.ok().and_then(|answer| answer.error_desc);
        // The other side's end is the likelier cause, and is seen a moment later.
        let soon = Instant::now() + Duration::from_secs(1);
        let died = |state: &State| state.machines[other.index].exit.is_some().then_some(());
        if self.observed.until(soon, died).await.is_ok() {
            return blame::of_machine(&self.observed.look(), other.index, doing, &MachineError::Died);
        }
        RunVerdict::new(Kind::MigrationFailed, format!("QEMU's migration ended as `{status}` while {doing}"))
            .on(&whose.host)
            .seen(reason.unwrap_or_else(|| "QEMU gives no reason".to_owned()))
            .next("both QEMUs' error output is in the run folder")
            .ended()
    }

    /// Whether a machine's process has ended.
    pub(super) fn is_gone(&self, machine: &Machine) -> bool {
        self.observed.look().machines[machine.index].exit.is_some()
    }
}

/// What `ready` finds, or the machine that ended instead.
fn alive<T>(state: &State, index: usize, ready: &mut impl FnMut(&State) -> Option<T>) -> Option<Result<T, usize>> {
    ready(state).map(Ok).or_else(|| is_lost(state, index).then_some(Err(index)))
}

/// Whether a machine can tell nothing any more.
fn is_lost(state: &State, index: usize) -> bool {
    state.machines[index].exit.is_some() || state.machines[index].qmp_closed
}
