// SPDX-License-Identifier: MIT OR Apache-2.0
//! The master keys of CCA coprocessors, as far as a guest sees them: by their verification patterns, which the query FQ
//! answers. AP reference 7.9.

use crate::ap::cca::{self, Answered};
use crate::ap::exchange;
use crate::ap::instructions::{Answer, Ap};
use crate::ap::queue::Queue;
use alloc::vec::Vec;
use ap_arch::{Apqn, CardMode};

/// FQ with one rule.
pub(crate) fn query(queue: &Queue, rule: [u8; 8]) -> Vec<u8> {
    cca::request(queue.apqn.apqi.0.into(), *b"FQ", rule, &[0; 4096], &[], 0)
}

/// Where the patterns in force stand among the data of STATICSA: two halves of the asymmetric one, and the AES one. AP
/// reference 7.9.
const PATTERNS: [usize; 3] = [84, 92, 184];

/// The patterns of one queue's domain.
pub(crate) type Patterns = (Apqn, [u64; 3]);

/// The patterns in force for those of these queues that belong to a CCA coprocessor and answer.
pub(crate) fn patterns(ap: &Ap, queues: &[(Apqn, Answer)]) -> Vec<Patterns> {
    let usable = queues.iter().filter_map(|(apqn, answer)| Queue::usable(*apqn, answer));
    let coprocessors = usable.filter(|queue| queue.mode == CardMode::Cca);
    coprocessors.filter_map(|queue| of_queue(ap, &queue)).collect()
}

fn of_queue(ap: &Ap, queue: &Queue) -> Option<Patterns> {
    let reply = exchange::ask(ap, queue.apqn, &query(queue, *b"STATICSA")).ok()?;
    let Answered { parameters, .. } = cca::answered(&reply).ok()?;
    let mut patterns = [0; 3];
    for (pattern, at) in patterns.iter_mut().zip(PATTERNS) {
        *pattern = u64::from_be_bytes(*parameters.vud.get(at..)?.first_chunk()?);
    }
    Some((queue.apqn, patterns))
}
