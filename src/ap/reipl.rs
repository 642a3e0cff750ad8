// SPDX-License-Identifier: MIT OR Apache-2.0
//! A re-IPL by the guest itself: it turns interruption on and leaves a message in each queue, writes a note, and has
//! itself loaded again. Where the note stands, the guest runs after the re-IPL. AP reference 9.6.

use crate::ap::instructions::Ap;
use crate::ap::interruption::enable;
use crate::ap::queue::Queue;
use crate::ap::request::Request;
use crate::case::outcome::{Outcome, Stop, require};
use ap_arch::ResponseCode;
use s390x_asm::asm;

/// The last page of main storage, which the heap leaves alone: the note, and a notification byte far from it.
struct LastPage(u64);

const NOTE: u64 = 0x6b61_7075_745f_3330;
const BYTE_AT: u64 = 0x800;
const ISC: u8 = 4;

impl LastPage {
    fn of(ap: &Ap) -> Self {
        Self(ap.storage_end() - 4096)
    }

    fn note(&self) -> *mut u64 {
        core::ptr::with_exposed_provenance_mut(self.0 as usize)
    }

    fn byte(&self) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut((self.0 + BYTE_AT) as usize)
    }
}

/// Whether the guest runs after the re-IPL.
pub(crate) fn is_after_reipl(ap: &Ap) -> bool {
    // SAFETY: the page exists and belongs to this module; any value is valid.
    unsafe { LastPage::of(ap).note().read_volatile() == NOTE }
}

/// The notification byte that was registered before the re-IPL.
pub(crate) fn byte(ap: &Ap) -> u8 {
    // SAFETY: as above.
    unsafe { LastPage::of(ap).byte().read_volatile() }
}

/// Removes the note, so that the next run begins before the re-IPL.
pub(crate) fn forget(ap: &Ap) {
    // SAFETY: as above.
    unsafe { LastPage::of(ap).note().write_volatile(0) };
}

/// Arms each queue, sends it a request, and has the guest loaded again; returns only where something prevents that.
pub(crate) fn arm_and_reipl(ap: &Ap, queues: &[Queue]) -> Outcome {
    ap.require_aqic()?;
    let page = LastPage::of(ap);
    // SAFETY: as above.
    unsafe { page.byte().write_volatile(0) };
    for queue in queues {
        let status = ap.aqic(queue.apqn, enable(ISC), page.0 + BYTE_AT).status;
        require!(status.response() == ResponseCode::NORMAL, "{}: AQIC (enable) answered {status}", queue.apqn);
        ap.wait_for_ir(queue.apqn, true)?;
        // The reply is never fetched.
        let _ = Request::send(ap, queue)?;
    }
    // SAFETY: as above; and nothing of this run goes on.
    unsafe {
        page.note().write_volatile(NOTE);
        asm::load_again();
    }
    forget(ap);
    Err(Stop::skip(format_args!("the machine does not load the guest anew")))
}
