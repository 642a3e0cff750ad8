// SPDX-License-Identifier: MIT OR Apache-2.0
//! The fields of a frame, read one after the other.

/// What is left of a frame.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn u32(&mut self) -> Option<u32> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*field))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*field))
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.0)
    }

    /// The value, if nothing is left.
    pub(crate) const fn end<T: Copy>(&self, value: T) -> Option<T> {
        if self.0.is_empty() { Some(value) } else { None }
    }
}
