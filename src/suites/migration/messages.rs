// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was in a queue before a migration: gone where the guest was migrated, intact where the migration was refused,
//! nothing in between. vfio-ap migration spec 1 and 10.

use crate::case::outcome::{Outcome, require};
use crate::case::report;
use crate::case::suite::cases;
use crate::migration::hop::Hop;
use ap_arch::QueueStatus;

cases!("migration-messages" for Hop:
    all_gone_or_all_intact,
    nothing_else_came,
    empty_bit_is_true,
    /// Each of these queues answers a new request.
    queues_work: |hop| hop.found_in_queues()?.queues.iter().try_for_each(|found| found.works.clone()),
);

/// All queues that held messages hold all of them, or none of them holds any. Which of the two is reported.
fn all_gone_or_all_intact(hop: &Hop) -> Outcome {
    let all = hop.found_in_queues()?;
    let stayed = all.stayed();
    for found in &all.queues {
        let (apqn, received, sent) = (found.queue.apqn, found.received.len(), found.sent.len());
        let expected = if stayed { sent } else { 0 };
        require!(received == expected, "{apqn}: {received} of {sent} messages, where others have {expected}");
    }
    let outcome = if stayed { "intact: the migration was refused" } else { "gone: the guest was migrated" };
    report::info(format_args!("what {} queues held is {outcome}", all.queues.len()));
    Ok(())
}

/// What came out of the queues is what went in, each once, with the right contents.
fn nothing_else_came(hop: &Hop) -> Outcome {
    for found in &hop.found_in_queues()?.queues {
        found.replies.clone()?;
        for (index, psmid) in found.received.iter().enumerate() {
            let (apqn, known) = (found.queue.apqn, found.sent.contains(psmid));
            require!(known, "{apqn}: a reply for {psmid:#x}, which was not sent");
            require!(!found.received[..index].contains(psmid), "{apqn}: two replies for {psmid:#x}");
        }
    }
    Ok(())
}

/// A queue from which nothing came had said that it was empty, and no other.
fn empty_bit_is_true(hop: &Hop) -> Outcome {
    for found in &hop.found_in_queues()?.queues {
        let (apqn, status, received) = (found.queue.apqn, found.status, found.received.len());
        require!(status.has(QueueStatus::EMPTY) == (received == 0), "{apqn}: {status}, then {received} replies");
    }
    Ok(())
}
