// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a case is written in: calls that are recorded with their answers, and expectations.

use std::cell::RefCell;
use std::fmt;

use super::DeviceFactory;
use super::fixture::{A, HostSetup};
use super::side::Side;
use crate::Capability;

/// Why a case ends before its end.
pub(super) enum Stop {
    /// The device does what no driver should.
    Finding { what: String, expected: String, seen: String },
    /// The case cannot be run here.
    Skip(String),
    /// The device could not be asked.
    Broken(String),
}

/// One run of a case.
pub(super) struct Script<'a> {
    factory: &'a dyn DeviceFactory,
    needs: &'a [Capability],
    must_be_expendable: bool,
    calls: RefCell<Vec<String>>,
    differs: RefCell<Vec<String>>,
}

impl<'a> Script<'a> {
    pub(super) fn new(factory: &'a dyn DeviceFactory, needs: &'a [Capability], must_be_expendable: bool) -> Self {
        Self { factory, needs, must_be_expendable, calls: RefCell::default(), differs: RefCell::default() }
    }

    pub(super) fn into_record(self) -> (Vec<String>, Vec<String>) {
        (self.calls.into_inner(), self.differs.into_inner())
    }

    /// A fresh host.
    pub(super) fn host(&self, name: &'static str, setup: &HostSetup) -> Result<Side<'_>, Stop> {
        let host = self.factory.host(setup).map_err(Stop::Skip)?;
        let capabilities = host.capabilities().and(host.device(A).capabilities());
        let lacking = |one: Capability| Stop::Skip(format!("this device offers no {}", one.describe()));
        if let Some(missing) = capabilities.first_missing(self.needs) {
            return Err(lacking(missing));
        }
        if self.must_be_expendable && !capabilities.has(Capability::Expendable) {
            return Err(Stop::Skip("it could wreck a real kernel: ask for it".to_owned()));
        }
        Ok(Side::new(self, name, host))
    }

    pub(super) fn source(&self) -> Result<Side<'_>, Stop> {
        self.host("source", &HostSetup::source())
    }

    pub(super) fn destination(&self) -> Result<Side<'_>, Stop> {
        self.host("destination", &HostSetup::destination())
    }

    pub(super) fn record(&self, call: String) {
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
