// SPDX-License-Identifier: MIT OR Apache-2.0
//! PQAP(TAPQ) on every queue that can be named: the matrix decides which of them answer, and what they say about their
//! card makes sense. AP reference 2.2 to 2.5.

use crate::ap::guest::Guest;
use crate::ap::instructions::{Answer, Ap};
use crate::ap::interruption::{self, Nib};
use crate::ap::observe::Outside;
use crate::case::outcome::{Outcome, Stop, failed, require, skipped};
use crate::case::report;
use crate::case::suite::cases;
use crate::machine::clock;
use alloc::vec::Vec;
use ap_arch::{ApType, Apqn, ConditionCode, FunctionCode, Gr0, HwInfo, QueueStatus, ResponseCode, facility};

cases!("queues" for Guest:
    inside_the_matrix_available,
    outside_the_matrix_not_available,
    /// RAPQ and ZAPQ of queues outside of the matrix answer 01 with condition code 3. AP reference 2.3 and 9.5.
    outside_the_matrix_refuses_resets: |guest| refuses_resets(guest, ONE_IN),
    /// AQIC of queues outside of the matrix answers 01 with condition code 3. AP reference 2.3 and 9.5.
    outside_the_matrix_refuses_aqic: |guest| refuses_aqic(guest, ONE_IN),
    /// NQAP and DQAP of queues outside of the matrix answer 01 with condition code 3. AP reference 2.3 and 9.5.
    outside_the_matrix_refuses_messages: |guest| refuses_messages(guest, ONE_IN),
    condition_code_follows_the_response_code,
    idle_queue_is_empty,
    reserved_status_bits_are_zero,
    one_mode_and_a_known_type,
    one_classification,
    reserved_information_is_zero,
    domains_of_a_card_agree,
    no_facilities_without_the_t_bit,
);

/// The hardware information of each queue with the facilities, which need facility 15.
fn information(guest: &Guest) -> Result<Vec<(Apqn, HwInfo)>, Stop> {
    if !guest.ap()?.has(facility::APFT) {
        return Err(skipped!("TAPQ stores no facilities: facility {} is not installed", facility::APFT));
    }
    Ok(guest.queues()?.into_iter().map(|(apqn, answer)| (apqn, answer.info)).collect())
}

/// Every queue of the product answers with response code 00, if need be after its reset is over. AP reference 2.3 and
/// 9.5.
fn inside_the_matrix_available(guest: &Guest) -> Outcome {
    for (apqn, Answer { status, .. }) in guest.queues()? {
        require!(status.response() == ResponseCode::NORMAL, "{apqn} answered {status}");
    }
    Ok(())
}

/// Every other queue up to the maxima answers with response code 01. AP reference 2.3 and 9.5.
fn outside_the_matrix_not_available(guest: &Guest) -> Outcome {
    let (ap, block) = (guest.ap()?, guest.configuration()?);
    let start = clock::now();
    let outside = Outside::probe(&ap, &block);
    let micros = clock::now().micros_since(start);
    report::info(format_args!("{} queues outside of the matrix probed in {micros} us", outside.probed));
    outside.require_unavailable()
}

/// Of all queues outside of the matrix one in this many is asked, because each instruction takes time; the suite
/// `outside` asks all of them.
const ONE_IN: usize = 131;

/// Runs `act` on queues outside of the matrix that TAPQ says are not available: those beside each queue of the matrix,
/// and one in `one_in` of all others.
fn on_queues_outside(guest: &Guest, one_in: usize, act: &dyn Fn(&Ap, Apqn) -> Outcome) -> Outcome {
    let (ap, block) = (guest.ap()?, guest.configuration()?);
    let (max_adapter, max_domain) = block.limits();
    let beside = block.matrix.queues().flat_map(|apqn| {
        let (adapter, domain) = (apqn.apid.0, apqn.apqi.0);
        [(adapter.wrapping_add(1), domain), (adapter, domain.wrapping_add(1)), (domain, adapter)]
            .map(|(adapter, domain)| Apqn::new(adapter, domain))
    });
    let nameable = |apqn: &Apqn| apqn.apid.0 <= max_adapter && apqn.apqi.0 <= max_domain;
    let outside = beside.chain(Apqn::all().step_by(one_in)).filter(nameable);
    // A queue that answers although it is outside may belong to another guest: it is not touched, and another case
    // fails.
    let is_outside =
        |apqn: &Apqn| !block.matrix.contains(*apqn) && ap.probe(*apqn).status.response() == ResponseCode::Q_NOT_AVAIL;
    outside.filter(is_outside).try_for_each(|apqn| act(&ap, apqn))
}

/// Fails unless this is the answer of a queue that is not available.
pub(super) fn require_01(apqn: Apqn, what: &str, cc: ConditionCode, status: QueueStatus) -> Outcome {
    let refused = status.response() == ResponseCode::Q_NOT_AVAIL && cc == ConditionCode::CC3;
    require!(refused, "{apqn}: {what} answered {status} with condition code {}", cc.bits());
    Ok(())
}

pub(super) fn refuses_resets(guest: &Guest, one_in: usize) -> Outcome {
    on_queues_outside(guest, one_in, &|ap, apqn| {
        for function in [FunctionCode::RAPQ, FunctionCode::ZAPQ] {
            let Answer { cc, status, .. } = ap.reset_quietly(apqn, function);
            require_01(apqn, "a reset", cc, status)?;
        }
        Ok(())
    })
}

pub(super) fn refuses_aqic(guest: &Guest, one_in: usize) -> Outcome {
    guest.ap()?.require_aqic()?;
    on_queues_outside(guest, one_in, &|ap, apqn| {
        for gr1 in [interruption::DISABLE, interruption::enable(3)] {
            let Answer { cc, status, .. } = ap.quiet().aqic(apqn, gr1, Nib::First.address());
            require_01(apqn, "AQIC", cc, status)?;
        }
        Ok(())
    })
}

pub(super) fn refuses_messages(guest: &Guest, one_in: usize) -> Outcome {
    on_queues_outside(guest, one_in, &|ap, apqn| {
        let ap = ap.quiet();
        let (cc, status) = ap.nqap_once(apqn, &[0; 16]);
        require_01(apqn, "NQAP", cc, status)?;
        let raw = ap.dqap_part(Gr0::dqap(apqn), &mut [0; 16]);
        require_01(apqn, "DQAP", ConditionCode::from_bits(raw.cc), QueueStatus::from_gr1(raw.gr1))
    })
}

/// Condition code 0 with response code 00 and 3 with any other. AP reference 1.4.
fn condition_code_follows_the_response_code(guest: &Guest) -> Outcome {
    let ap = guest.ap()?;
    let mut answers = guest.queues()?;
    answers.extend(guest.queue_outside().ok().map(|apqn| (apqn, ap.tapq(apqn))));
    for (apqn, Answer { cc, status, .. }) in answers {
        require!(cc == ConditionCode::of(status), "{apqn} answered {status} with condition code {}", cc.bits());
    }
    Ok(())
}

/// A queue that is not used says that it is empty, holds no reply and is not full, and has interruption off. AP
/// reference 2.2.
fn idle_queue_is_empty(guest: &Guest) -> Outcome {
    let other = QueueStatus::REPLIES_WAITING | QueueStatus::FULL | QueueStatus::INTERRUPT_ENABLED;
    for (apqn, Answer { status, .. }) in guest.queues()? {
        require!(status.has(QueueStatus::EMPTY) && !status.has(other), "{apqn} answered {status}");
    }
    Ok(())
}

/// Bits 35-37 and 48-63 of GR1 are zero. AP reference 2.2.
fn reserved_status_bits_are_zero(guest: &Guest) -> Outcome {
    for (apqn, Answer { status, .. }) in guest.queues()? {
        require!(!status.has(QueueStatus::RESERVED), "{apqn} has the status word {:08x}", status.0);
    }
    Ok(())
}

/// Exactly one of the mode bits, and an AP type that is CEX4 or newer. AP reference 2.4 and 2.5.
fn one_mode_and_a_known_type(guest: &Guest) -> Outcome {
    for (apqn, info) in information(guest)? {
        require!(info.mode().is_some(), "{apqn} has not exactly one mode: {info}");
        require!(info.ap_type() >= ApType::CEX4, "{apqn} has AP type {}", info.ap_type());
    }
    Ok(())
}

/// Full native function or only stateless functions, not both, and nothing else in bits 8-15. AP reference 2.4.
fn one_classification(guest: &Guest) -> Outcome {
    const NATIVE: u8 = 0x80;
    const STATELESS: u8 = 0x40;
    for (apqn, info) in information(guest)? {
        let class = info.class();
        require!(class == NATIVE || class == STATELESS, "{apqn} has the classification {class:02x}: {info}");
    }
    Ok(())
}

/// Bits 18-31, 48-51 and 56-59 of GR2 are zero. AP reference 2.4.
fn reserved_information_is_zero(guest: &Guest) -> Outcome {
    const RESERVED: u64 = 0x0000_3fff_0000_f0f0;
    for (apqn, info) in information(guest)? {
        require!(!info.has(RESERVED), "{apqn} has reserved bits: {info}");
    }
    Ok(())
}

/// All domains of one adapter store the information of the same card. AP reference 2.4.
fn domains_of_a_card_agree(guest: &Guest) -> Outcome {
    /// Facilities, mode, classification, type, message length and depth; the bind state is a queue's own.
    const CARD: u64 = 0xffff_0000_ff00_0f0f;
    let mut first: Option<(Apqn, HwInfo)> = None;
    for (apqn, info) in information(guest)? {
        match first {
            Some((of, card)) if of.apid == apqn.apid => {
                if (card.0 ^ info.0) & CARD != 0 {
                    return Err(failed!("{of} has the information {card}, {apqn} has {info}"));
                }
            }
            _ => {
                report::info(format_args!("adapter {}: {info}, {} messages a queue", apqn.apid, info.depth()));
                first = Some((apqn, info));
            }
        }
    }
    Ok(())
}

/// Without the T bit only bits 32-63 of the information are delivered. AP reference 2.4.
fn no_facilities_without_the_t_bit(guest: &Guest) -> Outcome {
    let ap = guest.ap()?;
    for (apqn, with) in information(guest)? {
        let answer =
            ap.tapq_with(apqn, 0).map_err(|ended| failed!("TAPQ ended in program interruption {}", ended.code))?;
        let expected = HwInfo(with.0 & !HwInfo::FACILITY_WORD);
        require!(answer.info == expected, "{apqn}: with T {with}, without {}", answer.info);
    }
    Ok(())
}
