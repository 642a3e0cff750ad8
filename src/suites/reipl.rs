// SPDX-License-Identifier: MIT OR Apache-2.0
//! A re-IPL resets the guest's queues and turns their interruption off. The first case has the guest loaded again while
//! armed queues are at work, so all cases are judged after the re-IPL. Runs only where the command line names it, and
//! needs a machine that lets a guest load itself again. AP reference 9.6.

use crate::ap::guest::Guest;
use crate::ap::reipl;
use crate::ap::request::Request;
use crate::case::outcome::{Outcome, require, skipped};
use crate::case::report;
use crate::case::suite::cases;
use crate::machine::clock::Deadline;
use ap_arch::{QueueStatus, ResponseCode};

cases!("reipl" for Guest:
    byte_stays_zero,
    interruption_off,
    nothing_left_in_the_queues,
    queues_work,
);

/// Longer than a card takes for the requests from before the re-IPL.
const QUIET_MILLIS: u64 = 500;

/// The byte that was registered before the re-IPL stays zero, although replies would have become available since.
fn byte_stays_zero(guest: &Guest) -> Outcome {
    let ap = guest.ap()?;
    if !reipl::is_after_reipl(&ap) {
        report::info(format_args!("loading the guest anew, with armed queues at work"));
        reipl::arm_and_reipl(&ap, &guest.usable_queues()?)?;
    }
    let deadline = Deadline::in_millis(QUIET_MILLIS);
    while !deadline.is_over() {
        require!(reipl::byte(&ap) == 0, "the byte became {:02x}", reipl::byte(&ap));
    }
    Ok(())
}

fn require_reipl(guest: &Guest) -> Outcome {
    if reipl::is_after_reipl(&guest.ap()?) { Ok(()) } else { Err(skipped!("the guest was not loaded anew")) }
}

/// Interruption is off in every queue.
fn interruption_off(guest: &Guest) -> Outcome {
    require_reipl(guest)?;
    for (apqn, answer) in guest.queues()? {
        require!(!answer.status.has(QueueStatus::INTERRUPT_ENABLED), "{apqn} answered {}", answer.status);
    }
    Ok(())
}

/// What was in the queues is gone.
fn nothing_left_in_the_queues(guest: &Guest) -> Outcome {
    require_reipl(guest)?;
    for (apqn, answer) in guest.queues()? {
        let status = answer.status;
        let empty = status.response() == ResponseCode::NORMAL && status.has(QueueStatus::EMPTY);
        require!(empty, "{apqn} answered {status}");
    }
    Ok(())
}

/// Every queue answers a request.
fn queues_work(guest: &Guest) -> Outcome {
    require_reipl(guest)?;
    let ap = guest.ap()?;
    for queue in guest.usable_queues()? {
        Request::send(&ap, &queue)?.fetch()?;
    }
    reipl::forget(&ap);
    Ok(())
}
