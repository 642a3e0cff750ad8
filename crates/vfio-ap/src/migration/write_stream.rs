// SPDX-License-Identifier: MIT OR Apache-2.0
//! The stream of RESUMING: pieces of any size are collected; the one that completes the configuration has it validated
//! and applied. vfio-ap migration spec 4.1 and 4.3.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ap_arch::stream::{StreamError, StreamFormat, StreamHeader, StreamView};
use vfio_mig::{DeviceError, Errno};

use super::gate::Gate;
use super::quirk::{self, OldHeader};
use super::read_stream::end_of;
use super::snapshot::allocate;
use super::validate::{malformed, validate_and_apply};
use crate::context::Context;
use crate::defect::Defect;
use crate::lock::Lock;
use crate::pause::{Pause, stand_still};

/// Queues that an imitated driver looks for before somebody loses patience: each takes it some microseconds and a line.
const MOST_LOOKED_FOR: u32 = 1 << 20;

/// What a caller wants written: `bytes`, of which the first `valid` can be fetched.
#[derive(Clone, Copy)]
pub(crate) struct UserBuffer<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) valid: usize,
}

/// One session of RESUMING.
pub(crate) struct WriteStream {
    gate: Gate,
    context: Arc<Context>,
    mdev: String,
    session: Lock<Session>,
    /// Nobody has the stream any more.
    is_closed: AtomicBool,
    /// Of the device; it and its lock, a leaf, are there for imitated drivers only.
    old_header: Arc<Lock<OldHeader>>,
    /// Where the next write stands still.
    pub(super) pause: Lock<Option<Arc<Pause>>>,
}

#[derive(Default)]
struct Session {
    /// What was received; freed when it is of no use any more.
    staging: Vec<u8>,
    /// How much was received; kept when the staging buffer is freed.
    position: usize,
    /// Length of the whole, once the header is complete; by the number of queues alone.
    total: Option<usize>,
    outcome: Outcome,
    /// Imitated drivers only: there is a buffer that counts as received.
    has_buffer: bool,
}

#[derive(Clone, Default)]
enum Outcome {
    /// More bytes are to come.
    #[default]
    Incomplete,
    /// The configuration was applied.
    Accepted,
    /// An error latched; every further write gets it again.
    Refused(DeviceError),
}

/// Why a piece was not taken.
enum Failure {
    /// The session is spoilt.
    Latched(DeviceError),
    /// The next piece may still succeed.
    Passing(DeviceError),
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        Self::Latched(error)
    }
}

impl WriteStream {
    pub(crate) fn new(context: Arc<Context>, mdev: String, old_header: Arc<Lock<OldHeader>>) -> Self {
        let (gate, session, is_closed, pause) = Default::default();
        Self { gate, context, mdev, session, is_closed, old_header, pause }
    }

    /// Imitated drivers only: the buffer of an earlier session is still there.
    pub(crate) fn behind_a_buffer(self) -> Self {
        let reason = "the position is zero but there is a buffer";
        let outcome = Outcome::Refused(DeviceError::refused(Errno::EFAULT, reason));
        *self.session.lock() = Session { outcome, has_buffer: true, ..Session::default() };
        self
    }

    /// Whether what was received stays: nobody has closed the stream yet.
    pub(crate) fn has_buffer(&self) -> bool {
        self.session.lock().has_buffer && !self.is_closed.load(Ordering::Relaxed)
    }

    /// Nobody has the stream any more.
    pub(crate) fn closed(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Takes one piece, all of it or nothing.
    ///
    /// # Errors
    /// Those of vfio-ap migration spec 4.4. But for a session that is over, they latch.
    pub(crate) fn write(&self, buffer: UserBuffer<'_>) -> Result<usize, DeviceError> {
        let mut session = if self.context.behaviour.second_writer_is_refused {
            let busy = || DeviceError::refused(Errno::EBUSY, "another write is under way");
            self.session.try_lock().ok_or_else(busy)?
        } else {
            self.session.lock()
        };
        self.gate.check(Errno::ENXIO)?;
        if let Outcome::Refused(error) = &session.outcome {
            return Err(error.clone());
        }
        let is_first = session.position == 0;
        match self.take(&mut session, buffer) {
            Ok(length) => Ok(length),
            Err(Failure::Passing(error)) => Err(error),
            Err(Failure::Latched(error)) if is_first && self.context.behaviour.first_write_may_be_repeated => {
                *session = Session::default();
                *self.old_header.lock() = OldHeader::default();
                Err(error)
            }
            Err(Failure::Latched(error)) => {
                session.outcome = Outcome::Refused(error.clone());
                session.staging = Vec::new();
                Err(error)
            }
        }
    }

    fn take(&self, session: &mut Session, buffer: UserBuffer<'_>) -> Result<usize, Failure> {
        let length = buffer.bytes.len();
        let end = end_of(session.position, length)
            .ok_or_else(|| DeviceError::refused(Errno::ERANGE, "the position overflows"))?;
        if length == 0 {
            return self.take_nothing(session);
        }
        self.check_old_header(session)?;
        stand_still(&self.pause);
        if buffer.valid < length {
            return Err(self.fault(session, buffer, end));
        }
        self.check_magic_late(session)?;
        let header_size = self.context.behaviour.format.header_size();
        let is_short = session.position == 0 && length < header_size;
        if is_short && self.context.defects.on(Defect::ShortHeaderWriteStartsValidation) {
            return self.take_for_whole(session, buffer.bytes);
        }
        let header_is_new = session.total.is_none();
        if header_is_new {
            session.total = self.total(session, buffer.bytes)?;
        }
        if let Some(total) = session.total {
            if end > total {
                return self.too_long(session, end, total, header_is_new);
            }
            let missing = total.saturating_sub(session.staging.len());
            allocate(&self.context, &mut session.staging, total, missing)?;
        }
        session.staging.extend_from_slice(buffer.bytes);
        session.position = end;
        if session.total == Some(end) {
            self.apply(&std::mem::take(&mut session.staging))?;
            session.outcome = Outcome::Accepted;
            session.has_buffer = true;
        } else if self.context.defects.on(Defect::PartialWriteNotPersisted) {
            let reason = "the position is not zero but there is no buffer";
            session.outcome = Outcome::Refused(DeviceError::refused(Errno::EFAULT, reason));
        }
        if session.total.is_some() {
            self.old_header.lock().buffer = true;
        }
        Ok(length)
    }

    /// A write of no bytes.
    fn take_nothing(&self, session: &mut Session) -> Result<usize, Failure> {
        if session.position == 0 && self.context.defects.on(Defect::ZeroLengthFirstWriteValidates) {
            if self.context.behaviour.format == StreamFormat::Vfap {
                return Err(premature(0).into());
            }
            // The posted driver reads storage that is not its own: it was seen to find a stream of no queues there.
            self.apply(&[0; StreamFormat::Posted.header_size()])?;
            let reason = "the position is zero but there is a buffer";
            session.outcome = Outcome::Refused(DeviceError::refused(Errno::EFAULT, reason));
            session.has_buffer = true;
        }
        match self.context.behaviour.empty_write {
            Some(errno) => Err(Failure::Passing(DeviceError::refused(errno, "a write of no bytes"))),
            None => Ok(0),
        }
    }

    /// Imitated drivers only: a first write shorter than a header counts as a whole configuration, in a buffer of its
    /// length. As many queues are looked for behind it as its count says.
    fn take_for_whole(&self, session: &mut Session, bytes: &[u8]) -> Result<usize, Failure> {
        let length = bytes.len();
        let mut count = [0; 4];
        count.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        if self.context.behaviour.format == StreamFormat::Vfap {
            return Err(premature(length).into());
        }
        match u32::from_be_bytes(count) {
            0 => {}
            1..=MOST_LOOKED_FOR => return Err(premature(length).into()),
            queues => {
                let reason = format!("{queues} queues are looked for behind {length} bytes");
                return Err(DeviceError::Hung(reason).into());
            }
        }
        self.apply(&[0; StreamFormat::Posted.header_size()])?;
        session.position = length;
        let reason = "what stands behind the buffer is not its size";
        session.outcome = Outcome::Refused(DeviceError::refused(Errno::EINVAL, reason));
        session.has_buffer = true;
        Ok(length)
    }

    /// Bytes that cannot be fetched from the user.
    fn fault(&self, session: &mut Session, buffer: UserBuffer<'_>, end: usize) -> Failure {
        let reason = format!("the user's buffer is not readable from byte {} on", buffer.valid);
        let error = DeviceError::refused(self.context.behaviour.write_fault, reason);
        let inside = session.total.is_some_and(|total| end <= total);
        if inside && quirk::faults_advance(&self.context) {
            session.staging.resize(end, 0);
            session.position = end;
            return Failure::Passing(error);
        }
        Failure::Latched(error)
    }

    /// Length of the whole stream, if what was received and `next` together hold its header.
    fn total(&self, session: &Session, next: &[u8]) -> Result<Option<usize>, DeviceError> {
        let mut first = [0; StreamFormat::MAX_HEADER_SIZE];
        let bytes = session.staging.iter().chain(next);
        let count = first.iter_mut().zip(bytes).map(|(to, from)| *to = *from).count();
        let first = &mut first[..count];
        let header_size = self.context.behaviour.format.header_size();
        quirk::overlook(&self.context, first);
        if count < header_size && quirk::magic_is_unchecked(&self.context) {
            return Ok(None);
        }
        let total = match StreamHeader::decode(first, self.context.behaviour.accept_format_0) {
            Ok(None) => return Ok(None),
            Ok(Some(header)) => header.stream_size(),
            Err(StreamError::DeclaredSize { declared, .. }) if quirk::sizes_may_disagree(&self.context) => declared,
            Err(error @ StreamError::TooManyQueues(_)) => {
                let as_size = session.position > 0 && self.context.defects.on(Defect::SizeLimitErrorBecomesSize);
                let reason = "the error of the size check, taken for a size, is too much memory";
                return Err(if as_size { DeviceError::refused(Errno::ENOMEM, reason) } else { malformed(error) });
            }
            Err(error) => return Err(malformed(error)),
        };
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        *self.old_header.lock() = OldHeader { total: Some(total), buffer: false };
        Ok(Some(total))
    }

    /// Imitated drivers only: the first piece of a session meets the header of an earlier one.
    fn check_old_header(&self, session: &mut Session) -> Result<(), DeviceError> {
        if session.position != 0 {
            return Ok(());
        }
        let old = self.old_header.lock();
        if old.total.is_some() && !old.buffer {
            let reason = "a header was received, but there is no buffer";
            return Err(DeviceError::refused(Errno::EFAULT, reason));
        }
        session.total = old.total;
        Ok(())
    }

    /// Imitated drivers only, others looked at magic and version when they came: a write that finds the first twelve
    /// bytes received looks at them.
    fn check_magic_late(&self, session: &Session) -> Result<(), Failure> {
        if session.position < 12 || !quirk::magic_is_unchecked(&self.context) {
            return Ok(());
        }
        let seen = StreamHeader::detect(&session.staging, self.context.behaviour.accept_format_0);
        seen.map(|_| ()).map_err(|error| Failure::Passing(malformed(error)))
    }

    fn too_long(&self, session: &mut Session, end: usize, total: usize, header_is_new: bool) -> Result<usize, Failure> {
        let reason = format!("the write ends at byte {end}, the configuration has {total} bytes");
        let error = DeviceError::refused(Errno::EIO, reason);
        if header_is_new && self.context.defects.on(Defect::FirstBodyWriteOverflows) {
            self.context.log.error(format!("BUG: a write of {end} bytes runs past a buffer of {total} (overflow)"));
            session.outcome = Outcome::Refused(error);
            return Ok(end - session.position);
        }
        Err(error.into())
    }

    fn apply(&self, received: &[u8]) -> Result<(), DeviceError> {
        let mut received = received.to_vec();
        quirk::overlook(&self.context, &mut received);
        match StreamView::parse(&received, self.context.behaviour.accept_format_0) {
            Ok(view) => validate_and_apply(&self.context, &self.mdev, &view),
            Err(error @ StreamError::DeclaredSize { .. }) => {
                self.context.log.error(format!("BUG: {error}: the host reads beyond its buffer (out of bounds)"));
                Err(DeviceError::refused(Errno::EIO, error.to_string()))
            }
            Err(error) => Err(malformed(error)),
        }
    }

    /// Ends the session: later writes are refused. Waits for a write that is under way.
    ///
    /// # Errors
    /// The latched error, or EINVAL, if no complete configuration was accepted.
    pub(crate) fn end(&self) -> Result<(), DeviceError> {
        self.gate.end();
        let mut session = self.session.lock();
        session.staging = Vec::new();
        session.result()
    }

    /// What [`Self::end`] would say, and the session goes on: for imitated drivers that do not end it.
    pub(crate) fn result(&self) -> Result<(), DeviceError> {
        self.session.lock().result()
    }

    /// The device is closed.
    pub(crate) fn device_closed(&self) {
        self.gate.device_closed();
        self.session.lock().staging = Vec::new();
    }
}

impl Session {
    fn result(&self) -> Result<(), DeviceError> {
        match &self.outcome {
            Outcome::Accepted => Ok(()),
            Outcome::Refused(error) => Err(error.clone()),
            Outcome::Incomplete => {
                let expected = self.total.map_or_else(|| "a whole header".to_owned(), |total| format!("{total} bytes"));
                let reason = format!("the configuration is incomplete: {} bytes, expected {expected}", self.position);
                Err(DeviceError::refused(Errno::EINVAL, reason))
            }
        }
    }
}

/// What the imitated driver makes of a buffer smaller than a header.
fn premature(length: usize) -> DeviceError {
    DeviceError::refused(Errno::ENODEV, format!("{length} bytes were taken for a whole configuration"))
}
