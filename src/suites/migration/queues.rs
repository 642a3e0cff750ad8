// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every queue is there after a migration and is what it was, and no other queue has appeared. vfio-ap migration spec
//! 5.4 and 10.

use crate::ap::instructions::Answer;
use crate::case::outcome::{Outcome, Stop, failed, require, skipped};
use crate::case::report;
use crate::case::suite::cases;
use crate::migration::hop::Hop;
use alloc::vec::Vec;
use ap_arch::survival::{self, Survival};
use ap_arch::{Apqn, BindState, HwInfo, QueueStatus, ResponseCode};
use core::fmt;

cases!("migration-queues" for Hop:
    available,
    compatible,
    usable,
    empty,
    interruption_off,
    /// Every queue that is not in the matrix answers with response code 01.
    outside_not_available: |hop| hop.after()?.outside.require_unavailable(),
);

/// The queues of before; without one a case is not judged.
fn queues(hop: &Hop) -> Result<&[(Apqn, Answer)], Stop> {
    let queues = &hop.before()?.queues;
    if queues.is_empty() { Err(skipped!("the matrix had no queue")) } else { Ok(queues) }
}

/// The queues that are still there, before and after. That none is missing, `available` says.
fn survivors(hop: &Hop) -> Result<Vec<(Apqn, Answer, Answer)>, Stop> {
    let (before, after) = (queues(hop)?, hop.after()?);
    Ok(before.iter().filter_map(|(apqn, old)| after.answer(*apqn).map(|new| (*apqn, *old, *new))).collect())
}

/// Those of them that held nothing and did nothing meanwhile.
fn idle(hop: &Hop) -> Result<Vec<(Apqn, Answer, Answer)>, Stop> {
    let mut survivors = survivors(hop)?;
    survivors.retain(|(apqn, _, _)| hop.was_idle(*apqn));
    Ok(survivors)
}

/// Every queue of before answers with response code 00.
fn available(hop: &Hop) -> Outcome {
    for (apqn, _) in queues(hop)? {
        let after = hop.after()?.answer(*apqn).ok_or_else(|| failed!("{apqn} is no longer in the matrix"))?;
        require!(after.status.response() == ResponseCode::NORMAL, "{apqn} answered {}", after.status);
    }
    Ok(())
}

/// The hardware information may change only as 5.4 allows; a newer card is reported.
fn compatible(hop: &Hop) -> Outcome {
    for (apqn, before, after) in survivors(hop)? {
        match survival::compare(before.info, after.info) {
            Ok(Survival::SameType) => {}
            Ok(Survival::NewerType) => {
                report::info(format_args!("{apqn}: {} became {}", card(before.info), card(after.info)));
            }
            Err(damage) => return Err(failed!("{apqn}: {damage}")),
        }
    }
    Ok(())
}

/// A card by its name, or by its hardware information if it has none.
fn card(info: HwInfo) -> impl fmt::Display {
    fmt::from_fn(move |f| match (info.ap_type().name(), info.mode()) {
        (Some(name), Some(mode)) => write!(f, "{name}{}", mode.letter()),
        _ => write!(f, "{info}"),
    })
}

/// The bind and associate state is 0.
fn usable(hop: &Hop) -> Outcome {
    for (apqn, _, after) in survivors(hop)? {
        let state = after.info.bind_state();
        require!(state == BindState::USABLE, "{apqn} has bind state {state}");
    }
    Ok(())
}

/// No queue holds a request or a reply, but for those that held something before or are at work.
fn empty(hop: &Hop) -> Outcome {
    for (apqn, _, after) in idle(hop)? {
        let (status, other) = (after.status, QueueStatus::REPLIES_WAITING | QueueStatus::FULL);
        require!(status.has(QueueStatus::EMPTY) && !status.has(other), "{apqn} answered {status}");
    }
    Ok(())
}

/// Interruption is off on every queue, but for those where it was on before.
fn interruption_off(hop: &Hop) -> Outcome {
    for (apqn, _, after) in idle(hop)? {
        require!(!after.status.has(QueueStatus::INTERRUPT_ENABLED), "{apqn} answered {}", after.status);
    }
    Ok(())
}
