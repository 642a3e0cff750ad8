// SPDX-License-Identifier: MIT OR Apache-2.0
//! The master keys of CCA coprocessors, by which a guest's secure keys are wrapped. No driver can compare them, but a
//! guest can, by their verification patterns. Runs only where the command line names it. vfio-ap migration spec 11.

use crate::case::outcome::{Outcome, require, skipped};
use crate::case::suite::cases;
use crate::migration::hop::Hop;

cases!("migration-keys" for Hop:
    same_master_keys,
);

/// Every coprocessor queue shows the verification patterns of before. vfio-ap migration spec 11.
fn same_master_keys(hop: &Hop) -> Outcome {
    if hop.keys_before.is_empty() {
        return Err(skipped!("no CCA coprocessor in the matrix"));
    }
    for (apqn, before) in &hop.keys_before {
        let after = hop.keys_after.iter().find(|(queue, _)| queue == apqn).map_or([0; 3], |(_, patterns)| *patterns);
        for (old, new) in before.iter().zip(after) {
            require!(*old == new, "{apqn}: master keys {old:016x} became {new:016x}");
        }
    }
    Ok(())
}
