// SPDX-License-Identifier: MIT OR Apache-2.0
//! The administrator takes a domain or an adapter away while the guest runs: it is gone between two instructions, with
//! all of its queues, and nothing else is. Runs only where the command line names it, because an administrator must do
//! it once the guest has announced that it waits. AP reference 9.4 and 9.5.

use super::queues::require_01;
use crate::ap::exchange;
use crate::ap::guest::Guest;
use crate::ap::instructions::Ap;
use crate::ap::queue::Queue;
use crate::ap::request::{self, Request};
use crate::case::outcome::{Outcome, Stop, failed, require, skipped};
use crate::case::report;
use crate::case::suite::{Subject, Suite, cases};
use crate::machine::clock::Deadline;
use alloc::vec;
use alloc::vec::Vec;
use ap_arch::{Apqn, ConditionCode, FunctionCode, Gr0, QciBlock, QueueStatus, ResponseCode};

cases!("hot-unplug" for Unplugged:
    something_goes,
    nothing_is_gained,
    only_masks_change,
    gone_queues_not_available,
    gone_queues_refuse_resets,
    others_keep_their_replies,
    others_work,
);

/// The configuration before and afterwards, and the requests that were in the queues.
pub(crate) struct Unplugged {
    ap: Ap,
    before: QciBlock,
    after: QciBlock,
    loaded: Vec<(Queue, u64)>,
}

impl Subject for Unplugged {}

/// Puts a message into every queue, announces, waits for the configuration to change, and has the cases judge.
pub(crate) fn run(guest: &Guest, suite: &Suite<Unplugged>, limit_seconds: u16) {
    match wait(guest, limit_seconds) {
        Ok(unplugged) => suite.run(&unplugged),
        Err(stop) => suite.give_up(&stop),
    }
}

fn wait(guest: &Guest, limit_seconds: u16) -> Result<Unplugged, Stop> {
    let (ap, before) = (guest.ap()?, guest.configuration()?);
    let mut loaded = Vec::new();
    for queue in guest.usable_queues()? {
        let request = Request::send(&ap, &queue)?;
        request.wait_for_reply()?;
        loaded.push((queue, request.psmid()));
    }
    let deadline = Deadline::in_millis(u64::from(limit_seconds) * 1000);
    report::info(format_args!("hot-unplug: waiting for a domain to go"));
    loop {
        let after = guest.configuration()?;
        if after.matrix != before.matrix {
            return Ok(Unplugged { ap, before, after, loaded });
        }
        if deadline.is_over() {
            return Err(failed!("nothing went away within {limit_seconds} s"));
        }
    }
}

impl Unplugged {
    fn gone(&self) -> impl Iterator<Item = Apqn> {
        let after = self.after.matrix;
        self.before.matrix.queues().filter(move |apqn| !after.contains(*apqn))
    }

    fn remaining(&self) -> impl Iterator<Item = &(Queue, u64)> {
        self.loaded.iter().filter(|(queue, _)| self.after.matrix.contains(queue.apqn))
    }
}

/// An adapter or a usage domain is missing.
fn something_goes(unplugged: &Unplugged) -> Outcome {
    let (before, after) = (unplugged.before.matrix, unplugged.after.matrix);
    let (adapters, domains) = (before.adapters.difference(after.adapters), before.domains.difference(after.domains));
    report::info(format_args!("hot-unplug: adapters {adapters:?} and domains {domains:?} went"));
    require!(!adapters.is_empty() || !domains.is_empty(), "neither an adapter nor a domain went");
    Ok(())
}

/// Nothing was added.
fn nothing_is_gained(unplugged: &Unplugged) -> Outcome {
    let (before, after) = (unplugged.before.matrix, unplugged.after.matrix);
    let adapters = after.adapters.difference(before.adapters);
    let domains = after.domains.difference(before.domains);
    require!(adapters.is_empty() && domains.is_empty(), "adapters {adapters:?} and domains {domains:?} came");
    Ok(())
}

/// Flags and maxima are what they were: only masks change.
fn only_masks_change(unplugged: &Unplugged) -> Outcome {
    let (before, after) = (unplugged.before, unplugged.after);
    require!(before.flags == after.flags, "flags {:08x} became {:08x}", before.flags, after.flags);
    require!(before.limits() == after.limits(), "the maxima changed");
    Ok(())
}

/// TAPQ, NQAP and DQAP of every queue that went answer 01, though it held a reply.
fn gone_queues_not_available(unplugged: &Unplugged) -> Outcome {
    let ap = &unplugged.ap;
    for apqn in unplugged.gone() {
        let answer = ap.tapq(apqn);
        require_01(apqn, "TAPQ", answer.cc, answer.status)?;
        let raw = ap.dqap_part(Gr0::dqap(apqn), &mut [0; 64]);
        require_01(apqn, "DQAP", ConditionCode::from_bits(raw.cc), QueueStatus::from_gr1(raw.gr1))?;
        let status = ap.nqap(apqn, exchange::next_psmid(), &[0; 16]);
        require!(status.response() == ResponseCode::Q_NOT_AVAIL, "{apqn}: NQAP answered {status}");
    }
    Ok(())
}

/// So do RAPQ and ZAPQ: the queue may belong to another guest now.
fn gone_queues_refuse_resets(unplugged: &Unplugged) -> Outcome {
    for apqn in unplugged.gone() {
        for function in [FunctionCode::RAPQ, FunctionCode::ZAPQ] {
            let status = unplugged.ap.reset(apqn, function, 0)?;
            require!(status.response() == ResponseCode::Q_NOT_AVAIL, "{apqn}: {function} answered {status}");
        }
    }
    Ok(())
}

/// The reply in each queue that stayed is there.
fn others_keep_their_replies(unplugged: &Unplugged) -> Outcome {
    let mut buffer = vec![0; 4096];
    for (queue, psmid) in unplugged.remaining() {
        let (found, length) = exchange::receive_any(&unplugged.ap, queue.apqn, &mut buffer)?;
        require!(found == *psmid, "{}: the reply is for {found:#x}, not for {psmid:#x}", queue.apqn);
        request::judge(queue, &buffer[..length])?;
    }
    Ok(())
}

/// Each queue that stayed answers a new request.
fn others_work(unplugged: &Unplugged) -> Outcome {
    if unplugged.remaining().next().is_none() {
        return Err(skipped!("no queue stayed"));
    }
    unplugged.remaining().try_for_each(|(queue, _)| Request::send(&unplugged.ap, queue)?.fetch())
}
