// SPDX-License-Identifier: MIT OR Apache-2.0
//! The log in guest memory: a ring of defmt frames behind a header, written by the image, read by the harness from a
//! copy of the memory, also after a crash. It migrates with the guest. The oldest bytes are lost first.
//!
//! Layout, every number big-endian: [`MAGIC`], capacity, bytes written since boot, frames written since boot, four
//! `u64`; then `capacity` bytes, of which byte *n* written stands at *n* mod capacity. A frame ends with a zero byte
//! (rzCOBS), which occurs nowhere else, so a reader that starts in the middle drops what stands before the first zero.

/// First doubleword of the header.
pub const MAGIC: u64 = u64::from_be_bytes(*b"KAPUTLOG");
/// Bytes of the header.
pub const HEADER_LEN: usize = 32;
/// Where the capacity stands.
pub const CAPACITY_AT: usize = 8;
/// Where the number of bytes written stands.
pub const WRITTEN_AT: usize = 16;
/// Where the number of frames written stands.
pub const FRAMES_AT: usize = 24;
/// The largest ring a reader accepts, in bytes.
pub const MAX_CAPACITY: usize = 1 << 20;

/// The header of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes the ring holds.
    pub capacity: usize,
    /// Bytes written since boot, those lost included.
    pub written: u64,
    /// Frames written since boot, those lost included.
    pub frames: u64,
}

/// What is wrong with the memory that should hold a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingError {
    /// Fewer bytes than header and ring need; the number says how many are needed.
    TooShort(usize),
    /// The header does not begin with the magic: not our ring, or not yet written.
    NoMagic(u64),
    /// The capacity is zero or above [`MAX_CAPACITY`].
    BadCapacity(u64),
}

impl core::fmt::Display for RingError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooShort(needed) => {
                write!(f, "the memory read is too short for the log ring, {needed} bytes are needed")
            }
            Self::NoMagic(found) => {
                write!(f, "there is no log ring: it should begin with {MAGIC:#018x}, not {found:#018x}")
            }
            Self::BadCapacity(found) => write!(f, "the log ring claims {found} bytes, allowed are 1 to {MAX_CAPACITY}"),
        }
    }
}

impl core::error::Error for RingError {}

impl Header {
    /// Reads the header at the beginning of `memory`.
    ///
    /// # Errors
    /// What stands there is no header.
    pub fn parse(memory: &[u8]) -> Result<Self, RingError> {
        let header = memory.first_chunk::<HEADER_LEN>().ok_or(RingError::TooShort(HEADER_LEN))?;
        let word = |at: usize| u64::from_be_bytes(core::array::from_fn(|i| header[at + i]));
        if word(0) != MAGIC {
            return Err(RingError::NoMagic(word(0)));
        }
        let claimed = word(CAPACITY_AT);
        let capacity = usize::try_from(claimed).ok().filter(|capacity| (1..=MAX_CAPACITY).contains(capacity));
        let capacity = capacity.ok_or(RingError::BadCapacity(claimed))?;
        Ok(Self { capacity, written: word(WRITTEN_AT), frames: word(FRAMES_AT) })
    }

    /// Bytes of memory that header and ring take.
    #[must_use]
    pub const fn total_len(&self) -> usize {
        HEADER_LEN + self.capacity
    }

    /// How many bytes were overwritten.
    #[must_use]
    pub const fn lost_bytes(&self) -> u64 {
        self.written.saturating_sub(self.capacity as u64)
    }
}

/// The bytes that are still there, oldest first, in two pieces to be put one behind the other. They begin in the middle
/// of a frame if bytes were lost.
///
/// # Errors
/// `memory` does not begin with a whole ring.
pub fn contents(memory: &[u8]) -> Result<(Header, &[u8], &[u8]), RingError> {
    let header = Header::parse(memory)?;
    let ring = memory.get(HEADER_LEN..header.total_len()).ok_or(RingError::TooShort(header.total_len()))?;
    if header.lost_bytes() == 0 {
        let written = usize::try_from(header.written).unwrap_or(ring.len()).min(ring.len());
        return Ok((header, &ring[..written], &[]));
    }
    let oldest = (header.written % header.capacity as u64) as usize;
    Ok((header, &ring[oldest..], &ring[..oldest]))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// Writes as the image does.
    fn ring(capacity: usize, stream: &[u8]) -> Vec<u8> {
        let mut memory = vec![0; HEADER_LEN + capacity];
        memory[..8].copy_from_slice(&MAGIC.to_be_bytes());
        memory[CAPACITY_AT..WRITTEN_AT].copy_from_slice(&(capacity as u64).to_be_bytes());
        memory[WRITTEN_AT..FRAMES_AT].copy_from_slice(&(stream.len() as u64).to_be_bytes());
        for (n, byte) in stream.iter().enumerate() {
            memory[HEADER_LEN + n % capacity] = *byte;
        }
        memory
    }

    proptest! {
        #[test]
        fn the_youngest_bytes_are_read_in_their_order(capacity in 1usize..40, stream: Vec<u8>) {
            let memory = ring(capacity, &stream);
            let (header, older, younger) = contents(&memory).unwrap();
            let lost = stream.len().saturating_sub(capacity);
            prop_assert_eq!([older, younger].concat(), &stream[lost..]);
            prop_assert_eq!(header.lost_bytes(), lost as u64);
        }

        #[test]
        fn no_memory_upsets_the_reader(memory: Vec<u8>, with_magic: bool) {
            let memory = if with_magic { [&MAGIC.to_be_bytes(), memory.as_slice()].concat() } else { memory };
            let _ = contents(&memory);
        }
    }

    #[test]
    fn what_is_no_ring_is_refused_with_the_reason() {
        let mut memory = ring(16, b"abc");
        assert_eq!(Header::parse(&memory[..31]), Err(RingError::TooShort(32)));
        assert_eq!(contents(&memory[..40]), Err(RingError::TooShort(48)));
        memory[CAPACITY_AT] = 1;
        assert_eq!(Header::parse(&memory), Err(RingError::BadCapacity(1 << 56 | 16)));
        memory[0] = 0;
        assert!(matches!(Header::parse(&memory), Err(RingError::NoMagic(_))));
    }
}
