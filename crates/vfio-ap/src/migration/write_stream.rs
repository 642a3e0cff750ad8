// SPDX-License-Identifier: MIT OR Apache-2.0
//! The stream of RESUMING: pieces of any size are collected; the one that completes the configuration has it validated
//! and applied. vfio-ap migration spec 4.1 and 4.3.

use std::sync::Arc;

use ap_arch::stream::{StreamFormat, StreamHeader, StreamView};
use vfio_mig::{DeviceError, Errno};

use super::gate::Gate;
use super::read_stream::end_of;
use super::validate::{malformed, validate_and_apply};
use crate::context::Context;
use crate::lock::Lock;

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

impl WriteStream {
    pub(crate) fn new(context: Arc<Context>, mdev: String) -> Self {
        Self { gate: Gate::default(), context, mdev, session: Lock::default() }
    }

    /// Takes one piece, all of it or nothing.
    ///
    /// # Errors
    /// Those of vfio-ap migration spec 4.4. But for a session that is over, they latch.
    pub(crate) fn write(&self, buffer: UserBuffer<'_>) -> Result<usize, DeviceError> {
        let mut session = self.session.lock();
        self.gate.check(Errno::ENXIO)?;
        if let Outcome::Refused(error) = &session.outcome {
            return Err(error.clone());
        }
        let result = self.take(&mut session, buffer);
        if let Err(error) = &result {
            session.outcome = Outcome::Refused(error.clone());
            session.staging = Vec::new();
        }
        result
    }

    fn take(&self, session: &mut Session, buffer: UserBuffer<'_>) -> Result<usize, DeviceError> {
        let length = buffer.bytes.len();
        let end = end_of(session.position, length)
            .ok_or_else(|| DeviceError::refused(Errno::ERANGE, "the position overflows"))?;
        if length == 0 {
            return Ok(0);
        }
        if buffer.valid < length {
            let reason = format!("the user's buffer is not readable from byte {} on", buffer.valid);
            return Err(DeviceError::refused(Errno::EIO, reason));
        }
        if session.total.is_none() {
            session.total = self.total(&session.staging, buffer.bytes)?;
        }
        if let Some(total) = session.total {
            if end > total {
                let reason = format!("the write ends at byte {end}, the configuration has {total} bytes");
                return Err(DeviceError::refused(Errno::EIO, reason));
            }
            let missing = total - session.staging.len();
            if session.staging.try_reserve_exact(missing).is_err() {
                let reason = format!("no memory for a configuration of {total} bytes");
                return Err(DeviceError::refused(Errno::ENOMEM, reason));
            }
        }
        session.staging.extend_from_slice(buffer.bytes);
        session.position = end;
        if session.total == Some(end) {
            let staging = std::mem::take(&mut session.staging);
            let view = StreamView::parse(&staging, self.context.options.accept_format_0).map_err(malformed)?;
            validate_and_apply(&self.context, &self.mdev, &view)?;
            session.outcome = Outcome::Accepted;
        }
        Ok(length)
    }

    /// Length of the whole stream, if `received` and `next` together hold its header.
    fn total(&self, received: &[u8], next: &[u8]) -> Result<Option<usize>, DeviceError> {
        let mut first = [0; StreamFormat::MAX_HEADER_SIZE];
        let bytes = received.iter().chain(next);
        let count = first.iter_mut().zip(bytes).map(|(to, from)| *to = *from).count();
        let header = StreamHeader::decode(&first[..count], self.context.options.accept_format_0).map_err(malformed)?;
        Ok(header.and_then(|header| usize::try_from(header.stream_size()).ok()))
    }

    /// Ends the session: later writes are refused, what was received is freed. Waits for a write that is under way.
    ///
    /// # Errors
    /// The latched error, or EINVAL, if no complete configuration was accepted.
    pub(crate) fn end(&self) -> Result<(), DeviceError> {
        self.gate.end();
        self.finish()
    }

    /// The device is closed.
    pub(crate) fn device_closed(&self) {
        self.gate.device_closed();
        let _incomplete_is_fine = self.finish();
    }

    fn finish(&self) -> Result<(), DeviceError> {
        let mut session = self.session.lock();
        session.staging = Vec::new();
        match (&session.outcome, session.total) {
            (Outcome::Accepted, _) => Ok(()),
            (Outcome::Refused(error), _) => Err(error.clone()),
            (Outcome::Incomplete, total) => {
                let expected = total.map_or_else(|| "a whole header".to_owned(), |total| format!("{total} bytes"));
                let reason =
                    format!("the configuration is incomplete: {} bytes, expected {expected}", session.position);
                Err(DeviceError::refused(Errno::EINVAL, reason))
            }
        }
    }
}
