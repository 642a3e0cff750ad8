// SPDX-License-Identifier: MIT OR Apache-2.0
//! Big-endian fields at fixed places of a message whose length has been checked.

use super::MessageError;

/// The `N` bytes at `at`. The caller's slice is long enough by construction.
pub(super) fn bytes<const N: usize>(message: &[u8], at: usize) -> [u8; N] {
    core::array::from_fn(|i| message[at + i])
}

pub(super) fn u16_at(message: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes(message, at))
}

pub(super) fn u32_at(message: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes(message, at))
}

pub(super) fn put(message: &mut [u8], at: usize, field: &[u8]) {
    message[at..at + field.len()].copy_from_slice(field);
}

/// Right-justifies `operand` in the `len` bytes at `at`; the rest of them becomes zero.
pub(super) fn put_right(message: &mut [u8], at: usize, len: usize, operand: &[u8]) {
    let start = at + len - operand.len();
    message[at..start].fill(0);
    put(message, start, operand);
}

/// The first `needed` bytes of a buffer to build in.
pub(super) fn room(out: &mut [u8], needed: usize) -> Result<&mut [u8], MessageError> {
    let len = out.len();
    out.get_mut(..needed).ok_or(MessageError::BufferTooSmall { len, needed })
}

/// The first `N` bytes of a message to parse.
pub(super) fn head<const N: usize>(message: &[u8]) -> Result<&[u8; N], MessageError> {
    message.first_chunk::<N>().ok_or(MessageError::Truncated { len: message.len(), needed: N })
}
