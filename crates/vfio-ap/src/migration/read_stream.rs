// SPDX-License-Identifier: MIT OR Apache-2.0
//! The stream of STOP_COPY: one snapshot, read in pieces. vfio-ap migration spec 4.1 and 4.2.

use std::sync::Arc;

use vfio_mig::{DeviceError, Errno};

use super::gate::Gate;
use crate::lock::Lock;
use crate::pause::{Pause, stand_still};

/// A snapshot and how much of it was read.
pub(crate) struct ReadStream {
    gate: Gate,
    source: Arc<dyn Snapshots>,
    snapshot: Lock<Snapshot>,
    /// Where the next read stands still.
    pub(super) pause: Lock<Option<Arc<Pause>>>,
}

/// Where snapshots come from. A driver that is right takes one, before the stream exists; imitated ones ask again.
pub(crate) trait Snapshots: Send + Sync {
    /// A snapshot now.
    fn take(&self) -> Result<Arc<[u8]>, DeviceError>;
    /// Whether every read asks for one.
    fn at_every_read(&self) -> bool;
    /// Whether a fault in the user's buffer advances the position.
    fn faults_advance(&self) -> bool;
}

struct Snapshot {
    /// `None` until the first read, where the arc did not take it.
    bytes: Option<Arc<[u8]>>,
    position: usize,
}

impl ReadStream {
    pub(crate) fn new(source: Arc<dyn Snapshots>, bytes: Option<Arc<[u8]>>) -> Self {
        Self {
            gate: Gate::default(),
            source,
            snapshot: Lock::new(Snapshot { bytes, position: 0 }),
            pause: Lock::default(),
        }
    }

    /// The whole snapshot, once it is taken.
    pub(crate) fn bytes(&self) -> Option<Arc<[u8]>> {
        self.snapshot.lock().bytes.clone()
    }

    /// The next piece, at most `length` bytes into a user buffer of which `valid` bytes are mapped. Position and
    /// transfer are under one lock: concurrent readers get disjoint pieces.
    ///
    /// # Errors
    /// ENODEV, EINVAL: the session is over. EIO: position overflow. EFAULT: the buffer; the position is unchanged.
    pub(crate) fn read(&self, length: usize, valid: usize) -> Result<Vec<u8>, DeviceError> {
        let mut snapshot = self.snapshot.lock();
        self.gate.check(Errno::EINVAL)?;
        end_of(snapshot.position, length).ok_or_else(|| DeviceError::refused(Errno::EIO, "the position overflows"))?;
        let bytes = match &snapshot.bytes {
            Some(bytes) if !self.source.at_every_read() => Arc::clone(bytes),
            _ => self.source.take()?,
        };
        let rest = bytes.get(snapshot.position..).unwrap_or_default();
        let piece = rest[..rest.len().min(length)].to_vec();
        snapshot.bytes = Some(bytes);
        stand_still(&self.pause);
        let faults = piece.len() > valid;
        if !faults || self.source.faults_advance() {
            snapshot.position += piece.len();
        }
        if faults {
            let reason = format!("the user's buffer is not writable from byte {valid} on");
            return Err(DeviceError::refused(Errno::EFAULT, reason));
        }
        Ok(piece)
    }

    /// Ends the session: later reads are refused, the snapshot is freed. Waits for a read that is under way.
    pub(crate) fn end(&self) {
        self.gate.end();
        self.free();
    }

    /// The device is closed.
    pub(crate) fn device_closed(&self) {
        self.gate.device_closed();
        self.free();
    }

    fn free(&self) {
        *self.snapshot.lock() = Snapshot { bytes: None, position: 0 };
    }
}

/// Position after `length` more bytes; file positions are signed.
pub(super) fn end_of(position: usize, length: usize) -> Option<usize> {
    position.checked_add(length).filter(|end| isize::try_from(*end).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Once;

    impl Snapshots for Once {
        fn take(&self) -> Result<Arc<[u8]>, DeviceError> {
            panic!("a second snapshot was asked for")
        }

        fn at_every_read(&self) -> bool {
            false
        }

        fn faults_advance(&self) -> bool {
            false
        }
    }

    fn stream_of(bytes: Vec<u8>) -> ReadStream {
        ReadStream::new(Arc::new(Once), Some(bytes.into()))
    }

    #[test]
    fn any_chunking_yields_the_same_bytes_and_then_the_end() {
        let bytes: Vec<u8> = (0..80).collect();
        for chunk in [1, 7, 16, 79, 80, 1000] {
            let stream = stream_of(bytes.clone());
            let mut seen = Vec::new();
            loop {
                let piece = stream.read(chunk, chunk).unwrap();
                if piece.is_empty() {
                    break;
                }
                seen.extend(piece);
            }
            assert_eq!(seen, bytes);
            assert_eq!(stream.read(chunk, chunk), Ok(Vec::new()));
        }
    }

    #[test]
    fn a_fault_in_the_buffer_leaves_the_position() {
        let stream = stream_of(vec![1; 80]);
        assert_eq!(stream.read(16, 8).unwrap_err().errno(), Some(Errno::EFAULT));
        assert_eq!(stream.read(0, 0), Ok(Vec::new()));
        assert_eq!(stream.read(100, 80), Ok(vec![1; 80]));
    }

    #[test]
    fn a_session_that_is_over_never_looks_like_the_end() {
        let stream = stream_of(vec![1; 80]);
        stream.end();
        assert_eq!(stream.bytes(), None, "the snapshot is freed");
        assert_eq!(stream.read(16, 16).unwrap_err().errno(), Some(Errno::EINVAL));
        stream.device_closed();
        assert_eq!(stream.read(0, 0).unwrap_err().errno(), Some(Errno::ENODEV));
    }

    #[test]
    fn an_overflowing_position_is_an_error() {
        assert_eq!(stream_of(Vec::new()).read(usize::MAX, 0).unwrap_err().errno(), Some(Errno::EIO));
    }

    #[test]
    fn two_readers_get_disjoint_pieces_that_make_up_the_stream() {
        let bytes: Vec<u8> = (0..=255).cycle().take(6400).collect();
        let stream = stream_of(bytes.clone());
        let pieces = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let piece = stream.read(24, 24).unwrap();
                        if piece.is_empty() {
                            break;
                        }
                        pieces.lock().unwrap().push(piece);
                    }
                });
            }
        });
        let mut seen: Vec<u8> = pieces.into_inner().unwrap().concat();
        let mut expected = bytes;
        seen.sort_unstable();
        expected.sort_unstable();
        assert_eq!(seen, expected);
    }
}
