// SPDX-License-Identifier: MIT OR Apache-2.0
//! Right answers before, while and after the guest is migrated. vfio-ap migration spec 10.

use crate::case::outcome::{Outcome, Stop, skipped};
use crate::case::suite::cases;
use crate::migration::hop::Hop;
use alloc::string::String;

cases!("migration-rsa" for Hop:
    /// Each accelerator queue gave the known answer before the guest could be migrated.
    right_before: |hop| judge(hop, &hop.rsa_before),
    right_on_the_way,
    /// Each accelerator queue gave the known answer after the key.
    right_after: |hop| judge(hop, &hop.rsa_after),
);

fn judge(hop: &Hop, result: &Result<(), String>) -> Outcome {
    if hop.accelerators == 0 {
        return Err(skipped!("no accelerator queue in the matrix, or none that is left to this suite"));
    }
    result.clone().map_err(Stop::Fail)
}

/// Each answer between the announcement and the key was the known one; none was missing, but for at most one request
/// that was in a queue when the guest left it.
fn right_on_the_way(hop: &Hop) -> Outcome {
    judge(hop, &hop.rsa_on_the_way)
}
