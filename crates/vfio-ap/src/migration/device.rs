// SPDX-License-Identifier: MIT OR Apache-2.0
//! One mediated device as its opener sees it: open, close, reset, data size. Its states are in `state.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ap_arch::Matrix;
use ap_machine::Configuration;
use vfio_mig::{DeviceError, DeviceState, Errno};

use super::quiesce::Armed;
use super::quirk::{self, OldHeader};
use super::snapshot;
use super::{ReadStream, WriteStream};
use crate::config;
use crate::context::Context;
use crate::defect::Defect;
use crate::lock::Lock;

/// See the module's text.
pub(crate) struct Device {
    pub(super) name: String,
    pub(super) context: Arc<Context>,
    pub(crate) door: Arc<Configuration>,
    pub(super) migration: Lock<Migration>,
    /// The state once more, for readers that must not wait: vCPUs and get_state.
    visible: AtomicU32,
}

/// What the device's own lock protects.
pub(super) struct Migration {
    pub(super) open: bool,
    pub(super) state: DeviceState,
    pub(super) saving: Option<Arc<ReadStream>>,
    pub(super) resuming: Option<Arc<WriteStream>>,
    /// Queues whose interruption was disabled on the way to STOP.
    pub(super) armed: Vec<Armed>,
    /// The refusal under Secure Execution was logged since the device was opened.
    pub(super) refusal_logged: bool,
    /// The last snapshot, for imitated drivers that use it again.
    pub(super) last_snapshot: Option<Arc<[u8]>>,
    /// For imitated drivers that remember headers.
    pub(super) old_header: Arc<Lock<OldHeader>>,
}

impl Device {
    /// A device that is not open.
    pub(crate) fn new(name: String, context: Arc<Context>, door: Arc<Configuration>) -> Self {
        let migration = Migration {
            open: false,
            state: DeviceState::RUNNING,
            saving: None,
            resuming: None,
            armed: Vec::new(),
            refusal_logged: false,
            last_snapshot: None,
            old_header: Arc::default(),
        };
        let visible = AtomicU32::new(DeviceState::RUNNING.0);
        Self { name, context, door, migration: Lock::new(migration), visible }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_open(&self) -> bool {
        self.migration.lock().open
    }

    /// The state; never refused. vfio-ap migration spec 2.3.
    pub(crate) fn state(&self) -> DeviceState {
        DeviceState(self.visible.load(Ordering::Acquire))
    }

    /// The state as the uAPI reports it.
    ///
    /// # Errors
    /// ENOTTY where an imitated driver offers no migration.
    pub(crate) fn reported_state(&self) -> Result<DeviceState, DeviceError> {
        self.offers_migration().map(|()| self.state())
    }

    pub(super) fn offers_migration(&self) -> Result<(), DeviceError> {
        if self.context.behaviour.without_migration {
            return Err(DeviceError::refused(Errno::ENOTTY, "this driver does not migrate"));
        }
        if self.context.behaviour.absent_under_secure_execution && self.context.security.host() {
            let reason = "the host is under Secure Execution: there is no migration";
            return Err(DeviceError::refused(Errno::ENOTTY, reason));
        }
        Ok(())
    }

    /// Opens the device for its own guest, or for that of another device: the guest gets its queues. A guest is served
    /// by one device at most. vfio-ap migration spec 2.8.
    ///
    /// # Errors
    /// EBUSY, EPERM; then nothing has changed, for the guest's other device neither.
    pub(crate) fn open(&self, guest: Option<&str>) -> Result<(), DeviceError> {
        let mut migration = self.migration.lock();
        if migration.open {
            return Err(DeviceError::refused(Errno::EBUSY, format!("mediated device {} is open already", self.name)));
        }
        let mut tables = self.context.tables.lock();
        let guest = guest.unwrap_or(&self.name);
        let served = tables.mdevs.iter().find(|(_, present)| present.attached.as_deref() == Some(guest));
        if let Some((other, _)) = served {
            let reason = format!("the guest is served by mediated device {other} already");
            return Err(DeviceError::refused(Errno::EPERM, reason));
        }
        let present = tables.mdevs.get_mut(&self.name).ok_or_else(|| self.removed())?;
        present.attached = Some(guest.to_owned());
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
        migration.armed.clear();
        migration.last_snapshot = None;
        *migration.old_header.lock() = OldHeader::default();
        self.enter(&mut migration, DeviceState::RUNNING);
        let mut tables = self.context.tables.lock();
        let tables = &mut *tables;
        if let Some(present) = tables.mdevs.get_mut(&self.name) {
            present.attached = None;
            present.plug();
            config::reset(&self.context, &mut tables.bus, &self.name, present.linked.iter());
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
            let present = tables.mdevs.get(&self.name).ok_or_else(|| self.removed())?;
            let queues = present.linked.iter();
            if let Some(apqn) = config::reset(&self.context, &mut tables.bus, &self.name, queues) {
                return Err(DeviceError::refused(Errno::EIO, format!("queue {apqn} could not be reset")));
            }
        }
        migration.armed.clear();
        migration.old_header.lock().reset(&self.context);
        if !self.context.defects.on(Defect::ResetLeavesStaleStreams) {
            migration.last_snapshot = None;
            if let Some(stream) = migration.saving.take() {
                stream.end();
            }
            if let Some(stream) = migration.resuming.take() {
                let _whether_complete = stream.end();
            }
        }
        self.enter(&mut migration, DeviceState::RUNNING);
        Ok(())
    }

    /// Bytes of the stream: of the snapshot in STOP_COPY, else of one taken now. vfio-ap migration spec 3.4.
    pub(crate) fn data_size(&self) -> Result<u64, DeviceError> {
        self.offers_migration()?;
        let of_snapshot = {
            let migration = self.migration.lock();
            let is_kept = !quirk::is_taken_at_every_read(&self.context);
            let saving = migration.saving.as_ref().filter(|_| is_kept && migration.state == DeviceState::STOP_COPY);
            saving.and_then(|stream| stream.bytes()).map(|bytes| bytes.len() as u64)
        };
        match of_snapshot {
            Some(length) => Ok(length),
            None => Ok(snapshot::size(self.context.behaviour.format, &self.shadow()?)),
        }
    }

    /// What the guest has or would have.
    pub(super) fn shadow(&self) -> Result<Matrix, DeviceError> {
        let tables = self.context.tables.lock();
        tables.mdevs.get(&self.name).map(|present| present.shadow).ok_or_else(|| self.removed())
    }

    fn removed(&self) -> DeviceError {
        DeviceError::refused(Errno::ENODEV, format!("mediated device {} was removed", self.name))
    }

    pub(super) fn check_open(&self, migration: &Migration) -> Result<(), DeviceError> {
        if migration.open {
            return Ok(());
        }
        Err(DeviceError::refused(Errno::ENODEV, format!("mediated device {} is not open", self.name)))
    }

    pub(super) fn enter(&self, migration: &mut Migration, state: DeviceState) {
        let from = std::mem::replace(&mut migration.state, state);
        self.visible.store(state.0, Ordering::Release);
        if from != state {
            let member = |state: DeviceState| serde_json::to_value(state).unwrap_or_default();
            self.context.emit("migration-state", &self.name, &[("from", member(from)), ("to", member(state))]);
        }
    }
}

#[cfg(test)]
impl Device {
    /// Keeps the device's own lock, as a request that is under way does.
    pub(crate) fn hold_state_lock(&self) -> impl Sized + '_ {
        self.migration.lock()
    }
}
