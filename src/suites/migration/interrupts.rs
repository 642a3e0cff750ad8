// SPDX-License-Identifier: MIT OR Apache-2.0
//! Interruption that was on before a migration: off where the guest was migrated, on as before where the migration was
//! refused; and it can be turned on again. vfio-ap migration spec 1 and 10.

use crate::case::outcome::{Outcome, Stop, failed, require, skipped};
use crate::case::suite::cases;
use crate::migration::hop::Hop;
use crate::migration::left_in_queues::{Found, Unloaded};
use ap_arch::{QueueStatus, facility};

cases!("migration-interrupts" for Hop:
    off_if_migrated,
    nothing_for_the_old_registration,
    new_reply_told_as_the_state_says,
    can_be_turned_on_again,
);

/// The queues on which interruption was on.
fn armed(hop: &Hop) -> Result<&Unloaded, Stop> {
    let cargo = hop.cargo()?;
    if cargo.strays.is_none() {
        return Err(skipped!("AQIC is not available: facility {} is not installed", facility::APQI));
    }
    Ok(cargo)
}

/// After a migration IR is off, after a refused one it is on.
fn off_if_migrated(hop: &Hop) -> Outcome {
    for Found { queue, status, received, .. } in &armed(hop)?.queues {
        let (apqn, stayed) = (queue.apqn, !received.is_empty());
        require!(status.has(QueueStatus::INTERRUPT_ENABLED) == stayed, "{apqn} answered {status}");
    }
    Ok(())
}

/// After a migration neither an interruption nor a byte comes for what was registered before.
fn nothing_for_the_old_registration(hop: &Hop) -> Outcome {
    let cargo = armed(hop)?;
    if let Some(told) = cargo.strays.filter(|told| !cargo.stayed() && !told.nothing()) {
        return Err(failed!("{told}"));
    }
    Ok(())
}

/// A new reply is told by the old registration if and only if interruption is still on.
fn new_reply_told_as_the_state_says(hop: &Hop) -> Outcome {
    for Found { queue, received, told, .. } in &armed(hop)?.queues {
        let stayed = !received.is_empty();
        if let Some(told) = told.filter(|told| told.nothing() == stayed) {
            let apqn = queue.apqn;
            return Err(failed!("{apqn}: {told}"));
        }
    }
    Ok(())
}

/// AQIC takes another byte and another subclass, and a reply then comes there and nowhere else.
fn can_be_turned_on_again(hop: &Hop) -> Outcome {
    armed(hop)?.queues.iter().try_for_each(|found| found.armed_again.clone().unwrap_or(Ok(())))
}
