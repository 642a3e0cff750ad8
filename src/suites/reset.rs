// SPDX-License-Identifier: MIT OR Apache-2.0
//! RAPQ and ZAPQ: what a reset answers, how long it lasts, and that nothing of before is left in the queue. AP
//! reference 2.6. Only queues of the guest's own matrix are reset.

use crate::ap::guest::Guest;
use crate::ap::instructions::Ap;
use crate::ap::interruption::Nib;
use crate::ap::observe;
use crate::ap::request::Request;
use crate::case::outcome::{Outcome, failed, require, skipped};
use crate::case::suite::cases;
use ap_arch::{Apqn, FunctionCode, Gr0, QueueStatus, ResponseCode};

cases!("reset" for Guest:
    /// RAPQ answers 00 or 02, and then TAPQ answers 00 within the limit.
    rapq_ends: |guest| on_every_queue(guest, &|ap, apqn| reset(ap, apqn, FunctionCode::RAPQ)),
    /// ZAPQ answers 00 or 02, and then TAPQ answers 00 within the limit.
    zapq_ends: |guest| on_every_queue(guest, &|ap, apqn| reset(ap, apqn, FunctionCode::ZAPQ)),
    information_during_a_reset,
    reset_during_a_reset,
    unbind_bit_accepted,
    /// Requests that RAPQ finds in the queue are never answered.
    rapq_discards_requests: |guest| discards(guest, FunctionCode::RAPQ, false),
    /// Requests that ZAPQ finds in the queue are never answered.
    zapq_discards_requests: |guest| discards(guest, FunctionCode::ZAPQ, false),
    /// Replies that RAPQ finds in the queue are gone.
    rapq_discards_replies: |guest| discards(guest, FunctionCode::RAPQ, true),
    /// Replies that ZAPQ finds in the queue are gone.
    zapq_discards_replies: |guest| discards(guest, FunctionCode::ZAPQ, true),
    /// After RAPQ interruption is off.
    rapq_turns_interruption_off: |guest| turns_interruption_off(guest, FunctionCode::RAPQ),
    /// After ZAPQ interruption is off.
    zapq_turns_interruption_off: |guest| turns_interruption_off(guest, FunctionCode::ZAPQ),
    usable_afterwards,
    information_unchanged,
    other_queues_keep_their_replies,
    outside_the_matrix_not_available,
);

/// Any interruption subclass; interruptions are masked off.
const ISC: u8 = 3;

/// Starts a reset; it must be accepted.
fn start(ap: &Ap, apqn: Apqn, function: FunctionCode, bits: u64) -> Outcome {
    let status = ap.reset(apqn, function, bits)?;
    match status.response() {
        ResponseCode::NORMAL | ResponseCode::RESET_IN_PROGRESS => Ok(()),
        _ => Err(failed!("{apqn}: {function} answered {status}")),
    }
}

/// Waits until the reset is over: the queue answers 00, and is empty.
fn finish(ap: &Ap, apqn: Apqn) -> Outcome {
    let status = observe::settled(ap, apqn).status;
    require!(status.response() == ResponseCode::NORMAL, "{apqn} answered {status} after a reset");
    let other = QueueStatus::REPLIES_WAITING | QueueStatus::FULL;
    require!(status.has(QueueStatus::EMPTY) && !status.has(other), "{apqn} is not empty after a reset: {status}");
    Ok(())
}

fn reset(ap: &Ap, apqn: Apqn, function: FunctionCode) -> Outcome {
    start(ap, apqn, function, 0)?;
    finish(ap, apqn)
}

/// Runs `act` on every queue whose adapter works.
fn on_every_queue(guest: &Guest, act: &dyn Fn(&Ap, Apqn) -> Outcome) -> Outcome {
    let ap = guest.ap()?;
    guest.configured_queues()?.into_iter().try_for_each(|(apqn, _)| act(&ap, apqn))
}

/// While a queue is in reset, TAPQ stores the information of its card too. AP reference 2.3.
fn information_during_a_reset(guest: &Guest) -> Outcome {
    on_every_queue(guest, &|ap, apqn| {
        start(ap, apqn, FunctionCode::RAPQ, 0)?;
        let answer = ap.tapq(apqn);
        finish(ap, apqn)?;
        require!(answer.info.0 != 0, "{apqn} answered {} without information", answer.status);
        Ok(())
    })
}

/// A reset on top of a reset answers 00 or 02, never 05. AP reference 8.2.
fn reset_during_a_reset(guest: &Guest) -> Outcome {
    on_every_queue(guest, &|ap, apqn| {
        start(ap, apqn, FunctionCode::RAPQ, 0)?;
        let second = start(ap, apqn, FunctionCode::RAPQ, 0);
        finish(ap, apqn)?;
        second
    })
}

/// RAPQ and ZAPQ take bit 41. Without Secure Execution there is nothing to unbind, and it is a reset like any other.
fn unbind_bit_accepted(guest: &Guest) -> Outcome {
    on_every_queue(guest, &|ap, apqn| {
        [FunctionCode::RAPQ, FunctionCode::ZAPQ].into_iter().try_for_each(|function| {
            start(ap, apqn, function, Gr0::BIT_41)?;
            finish(ap, apqn)
        })
    })
}

/// A queue with messages in it is empty after the reset, and only replies to later requests come out of it.
fn discards(guest: &Guest, function: FunctionCode, wait: bool) -> Outcome {
    guest.on_one_queue_a_card(&|ap, queue| {
        for _ in 0..queue.info.depth().min(2) {
            let request = Request::send(ap, queue)?;
            if wait {
                request.wait_for_reply()?;
            }
        }
        reset(ap, queue.apqn, function)?;
        Request::send(ap, queue)?.fetch()?;
        let status = ap.tapq(queue.apqn).status;
        require!(status.has(QueueStatus::EMPTY), "{} holds more than its one request: {status}", queue.apqn);
        Ok(())
    })
}

fn turns_interruption_off(guest: &Guest, function: FunctionCode) -> Outcome {
    guest.ap()?.require_aqic()?;
    on_every_queue(guest, &|ap, apqn| {
        ap.arm(apqn, ISC, Nib::First)?;
        reset(ap, apqn, function)?;
        let status = ap.tapq(apqn).status;
        require!(!status.has(QueueStatus::INTERRUPT_ENABLED), "{apqn} answered {status} after {function}");
        Ok(())
    })
}

/// A queue that was reset works.
fn usable_afterwards(guest: &Guest) -> Outcome {
    guest.on_one_queue_a_card(&|ap, queue| {
        reset(ap, queue.apqn, FunctionCode::ZAPQ)?;
        Request::send(ap, queue)?.fetch()
    })
}

/// A reset changes nothing of the hardware information that TAPQ stores.
fn information_unchanged(guest: &Guest) -> Outcome {
    on_every_queue(guest, &|ap, apqn| {
        let before = observe::settled(ap, apqn).info;
        reset(ap, apqn, FunctionCode::RAPQ)?;
        let after = ap.tapq(apqn).info;
        require!(before == after, "{apqn}: {before} became {after}");
        Ok(())
    })
}

/// A reset of one queue does not change the replies in another one of the same card.
fn other_queues_keep_their_replies(guest: &Guest) -> Outcome {
    let ap = guest.ap()?;
    let queues = guest.usable_queues()?;
    let neighbours = queues.iter().zip(queues.iter().skip(1)).find(|(a, b)| a.apqn.apid == b.apqn.apid);
    let (reset_one, other) = neighbours.ok_or_else(|| skipped!("no card has two queues in the matrix"))?;
    let request = Request::send(&ap, other)?;
    request.wait_for_reply()?;
    let outcome = reset(&ap, reset_one.apqn, FunctionCode::ZAPQ);
    request.fetch()?;
    outcome
}

/// RAPQ and ZAPQ of a queue outside of the matrix answer 01. AP reference 9.5.
fn outside_the_matrix_not_available(guest: &Guest) -> Outcome {
    let (ap, apqn) = (guest.ap()?, guest.queue_outside()?);
    for function in [FunctionCode::RAPQ, FunctionCode::ZAPQ] {
        let status = ap.reset(apqn, function, 0)?;
        require!(status.response() == ResponseCode::Q_NOT_AVAIL, "{apqn}: {function} answered {status}");
    }
    Ok(())
}
