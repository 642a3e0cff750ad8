// SPDX-License-Identifier: MIT OR Apache-2.0
//! Another CPU computes without pause while the guest is migrated: every answer is right, none is missing, and the
//! longest pause is reported. vfio-ap migration spec 10.

use crate::case::outcome::{Outcome, Stop, require};
use crate::case::report;
use crate::case::suite::cases;
use crate::migration::hop::Hop;

cases!("migration-continuous" for Hop:
    /// Every answer was the known one.
    no_wrong_answer: |hop| hop.continuous()?.wrong.clone().map_or(Ok(()), |reason| Err(Stop::Fail(reason))),
    none_missing,
    went_on_meanwhile,
    goes_on_afterwards,
);

/// Every request was answered, but for at most one that was in the queue when the guest left it.
fn none_missing(hop: &Hop) -> Outcome {
    let leg = hop.continuous()?;
    report::info(format_args!(
        "continuous: {} operations, {} of them since the last time, {} repeated, longest gap {} us",
        leg.total, leg.done, leg.lost, leg.longest_gap
    ));
    require!(leg.lost <= 1, "{} requests were never answered", leg.lost);
    Ok(())
}

/// Between the announcement and the key there were right answers.
fn went_on_meanwhile(hop: &Hop) -> Outcome {
    require!(hop.continuous()?.on_the_way > 0, "no operation between the announcement and the key");
    Ok(())
}

/// After the key there were more.
fn goes_on_afterwards(hop: &Hop) -> Outcome {
    require!(hop.continuous()?.goes_on, "no operation after the key");
    Ok(())
}
