// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the guest did with AP instructions, on all hosts, in one line of time with what else happened. The hosts tell
//! it, so that it is there for any guest; they and the harness run on one machine and so have one clock.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use vfio_ap::control::{TraceEntry, TraceReply};

use crate::outcome::events::{Event, What};

/// Answers that are read of one host, several times what a host keeps: whoever has more to tell never ends.
const MOST_ANSWERS: usize = 64;

/// One AP instruction of the guest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Instruction {
    /// Seconds since the run began.
    pub at: f64,
    /// The host it was executed on.
    pub host: String,
    /// The guest's CPU.
    pub cpu: u32,
    /// The instruction and what came of it, decoded.
    pub text: String,
}

/// The instructions of a run.
#[derive(Clone, Debug)]
pub struct Trace {
    /// When the run began, in seconds since the beginning of 1970.
    begun: f64,
    /// In the order of their times, host by host.
    pub instructions: Vec<Instruction>,
    /// How many the hosts no longer had.
    pub lost: u64,
}

impl Trace {
    /// Of a run that begins now.
    #[must_use]
    pub fn new() -> Self {
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Self { begun, instructions: Vec::new(), lost: 0 }
    }

    /// Fetches what the guest did on a host, from its beginning there. `ask` gets what is there from a number on.
    ///
    /// # Errors
    /// Those of `ask`; what was fetched before stays.
    pub async fn fetch<E>(&mut self, host: &str, ask: impl AsyncFn(u64) -> Result<TraceReply, E>) -> Result<(), E> {
        let mut since = 0;
        for _ in 0..MOST_ANSWERS {
            let TraceReply { entries, next, lost } = ask(since).await?;
            self.lost = self.lost.saturating_add(lost);
            if entries.is_empty() || next <= since {
                break;
            }
            let begun = self.begun;
            self.instructions.extend(entries.iter().map(|entry| instruction(begun, host, entry)));
            since = next;
        }
        Ok(())
    }

    /// Instructions and events in the order of their times.
    #[must_use]
    pub fn lines(&self, events: &[Event]) -> String {
        let told = events.iter().filter_map(Line::of_event);
        let mut all: Vec<Line<'_>> = told.chain(self.instructions.iter().map(Line::of_instruction)).collect();
        all.sort_by(|a, b| a.at.total_cmp(&b.at));
        let mut text: String = all.iter().map(|line| format!("{line}\n")).collect();
        if self.lost > 0 {
            text.push_str(&format!("({} older instructions were not kept)\n", self.lost));
        }
        text
    }
}

fn instruction(begun: f64, host: &str, entry: &TraceEntry) -> Instruction {
    // A double holds microseconds since 1970 to half a microsecond.
    let at = entry.at as f64 / 1e6 - begun;
    Instruction { at, host: host.to_owned(), cpu: entry.cpu, text: entry.to_string() }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}

/// One line of the trace.
struct Line<'a> {
    at: f64,
    host: &'a str,
    text: String,
}

impl<'a> Line<'a> {
    fn of_instruction(instruction: &'a Instruction) -> Self {
        let Instruction { at, host, text, .. } = instruction;
        Self { at: *at, host, text: text.clone() }
    }

    /// What happened besides, where it shows where in the story an instruction stands.
    fn of_event(event: &'a Event) -> Option<Self> {
        let text = match &event.what {
            What::Console { line } | What::Garbage { shown: line } => format!("guest: {line}"),
            What::Asked { migration } => format!("the guest asks for migration {migration}"),
            What::Migration { status } => format!("migration: {status}"),
            What::Device { state } => format!("device: {state}"),
            What::AssignedAlike => "the destination's device is assigned as the source's is".to_owned(),
            What::HandedOver { bytes, .. } => format!("{bytes} bytes of AP configuration have gone over"),
            What::Refused { errno, .. } => format!("the AP configuration is refused with {errno}"),
            What::Key => "the guest's key is pressed".to_owned(),
            What::Action { action } => format!("action: {action}"),
            What::GuestEnded { how } => format!("the guest ended: {how}"),
            What::Ended { how } => format!("QEMU ended: {how}"),
            _ => return None,
        };
        let host = event.host.as_deref().unwrap_or("");
        Some(Self { at: event.at, host, text: format!("-- {text}") })
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:10.6} {:>4}  {}", self.at, self.host, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instruction(at: f64, host: &str, text: &str) -> Instruction {
        Instruction { at, host: host.to_owned(), cpu: 0, text: text.to_owned() }
    }

    #[tokio::test]
    async fn a_host_that_never_stops_telling_is_heard_for_so_long_and_no_longer() {
        let entry = serde_json::json!({"number": 0, "at": 0, "cpu": 0, "instruction": "pqap",
            "gr0": "0x0", "gr1": "0x0", "gr2": "0x0"});
        let ask = async |since: u64| -> Result<TraceReply, serde_json::Error> {
            let entries = vec![serde_json::from_value(entry.clone())?];
            Ok(TraceReply { entries, next: since + 1, lost: u64::MAX })
        };
        let mut trace = Trace::new();
        trace.fetch("A", ask).await.expect("answers");
        assert_eq!((trace.instructions.len(), trace.lost), (MOST_ANSWERS, u64::MAX));
    }

    #[test]
    fn two_hosts_and_the_story_stand_in_one_line_of_time() {
        let event = |at, host: &str, what| Event { at, host: Some(host.to_owned()), what };
        let status = |status: &str| What::Migration { status: status.to_owned() };
        let events = [event(0.2, "A", status("completed")), event(0.15, "A", What::Asked { migration: 1 })];
        let instructions =
            vec![instruction(0.1, "A", "TAPQ 05.0033: cc 0"), instruction(0.3, "B", "TAPQ 05.0033: cc 0")];
        let trace = Trace { begun: 0.0, instructions, lost: 3 };
        insta::assert_snapshot!(trace.lines(&events), @r"
          0.100000    A  TAPQ 05.0033: cc 0
          0.150000    A  -- the guest asks for migration 1
          0.200000    A  -- migration: completed
          0.300000    B  TAPQ 05.0033: cc 0
        (3 older instructions were not kept)
        ");
    }
}
