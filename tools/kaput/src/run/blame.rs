// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verdicts that end a story: each says what happened, on which host, while what was done, what was seen, and what
//! to do next. They look at nothing but what they are given.

use std::time::Duration;

use crate::machine::Machine;
use crate::machine::error::MachineError;
use crate::machine::observed::State;
use crate::outcome::verdict::{Kind, RunVerdict};
use crate::protocol::control::ControlError;
use crate::protocol::qmp::QmpError;

/// A verdict that ends the story.
pub(super) type Ended = Box<RunVerdict>;

/// What went wrong with one machine.
pub(super) fn of_machine(state: &State, index: usize, doing: &str, error: &MachineError) -> Ended {
    let host = state.machines[index].host.as_str();
    let made = |kind, what: String| RunVerdict::new(kind, format!("{what} while {doing}"));
    let verdict = match error {
        MachineError::Died => died(state, index, doing),
        MachineError::Late(what) => made(Kind::QmpLost, format!("QEMU of host {host} did not answer {what}"))
            .expected("an answer within the deadline `answer`"),
        MachineError::Qmp(error @ QmpError::Closed(_)) => {
            made(Kind::QmpLost, format!("the QMP connection of host {host} ended")).seen(error.to_string())
        }
        MachineError::Qmp(error) => {
            made(Kind::QmpLost, format!("QEMU of host {host} did not do what it was asked")).seen(error.to_string())
        }
        MachineError::Control(ControlError::Errno { errno, desc }) => {
            made(Kind::DeviceFailed, format!("the AP device of host {host} failed with {errno}"))
                .expected("no error: nothing here gives a reason for one")
                .seen(desc.clone())
        }
        MachineError::Control(ControlError::Lpar(reason)) => {
            made(Kind::LparLost, format!("the LPAR of host {host} was lost")).seen(reason.clone())
        }
        MachineError::Control(error) => {
            made(Kind::ControlLost, format!("the driver of host {host} was lost")).seen(error.to_string())
        }
        MachineError::Host(error) => {
            made(Kind::HostLost, format!("host {host} did not do what it was asked")).seen(error.to_string())
        }
        MachineError::Io(what, error) => {
            made(Kind::HarnessFailed, format!("the harness could not use {what} of host {host}"))
                .seen(error.to_string())
        }
    };
    verdict.on(host).next("the transcripts in the run folder show what was said last").ended()
}

fn died(state: &State, index: usize, doing: &str) -> RunVerdict {
    let known = &state.machines[index];
    let exit = known.exit.as_deref().unwrap_or("for an unknown reason");
    RunVerdict::new(Kind::QemuDied, format!("QEMU of host {} ended ({exit}) while {doing}", known.host))
        .expected("it runs until the harness ends it")
}

/// A QEMU that did not come up.
pub(super) fn never_started(
    state: &State,
    index: usize,
    incoming: bool,
    patience: Duration,
    error: &MachineError,
) -> Ended {
    let role = if incoming { "destination" } else { "source" };
    let kind = if incoming { Kind::DestinationNeverStarted } else { Kind::SourceNeverStarted };
    let inner = of_machine(state, index, "it started", error);
    let host = inner.host.clone().unwrap_or_default();
    let seen = [inner.happened, inner.seen].join("\n");
    RunVerdict::new(kind, format!("the {role} QEMU, host {host}, did not come up"))
        .on(host)
        .expected(format!("QEMU and the plugin answer within {patience:?}"))
        .seen(seen.trim_end())
        .next("start it by hand: its command line is in the run folder")
        .ended()
}

/// A QEMU that could not even be started.
pub(super) fn launch_failed(host: &str, incoming: bool, error: &MachineError) -> Ended {
    let kind = if incoming { Kind::DestinationNeverStarted } else { Kind::SourceNeverStarted };
    RunVerdict::new(kind, format!("QEMU of host {host} cannot be started"))
        .on(host)
        .seen(error.to_string())
        .next("`cargo xtask doctor` says which QEMU is used")
        .ended()
}

/// A guest that says nothing of use.
pub(super) fn silent(state: &State, home: &Machine, milestone: &str, patience: Duration) -> Ended {
    let unfinished = state.unfinished_line();
    let tail = if unfinished.is_empty() { String::new() } else { format!(", then `{unfinished}` without an end") };
    let stopped = match state.machines[home.index].running {
        Some(false) => "; QEMU says that the guest is stopped",
        _ => "",
    };
    RunVerdict::new(Kind::GuestSilent, format!("the guest on host {} did not reach {milestone}", home.host))
        .on(&home.host)
        .expected(format!("{milestone} within {patience:?}"))
        .seen(format!("its last line was {}{tail}{stopped}", state.guest.last_words()))
        .next("the last AP instructions and the console show where it stands; the deadline is `guest` in the scenario")
        .ended()
}

/// A migration that does not get on.
pub(super) fn stuck(state: &State, machine: &Machine, doing: &str, patience: Duration) -> Ended {
    let known = &state.machines[machine.index];
    RunVerdict::new(Kind::MigrationStuck, format!("the migration did not get on while {doing}"))
        .on(&machine.host)
        .expected(format!("the next step within {patience:?}"))
        .seen(format!("status {} after {} passes over memory", known.migration, known.passes))
        .next("a guest that writes memory faster than QEMU may send never ends: see `bandwidth` and `downtime`")
        .ended()
}

/// A guest that was not seen at work in time.
pub(super) fn not_mid_run(source: &Machine) -> Ended {
    RunVerdict::new(
        Kind::NotMidRun,
        format!("the guest on host {} was not seen to work while pages moved", source.host),
    )
    .on(&source.host)
    .expected("its progress counter grows between two passes over memory")
    .seen("the migration converged before that")
    .ended()
}

/// QEMUs that are not as they must be after a migration.
pub(super) fn wrong_end_states(
    source: &Machine,
    destination: &Machine,
    expected: &[&str; 4],
    seen: &[&str; 4],
) -> Ended {
    let in_words = |[ours, left, theirs, arrived]: &[&str; 4]| {
        format!("source {ours}, its migration {left}; destination {theirs}, its migration {arrived}")
    };
    let hosts = format!("{} and {}", source.host, destination.host);
    RunVerdict::new(
        Kind::WrongEndState,
        format!("after the migration hosts {hosts} are not in the states that go with its outcome"),
    )
    .expected(in_words(expected))
    .seen(in_words(seen))
    .ended()
}
