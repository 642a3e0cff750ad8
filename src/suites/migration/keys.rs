// SPDX-License-Identifier: MIT OR Apache-2.0
//! The master keys of CCA coprocessors, by which a guest's secure keys are wrapped. No driver can compare them, but a guest can,
//! by their verification patterns. Runs only where the command line names it. vfio-ap migration spec 11.

use crate::ap::cca::{self, Answered};
use crate::ap::instructions::{Answer, Ap};
use crate::ap::request::Queue;
use crate::migration::hop::Hop;
use crate::suites::card_info;
use crate::suites::{Outcome, cases, require, skipped};
use alloc::vec::Vec;
use ap_arch::{Apqn, CardMode};

cases!("migration-keys" for Hop: same_master_keys);

/// Where the patterns in force stand among the data of STATICSA: two halves of the asymmetric one, and the AES one. AP
/// reference 7.9.
const PATTERNS: [usize; 3] = [84, 92, 184];

/// The patterns of one queue's domain.
pub(crate) type Patterns = (Apqn, [u64; 3]);

/// The patterns in force for these queues, as far as they are coprocessors' and tell.
pub(crate) fn patterns(ap: &Ap, queues: &[(Apqn, Answer)]) -> Vec<Patterns> {
    let usable = queues.iter().filter_map(|(apqn, answer)| Queue::usable(*apqn, answer));
    let coprocessors = usable.filter(|queue| queue.mode == CardMode::Cca);
    coprocessors.filter_map(|queue| of_queue(ap, &queue)).collect()
}

fn of_queue(ap: &Ap, queue: &Queue) -> Option<Patterns> {
    let reply = card_info::ask(ap, queue, &card_info::query(queue, *b"STATICSA")).ok()?;
    let Answered { parameters, .. } = cca::answered(&reply).ok()?;
    let mut patterns = [0; 3];
    for (pattern, at) in patterns.iter_mut().zip(PATTERNS) {
        *pattern = u64::from_be_bytes(*parameters.vud.get(at..)?.first_chunk()?);
    }
    Some((queue.apqn, patterns))
}

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
