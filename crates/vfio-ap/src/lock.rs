// SPDX-License-Identifier: MIT OR Apache-2.0
//! A mutex that a panic elsewhere does not poison, and the order in which the crate's locks are taken.
//!
//! Order: device list, migration state of one device, stream, tables of the host, leaves (log, counters, hardware
//! stubs, list of open streams). A lock is taken only while those before it may be held; leaves are never held while
//! anything is called. Each device has its own migration state and each stream its own lock, so that one guest's owner
//! cannot stall another's; the tables say who owns which queue and are one for the host.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// A mutex whose data stay usable after a panic: every change here is complete before anything can panic.
#[derive(Default)]
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The data, unless somebody has them.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
