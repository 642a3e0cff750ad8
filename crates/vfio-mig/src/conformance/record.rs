// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is kept of one run of a case: its calls with their answers, and what differs from the specification in a way
//! that is accepted; and why a case ends early.

use std::cell::RefCell;
use std::fmt;

use super::recording::{Recorder, Recording};
use crate::Complaint;
use crate::catalogue::{elsewhere, finding_of};

/// Why a case ends before its end.
pub(super) enum Stop {
    /// The device does what no driver should.
    Finding { what: String, expected: String, seen: String },
    /// The case cannot be run here.
    Skip(String),
    /// The device could not be asked.
    Broken(String),
}

/// The record of one run.
#[derive(Default)]
pub(super) struct Record {
    calls: RefCell<Vec<String>>,
    differs: RefCell<Vec<String>>,
    complaints: RefCell<Vec<String>>,
    recorder: Option<RefCell<Recorder>>,
}

impl Record {
    /// One that is a recording too, of a device whose stream is this.
    pub(super) fn recording(own: Vec<u8>) -> Self {
        Self { recorder: Some(RefCell::new(Recorder::new(own))), ..Self::default() }
    }

    /// The recording, if it is one.
    pub(super) fn into_recording(self) -> Option<Recording> {
        self.recorder.map(|recorder| recorder.into_inner().finish())
    }

    /// Says something to the recorder, if there is one.
    pub(super) fn note_step(&self, says: impl FnOnce(&mut Recorder)) {
        if let Some(recorder) = &self.recorder {
            says(&mut recorder.borrow_mut());
        }
    }

    /// The calls, what differs, and what kernels complained about.
    pub(super) fn into_parts(self) -> (Vec<String>, Vec<String>, Vec<String>) {
        (self.calls.into_inner(), self.differs.into_inner(), self.complaints.into_inner())
    }

    /// Something that a host's kernel found wrong with itself; once, however often it was found. What is not the
    /// driver's is on record and does not count.
    pub(super) fn complaint(&self, host: &str, complaint: &Complaint) {
        let lines = || complaint.short().into_iter().map(|line| format!("{host}: kernel: {line}"));
        if let Some(why) = elsewhere(complaint) {
            let why = format!("{host}: kernel: {why}");
            let mut calls = self.calls.borrow_mut();
            if !calls.contains(&why) {
                calls.extend(lines().chain([why]));
            }
            return;
        }
        let key = complaint.key();
        let known = finding_of(&key).map_or_else(|| "unknown".to_owned(), |id| format!("known as {id}"));
        let text = format!("{key} ({known})");
        let mut complaints = self.complaints.borrow_mut();
        if !complaints.contains(&text) {
            self.calls.borrow_mut().extend(lines());
            complaints.push(text);
        }
    }

    /// A call with its answer.
    pub(super) fn call(&self, call: String) {
        self.calls.borrow_mut().push(call);
    }

    /// What was seen must be what is right; or one of what is accepted too, which is noted.
    pub(super) fn expect(
        &self,
        what: &str,
        seen: impl fmt::Display,
        right: &str,
        accepted: &[&str],
    ) -> Result<(), Stop> {
        let seen = seen.to_string();
        if seen == right {
            return Ok(());
        }
        if accepted.contains(&seen.as_str()) {
            self.note(&format!("{what}: {seen} instead of {right}"));
            return Ok(());
        }
        let others = accepted.iter().copied().filter(|other| *other != right);
        let expected = std::iter::once(right).chain(others).collect::<Vec<_>>().join(" or ");
        Err(Stop::Finding { what: what.to_owned(), expected, seen })
    }

    /// Something that must hold.
    pub(super) fn require(&self, what: &str, holds: bool, expected: &str, seen: impl fmt::Display) -> Result<(), Stop> {
        let right = if holds { seen.to_string() } else { expected.to_owned() };
        if holds { Ok(()) } else { self.expect(what, seen, &right, &[]) }
    }

    /// Something accepted that is worth a word.
    pub(super) fn note(&self, difference: &str) {
        let mut differs = self.differs.borrow_mut();
        if differs.iter().all(|known| known != difference) {
            differs.push(difference.to_owned());
        }
    }
}
