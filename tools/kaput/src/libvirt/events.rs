// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a host's libvirt reports unasked: QEMU's events, and what becomes of domains. Two `virsh` say a line for each;
//! those of a domain that somebody knows become what is observed of its machine.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use serde_json::Value;
use tokio::io::AsyncRead;
use tokio::process::Child;
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::task::AbortOnDropHandle;

use crate::hosts::ssh::{HostConnection, HostError};
use crate::hosts::virsh::VIRSH;
use crate::machine::observed::{Observed, State};
use crate::protocol::qmp::Event;

/// Bytes of the longest line.
const LONGEST_LINE: usize = 64 << 10;

/// Machines by the names of their domains.
type Known = Arc<Mutex<BTreeMap<String, (Observed, usize)>>>;

pub(crate) struct Hearing {
    known: Known,
    task: AbortOnDropHandle<()>,
}

impl fmt::Debug for Hearing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hearing")
    }
}

/// A line.
#[derive(Debug, PartialEq)]
enum Heard<'a> {
    /// QEMU sent an event.
    Qemu(&'a str, Event),
    /// libvirt says what became of a domain.
    Life(&'a str, &'a str),
}

impl Hearing {
    pub(super) fn new(connection: &HostConnection) -> Result<Self, HostError> {
        let (qemu, life) = ("qemu-monitor-event --loop", "event --event lifecycle --loop");
        let commands = [qemu, life].map(|what| format!("{VIRSH} {what}"));
        let child = connection.listen("virsh-", &[&commands[0], &commands[1]])?;
        let known = Known::default();
        let task = AbortOnDropHandle::new(tokio::spawn(hear(child, Arc::clone(&known))));
        Ok(Self { known, task })
    }

    pub(super) fn add(&self, domain: &str, observed: &Observed, index: usize) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(domain.to_owned(), (observed.clone(), index));
        if self.task.is_finished() {
            observed.write(|state| state.machines[index].qmp_closed = true);
        }
    }

    /// Forgets a machine, unless its domain is another machine's by now.
    pub(crate) fn forget(&self, domain: &str, index: usize) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.get(domain).is_some_and(|(_, known)| *known == index) {
            known.remove(domain);
        }
    }
}

/// Until there is nothing more to be heard, of nobody.
async fn hear(mut child: Child, known: Known) {
    if let Some(stdout) = child.stdout.take() {
        listen(stdout, &known).await;
    }
    for (observed, index) in known.lock().unwrap_or_else(PoisonError::into_inner).values() {
        observed.write(|state| state.machines[*index].qmp_closed = true);
    }
}

async fn listen(stdout: impl AsyncRead + Unpin, known: &Known) {
    let mut lines = FramedRead::new(stdout, LinesCodec::new_with_max_length(LONGEST_LINE));
    while let Some(Ok(line)) = lines.next().await {
        let Some(told) = understood(&line) else { continue };
        let (Heard::Qemu(domain, _) | Heard::Life(domain, _)) = &told;
        let machine = known.lock().unwrap_or_else(PoisonError::into_inner).get(*domain).cloned();
        let Some((observed, index)) = machine else { continue };
        match told {
            Heard::Qemu(_, event) => observed.qmp_event(index, &event),
            Heard::Life(_, what) => observed.write(|state| life(state, index, what)),
        }
    }
}

/// What libvirt says of a domain, as far as QEMU's events do not tell it.
pub(super) fn life(state: &mut State, index: usize, what: &str) {
    let known = &mut state.machines[index];
    known.life_heard = true;
    let Some(how) = what.strip_prefix("Stopped ") else { return };
    // The two that tell are two programs: this one may be first.
    if let Some(end) = ["shut down", "crashed"].into_iter().find(|end| end.replace(' ', "") == how.to_lowercase()) {
        known.guest_ended.get_or_insert_with(|| end.to_owned());
    }
    known.stopped = Some(how.to_owned());
    known.qmp_closed = true;
}

fn understood(line: &str) -> Option<Heard<'_>> {
    let (head, said) = line.strip_prefix("event ")?.split_once("': ")?;
    let (name, domain) = head.split_once(" for domain '")?;
    if name == "'lifecycle'" {
        return Some(Heard::Life(domain, said));
    }
    let name = name.split(' ').next()?.to_owned();
    let data = if said == "<null>" { Value::Null } else { serde_json::from_str(said).ok()? };
    Some(Heard::Qemu(domain, Event { name, data }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const LINES: &str = "\
event 'lifecycle' for domain 'k-1': Started Booted
event RESUME at 1795399306.839109 for domain 'k-1': <null>
event MIGRATION at 1795399311.170110 for domain 'k-1': {\"status\":\"active\"}
event MIGRATION_PASS at 1795399311.190049 for domain 'k-1': {\"pass\":2}
event MIGRATION at 1795399311.170110 for domain 'else': {\"status\":\"failed\"}
rubbish
event X at 1 for domain 'k-1': {
event 'lifecycle' for domain 'k-1': Stopped Shutdown
";

    #[tokio::test]
    async fn what_is_told_of_a_known_domain_is_observed_of_its_machine() {
        let observed = Observed::new(Instant::now());
        let index = observed.add_machine("A");
        let known = Known::default();
        known.lock().expect("unpoisoned").insert("k-1".to_owned(), (observed.clone(), index));
        listen(LINES.as_bytes(), &known).await;
        let state = observed.look();
        let machine = &state.machines[index];
        assert_eq!((&*machine.migration.0, machine.passes, machine.running), ("active", 1, Some(true)));
        assert_eq!((machine.stopped.as_deref(), machine.guest_ended.as_deref()), (Some("Shutdown"), Some("shut down")));
    }

    #[test]
    fn a_line_that_is_none_of_these_is_nothing() {
        for line in ["", "event", "event a for domain 'x", "event 'lifecycle' for domain: x", "event a: {}"] {
            assert_eq!(understood(line), None, "{line}");
        }
    }
}
