// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state machine of one device. vfio-ap migration spec 2.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ap_machine::Configuration;
use vfio_mig::{DeviceError, DeviceState, Errno};

use super::snapshot;
use super::{ReadStream, WriteStream};
use crate::config;
use crate::context::Context;
use crate::lock::Lock;
use crate::message;

/// A mediated device as its opener sees it.
pub(crate) struct Device {
    name: String,
    context: Arc<Context>,
    door: Arc<Configuration>,
    migration: Lock<Migration>,
    /// The state once more, for readers that must not wait: vCPUs and get_state.
    visible: AtomicU32,
}

/// What exists while the device is open.
struct Migration {
    open: bool,
    state: DeviceState,
    saving: Option<Arc<ReadStream>>,
    resuming: Option<Arc<WriteStream>>,
    /// The refusal under Secure Execution was logged since the device was opened.
    refusal_logged: bool,
}

/// The stream that an arc opened.
#[derive(Clone)]
pub(crate) enum OpenedStream {
    /// Of STOP_COPY.
    Saving(Arc<ReadStream>),
    /// Of RESUMING.
    Resuming(Arc<WriteStream>),
}

impl Device {
    /// A device that is not open.
    pub(crate) fn new(name: String, context: Arc<Context>, door: Arc<Configuration>) -> Self {
        let migration =
            Migration { open: false, state: DeviceState::RUNNING, saving: None, resuming: None, refusal_logged: false };
        let visible = AtomicU32::new(DeviceState::RUNNING.0);
        Self { name, context, door, migration: Lock::new(migration), visible }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn door(&self) -> &Arc<Configuration> {
        &self.door
    }

    pub(crate) fn is_open(&self) -> bool {
        self.migration.lock().open
    }

    /// The state; never refused. vfio-ap migration spec 2.3.
    pub(crate) fn state(&self) -> DeviceState {
        DeviceState(self.visible.load(Ordering::Acquire))
    }

    /// Opens the device: the guest gets its queues. vfio-ap migration spec 2.8.
    pub(crate) fn open(&self) -> Result<(), DeviceError> {
        let mut migration = self.migration.lock();
        if migration.open {
            return Err(DeviceError::refused(Errno::EBUSY, format!("mediated device {} is open already", self.name)));
        }
        let mut tables = self.context.tables.lock();
        let Some(present) = tables.mdevs.get_mut(&self.name) else {
            return Err(DeviceError::refused(Errno::ENODEV, format!("mediated device {} was removed", self.name)));
        };
        present.attached = true;
        present.plug();
        migration.open = true;
        migration.refusal_logged = false;
        self.enter(&mut migration, DeviceState::RUNNING);
        Ok(())
    }

    /// Closes the device: streams are cut off, the guest loses its queues, which are reset.
    pub(crate) fn close(&self) -> Result<(), DeviceError> {
        let mut migration = self.migration.lock();
        self.check_open(&migration)?;
        if let Some(stream) = migration.saving.take() {
            stream.device_closed();
        }
        if let Some(stream) = migration.resuming.take() {
            stream.device_closed();
        }
        migration.open = false;
        self.enter(&mut migration, DeviceState::RUNNING);
        let mut tables = self.context.tables.lock();
        let tables = &mut *tables;
        if let Some(present) = tables.mdevs.get_mut(&self.name) {
            present.attached = false;
            present.plug();
            config::reset(&self.context, &mut tables.bus, &self.name, &present.linked);
        }
        Ok(())
    }

    /// VFIO_DEVICE_RESET. vfio-ap migration spec 2.6.
    pub(crate) fn reset(&self) -> Result<(), DeviceError> {
        let mut migration = self.migration.lock();
        self.check_open(&migration)?;
        {
            let mut tables = self.context.tables.lock();
            let tables = &mut *tables;
            if let Some(present) = tables.mdevs.get(&self.name)
                && let Some(apqn) = config::reset(&self.context, &mut tables.bus, &self.name, &present.linked)
            {
                return Err(DeviceError::refused(Errno::EIO, format!("queue {apqn} could not be reset")));
            }
        }
        self.end_streams(&mut migration);
        self.enter(&mut migration, DeviceState::RUNNING);
        Ok(())
    }

    fn end_streams(&self, migration: &mut Migration) {
        if let Some(stream) = migration.saving.take() {
            stream.end();
        }
        if let Some(stream) = migration.resuming.take() {
            let _whether_complete = stream.end();
        }
    }

    /// Bytes of the stream: of the snapshot in STOP_COPY, else of one taken now. vfio-ap migration spec 3.4.
    pub(crate) fn data_size(&self) -> Result<u64, DeviceError> {
        if let Some(stream) = &self.migration.lock().saving {
            return Ok(stream.length());
        }
        let tables = self.context.tables.lock();
        let present = tables.mdevs.get(&self.name);
        let gone = || DeviceError::refused(Errno::ENODEV, format!("mediated device {} was removed", self.name));
        present.map(|present| snapshot::size(self.context.format(), &present.shadow)).ok_or_else(gone)
    }

    /// Requests a state. vfio-ap migration spec 2.2 to 2.4.
    pub(crate) fn set_state(&self, target: DeviceState) -> Result<Option<OpenedStream>, DeviceError> {
        let mut migration = self.migration.lock();
        self.context.log.debug(message::request(target.0));
        self.refuse_secure_execution(&mut migration)?;
        if !migration.open {
            return if target == DeviceState::RUNNING { Ok(None) } else { self.check_open(&migration).map(|()| None) };
        }
        let reachable = [DeviceState::STOP, DeviceState::RUNNING, DeviceState::STOP_COPY, DeviceState::RESUMING];
        if !reachable.contains(&target) {
            let reason =
                format!("state {target} cannot be requested: vfio-ap knows stop, running, stop-copy, resuming");
            return Err(DeviceError::refused(Errno::EINVAL, reason));
        }
        if migration.state == DeviceState::ERROR {
            let reason = format!("the device is in the error state; only a reset leads out of it, not {target}");
            return Err(DeviceError::refused(Errno::EINVAL, reason));
        }
        let mut opened = None;
        while migration.state != target {
            let next = if migration.state == DeviceState::STOP { target } else { DeviceState::STOP };
            opened = self.arc(&mut migration, next)?;
        }
        Ok(opened)
    }

    /// One arc of vfio-ap migration spec 2.2.
    fn arc(&self, migration: &mut Migration, to: DeviceState) -> Result<Option<OpenedStream>, DeviceError> {
        self.context.log.debug(message::arc(migration.state.0, to.0));
        let opened = match (migration.state, to) {
            (DeviceState::STOP, DeviceState::STOP_COPY) => {
                let stream = Arc::new(ReadStream::new(self.take_snapshot()?));
                migration.saving = Some(Arc::clone(&stream));
                Some(OpenedStream::Saving(stream))
            }
            (DeviceState::STOP, DeviceState::RESUMING) => {
                let stream = Arc::new(WriteStream::new(Arc::clone(&self.context), self.name.clone()));
                migration.resuming = Some(Arc::clone(&stream));
                Some(OpenedStream::Resuming(stream))
            }
            (DeviceState::STOP_COPY, _) => {
                if let Some(stream) = migration.saving.take() {
                    stream.end();
                }
                None
            }
            (DeviceState::RESUMING, _) => {
                if let Some(stream) = migration.resuming.take()
                    && let Err(error) = stream.end()
                {
                    self.enter(migration, DeviceState::ERROR);
                    return Err(error);
                }
                None
            }
            _ => None,
        };
        self.enter(migration, to);
        Ok(opened)
    }

    fn take_snapshot(&self) -> Result<Vec<u8>, DeviceError> {
        let shadow = self.context.tables.lock().mdevs.get(&self.name).map(|present| present.shadow);
        let shadow = shadow.ok_or_else(|| DeviceError::from(Errno::ENODEV))?;
        snapshot::take(&self.context, &self.name, &shadow)
    }

    /// vfio-ap migration spec 2.7: refused under Secure Execution, logged once per open.
    fn refuse_secure_execution(&self, migration: &mut Migration) -> Result<(), DeviceError> {
        let options = &self.context.options;
        if !options.host_is_secure.load(Ordering::Relaxed) && !options.guest_is_secure.load(Ordering::Relaxed) {
            return Ok(());
        }
        if !migration.refusal_logged {
            migration.refusal_logged = true;
            self.context.log.error(message::secure_execution(&self.name));
        }
        Err(DeviceError::refused(Errno::EPERM, "a guest under Secure Execution cannot be migrated"))
    }

    fn check_open(&self, migration: &Migration) -> Result<(), DeviceError> {
        if migration.open {
            return Ok(());
        }
        Err(DeviceError::refused(Errno::ENODEV, format!("mediated device {} is not open", self.name)))
    }

    fn enter(&self, migration: &mut Migration, state: DeviceState) {
        let from = std::mem::replace(&mut migration.state, state);
        self.visible.store(state.0, Ordering::Release);
        if from != state {
            let member = |state: DeviceState| serde_json::to_value(state).unwrap_or_default();
            self.context.emit("migration-state", &self.name, &[("from", member(from)), ("to", member(state))]);
        }
    }

    /// A vCPU of the guest is about to run: a device that was stopped for a migration goes back to RUNNING. One load
    /// when there is nothing to do. Returns whether there was.
    pub(crate) fn vcpu_resumed(&self) -> bool {
        if !matches!(self.state(), DeviceState::STOP | DeviceState::STOP_COPY) {
            return false;
        }
        let mut migration = self.migration.lock();
        let mut moved = false;
        while matches!(migration.state, DeviceState::STOP | DeviceState::STOP_COPY) {
            let next = if migration.state == DeviceState::STOP { DeviceState::RUNNING } else { DeviceState::STOP };
            if self.arc(&mut migration, next).is_err() {
                break;
            }
            moved = true;
        }
        if moved {
            self.context.counters.resumed_by_vcpu.fetch_add(1, Ordering::Relaxed);
        }
        moved
    }
}

#[cfg(test)]
impl Device {
    /// Keeps the device's own lock, as a request that is under way does.
    pub(crate) fn hold_state_lock(&self) -> impl Sized + '_ {
        self.migration.lock()
    }
}
