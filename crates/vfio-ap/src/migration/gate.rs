// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether a stream still belongs to a session of a device.

use std::sync::atomic::{AtomicU8, Ordering};

use vfio_mig::{DeviceError, Errno};

const CURRENT: u8 = 0;
const ENDED: u8 = 1;
const GONE: u8 = 2;

/// Set by the device, looked at by the stream under the stream's own lock. It only ever closes.
#[derive(Debug, Default)]
pub(crate) struct Gate(AtomicU8);

impl Gate {
    /// The session is over: its state was left, or the device was reset.
    pub(crate) fn end(&self) {
        self.0.fetch_max(ENDED, Ordering::AcqRel);
    }

    /// The device is closed.
    pub(crate) fn device_closed(&self) {
        self.0.store(GONE, Ordering::Release);
    }

    /// Whether the stream may be used. vfio-ap migration spec 4.1.
    ///
    /// # Errors
    /// ENODEV after the device was closed; `stale` for any other session that is over.
    pub(crate) fn check(&self, stale: Errno) -> Result<(), DeviceError> {
        match self.0.load(Ordering::Acquire) {
            CURRENT => Ok(()),
            ENDED => Err(DeviceError::refused(stale, "the stream's session is over: its state was left or reset")),
            _ => Err(DeviceError::refused(Errno::ENODEV, "the stream's device is closed")),
        }
    }
}
