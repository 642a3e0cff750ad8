// SPDX-License-Identifier: MIT OR Apache-2.0
//! One mediated device of a host, and its guest.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::attach::Attached;
use crate::vm::Vm;

/// One mediated device.
pub(crate) struct Mdev {
    pub(crate) uuid: String,
    pub(crate) vm: Vm,
    pub(crate) attached: Mutex<Option<Attached>>,
}

impl Mdev {
    /// The open device, if it is open.
    pub(crate) fn attached(&self) -> MutexGuard<'_, Option<Attached>> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
