// SPDX-License-Identifier: MIT OR Apache-2.0
//! Time by the TOD clock, which goes on across a migration but stands still while the guest is stopped.

use core::sync::atomic::{AtomicU16, Ordering};

use s390x_asm::{Tod, asm};

/// The longest wait for an adapter, in milliseconds.
static PATIENCE: AtomicU16 = AtomicU16::new(u16::MAX);

/// Makes all waits for an adapter from now on at most so long.
pub(crate) fn be_patient_for(millis: u16) {
    PATIENCE.store(millis, Ordering::Relaxed);
}

/// How long to wait for an adapter, where `millis` are enough for every adapter that there is.
pub(crate) fn patience(millis: u64) -> u64 {
    millis.min(PATIENCE.load(Ordering::Relaxed).into())
}

/// Now.
pub(crate) fn now() -> Tod {
    asm::stck()
}

/// The end of a wait.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(Tod);

impl Deadline {
    /// This many milliseconds from now.
    pub(crate) fn in_millis(millis: u64) -> Self {
        Self(now().plus_micros(millis.saturating_mul(1000)))
    }

    /// Whether it is over.
    pub(crate) fn is_over(self) -> bool {
        now() >= self.0
    }
}
