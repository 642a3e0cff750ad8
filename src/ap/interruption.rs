// SPDX-License-Identifier: MIT OR Apache-2.0
//! AQIC with its two registers, and a guest's notification bytes. AP reference 5.1 and 5.4.

use crate::ap::instructions::{Answer, Ap};
use crate::case::outcome::{Outcome, Stop, require, skipped};
use crate::machine::clock::{Deadline, patience};
use ap_arch::{Apqn, QueueStatus, facility};
use core::sync::atomic::{AtomicU8, Ordering};

/// How long interruption may take to come on or to go off, in milliseconds. The architecture names no limit.
const LIMIT_MILLIS: u64 = 2000;

/// Bytes the machine notifies by, far from each other; each is in storage below 2 GiB and never at address 0.
static BYTES: [Byte; 2] = [const { Byte(AtomicU8::new(0)) }; 2];

/// Nothing else is near a notification byte.
#[repr(align(64))]
struct Byte(AtomicU8);

/// One of the notification bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nib {
    First,
    Second,
}

impl Nib {
    /// The byte itself.
    pub(crate) fn byte(self) -> &'static AtomicU8 {
        &BYTES[self as usize].0
    }

    /// Its absolute address.
    pub(crate) fn address(self) -> u64 {
        self.byte().as_ptr().expose_provenance() as u64
    }

    /// What it held; it is zero afterwards.
    pub(crate) fn take(self) -> u8 {
        self.byte().swap(0, Ordering::SeqCst)
    }
}

/// Why a case is not judged where AQIC is not installed.
pub(crate) fn aqic_missing() -> Stop {
    skipped!("AQIC is not available: facility {} is not installed", facility::APQI)
}

/// General register 1 of AQIC that enables interruption of this subclass.
pub(crate) const fn enable(isc: u8) -> u64 {
    const IR: u64 = 1 << 47;
    IR | isc as u64
}

/// General register 1 of AQIC that disables it.
pub(crate) const DISABLE: u64 = 0;

impl Ap {
    /// Without AQIC a case is not judged.
    pub(crate) fn require_aqic(&self) -> Outcome {
        if self.has(facility::APQI) { Ok(()) } else { Err(aqic_missing()) }
    }

    /// Turns interruption on, and waits until it is.
    pub(crate) fn arm(&self, apqn: Apqn, isc: u8, nib: Nib) -> Outcome {
        let Answer { status, .. } = self.aqic(apqn, enable(isc), nib.address());
        require!(status.response() == ap_arch::ResponseCode::NORMAL, "{apqn}: AQIC (enable) answered {status}");
        self.wait_for_ir(apqn, true)
    }

    /// Turns it off, and waits until it is.
    pub(crate) fn disarm(&self, apqn: Apqn) -> Outcome {
        let Answer { status, .. } = self.aqic(apqn, DISABLE, 0);
        require!(status.response() == ap_arch::ResponseCode::NORMAL, "{apqn}: AQIC (disable) answered {status}");
        self.wait_for_ir(apqn, false)
    }

    /// Waits until TAPQ says that interruption is on, or off.
    pub(crate) fn wait_for_ir(&self, apqn: Apqn, on: bool) -> Outcome {
        let limit = patience(LIMIT_MILLIS);
        let deadline = Deadline::in_millis(limit);
        loop {
            let status = self.probe(apqn).status;
            if status.has(QueueStatus::INTERRUPT_ENABLED) == on {
                return Ok(());
            }
            require!(!deadline.is_over(), "{apqn} still answers {status} after {limit} ms");
        }
    }
}
