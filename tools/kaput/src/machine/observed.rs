// SPDX-License-Identifier: MIT OR Apache-2.0
//! All that is known about a run at this moment. Those who listen (to consoles, QMP connections, processes) write it;
//! the run waits until it says something. One wait, one deadline, no polling: [`Observed::until`] looks again only when
//! something was written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::watch;
use vfio_linux::Agent;

use crate::guest::console::{self, Console, Line};
use crate::guest::report::Guest;
use crate::machine::records::Records;
use crate::outcome::events::{Events, What};
use crate::outcome::trace::Trace;
use crate::outcome::verdict::KernelLine;
use crate::protocol::qmp::command::{MigrationStatus, Status};
use crate::protocol::qmp::{Event, Version};

/// Events of one QEMU that are noted in full; a QEMU that sends more is only counted.
const EVENT_LIMIT: usize = 10_000;

/// Shared knowledge; clones are the same.
#[derive(Clone)]
pub struct Observed {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<()>>,
}

/// What is known.
#[derive(Debug)]
pub struct State {
    /// The machines, in the order of their start.
    pub machines: Vec<MachineState>,
    /// What the guest said, over all machines.
    pub guest: Guest,
    /// Everything that happened.
    pub events: Events,
    /// The guest's AP instructions on machines that are gone, if they are wanted.
    pub trace: Option<Trace>,
    /// What the kernel of a host that refused logged about the driver.
    pub kernel_log: Vec<KernelLine>,
    /// Who makes system calls in the LPARs, by the names of their hosts.
    pub agents: BTreeMap<String, Weak<Agent>>,
    console: Console,
}

/// What is known of one QEMU.
#[derive(Debug, Default)]
pub struct MachineState {
    /// The host it stands for.
    pub host: String,
    /// QEMU's version, from its greeting.
    pub version: Option<Version>,
    /// Its migration, as the last event said; empty before.
    pub migration: MigrationStatus,
    /// Passes over memory that its migration made.
    pub passes: u64,
    /// Whether its virtual CPUs run, as the last event said.
    pub running: Option<bool>,
    /// The guest stopped itself: the reason and place, as QEMU reports.
    pub guest_ended: Option<String>,
    /// The QMP connection ended, or libvirt reports no more of it.
    pub qmp_closed: bool,
    /// libvirt reported something of its domain.
    pub life_heard: bool,
    /// How its domain stopped, as libvirt says.
    pub stopped: Option<String>,
    /// How the process ended; `None` while it runs.
    pub exit: Option<String>,
    /// The harness means it to end.
    pub dismissed: bool,
    /// Everything it printed, of the guest or not.
    pub console: Vec<u8>,
    /// What was said to it and by it, once it is started.
    pub records: Option<Records>,
    events: usize,
}

/// A deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late;

impl Observed {
    /// Nothing known yet.
    #[must_use]
    pub fn new(started: Instant) -> Self {
        let state = State {
            machines: Vec::new(),
            guest: Guest::default(),
            events: Events::new(started),
            trace: None,
            kernel_log: Vec::new(),
            agents: BTreeMap::new(),
            console: Console::default(),
        };
        Self { state: Arc::new(Mutex::new(state)), changed: Arc::new(watch::Sender::new(())) }
    }

    /// Looks at what is known.
    pub fn look(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes something down and wakes the run.
    pub fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.look());
        self.changed.send_replace(());
        result
    }

    /// Waits until `ready` finds what it looks for.
    ///
    /// # Errors
    /// [`Late`] once the deadline has passed.
    pub async fn until<T>(&self, deadline: Instant, mut ready: impl FnMut(&State) -> Option<T>) -> Result<T, Late> {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            if let Some(found) = ready(&self.look()) {
                return Ok(found);
            }
            // The sender lives as long as `self`, so only the deadline can end this.
            _ = tokio::time::timeout_at(deadline.into(), changed.changed()).await.map_err(|_| Late)?;
        }
    }

    /// Says whenever something was written.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Adds a machine; returns its place in [`State::machines`].
    #[must_use]
    pub fn add_machine(&self, host: &str) -> usize {
        self.write(|state| {
            state.machines.push(MachineState { host: host.to_owned(), ..MachineState::default() });
            state.machines.len() - 1
        })
    }

    /// Notes an event of the run.
    pub fn event(&self, machine: Option<usize>, what: What) {
        self.write(|state| state.event(machine, what));
    }

    /// Takes what one machine's console printed.
    pub fn console(&self, machine: usize, bytes: &[u8]) {
        self.write(|state| {
            let known = &mut state.machines[machine].console;
            let room = console::LIMIT.saturating_sub(known.len());
            known.extend_from_slice(&bytes[..bytes.len().min(room)]);
            for line in state.console.feed(bytes) {
                let what = match line.clone() {
                    Line::Text(line) => What::Console { line },
                    Line::Garbage(shown) => What::Garbage { shown },
                };
                state.event(Some(machine), what);
                if let Some(migration) = state.guest.line(line) {
                    state.event(Some(machine), What::Asked { migration });
                }
            }
        });
    }

    /// Takes what a machine is doing when it is asked. It is asked once somebody hears its events: those before are
    /// lost.
    pub fn status(&self, machine: usize, status: &Status) {
        self.write(|state| {
            let known = &mut state.machines[machine];
            known.running = Some(status.running);
            let Some(how) = status.status.ended().filter(|_| known.guest_ended.is_none()) else { return };
            known.guest_ended = Some(how.to_owned());
            state.event(Some(machine), What::GuestEnded { how: how.to_owned() });
        });
    }

    /// Takes one QMP event of a machine.
    pub fn qmp_event(&self, machine: usize, event: &Event) {
        self.write(|state| {
            let known = &mut state.machines[machine];
            known.events += 1;
            let worth_noting = known.events < EVENT_LIMIT;
            let what = match event.name.as_str() {
                "MIGRATION" => {
                    let status = event.text("status").unwrap_or_default().to_owned();
                    known.migration = MigrationStatus(status.clone());
                    What::Migration { status }
                }
                "MIGRATION_PASS" => {
                    known.passes += 1;
                    return;
                }
                "STOP" | "RESUME" => {
                    known.running = Some(event.name == "RESUME");
                    return;
                }
                // A wait that nothing can end is a shutdown if its address says so, and a crash if not.
                "SHUTDOWN" if event.data.get("guest") == Some(&true.into()) => {
                    known.guest_ended = Some("shut down".to_owned());
                    What::GuestEnded { how: "shut down".to_owned() }
                }
                "GUEST_PANICKED" | "GUEST_CRASHLOADED" => {
                    let how = describe_end(event);
                    known.guest_ended = Some(how.clone());
                    What::GuestEnded { how }
                }
                name => What::Unheeded { name: name.to_owned() },
            };
            if worth_noting {
                state.event(Some(machine), what);
            }
        });
    }
}

impl State {
    /// Notes an event of the run.
    pub fn event(&mut self, machine: Option<usize>, what: What) {
        let host = machine.map(|index| self.machines[index].host.as_str());
        self.events.add(host, what);
    }

    /// What stands on the console after the last complete line.
    #[must_use]
    pub fn unfinished_line(&self) -> String {
        self.console.rest()
    }
}

/// Where and why the guest ended, from QEMU's panic event. s390x: reason, CPU and PSW.
fn describe_end(event: &Event) -> String {
    let info = |key: &str| event.data.pointer(&format!("/info/{key}"));
    let number = |key: &str| info(key).and_then(serde_json::Value::as_u64);
    let reason = info("reason").and_then(serde_json::Value::as_str).unwrap_or("for an unknown reason");
    match (number("psw-mask"), number("psw-addr")) {
        (Some(mask), Some(address)) => format!("{reason}, PSW {mask:016x} {address:016x}"),
        _ => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn event(name: &str, data: serde_json::Value) -> Event {
        Event { name: name.into(), data }
    }

    #[tokio::test]
    async fn a_wait_ends_as_soon_as_what_it_waits_for_is_written() {
        let observed = Observed::new(Instant::now());
        let machine = observed.add_machine("A");
        let writer = observed.clone();
        let wait = observed.until(Instant::now() + Duration::from_secs(60), |state| state.machines[0].exit.clone());
        let write = async move {
            tokio::task::yield_now().await;
            writer.write(|state| state.machines[machine].exit = Some("killed".into()));
        };
        assert_eq!(tokio::join!(wait, write).0.as_deref(), Ok("killed"));
    }

    #[tokio::test]
    async fn a_wait_for_what_never_comes_ends_at_its_deadline() {
        let observed = Observed::new(Instant::now());
        assert_eq!(observed.until(Instant::now(), |_| None::<()>).await, Err(Late));
    }

    #[test]
    fn a_status_nobody_knows_is_kept_as_it_is() {
        let observed = Observed::new(Instant::now());
        let machine = observed.add_machine("A");
        observed.qmp_event(machine, &event("MIGRATION", serde_json::json!({"status": "failing"})));
        observed.qmp_event(machine, &event("NEVER_HEARD_OF", serde_json::Value::Null));
        assert_eq!(observed.look().machines[machine].migration, MigrationStatus("failing".into()));
    }

    #[tokio::test]
    async fn a_guest_that_ended_before_anybody_listened_is_seen_to_have_ended() {
        for (said, how) in [("shutdown", Some("shut down")), ("guest-panicked", Some("crashed")), ("prelaunch", None)] {
            let observed = Observed::new(Instant::now());
            let machine = observed.add_machine("A");
            let status = serde_json::json!({"status": said, "running": false, "singlestep": false});
            observed.status(machine, &serde_json::from_value(status).expect("a status"));
            let ended = observed.until(Instant::now(), |state| state.machines[machine].guest_ended.clone()).await;
            assert_eq!((ended.ok().as_deref(), observed.look().machines[machine].running), (how, Some(false)));
        }
    }

    #[test]
    fn the_guests_end_is_told_with_its_psw() {
        let info = serde_json::json!({"action": "pause", "info": {"type": "s390", "core": 0, "reason": "disabled-wait",
            "psw-mask": 0x0002_0001_8000_0000_u64, "psw-addr": 0xfff}});
        assert_eq!(
            describe_end(&event("GUEST_PANICKED", info)),
            "disabled-wait, PSW 0002000180000000 0000000000000fff"
        );
    }
}
