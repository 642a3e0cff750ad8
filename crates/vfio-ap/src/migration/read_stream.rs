// SPDX-License-Identifier: MIT OR Apache-2.0
//! The stream of STOP_COPY: one snapshot, read in pieces. vfio-ap migration spec 4.1 and 4.2.

use vfio_mig::{DeviceError, Errno};

use super::gate::Gate;
use crate::lock::Lock;

/// A snapshot and how much of it was read.
pub(crate) struct ReadStream {
    gate: Gate,
    snapshot: Lock<Snapshot>,
    length: u64,
}

struct Snapshot {
    bytes: Vec<u8>,
    position: usize,
}

impl ReadStream {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let length = bytes.len() as u64;
        Self { gate: Gate::default(), snapshot: Lock::new(Snapshot { bytes, position: 0 }), length }
    }

    /// Bytes of the whole snapshot.
    pub(crate) const fn length(&self) -> u64 {
        self.length
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
        let rest = &snapshot.bytes[snapshot.position..];
        let piece = &rest[..rest.len().min(length)];
        if piece.len() > valid {
            let reason = format!("the user's buffer is not writable from byte {valid} on");
            return Err(DeviceError::refused(Errno::EFAULT, reason));
        }
        let piece = piece.to_vec();
        snapshot.position += piece.len();
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
        *self.snapshot.lock() = Snapshot { bytes: Vec::new(), position: 0 };
    }
}

/// Position after `length` more bytes; file positions are signed.
pub(super) fn end_of(position: usize, length: usize) -> Option<usize> {
    position.checked_add(length).filter(|end| isize::try_from(*end).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_chunking_yields_the_same_bytes_and_then_the_end() {
        let bytes: Vec<u8> = (0..80).collect();
        for chunk in [1, 7, 16, 79, 80, 1000] {
            let stream = ReadStream::new(bytes.clone());
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
        let stream = ReadStream::new(vec![1; 80]);
        assert_eq!(stream.read(16, 8).unwrap_err().errno(), Some(Errno::EFAULT));
        assert_eq!(stream.read(0, 0), Ok(Vec::new()));
        assert_eq!(stream.read(100, 80), Ok(vec![1; 80]));
    }

    #[test]
    fn a_session_that_is_over_never_looks_like_the_end() {
        let stream = ReadStream::new(vec![1; 80]);
        stream.end();
        assert_eq!(stream.read(16, 16).unwrap_err().errno(), Some(Errno::EINVAL));
        stream.device_closed();
        assert_eq!(stream.read(0, 0).unwrap_err().errno(), Some(Errno::ENODEV));
    }

    #[test]
    fn an_overflowing_position_is_an_error() {
        assert_eq!(ReadStream::new(Vec::new()).read(usize::MAX, 0).unwrap_err().errno(), Some(Errno::EIO));
    }

    #[test]
    fn two_readers_get_disjoint_pieces_that_make_up_the_stream() {
        let bytes: Vec<u8> = (0..=255).cycle().take(6400).collect();
        let stream = ReadStream::new(bytes.clone());
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
