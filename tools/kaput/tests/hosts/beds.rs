// SPDX-License-Identifier: MIT OR Apache-2.0
//! The beds that tests use at the same time: one is made when all others are in use, and each goes to the next test
//! afterwards.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::bed::Bed;

pub(crate) struct Beds {
    qemu: PathBuf,
    plugin: PathBuf,
    free: Mutex<Vec<Bed>>,
    /// Why one could not be made: no other is tried then.
    fault: Mutex<Option<String>>,
}

impl Beds {
    pub(crate) fn new(qemu: PathBuf, plugin: PathBuf) -> Self {
        Self { qemu, plugin, free: Mutex::default(), fault: Mutex::default() }
    }

    /// Lends a bed. One that cannot be made fails the tests that want it, one by one, and no others.
    pub(crate) fn with(&self, test: impl FnOnce(&Bed) -> Result<(), String>) -> Result<(), String> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bed = free.map_or_else(|| self.make(), Ok)?;
        let done = test(&bed);
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(bed);
        done
    }

    fn make(&self) -> Result<Bed, String> {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fault) = &*fault {
            return Err(fault.clone());
        }
        let made = Bed::make(&self.qemu, &self.plugin);
        made.map_err(|reason| fault.insert(format!("the two hosts cannot be made: {reason}")).clone())
    }
}
