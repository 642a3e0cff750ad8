// SPDX-License-Identifier: MIT OR Apache-2.0
//! One mediated device of a host, and its guest.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ap_arch::Matrix;
use vfio_mig::{Answered, DeviceError, StreamId, Verb};

use crate::Linux;
use crate::attach::Attached;
use crate::encode::stream_file;
use crate::vm::Vm;

/// One mediated device.
pub(crate) struct Mdev {
    /// Its folder in sysfs.
    pub(crate) folder: String,
    pub(crate) vm: Vm,
    /// What its guest's KVM was told when it was asked last.
    masks: Mutex<Matrix>,
    attached: Mutex<Option<Attached>>,
    /// Streams that nobody has closed: a case leaves what it does not need.
    streams: Mutex<BTreeSet<StreamId>>,
}

impl Mdev {
    /// A device with its guest's VM, open or not.
    pub(crate) fn new(folder: String, vm: Vm, attached: Option<Attached>) -> Self {
        Self { folder, vm, masks: Mutex::default(), attached: Mutex::new(attached), streams: Mutex::default() }
    }

    /// The same device of the same Linux, which was kept and goes on elsewhere.
    pub(crate) fn copy(&self) -> Self {
        Self {
            folder: self.folder.clone(),
            vm: self.vm,
            masks: Mutex::new(*self.masks.lock().unwrap_or_else(PoisonError::into_inner)),
            attached: Mutex::new(self.attached().clone()),
            streams: Mutex::new(self.streams().clone()),
        }
    }

    /// What its guest's KVM was told.
    pub(crate) fn masks(&self, linux: &Linux) -> Result<Matrix, DeviceError> {
        let mut masks = self.masks.lock().unwrap_or_else(PoisonError::into_inner);
        *masks = self.vm.masks(linux, *masks)?;
        Ok(*masks)
    }

    /// The open device, if it is open.
    pub(crate) fn attached(&self) -> MutexGuard<'_, Option<Attached>> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what a verb opened or closed.
    pub(crate) fn note(&self, verb: &Verb, answer: &Result<Answered, DeviceError>) {
        match (verb, answer) {
            (_, Ok(Answered::Stream(Some(stream)))) => self.streams().insert(*stream),
            (Verb::Close(stream), Ok(_)) => self.streams().remove(stream),
            _ => false,
        };
    }

    fn streams(&self) -> MutexGuard<'_, BTreeSet<StreamId>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes everything that is open of it, the VM last.
    pub(crate) fn close(&self, linux: &Linux) -> Result<(), DeviceError> {
        let streams = std::mem::take(&mut *self.streams()).into_iter();
        // Everything is closed, whatever the first error is.
        let closed = streams.map(|stream| linux.close(stream_file(stream)?)).fold(Ok(()), Result::and);
        let attached = self.attached().take();
        let detached = attached.map_or(Ok(()), |attached| attached.close(linux));
        closed.and(detached).and(self.vm.close(linux))
    }
}
