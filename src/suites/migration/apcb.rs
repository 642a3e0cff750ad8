// SPDX-License-Identifier: MIT OR Apache-2.0
//! QCI stores the same before and after a migration. vfio-ap migration spec 10.

use crate::case::outcome::{Outcome, require};
use crate::case::report;
use crate::case::suite::cases;
use crate::migration::hop::Hop;
use ap_arch::{Mask256, Matrix};

cases!("migration-apcb" for Hop:
    /// No adapter is lost, none is gained.
    adapters_unchanged: |hop| unchanged(hop, "adapters", |matrix| matrix.adapters),
    /// No usage domain is lost, none is gained.
    domains_unchanged: |hop| unchanged(hop, "domains", |matrix| matrix.domains),
    /// No control domain is lost, none is gained.
    control_domains_unchanged: |hop| unchanged(hop, "control domains", |matrix| matrix.control_domains),
    extended_addressing_unchanged,
);

#[inline(never)]
fn unchanged(hop: &Hop, what: &str, mask: fn(&Matrix) -> Mask256) -> Outcome {
    let (before, after) = (mask(hop.before()?.matrix()), mask(hop.after()?.matrix()));
    let (lost, gained) = (before.difference(after), after.difference(before));
    require!(lost.is_empty(), "{what} lost: {lost:?}");
    require!(gained.is_empty(), "{what} gained: {gained:?}");
    Ok(())
}

/// The format of the masks is the same: with APXA before, with APXA after. The other flags and the maxima are the
/// host's own; they may change, which is reported.
fn extended_addressing_unchanged(hop: &Hop) -> Outcome {
    let (before, after) = (hop.before()?.block, hop.after()?.block);
    if (before.flags, before.limits()) != (after.flags, after.limits()) {
        let (old, new) = (before.limits(), after.limits());
        report::info(format_args!(
            "flags {:08x} became {:08x}, maxima {:02x} {:02x} became {:02x} {:02x}",
            before.flags, after.flags, old.0, old.1, new.0, new.1
        ));
    }
    let apxa = ap_arch::QciBlock::APXA;
    require!(before.has(apxa) == after.has(apxa), "flags {:08x} became {:08x}", before.flags, after.flags);
    Ok(())
}
