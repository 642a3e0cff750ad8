// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames out of a flow of bytes that comes in pieces of any size.

use crate::{HEADER, LENGTH};

/// Collects one frame after the other in a buffer of a fixed size.
pub struct Intake<'b> {
    buffer: &'b mut [u8],
    filled: usize,
    /// Bytes of a frame that is not wanted, still to come.
    skip: usize,
}

/// What has come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'b> {
    /// A frame without its length.
    Frame(&'b [u8]),
    /// A frame that claims to be longer than the buffer, or too short for a header. It is skipped.
    Refused {
        /// The length that it claims.
        length: u32,
    },
}

impl<'b> Intake<'b> {
    /// Frames of up to `buffer`'s length less [`LENGTH`].
    #[must_use]
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, filled: 0, skip: 0 }
    }

    /// Where the next bytes go: never empty in a buffer that holds a header, and never beyond the frame's end.
    pub fn space(&mut self) -> &mut [u8] {
        if self.skip > 0 {
            let end = self.skip.min(self.buffer.len());
            return &mut self.buffer[..end];
        }
        let end = LENGTH + self.length().unwrap_or(0) as usize;
        &mut self.buffer[self.filled..end]
    }

    /// So many bytes, at most all, were put into [`Self::space`].
    pub fn advance(&mut self, count: usize) -> Option<Received<'_>> {
        if self.skip > 0 {
            self.skip = self.skip.saturating_sub(count);
            return None;
        }
        let before = self.filled;
        self.filled += count;
        let length = self.length()?;
        let wanted = length as usize;
        if before < LENGTH && (wanted < HEADER || wanted > self.buffer.len() - LENGTH) {
            (self.filled, self.skip) = (0, wanted);
            return Some(Received::Refused { length });
        }
        if self.filled < LENGTH + wanted {
            return None;
        }
        self.filled = 0;
        Some(Received::Frame(&self.buffer[LENGTH..LENGTH + wanted]))
    }

    /// Forgets a frame that came in part: whoever sent it is gone.
    pub const fn reset(&mut self) {
        (self.filled, self.skip) = (0, 0);
    }

    /// The frame's length, once it is there.
    fn length(&self) -> Option<u32> {
        let complete = self.buffer.first_chunk().filter(|_| self.filled >= LENGTH);
        complete.map(|length| u32::from_be_bytes(*length))
    }
}
