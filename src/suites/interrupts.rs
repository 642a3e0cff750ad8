// SPDX-License-Identifier: MIT OR Apache-2.0
//! AQIC and adapter interruptions: what AQIC takes and answers, that a reply sets the notification byte and then
//! interrupts, and that nothing comes without a request. AP reference 5.

use crate::ap::guest::Guest;
use crate::ap::instructions::{Answer, Ap};
use crate::ap::interruption::{DISABLE, Nib, enable};
use crate::ap::observe;
use crate::ap::queue::Queue;
use crate::ap::request::Request;
use crate::case::outcome::{Outcome, Stop, failed, require};
use crate::case::suite::cases;
use crate::machine::clock::patience;
use crate::machine::io::{self, IoInterruption, Subclasses, Waiting};
use ap_arch::{Apqn, ConditionCode, FunctionCode, QueueStatus, ResponseCode};

cases!("interrupts" for Guest:
    /// A notification byte at address 0 is refused with response code 06. AP reference 5.2, row 1.
    byte_at_address_0_refused: |guest| address_refused(guest, |_| 0),
    /// A notification byte at the address of 64 ones is refused with response code 06. AP reference 5.2, row 1.
    byte_at_address_of_ones_refused: |guest| address_refused(guest, |_| u64::MAX),
    /// So is one where main storage has ended. AP reference 5.6.
    byte_beyond_storage_refused: |guest| address_refused(guest, Ap::storage_end),
    disable_while_disabled,
    enable_succeeds,
    disable_succeeds,
    enable_while_enabled,
    refused_address_changes_nothing,
    /// RAPQ turns interruption off, and nothing comes any more. AP reference 5.2, row 6.
    off_after_rapq: |guest| off_after(guest, FunctionCode::RAPQ),
    /// ZAPQ turns interruption off, and nothing comes any more. AP reference 5.2, row 6.
    off_after_zapq: |guest| off_after(guest, FunctionCode::ZAPQ),
    usable_after_a_reset,
    reply_interrupts,
    enable_again_keeps_the_first_registration,
    byte_before_the_interruption,
    identification_words,
    every_subclass,
    other_subclasses_are_masked,
    ends_the_wait_state,
    stays_pending_while_masked,
    nothing_while_disabled,
    nothing_without_a_reply,
    every_reply_is_told,
    outside_the_matrix_not_available,
);

/// The subclass that Linux uses for AP.
const ISC: u8 = 6;
/// How long an interruption may take, and how long to look that none comes.
const LIMIT_MILLIS: u64 = 2000;
const QUIET_MILLIS: u64 = 2;

/// Runs `act` on one queue of each card, with interruption off before and after: what it leaves on a reset turns off.
fn on_one_queue_a_card(guest: &Guest, act: &dyn Fn(&Ap, &Queue) -> Outcome) -> Outcome {
    let ap = guest.ap()?;
    ap.require_aqic()?;
    for queue in guest.one_queue_a_card()? {
        io::drain(Nib::First.byte());
        Nib::First.take();
        Nib::Second.take();
        let outcome = act(&ap, &queue);
        if ap.tapq(queue.apqn).status.has(QueueStatus::INTERRUPT_ENABLED) {
            reset(&ap, queue.apqn, FunctionCode::RAPQ)?;
        }
        outcome?;
    }
    Ok(())
}

/// Response and condition code, and that response code and condition code belong together.
fn require_answer(apqn: Apqn, what: &str, answer: Answer, response: ResponseCode) -> Outcome {
    let Answer { cc, status, .. } = answer;
    require!(status.response() == response, "{apqn}: {what} answered {status}");
    require!(cc == ConditionCode::of(status), "{apqn}: {what} answered {status} with condition code {}", cc.bits());
    Ok(())
}

fn address_refused(guest: &Guest, address: fn(&Ap) -> u64) -> Outcome {
    on_one_queue_a_card(guest, &|ap, queue| {
        let answer = ap.aqic(queue.apqn, enable(ISC), address(ap));
        require_answer(queue.apqn, "AQIC (enable)", answer, ResponseCode::INVALID_ADDRESS)
    })
}

/// Disabling what is disabled answers 07. AP reference 5.2, row 2.
fn disable_while_disabled(guest: &Guest) -> Outcome {
    on_one_queue_a_card(guest, &|ap, queue| {
        let answer = ap.aqic(queue.apqn, DISABLE, 0);
        require_answer(queue.apqn, "AQIC (disable)", answer, ResponseCode::OTHERWISE_CHANGED)
    })
}

/// Enabling answers 00, and TAPQ shows IR within the limit. AP reference 5.2, row 3.
fn enable_succeeds(guest: &Guest) -> Outcome {
    on_one_queue_a_card(guest, &|ap, queue| {
        let answer = ap.aqic(queue.apqn, enable(ISC), Nib::First.address());
        require_answer(queue.apqn, "AQIC (enable)", answer, ResponseCode::NORMAL)?;
        ap.wait_for_ir(queue.apqn, true)
    })
}

/// Enabling what is enabled answers 07, for another byte and subclass too. AP reference 5.2, row 4.
fn enable_while_enabled(guest: &Guest) -> Outcome {
    on_one_queue_a_card(guest, &|ap, queue| {
        ap.arm(queue.apqn, ISC, Nib::First)?;
        for (isc, nib) in [(ISC, Nib::First), (ISC - 1, Nib::Second)] {
            let answer = ap.aqic(queue.apqn, enable(isc), nib.address());
            require_answer(queue.apqn, "AQIC (enable)", answer, ResponseCode::OTHERWISE_CHANGED)?;
        }
        Ok(())
    })
}

/// Sends a request and has its reply interrupt.
fn exchange(ap: &Ap, queue: &Queue, subclasses: Subclasses, waiting: Waiting) -> Result<IoInterruption, Stop> {
    let request = Request::send(ap, queue)?;
    let limit = patience(LIMIT_MILLIS);
    let came = io::wait_for(subclasses, waiting, limit, Nib::First.byte());
    request.fetch()?;
    came.ok_or_else(|| failed!("{}: no interruption within {limit} ms", queue.apqn))
}

/// Whether any interruption comes within a short time.
fn anything(subclasses: Subclasses) -> Option<IoInterruption> {
    io::wait_for(subclasses, Waiting::Polling, QUIET_MILLIS, Nib::First.byte())
}

/// An enable that was refused with 07 leaves byte and subclass as they were. AP reference 5.2, row 4.
fn enable_again_keeps_the_first_registration(guest: &Guest) -> Outcome {
    on_one_queue_a_card(guest, &|ap, queue| {
        ap.arm(queue.apqn, ISC, Nib::First)?;
        ap.aqic(queue.apqn, enable(ISC - 1), Nib::Second.address());
        let came = exchange(ap, queue, Subclasses::ALL, Waiting::Polling)?;
        let (first, second) = (Nib::First.take(), Nib::Second.take());
        require!(first != 0 && second == 0, "{}: the bytes are {first:02x} and {second:02x}", queue.apqn);
        require_subclass(queue.apqn, &came, ISC)
    })
}

/// Disabling answers 00, and TAPQ shows no IR within the limit. AP reference 5.2, row 5.
fn disable_succeeds(guest: &Guest) -> Outcome {
    on_one_queue_a_card(guest, &|ap, queue| {
        ap.arm(queue.apqn, ISC, Nib::First)?;
        let answer = ap.aqic(queue.apqn, DISABLE, 0);
        require_answer(queue.apqn, "AQIC (disable)", answer, ResponseCode::NORMAL)?;
        ap.wait_for_ir(queue.apqn, false)
    })
}

/// After an address was refused interruption is off, as before. AP reference 5.2, row 1.
fn refused_address_changes_nothing(guest: &Guest) -> Outcome {
    on_one_queue_a_card(guest, &|ap, queue| {
        ap.aqic(queue.apqn, enable(ISC), 0);
        let status = ap.tapq(queue.apqn).status;
        require!(!status.has(QueueStatus::INTERRUPT_ENABLED), "{} answered {status}", queue.apqn);
        Ok(())
    })
}

fn reset(ap: &Ap, apqn: Apqn, function: FunctionCode) -> Outcome {
    ap.reset(apqn, function, 0)?;
    let status = observe::settled(ap, apqn).status;
    require!(status.response() == ResponseCode::NORMAL, "{apqn} answered {status} after {function}");
    Ok(())
}

fn off_after(guest: &Guest, function: FunctionCode) -> Outcome {
    on_one_queue_a_card(guest, &|ap, queue| {
        ap.arm(queue.apqn, ISC, Nib::First)?;
        reset(ap, queue.apqn, function)?;
        let status = ap.tapq(queue.apqn).status;
        require!(!status.has(QueueStatus::INTERRUPT_ENABLED), "{} answered {status}", queue.apqn);
        Request::send(ap, queue)?.fetch()?;
        let (came, byte) = (anything(Subclasses::ALL), Nib::First.take());
        require!(came.is_none() && byte == 0, "{}: {function} did not remove the registration", queue.apqn);
        Ok(())
    })
}

/// After a reset interruption can be enabled again, and works. AP reference 5.2, row 6.
fn usable_after_a_reset(guest: &Guest) -> Outcome {
    on_one_queue_a_card(guest, &|ap, queue| {
        ap.arm(queue.apqn, ISC, Nib::First)?;
        reset(ap, queue.apqn, FunctionCode::RAPQ)?;
        ap.arm(queue.apqn, ISC, Nib::First)?;
        exchange(ap, queue, Subclasses::only(ISC), Waiting::Polling).map(|_| ())
    })
}

/// A reply interrupts. AP reference 5.3.
fn reply_interrupts(guest: &Guest) -> Outcome {
    on_one_queue_a_card(guest, &|ap, queue| {
        ap.arm(queue.apqn, ISC, Nib::First)?;
        exchange(ap, queue, Subclasses::only(ISC), Waiting::Polling).map(|_| ())
    })
}

/// When the interruption comes, the notification byte is not zero any more, and no other byte has changed. AP reference
/// 5.3.
fn byte_before_the_interruption(guest: &Guest) -> Outcome {
    on_one_queue_a_card(guest, &|ap, queue| {
        ap.arm(queue.apqn, ISC, Nib::First)?;
        let came = exchange(ap, queue, Subclasses::only(ISC), Waiting::Polling)?;
        require!(came.byte != 0, "{}: the byte was zero when the interruption came", queue.apqn);
        require!(Nib::Second.take() == 0, "{}: another byte was set", queue.apqn);
        Ok(())
    })
}

fn require_subclass(apqn: Apqn, came: &IoInterruption, isc: u8) -> Outcome {
    let found = (came.identification >> 27 & 7) as u8;
    require!(found == isc, "{apqn}: subclass {found}, not {isc} ({:08x})", came.identification);
    Ok(())
}

/// The identification word is that of an adapter interruption, not directed, of the right subclass and of type 0; the
/// words before it are zero. AP reference 5.3.
fn identification_words(guest: &Guest) -> Outcome {
    /// Bit 0, and what is not the subclass.
    const ADAPTER: u32 = 0x8000_0000;
    on_one_queue_a_card(guest, &|ap, queue| {
        ap.arm(queue.apqn, ISC, Nib::First)?;
        let came = exchange(ap, queue, Subclasses::only(ISC), Waiting::Polling)?;
        let words = [came.subsystem, came.parameter, came.identification];
        let expected = [0, 0, ADAPTER | u32::from(ISC) << 27];
        let [subsystem, parameter, identification] = words;
        require!(words == expected, "{}: {subsystem:08x} {parameter:08x} {identification:08x}", queue.apqn);
        Ok(())
    })
}

/// Each of the eight subclasses can be asked for. AP reference 5.1.
fn every_subclass(guest: &Guest) -> Outcome {
    on_one_queue_a_card(guest, &|ap, queue| {
        for isc in 0..8 {
            ap.arm(queue.apqn, isc, Nib::First)?;
            let came = exchange(ap, queue, Subclasses::ALL, Waiting::Polling)?;
            require_subclass(queue.apqn, &came, isc)?;
            ap.disarm(queue.apqn)?;
        }
        Ok(())
    })
}

/// With all subclasses but the right one allowed nothing comes; once that one is allowed, it does. AP reference 5.4.
fn other_subclasses_are_masked(guest: &Guest) -> Outcome {
    on_one_queue_a_card(guest, &|ap, queue| {
        ap.arm(queue.apqn, ISC, Nib::First)?;
        let request = Request::send(ap, queue)?;
        request.wait_for_reply()?;
        let (other, own) = (anything(Subclasses::but(ISC)), wait_for(ISC));
        request.fetch()?;
        require!(other.is_none(), "{}: an interruption came by another subclass", queue.apqn);
        require!(own.is_some(), "{}: nothing came once subclass {ISC} was allowed", queue.apqn);
        Ok(())
    })
}

fn wait_for(isc: u8) -> Option<IoInterruption> {
    io::wait_for(Subclasses::only(isc), Waiting::Polling, patience(LIMIT_MILLIS), Nib::First.byte())
}

/// An interruption ends the wait state of a CPU that waits for it. AP reference 5.4.
fn ends_the_wait_state(guest: &Guest) -> Outcome {
    on_one_queue_a_card(guest, &|ap, queue| {
        ap.arm(queue.apqn, ISC, Nib::First)?;
        let came = exchange(ap, queue, Subclasses::only(ISC), Waiting::WaitState)?;
        require_subclass(queue.apqn, &came, ISC)
    })
}

/// An interruption that is masked off is not lost, though its reply has been taken out of the queue meanwhile.
/// AP reference 5.3.
fn stays_pending_while_masked(guest: &Guest) -> Outcome {
    on_one_queue_a_card(guest, &|ap, queue| {
        ap.arm(queue.apqn, ISC, Nib::First)?;
        Request::send(ap, queue)?.fetch()?;
        require!(wait_for(ISC).is_some(), "{}: nothing came after the reply had been fetched", queue.apqn);
        Ok(())
    })
}

/// With interruption off a reply neither interrupts nor sets a byte. AP reference 5.2 and 5.3.
fn nothing_while_disabled(guest: &Guest) -> Outcome {
    on_one_queue_a_card(guest, &|ap, queue| {
        ap.arm(queue.apqn, ISC, Nib::First)?;
        ap.disarm(queue.apqn)?;
        let request = Request::send(ap, queue)?;
        request.wait_for_reply()?;
        let (came, byte) = (anything(Subclasses::ALL), Nib::First.take());
        request.fetch()?;
        require!(came.is_none() && byte == 0, "{}: an interruption, or byte {byte:02x}", queue.apqn);
        Ok(())
    })
}

/// Enabling alone neither interrupts nor sets the byte. AP reference 5.3.
fn nothing_without_a_reply(guest: &Guest) -> Outcome {
    on_one_queue_a_card(guest, &|ap, queue| {
        ap.arm(queue.apqn, ISC, Nib::First)?;
        let (came, byte) = (anything(Subclasses::ALL), Nib::First.take());
        require!(came.is_none() && byte == 0, "{}: an interruption, or byte {byte:02x}", queue.apqn);
        Ok(())
    })
}

/// Each of three requests, one after the other, has its own interruption and sets the byte again. AP reference 5.3.
fn every_reply_is_told(guest: &Guest) -> Outcome {
    on_one_queue_a_card(guest, &|ap, queue| {
        ap.arm(queue.apqn, ISC, Nib::First)?;
        for number in 1..=3 {
            exchange(ap, queue, Subclasses::only(ISC), Waiting::Polling)?;
            require!(Nib::First.take() != 0, "{}: the byte is zero after reply {number}", queue.apqn);
        }
        Ok(())
    })
}

/// AQIC on a queue outside of the matrix answers 01, and condition code 3. AP reference 9.5.
fn outside_the_matrix_not_available(guest: &Guest) -> Outcome {
    on_one_queue_a_card(guest, &|_, _| Ok(()))?;
    let (ap, apqn) = (guest.ap()?, guest.queue_outside()?);
    let answer = ap.aqic(apqn, DISABLE, 0);
    require_answer(apqn, "AQIC (disable)", answer, ResponseCode::Q_NOT_AVAIL)
}
