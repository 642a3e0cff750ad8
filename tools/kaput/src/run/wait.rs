// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waits and questions of the story, and the verdicts that end it: each says what happened, on which host, while what
//! was done, what was seen, and what to do next.

use std::time::{Duration, Instant};

use qapi_spec::Command;

use super::Run;
use crate::machine::error::MachineError;
use crate::machine::observed::{Observed, State};
use crate::machine::{MOMENT, Machine};
use crate::outcome::verdict::{Kind, Verdict};
use crate::protocol::control::ControlError;
use crate::protocol::qmp::QmpError;
use crate::protocol::qmp::command::{MigrationStatus, QueryMigrate};

/// The verdict on a trouble with one machine.
pub(super) fn verdict(observed: &Observed, machine: &Machine, doing: &str, trouble: MachineError) -> Box<Verdict> {
    of_host(observed, machine.index, doing, &trouble)
}

fn of_host(observed: &Observed, index: usize, doing: &str, trouble: &MachineError) -> Box<Verdict> {
    let state = observed.look();
    let host = state.machines[index].host.as_str();
    let made = match trouble {
        MachineError::Died => died(&state, index, doing),
        MachineError::Late(what) => {
            Verdict::new(Kind::QmpLost, format!("QEMU of host {host} did not answer {what} while {doing}"))
                .expected("an answer within the deadline `answer`")
        }
        MachineError::Qmp(error @ QmpError::Closed(_)) => {
            Verdict::new(Kind::QmpLost, format!("the QMP connection of host {host} ended while {doing}"))
                .seen(error.to_string())
        }
        MachineError::Qmp(error) => {
            Verdict::new(Kind::QmpLost, format!("QEMU of host {host} did not do as it was told while {doing}"))
                .seen(error.to_string())
        }
        MachineError::Control(ControlError::Errno { errno, desc }) => {
            Verdict::new(Kind::DeviceFailed, format!("the AP device of host {host} failed with {errno} while {doing}"))
                .expected("no error: nothing here gives a reason for one")
                .seen(desc.clone())
        }
        MachineError::Control(error) => {
            Verdict::new(Kind::ControlLost, format!("the plugin of host {host} was lost while {doing}"))
                .seen(error.to_string())
        }
        MachineError::Far(error) => {
            Verdict::new(Kind::HostLost, format!("host {host} did not do as it was told while {doing}"))
                .seen(error.to_string())
        }
        MachineError::Io(what, error) => {
            Verdict::new(Kind::HarnessFailed, format!("the harness could not use {what} of host {host} while {doing}"))
                .seen(error.to_string())
        }
    };
    made.on(host).next("the transcripts in the run folder show what was said last").ended()
}

fn died(state: &State, index: usize, doing: &str) -> Verdict {
    let known = &state.machines[index];
    let exit = known.exit.as_deref().unwrap_or("for an unknown reason");
    Verdict::new(Kind::QemuDied, format!("QEMU of host {} ended ({exit}) while {doing}", known.host))
        .expected("it runs until the harness ends it")
}

impl Run<'_> {
    /// Asks QEMU something it has no reason to refuse.
    pub(super) async fn ask<C: Command>(
        &self,
        machine: &Machine,
        doing: &str,
        command: C,
    ) -> Result<C::Ok, Box<Verdict>> {
        machine.ask(command).await.map_err(|trouble| verdict(&self.observed, machine, doing, trouble))
    }

    /// Waits for something a machine must do soon.
    pub(super) async fn wait<T>(
        &self,
        machine: &Machine,
        doing: &str,
        mut ready: impl FnMut(&State) -> Option<T>,
    ) -> Result<T, Box<Verdict>> {
        let deadline = Instant::now() + self.scenario.deadlines.migration;
        let look = |state: &State| alive(state, machine.index, &mut ready);
        match self.observed.until(deadline, look).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(index)) => Err(self.lost(index, doing).await),
            Err(_late) => Err(self.stuck(machine, doing)),
        }
    }

    /// Waits until the migration of `whose` has the wanted status; an end of another kind, and the other side's death, end it.
    pub(super) async fn status<T>(
        &self,
        whose: &Machine,
        other: &Machine,
        doing: &str,
        wanted: impl Fn(&MigrationStatus) -> Option<T>,
    ) -> Result<T, Box<Verdict>> {
        let ready = |state: &State| {
            let status = &state.machines[whose.index].migration;
            match wanted(status) {
                Some(found) => Some(Ok(found)),
                None if status.is_final() => Some(Err(Some(status.clone()))),
                None => is_lost(state, other.index).then_some(Err(None)),
            }
        };
        match self.wait(whose, doing, ready).await? {
            Ok(found) => Ok(found),
            Err(None) => Err(self.lost(other.index, doing).await),
            Err(Some(status)) => Err(self.failed(whose, other, doing, &status).await),
        }
    }

    /// Waits for the guest's next milestone on the machine it is on. A guest that has nothing to migrate for waits for a key all
    /// the same, and gets it.
    pub(super) async fn guest(
        &self,
        home: &Machine,
        milestone: &str,
        ready: impl Fn(&State) -> bool,
    ) -> Result<(), Box<Verdict>> {
        let patience = self.scenario.deadlines.guest;
        let deadline = Instant::now() + patience;
        loop {
            let pressed = self.keys_without_migration.get();
            let mut look = |state: &State| {
                ready(state).then_some(true).or_else(|| (state.guest.asked_for_key > pressed).then_some(false))
            };
            match self.observed.until(deadline, |state| alive(state, home.index, &mut look)).await {
                Ok(Ok(true)) => return Ok(()),
                Ok(Ok(false)) => {
                    self.keys_without_migration.set(pressed + 1);
                    home.press_key()
                        .await
                        .map_err(|trouble| verdict(&self.observed, home, "the key is pressed", trouble))?;
                }
                Ok(Err(index)) => return Err(self.lost(index, "the guest ran").await),
                Err(_late) => return Err(self.silent(home, milestone, patience)),
            }
        }
    }

    /// A QEMU whose process ended, or whose QMP connection did: the end of the process is seen a moment later.
    async fn lost(&self, index: usize, doing: &str) -> Box<Verdict> {
        let soon = Instant::now() + MOMENT;
        let died = self.observed.until(soon, |state| state.machines[index].exit.is_some().then_some(())).await;
        let trouble = died.map_or(MachineError::Qmp(QmpError::Closed("its events")), |()| MachineError::Died);
        of_host(&self.observed, index, doing, &trouble)
    }

    /// A QEMU that did not come up.
    pub(super) fn never_started(&self, index: usize, incoming: bool, trouble: MachineError) -> Box<Verdict> {
        let role = if incoming { "destination" } else { "source" };
        let kind = if incoming { Kind::DestinationNeverStarted } else { Kind::SourceNeverStarted };
        let inner = of_host(&self.observed, index, "it started", &trouble);
        let host = inner.host.clone().unwrap_or_default();
        let seen = [inner.happened, inner.seen].join("\n");
        Verdict::new(kind, format!("the {role} QEMU, host {host}, did not come up"))
            .on(host)
            .expected(format!("QEMU and the plugin answer within {:?}", self.scenario.deadlines.start))
            .seen(seen.trim_end())
            .next("start it by hand: its command line is in the run folder")
            .ended()
    }

    /// A QEMU that could not even be started.
    pub(super) fn launch_failed(&self, host: &str, incoming: bool, trouble: &MachineError) -> Box<Verdict> {
        let kind = if incoming { Kind::DestinationNeverStarted } else { Kind::SourceNeverStarted };
        Verdict::new(kind, format!("QEMU of host {host} cannot be started"))
            .on(host)
            .seen(trouble.to_string())
            .next("`cargo xtask doctor` says which QEMU is used")
            .ended()
    }

    fn silent(&self, home: &Machine, milestone: &str, patience: Duration) -> Box<Verdict> {
        let state = self.observed.look();
        let unfinished = state.unfinished_line();
        let tail = if unfinished.is_empty() { String::new() } else { format!(", then `{unfinished}` without an end") };
        let stopped = match state.machines[home.index].running {
            Some(false) => "; QEMU says that the guest is stopped",
            _ => "",
        };
        Verdict::new(Kind::GuestSilent, format!("the guest on host {} did not reach {milestone}", home.host))
            .on(&home.host)
            .expected(format!("{milestone} within {patience:?}"))
            .seen(format!("its last line was {}{tail}{stopped}", state.guest.last_words()))
            .next("the last AP instructions and the console show where it stands; the deadline is `guest` in the scenario")
            .ended()
    }

    pub(super) fn stuck(&self, machine: &Machine, doing: &str) -> Box<Verdict> {
        let state = self.observed.look();
        let known = &state.machines[machine.index];
        Verdict::new(Kind::MigrationStuck, format!("the migration did not get on while {doing}"))
            .on(&machine.host)
            .expected(format!("the next step within {:?}", self.scenario.deadlines.migration))
            .seen(format!("status {} after {} passes over memory", known.migration, known.passes))
            .next("a guest that writes memory faster than QEMU may send never ends: see `bandwidth` and `downtime`")
            .ended()
    }

    async fn failed(&self, whose: &Machine, other: &Machine, doing: &str, status: &MigrationStatus) -> Box<Verdict> {
        let reason = whose.ask(QueryMigrate {}).await.ok().and_then(|answer| answer.error_desc);
        // The other side's end is the likelier cause, and is seen a moment later.
        let soon = Instant::now() + Duration::from_secs(1);
        let died = |state: &State| state.machines[other.index].exit.is_some().then_some(());
        if self.observed.until(soon, died).await.is_ok() {
            return of_host(&self.observed, other.index, doing, &MachineError::Died);
        }
        Verdict::new(Kind::MigrationFailed, format!("QEMU's migration ended as `{status}` while {doing}"))
            .on(&whose.host)
            .seen(reason.unwrap_or_else(|| "QEMU gives no reason".to_owned()))
            .next("both QEMUs' error output is in the run folder")
            .ended()
    }

    /// Whether QEMU lets this guest go at all. The emulated machine always can; a stock QEMU says so of vfio-ap if not.
    pub(super) async fn migratable(&self, source: &Machine) -> Result<(), Box<Verdict>> {
        if self.tools.engine.is_emulated() {
            return Ok(());
        }
        let blocked = self.ask(source, "it is asked what blocks a migration", QueryMigrate {}).await?.blocked_reasons;
        if blocked.is_empty() {
            return Ok(());
        }
        let happened = format!("QEMU of host {} cannot migrate this guest", source.host);
        let next = "a QEMU and a kernel whose vfio-ap can be migrated are needed on both hosts";
        Err(Verdict::new(Kind::Skipped, happened).on(&source.host).seen(blocked.join("; ")).next(next).ended())
    }

    pub(super) fn not_mid_run(&self, source: &Machine) -> Box<Verdict> {
        Verdict::new(
            Kind::NotMidRun,
            format!("the guest on host {} was not seen to work while pages moved", source.host),
        )
        .on(&source.host)
        .expected("its progress counter grows between two passes over memory")
        .seen("the migration converged before that")
        .ended()
    }

    pub(super) fn wrong_end_states(
        &self,
        source: &Machine,
        destination: &Machine,
        expected: &[&str; 4],
        seen: &[&str; 4],
    ) -> Box<Verdict> {
        let in_words = |[ours, left, theirs, arrived]: &[&str; 4]| {
            format!("source {ours}, its migration {left}; destination {theirs}, its migration {arrived}")
        };
        let hosts = format!("{} and {}", source.host, destination.host);
        Verdict::new(
            Kind::WrongEndState,
            format!("after the migration hosts {hosts} are not in the states that go with its outcome"),
        )
        .expected(in_words(expected))
        .seen(in_words(seen))
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
