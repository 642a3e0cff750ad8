// SPDX-License-Identifier: MIT OR Apache-2.0
//! Time by the TOD clock, which goes on across a migration but stands still while the guest is stopped.

use s390x_asm::{Tod, asm};

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
