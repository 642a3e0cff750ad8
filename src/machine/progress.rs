// SPDX-License-Identifier: MIT OR Apache-2.0
//! A counter in guest memory that the harness reads from outside, to know that the guest works while it is migrated.

use core::sync::atomic::{AtomicU64, Ordering};

// SAFETY: nothing else has this name, which the harness looks up (`ap_arch::image::PROGRESS_SYMBOL`).
#[unsafe(no_mangle)]
static KAPUT_PROGRESS: AtomicU64 = AtomicU64::new(0);

/// One more cryptographic operation is finished and found right.
pub(crate) fn step() {
    KAPUT_PROGRESS.fetch_add(1, Ordering::Relaxed);
}

/// How many there were.
pub(crate) fn steps() -> u64 {
    KAPUT_PROGRESS.load(Ordering::Relaxed)
}
