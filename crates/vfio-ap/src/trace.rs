// SPDX-License-Identifier: MIT OR Apache-2.0
//! What QEMU's guest did with AP instructions, the newest of which are kept, for a host that keeps them. Off
//! it costs an instruction one look at a flag.

use std::time::{SystemTime, UNIX_EPOCH};

use ap_machine::{Instruction, Operands, Outcome};

use crate::control::{TraceEntry, TraceReply};
use crate::lock::Lock;
use crate::numbered::Numbered;

/// Entries that one `query-trace` returns at most: they fit a line of the protocol.
const MAX_ENTRIES: usize = 8_192;

/// Numbered entries. Its lock is a leaf: nothing is called with it held.
#[derive(Default)]
pub(crate) struct Trace {
    on: bool,
    entries: Lock<Numbered<TraceEntry>>,
}

impl Trace {
    pub(crate) fn new(on: bool) -> Self {
        Self { on, entries: Lock::default() }
    }

    /// Keeps an instruction, if anything is kept.
    pub(crate) fn note(&self, cpu: u32, instruction: Instruction, operands: &Operands, outcome: &Outcome) {
        if !self.on {
            return;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let entry = TraceEntry::new(cpu, at, instruction, operands, outcome);
        let mut entries = self.entries.lock();
        if !entries.last_mut().is_some_and(|last| last.take_in(&entry)) {
            entries.push(|number| TraceEntry { number, ..entry });
        }
    }

    /// The entries from number `since` on, as many as one answer holds.
    pub(crate) fn since(&self, since: u64) -> TraceReply {
        let (entries, next, lost) = self.entries.lock().since(since, MAX_ENTRIES);
        TraceReply { entries, next, lost }
    }
}

#[cfg(test)]
mod tests {
    use ap_arch::ConditionCode;
    use ap_machine::RegisterWrites;

    use super::*;
    use crate::numbered::CAPACITY;

    fn note(trace: &Trace, gr1: u64) {
        let outcome = Outcome::Completed { cc: ConditionCode::CC0, writes: RegisterWrites::none() };
        trace.note(0, Instruction::Pqap, &Operands { gr1, ..Operands::default() }, &outcome);
    }

    #[test]
    fn nothing_is_kept_unless_it_was_asked_for() {
        let trace = Trace::new(false);
        note(&trace, 0);
        assert_eq!(trace.since(0), TraceReply::default());
    }

    #[test]
    fn the_newest_are_kept_and_the_others_counted() {
        let trace = Trace::new(true);
        (0..CAPACITY as u64 + 3).for_each(|number| note(&trace, number));
        let first = trace.since(1);
        assert_eq!((first.entries[0].number, first.lost, first.entries.len()), (3, 2, MAX_ENTRIES));
        assert_eq!(trace.since(first.next).entries[0].number, first.next);
        assert!(trace.since(CAPACITY as u64 + 3).entries.is_empty());
    }
}
