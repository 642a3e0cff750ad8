// SPDX-License-Identifier: MIT OR Apache-2.0
//! A migration that was refused leaves no trace: to be asked for where it must be refused. vfio-ap migration spec 10.

use crate::case::outcome::{Outcome, failed, require};
use crate::case::suite::cases;
use crate::migration::hop::Hop;
use ap_arch::QueueStatus;

cases!("migration-refused" for Hop:
    configuration_unchanged,
    queues_unchanged,
    messages_intact,
    interruption_still_on,
    replies_still_interrupt,
);

/// QCI stores the same, to the last flag.
fn configuration_unchanged(hop: &Hop) -> Outcome {
    let (before, after) = (hop.before()?.block, hop.after()?.block);
    let (old, new) = (before.matrix, after.matrix);
    require!(old.adapters == new.adapters, "adapters {} became {}", old.adapters, new.adapters);
    require!(old.domains == new.domains, "domains {} became {}", old.domains, new.domains);
    let (old, new) = (old.control_domains, new.control_domains);
    require!(old == new, "control domains {old} became {new}");
    require!(before == after, "flags {:08x} became {:08x}, or the maxima changed", before.flags, after.flags);
    Ok(())
}

/// TAPQ stores the same for every queue, the status too where the queue was idle.
fn queues_unchanged(hop: &Hop) -> Outcome {
    for (apqn, before) in &hop.before()?.queues {
        let after = hop.after()?.answer(*apqn).ok_or_else(|| failed!("{apqn} is gone"))?;
        require!(after.info == before.info, "{apqn} was {} and is {}", before.info, after.info);
        let (old, new) = (before.status, after.status);
        let same = if hop.was_idle(*apqn) { old == new } else { old.response() == new.response() };
        require!(same, "{apqn} answered {old} before and {new} after");
    }
    Ok(())
}

/// What the queues held is all there.
fn messages_intact(hop: &Hop) -> Outcome {
    for found in &hop.found_in_queues()?.queues {
        found.replies.clone()?;
        let (apqn, received, sent) = (found.queue.apqn, &found.received, &found.sent);
        require!(found.intact(), "{apqn}: {} of {} messages", received.len(), sent.len());
        require!(sent.iter().all(|psmid| received.contains(psmid)), "{apqn}: other messages than before");
    }
    Ok(())
}

/// Interruption is on where it was on.
fn interruption_still_on(hop: &Hop) -> Outcome {
    for found in &hop.found_armed()?.queues {
        let (apqn, status) = (found.queue.apqn, found.status);
        require!(status.has(QueueStatus::INTERRUPT_ENABLED), "{apqn} answered {status}");
    }
    Ok(())
}

/// A new reply sets the byte and interrupts as registered before.
fn replies_still_interrupt(hop: &Hop) -> Outcome {
    for found in &hop.found_armed()?.queues {
        let both = found.notification.is_some_and(|came| came.interruption.is_some() && came.byte != 0);
        require!(both, "{}: a new reply did not set the byte and interrupt", found.queue.apqn);
    }
    Ok(())
}
