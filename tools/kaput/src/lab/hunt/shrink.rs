// SPDX-License-Identifier: MIT OR Apache-2.0
//! The shortest sequence that still shows a finding. What did nothing goes first, all of it at once; then pieces are
//! left out, halves first, then single steps.

use std::time::Instant;

use vfio_mig::conformance::DeviceFactory;
use vfio_mig::sequence::{Act, Action, Sequence, Step};

use super::draw::ALLOCATIONS;
use super::play::{EXTRA, Played, name, play};

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
    match of_any_allocation(&best) {
        Some(any) if shows(&any) => any,
        _ => best,
    }
}

/// The same where another allocation fails each time, if one fails: its number is another on the next host.
fn of_any_allocation(sequence: &Sequence) -> Option<Sequence> {
    let mut any = sequence.clone();
    let (mut numbered, mut creates) = (0, false);
    for step in &mut any.0 {
        match &mut step.action {
            Action::Again(_) => return None,
            Action::Fail(number, act) => {
                numbered += usize::from(number.take().is_some());
                creates |= matches!(act, Act::Echo { value, .. } if value == EXTRA);
            }
            _ => {}
        }
    }
    if creates {
        // It may be made although an allocation failed.
        let remove = Act::Echo { value: "1".to_owned(), path: format!("@/../{EXTRA}/remove") };
        any.0.push(Step { device: None, action: Action::Plain(remove) });
    }
    any.0.push(Step { device: None, action: Action::Again(ALLOCATIONS) });
    (numbered == 1).then_some(any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_allocation_is_looked_for_by_every_number() {
        let read = |text: &str| text.parse::<Sequence>().expect("steps");
        let any = of_any_allocation(&read("get\nfail 58: set resuming\n"));
        assert_eq!(any, Some(read("get\nfail #: set resuming\nagain 80\n")));
        let creates = format!("fail 58: echo {EXTRA} > @/create\n");
        let any = format!("fail #: echo {EXTRA} > @/create\necho 1 > @/../{EXTRA}/remove\nagain 80\n");
        assert_eq!(of_any_allocation(&read(&creates)), Some(read(&any)));
        for other in ["get\n", "fail 5: get\nfail 6: get\n", "fail #: get\nagain 80\n"] {
            assert_eq!(of_any_allocation(&read(other)), None, "{other}");
        }
    }
}
