// SPDX-License-Identifier: MIT OR Apache-2.0
//! NQAP and DQAP: which reply belongs to which request, how many messages a queue holds, what its status says
//! meanwhile, and how a reply is delivered that is longer than the buffer. AP reference 2.2 and 6.

use crate::ap::exchange::{self, REPLY_LIMIT_MILLIS};
use crate::ap::guest::Guest;
use crate::ap::instructions::Ap;
use crate::ap::queue::Queue;
use crate::ap::request::{self, Request};
use crate::ap::shared_queue;
use crate::case::outcome::{Outcome, Stop, failed, require, skipped};
use crate::case::suite::cases;
use crate::machine::clock::{Deadline, patience};
use alloc::vec;
use alloc::vec::Vec;
use ap_arch::message::{Reply, parse_reply};
use ap_arch::{Apqn, ConditionCode, Gr0, QueueStatus, ResponseCode};
use s390x_asm::asm::POISON_REGISTER;

cases!("messages" for Guest:
    every_request_has_its_reply,
    identifier_of_64_bits,
    empty_queue_has_no_reply,
    not_empty_until_the_last_reply,
    reply_waiting_is_told,
    full_at_its_depth,
    room_after_a_reply,
    queues_do_not_mix,
    reply_longer_than_the_buffer,
    truncated_reply_begins_again,
    continuation_without_a_beginning,
    two_cpus_at_once,
    longest_message_is_taken,
    deconfigured_or_checkstopped_takes_nothing,
    nqap_outside_the_matrix,
    dqap_outside_the_matrix,
);

/// Three requests (fewer if the queue holds fewer), three replies, each with the identifier of one request, in whatever
/// order.
fn every_request_has_its_reply(guest: &Guest) -> Outcome {
    guest.on_one_queue_a_card(&|ap, queue| {
        let mut awaited: Vec<u64> = (0..queue.info.depth().min(3)).map(|_| exchange::next_psmid()).collect();
        awaited.iter().try_for_each(|psmid| Request::send_as(ap, queue, *psmid).map(|_| ()))?;
        while !awaited.is_empty() {
            let psmid = request::fetch_any(ap, queue)?;
            let at = awaited.iter().position(|other| *other == psmid);
            let at = at.ok_or_else(|| failed!("{}: a reply for {psmid:#x}, which was not sent", queue.apqn))?;
            awaited.swap_remove(at);
        }
        Ok(())
    })
}

/// All 64 bits of an identifier come back, and the high halves of its registers are zero. AP reference 6.1 and 6.2.
fn identifier_of_64_bits(guest: &Guest) -> Outcome {
    guest.on_one_queue_a_card(&|ap, queue| {
        for psmid in [u64::MAX, 0, 0x8000_0000_0000_0001, 0x0123_4567_89ab_cdef] {
            let request = Request::send_as(ap, queue, psmid)?;
            request.wait_for_reply()?;
            let found = ap.dqap(queue.apqn, &mut [0; 4096]).psmid_words;
            let expected = (psmid >> 32, psmid & 0xffff_ffff);
            require!(found == expected, "{}: {psmid:#x} came back as {:x} {:x}", queue.apqn, found.0, found.1);
        }
        Ok(())
    })
}

/// DQAP of an empty queue answers 10, says that the queue is empty, and leaves the buffer alone.
fn empty_queue_has_no_reply(guest: &Guest) -> Outcome {
    guest.on_one_queue_a_card(&|ap, queue| {
        let mut buffer = [0xa5; 64];
        let raw = ap.dqap_part(Gr0::dqap(queue.apqn), &mut buffer);
        let status = QueueStatus::from_gr1(raw.gr1);
        let answer = (status.response(), status.has(QueueStatus::EMPTY), status.has(QueueStatus::REPLIES_WAITING));
        let expected = (ResponseCode::NO_PENDING_REPLY, true, false);
        require!(answer == expected, "{} answered {status}", queue.apqn);
        require!(raw.cc == ConditionCode::CC3.bits(), "{}: condition code {}", queue.apqn, raw.cc);
        require!(raw.buffer.1 == 64 && buffer == [0xa5; 64], "{} stored something", queue.apqn);
        require!(raw.gr2 == 0, "{}: GR2 is {:#x}", queue.apqn, raw.gr2);
        Ok(())
    })
}

/// From NQAP to the DQAP of the last of two replies the queue is not empty.
fn not_empty_until_the_last_reply(guest: &Guest) -> Outcome {
    guest.on_one_queue_a_card(&|ap, queue| {
        if queue.info.depth() < 2 {
            return Ok(());
        }
        let (first, second) = (Request::send(ap, queue)?, Request::send(ap, queue)?);
        let busy = ap.tapq(queue.apqn).status;
        first.fetch()?;
        let still = ap.tapq(queue.apqn).status;
        second.fetch()?;
        let done = ap.tapq(queue.apqn).status;
        for (status, empty) in [(busy, false), (still, false), (done, true)] {
            require!(status.has(QueueStatus::EMPTY) == empty, "{} answered {busy}, {still}, {done}", queue.apqn);
        }
        Ok(())
    })
}

/// When TAPQ says that a reply waits, DQAP delivers one; afterwards none waits.
fn reply_waiting_is_told(guest: &Guest) -> Outcome {
    guest.on_one_queue_a_card(&|ap, queue| {
        let request = Request::send(ap, queue)?;
        request.wait_for_reply()?;
        let dequeued = ap.dqap(queue.apqn, &mut [0; 4096]);
        let status = dequeued.status;
        require!(status.response() == ResponseCode::NORMAL, "{}: DQAP answered {status}", queue.apqn);
        let after = ap.tapq(queue.apqn).status;
        require!(!after.has(QueueStatus::REPLIES_WAITING), "{} answered {after} afterwards", queue.apqn);
        Ok(())
    })
}

/// Fills the queue; how many requests it took, and what it answered to the last of them and to the first too many.
fn fill(ap: &Ap, queue: &Queue) -> (usize, QueueStatus, QueueStatus) {
    let request = request::message(queue);
    let mut last = QueueStatus::default();
    // One more than the greatest depth that TAPQ can store.
    for taken in 0..=16 {
        let status = ap.nqap(queue.apqn, exchange::next_psmid(), &request);
        if status.response() != ResponseCode::NORMAL {
            return (taken, last, status);
        }
        last = status;
    }
    (17, last, last)
}

/// Takes that many replies out of the queue.
fn drain(ap: &Ap, queue: &Queue, count: usize) -> Outcome {
    (0..count).try_for_each(|_| request::fetch_any(ap, queue).map(|_| ()))
}

/// A queue takes as many messages as its depth in TAPQ, says with the last that it is full, and answers 10 to one more.
/// None of those it took is lost.
fn full_at_its_depth(guest: &Guest) -> Outcome {
    guest.on_one_queue_a_card(&|ap, queue| {
        let (taken, last, refusal) = fill(ap, queue);
        drain(ap, queue, taken)?;
        let apqn = queue.apqn;
        require!(taken == queue.info.depth(), "{apqn} took {taken} messages, its depth is {}", queue.info.depth());
        require!(refusal.response() == ResponseCode::Q_FULL, "{apqn} answered {refusal} to one message more");
        require!(last.has(QueueStatus::FULL), "{apqn} answered {last} to the last that fits");
        let status = ap.tapq(apqn).status;
        require!(status.has(QueueStatus::EMPTY), "{apqn} is not empty after {taken} replies: {status}");
        Ok(())
    })
}

/// A full queue takes another message once a reply has been taken out.
fn room_after_a_reply(guest: &Guest) -> Outcome {
    guest.on_one_queue_a_card(&|ap, queue| {
        let (taken, _, _) = fill(ap, queue);
        let fetched = request::fetch_any(ap, queue).map(|_| ());
        let status = ap.nqap(queue.apqn, exchange::next_psmid(), &request::message(queue));
        let refilled = status.response() == ResponseCode::NORMAL;
        drain(ap, queue, if refilled { taken } else { taken.saturating_sub(1) })?;
        require!(refilled, "{} answered {status}", queue.apqn);
        fetched
    })
}

/// What goes into one queue comes out of that queue.
fn queues_do_not_mix(guest: &Guest) -> Outcome {
    let ap = guest.ap()?;
    let queues = guest.usable_queues()?;
    let mut requests = Vec::new();
    for queue in &queues {
        requests.push(Request::send(&ap, queue)?);
    }
    requests.into_iter().rev().try_for_each(Request::fetch)
}

/// The reply to a request, whole, without judging it.
fn whole_reply(ap: &Ap, queue: &Queue) -> Result<Vec<u8>, Stop> {
    Request::send(ap, queue)?.wait_for_reply()?;
    let mut buffer = vec![0; 4096];
    let length = ap.dqap(queue.apqn, &mut buffer).length;
    buffer.truncate(length);
    Ok(buffer)
}

/// A reply is delivered in parts to buffers that are too short for it. Each part but the last fills the buffer, says
/// how much is left, and does not change status and identifier; the last one delivers both. AP reference 6.2.
fn reply_longer_than_the_buffer(guest: &Guest) -> Outcome {
    const PART: usize = 48;
    guest.on_one_queue_a_card(&|ap, queue| {
        let (apqn, expected) = (queue.apqn, whole_reply(ap, queue)?);
        let psmid = exchange::next_psmid();
        Request::send_as(ap, queue, psmid)?.wait_for_reply()?;
        let (mut received, mut gr0) = (Vec::new(), Gr0::dqap(apqn));
        let limit = patience(REPLY_LIMIT_MILLIS);
        let deadline = Deadline::in_millis(limit);
        let last = loop {
            let mut part = [0; PART];
            let raw = ap.dqap_part(gr0, &mut part);
            received.extend_from_slice(&part[..PART - (raw.buffer.1 as usize).min(PART)]);
            let left = expected.len() as u64 - (received.len() as u64).min(expected.len() as u64);
            require!(raw.gr2 == left, "{apqn}: {} bytes are left by GR2, not {left}", raw.gr2);
            if raw.gr2 == 0 {
                break raw;
            }
            let untouched = raw.gr1 == POISON_REGISTER && raw.psmid == (POISON_REGISTER, POISON_REGISTER);
            require!(raw.buffer.1 == 0, "{apqn}: {} bytes of the buffer are not used", raw.buffer.1);
            require!(raw.cc == ConditionCode::CC1.bits(), "{apqn}: condition code {} for a part", raw.cc);
            require!(untouched, "{apqn}: status or identifier came with a part");
            require!(!deadline.is_over(), "{apqn}: the reply does not end within {limit} ms");
            gr0 = Gr0(raw.gr0);
        };
        let status = QueueStatus::from_gr1(last.gr1);
        require!(status.response() == ResponseCode::NORMAL, "{apqn}: the last part came with {status}");
        let (high, low) = last.psmid;
        require!((high, low) == (psmid >> 32, psmid & 0xffff_ffff), "{apqn}: identifier {high:x} {low:x}");
        require!(
            received.len() == expected.len(),
            "{apqn}: {} bytes in parts, else {}",
            received.len(),
            expected.len()
        );
        request::judge(queue, &received)
    })
}

/// A reply of which only the beginning was received is still in the queue, and is delivered whole to who begins again.
fn truncated_reply_begins_again(guest: &Guest) -> Outcome {
    guest.on_one_queue_a_card(&|ap, queue| {
        let request = Request::send(ap, queue)?;
        request.wait_for_reply()?;
        let raw = ap.dqap_part(Gr0::dqap(queue.apqn), &mut [0; 8]);
        let status = ap.tapq(queue.apqn).status;
        request.fetch()?;
        require!(raw.gr2 != 0, "{}: no byte of the reply is left after 8", queue.apqn);
        require!(!status.has(QueueStatus::EMPTY), "{} answered {status} with a reply half received", queue.apqn);
        Ok(())
    })
}

/// DQAP that continues a reply of which no part was delivered delivers nothing.
fn continuation_without_a_beginning(guest: &Guest) -> Outcome {
    guest.on_one_queue_a_card(&|ap, queue| {
        let mut buffer = [0xa5; 64];
        let raw = ap.dqap_part(Gr0(queue.apqn.bits().into()), &mut buffer);
        let status = QueueStatus::from_gr1(raw.gr1);
        require!(status.response() != ResponseCode::NORMAL, "{} answered {status}", queue.apqn);
        require!(raw.buffer.1 == 64 && buffer == [0xa5; 64], "{} stored something", queue.apqn);
        Ok(())
    })
}

/// Two CPUs send and receive on one queue at once: every request is answered once, to one of them. AP reference 6.1.
fn two_cpus_at_once(guest: &Guest) -> Outcome {
    guest.on_one_queue_a_card(&|ap, queue| shared_queue::use_at_once(ap, queue))
}

/// A message of the greatest length in TAPQ is taken, and answered. AP reference 1.3 and 2.4.
fn longest_message_is_taken(guest: &Guest) -> Outcome {
    guest.on_one_queue_a_card(&|ap, queue| {
        let reply = exchange::ask(ap, queue.apqn, &vec![0; queue.info.max_message_len()])?;
        require!(matches!(parse_reply(&reply), Ok(Reply::Error(_))), "{}: zeros were taken for a request", queue.apqn);
        Ok(())
    })
}

/// NQAP and DQAP of a queue that TAPQ says is deconfigured or checkstopped answer the same. AP reference
/// 2.3 and 9.5.
fn deconfigured_or_checkstopped_takes_nothing(guest: &Guest) -> Outcome {
    let ap = guest.ap()?;
    let mut queues = guest.queues()?;
    let out_of_use = [ResponseCode::DECONFIGURED, ResponseCode::CHECKSTOPPED];
    queues.retain(|(_, answer)| out_of_use.contains(&answer.status.response()));
    if queues.is_empty() {
        return Err(skipped!("no adapter of the matrix is deconfigured or checkstopped"));
    }
    for (apqn, answer) in queues {
        let expected = answer.status.response();
        require!(answer.info.0 != 0, "{apqn} answered {} without information", answer.status);
        let status = ap.nqap(apqn, exchange::next_psmid(), &[0; 16]);
        require!(status.response() == expected, "{apqn}: NQAP answered {status}");
        let raw = ap.dqap_part(Gr0::dqap(apqn), &mut [0; 64]);
        let status = QueueStatus::from_gr1(raw.gr1);
        require!(status.response() == expected, "{apqn}: DQAP answered {status}");
        require!(raw.cc == ConditionCode::CC3.bits(), "{apqn}: DQAP with condition code {}", raw.cc);
    }
    Ok(())
}

/// Response code 01 and condition code 3, and nothing else happens. AP reference 9.5.
fn nqap_outside_the_matrix(guest: &Guest) -> Outcome {
    let apqn = guest.queue_outside()?;
    not_available(apqn, guest.ap()?.nqap(apqn, exchange::next_psmid(), &[0; 16]))
}

/// Response code 01 and condition code 3, and nothing is stored. AP reference 9.5.
fn dqap_outside_the_matrix(guest: &Guest) -> Outcome {
    let (apqn, mut buffer) = (guest.queue_outside()?, [0xa5; 64]);
    let raw = guest.ap()?.dqap_part(Gr0::dqap(apqn), &mut buffer);
    require!(raw.cc == ConditionCode::CC3.bits(), "{apqn}: condition code {}", raw.cc);
    require!(buffer == [0xa5; 64], "{apqn} stored something");
    not_available(apqn, QueueStatus::from_gr1(raw.gr1))
}

fn not_available(apqn: Apqn, status: QueueStatus) -> Outcome {
    require!(status.response() == ResponseCode::Q_NOT_AVAIL, "{apqn} answered {status}");
    Ok(())
}
