// SPDX-License-Identifier: MIT OR Apache-2.0
//! Interruption that was on before a migration: off where the guest was migrated, on as before where the migration was
//! refused; and it can be turned on again. vfio-ap migration spec 1 and 10.

use crate::case::outcome::{Outcome, failed, require};
use crate::case::suite::cases;
use crate::migration::hop::Hop;
use crate::migration::left_in_queues::FoundInQueue;
use ap_arch::QueueStatus;

cases!("migration-interrupts" for Hop:
    off_if_migrated,
    nothing_for_the_old_registration,
    new_reply_told_as_the_state_says,
    can_be_turned_on_again,
);

/// After a migration IR is off, after a refused one it is on.
fn off_if_migrated(hop: &Hop) -> Outcome {
    for FoundInQueue { queue, status, received, .. } in &hop.found_armed()?.queues {
        let (apqn, stayed) = (queue.apqn, !received.is_empty());
        require!(status.has(QueueStatus::INTERRUPT_ENABLED) == stayed, "{apqn} answered {status}");
    }
    Ok(())
}

/// After a migration neither an interruption nor a byte comes for what was registered before.
fn nothing_for_the_old_registration(hop: &Hop) -> Outcome {
    let found = hop.found_armed()?;
    if let Some(notification) = found.unprompted.filter(|came| !found.stayed() && !came.nothing()) {
        return Err(failed!("{notification}"));
    }
    Ok(())
}

/// A new reply is notified by the old registration if and only if interruption is still on.
fn new_reply_told_as_the_state_says(hop: &Hop) -> Outcome {
    for FoundInQueue { queue, received, notification, .. } in &hop.found_armed()?.queues {
        let stayed = !received.is_empty();
        if let Some(notification) = notification.filter(|notification| notification.nothing() == stayed) {
            return Err(failed!("{}: {notification}", queue.apqn));
        }
    }
    Ok(())
}

/// AQIC takes another byte and another subclass, and a reply then comes there and nowhere else.
fn can_be_turned_on_again(hop: &Hop) -> Outcome {
    hop.found_armed()?.queues.iter().try_for_each(|found| found.armed_again.clone().unwrap_or(Ok(())))
}
