// SPDX-License-Identifier: MIT OR Apache-2.0
//! The shortest sequence that still shows a finding. What did nothing goes first, all of it at once; then pieces are
//! left out, halves first, then single steps.

use std::time::Instant;

use vfio_mig::conformance::DeviceFactory;
use vfio_mig::sequence::Sequence;

use super::play::{Played, name, play};

/// Sequences that shrinking tries at most.
const TRIES: usize = 32;

/// Shrinks a sequence that showed the finding of this name; `tried` hears of each try.
pub(super) fn shrink(
    factory: &dyn DeviceFactory,
    sequence: Sequence,
    played: &Played,
    finding: &str,
    until: Instant,
    tried: &dyn Fn(),
) -> Sequence {
    let shows_it = |played: Played| played.found.iter().any(|(key, _)| name(key) == finding);
    let mut tries = 0;
    let mut shows = |less: &Sequence| {
        tries += 1;
        let played = if tries <= TRIES && Instant::now() < until { play(factory, less).ok() } else { None };
        tried();
        played.is_some_and(shows_it)
    };
    let mut best = sequence;
    for did_nothing in [&played.refused, &played.idle] {
        let kept = best.0.iter().enumerate().filter(|(index, _)| !did_nothing.contains(index));
        let less = Sequence(kept.map(|(_, step)| step.clone()).collect());
        if less.0.len() < best.0.len() && shows(&less) {
            best = less;
            break;
        }
    }
    let mut size = best.0.len() / 2;
    while size > 0 {
        let mut at = 0;
        let mut is_shorter = false;
        while at < best.0.len() {
            let mut less = best.clone();
            less.0.drain(at..(at + size).min(best.0.len()));
            if !less.0.is_empty() && shows(&less) {
                best = less;
                is_shorter = true;
            } else {
                at += size;
            }
        }
        size = if is_shorter && size == 1 { 1 } else { size / 2 };
    }
    best
}
