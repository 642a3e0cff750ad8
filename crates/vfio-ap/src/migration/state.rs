// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state machine of one device. vfio-ap migration spec 2.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use vfio_mig::{DeviceError, DeviceState, Errno};

use super::device::{Device, Migration};
use super::quiesce;
use super::quirk;
use super::read_stream::Snapshots;
use super::snapshot;
use super::{ReadStream, WriteStream};
use crate::context::Context;
use crate::defect::Defect;
use crate::message;
use crate::pause::Pause;

/// The stream that an arc opened.
#[derive(Clone)]
pub(crate) enum OpenedStream {
    /// Of STOP_COPY.
    Saving(Arc<ReadStream>),
    /// Of RESUMING.
    Resuming(Arc<WriteStream>),
}

impl OpenedStream {
    /// Has the next read or write stand still where it copies; `None` takes that back.
    pub(crate) fn pause_next(&self, pause: Option<Arc<Pause>>) {
        let place = match self {
            Self::Saving(stream) => &stream.pause,
            Self::Resuming(stream) => &stream.pause,
        };
        *place.lock() = pause;
    }
}

impl Device {
    /// Requests a state. vfio-ap migration spec 2.2 to 2.4.
    pub(crate) fn set_state(&self, target: DeviceState) -> Result<Option<OpenedStream>, DeviceError> {
        self.offers_migration()?;
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
            if self.context.defects.on(Defect::StateRequestInErrorSucceeds) {
                return Ok(None);
            }
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

    /// vfio-ap migration spec 2.7: refused under Secure Execution, logged once per open.
    fn refuse_secure_execution(&self, migration: &mut Migration) -> Result<(), DeviceError> {
        let security = &self.context.security;
        let guest = security.guest() && !self.context.defects.on(Defect::SePredicateTestsHost);
        if !security.host() && !guest {
            return Ok(());
        }
        if !migration.refusal_logged || self.context.defects.on(Defect::UnratelimitedSeRefusalLog) {
            migration.refusal_logged = true;
            self.context.log.error(message::secure_execution(&self.name));
        }
        Err(DeviceError::refused(Errno::EPERM, "a guest under Secure Execution cannot be migrated"))
    }

    /// One arc of vfio-ap migration spec 2.2.
    fn arc(&self, migration: &mut Migration, to: DeviceState) -> Result<Option<OpenedStream>, DeviceError> {
        self.context.log.debug(message::arc(migration.state.0, to.0));
        let mut opened = None;
        match (migration.state, to) {
            (DeviceState::RUNNING, _) => self.stop(migration)?,
            (DeviceState::STOP_COPY, _) => self.leave_saving(migration),
            (DeviceState::RESUMING, _) => self.leave_resuming(migration)?,
            (_, DeviceState::STOP_COPY) => opened = Some(OpenedStream::Saving(self.start_saving(migration)?)),
            (_, DeviceState::RESUMING) => opened = Some(OpenedStream::Resuming(self.start_resuming(migration))),
            _ => self.run(migration)?,
        }
        self.enter(migration, to);
        Ok(opened)
    }

    /// RUNNING to STOP. If a queue cannot be quiesced, the others are put back; if that fails too, the state is ERROR.
    fn stop(&self, migration: &mut Migration) -> Result<(), DeviceError> {
        let shadow = self.shadow()?;
        match quiesce::quiesce(&self.context, &shadow) {
            Ok(armed) => {
                migration.armed = armed;
                Ok(())
            }
            Err((error, armed)) => {
                if quiesce::restore(&self.context, &self.door, &shadow, &armed).is_err() {
                    self.enter(migration, DeviceState::ERROR);
                }
                Err(error)
            }
        }
    }

    /// STOP to RUNNING.
    fn run(&self, migration: &mut Migration) -> Result<(), DeviceError> {
        quiesce::restore(&self.context, &self.door, &self.shadow()?, &migration.armed)?;
        migration.armed.clear();
        Ok(())
    }

    fn start_saving(&self, migration: &mut Migration) -> Result<Arc<ReadStream>, DeviceError> {
        let source = Arc::new(SnapshotSource { context: Arc::clone(&self.context), name: self.name.clone() });
        let again = self.context.defects.on(Defect::SnapshotSurvivesSession);
        let bytes = match migration.last_snapshot.take().filter(|_| again) {
            Some(bytes) => Some(bytes),
            None if self.context.behaviour.snapshot_at_first_read => None,
            None => Some(source.take()?),
        };
        let stream = Arc::new(ReadStream::new(source, bytes));
        if let Some(superseded) = migration.saving.replace(Arc::clone(&stream)) {
            superseded.end();
        }
        Ok(stream)
    }

    fn leave_saving(&self, migration: &mut Migration) {
        if let Some(stream) = migration.saving.take() {
            migration.last_snapshot = stream.bytes();
            if self.streams_outlive_their_state() {
                migration.saving = Some(stream);
            } else {
                stream.end();
            }
        }
    }

    fn start_resuming(&self, migration: &mut Migration) -> Arc<WriteStream> {
        let old_header = Arc::clone(&migration.old_header);
        let superseded = migration.resuming.take();
        let has_buffer = superseded.as_ref().is_some_and(|stream| stream.has_buffer());
        if let Some(superseded) = superseded {
            let _whether_complete = superseded.end();
        }
        let mut stream = WriteStream::new(Arc::clone(&self.context), self.name.clone(), old_header);
        if has_buffer && self.context.behaviour.buffer_stays_with_the_stream {
            stream = stream.behind_a_buffer();
        }
        let stream = Arc::new(stream);
        migration.resuming = Some(Arc::clone(&stream));
        stream
    }

    /// RESUMING to STOP: a complete configuration must have been accepted, else the state is ERROR.
    fn leave_resuming(&self, migration: &mut Migration) -> Result<(), DeviceError> {
        let Some(stream) = migration.resuming.take() else { return Ok(()) };
        let keeps_state = self.context.defects.on(Defect::FailedArcKeepsValidState);
        let stays = keeps_state || self.streams_outlive_their_state();
        let result = if stays { stream.result() } else { stream.end() };
        let result = if self.context.defects.on(Defect::IncompleteResumeAccepted) { Ok(()) } else { result };
        migration.resuming = Some(stream).filter(|_| stays);
        match result {
            Ok(()) => {
                migration.old_header.lock().leave(&self.context);
                // What was armed belongs to the configuration that was replaced.
                migration.armed.clear();
            }
            Err(_) if keeps_state => {}
            Err(_) => self.enter(migration, DeviceState::ERROR),
        }
        result
    }

    fn streams_outlive_their_state(&self) -> bool {
        self.context.defects.on(Defect::StreamUsableAfterLeavingState)
    }

    /// A vCPU of the guest is about to run: a device that was stopped for a migration goes back to RUNNING. One load
    /// when there is nothing to do. Returns whether there was.
    pub(crate) fn vcpu_resumed(&self) -> bool {
        let stopped = |state| matches!(state, DeviceState::STOP | DeviceState::STOP_COPY);
        if !stopped(self.state()) {
            return false;
        }
        let mut migration = self.migration.lock();
        let mut moved = false;
        while stopped(migration.state) {
            let to = if migration.state == DeviceState::STOP { DeviceState::RUNNING } else { DeviceState::STOP };
            if let Err(error) = self.arc(&mut migration, to) {
                self.context.log.error(format!("vfio_ap_mdev {}: the guest runs, but the device: {error}", self.name));
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

/// A device's snapshots, for a stream that may outlive the device.
struct SnapshotSource {
    context: Arc<Context>,
    name: String,
}

impl Snapshots for SnapshotSource {
    fn take(&self) -> Result<Arc<[u8]>, DeviceError> {
        let shadow = self.context.tables.lock().mdevs.get(&self.name).map(|present| present.shadow);
        let gone = || DeviceError::refused(Errno::ENODEV, format!("mediated device {} was removed", self.name));
        snapshot::take(&self.context, &self.name, &shadow.ok_or_else(gone)?).map(Into::into)
    }

    fn at_every_read(&self) -> bool {
        quirk::is_taken_at_every_read(&self.context)
    }

    fn faults_advance(&self) -> bool {
        quirk::faults_advance(&self.context)
    }
}
