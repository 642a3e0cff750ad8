// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a case is written in: fresh hosts whose calls are recorded, and expectations.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

use super::factory::{DeviceFactory, NoHost};
use super::fixture::{A, HostSetup};
use super::record::{Record, Stop};
use super::side::Side;
use crate::Capability;

/// What is known of the driver once one of its hosts was seen. A fresh host takes its time, and all have one driver.
#[derive(Default)]
pub(super) struct Driver {
    lacks_migration: AtomicBool,
}

/// One run of a case. What it expects and notes goes into its record.
pub(super) struct Script<'a> {
    factory: &'a dyn DeviceFactory,
    driver: &'a Driver,
    needs: Vec<Capability>,
    must_be_expendable: bool,
    record: Record,
}

impl Deref for Script<'_> {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

impl<'a> Script<'a> {
    pub(super) fn new(
        factory: &'a dyn DeviceFactory,
        driver: &'a Driver,
        needs: Vec<Capability>,
        must_be_expendable: bool,
    ) -> Self {
        Self { factory, driver, needs, must_be_expendable, record: Record::default() }
    }

    /// The same as a recording, of a device whose stream is this.
    pub(super) fn recorded(self, own: Vec<u8>) -> Self {
        Self { record: Record::recording(own), ..self }
    }

    pub(super) fn into_record(self) -> Record {
        self.record
    }

    /// A fresh host.
    pub(super) fn host(&self, name: &'static str, setup: &HostSetup) -> Result<Side<'_>, Stop> {
        let lacking = |one: Capability| Stop::Skip(format!("this device offers no {}", one.describe()));
        let lacks_migration = &self.driver.lacks_migration;
        if lacks_migration.load(Ordering::Relaxed) && self.needs.contains(&Capability::Migration) {
            return Err(lacking(Capability::Migration));
        }
        let host = self.factory.host(setup).map_err(|no_host| match no_host {
            NoHost::Unfit(reason) => Stop::Skip(reason),
            NoHost::Broken(reason) => Stop::Broken(reason),
        })?;
        let capabilities = host.capabilities().and(host.device(A).capabilities());
        if let Some(missing) = capabilities.first_missing(&self.needs) {
            lacks_migration.fetch_or(missing == Capability::Migration, Ordering::Relaxed);
            return Err(lacking(missing));
        }
        if self.must_be_expendable && !capabilities.has(Capability::Expendable) {
            return Err(Stop::Skip("it could wreck a real kernel: ask for it".to_owned()));
        }
        self.record.note_step(|recorder| recorder.host(setup));
        Ok(Side::new(&self.record, name, host))
    }

    pub(super) fn source(&self) -> Result<Side<'_>, Stop> {
        self.host("source", &HostSetup::source())
    }

    pub(super) fn destination(&self) -> Result<Side<'_>, Stop> {
        self.host("destination", &HostSetup::destination())
    }
}
