// SPDX-License-Identifier: MIT OR Apache-2.0
//! KTAP as the kernel's documentation has version 1: a plan for each level, results in their order, a subtest before
//! the result that it belongs to. It says of each run and each case what TAP says of them.

use checks::{ensure, trial};
use libtest_mimic::Trial;

use super::made;

pub(super) fn trial_of_ktap() -> Trial {
    trial("ktap_is_nested_and_says_what_tap_says", || {
        let made = made()?;
        let text = made.text("ktap")?;
        let read = points(&text)?;
        let tap = made.text("tap")?;
        let tap: Vec<bool> = tap.lines().filter_map(|line| Some(result(line)?.1)).collect();
        let count = |points: &[bool]| (points.len(), points.iter().filter(|ok| !**ok).count());
        ensure(count(&read) == count(&tap), || format!("{:?} points, and TAP has {:?}", count(&read), count(&tap)))?;
        for (from, to) in [("\n1..", "\n1..9"), ("\n  ok 2 ", "\n  ok 3 "), ("\n  1..", "\n  2.."), ("KTAP", "TAP")] {
            ensure(points(&text.replacen(from, to, 1)).is_err(), || format!("{to:?} instead of {from:?} is taken"))?;
        }
        Ok(())
    })
}

/// Number, and whether it is `ok`.
fn result(line: &str) -> Option<(usize, bool)> {
    let rest = line.strip_prefix("ok ").map(|rest| (rest, true));
    let (rest, ok) = rest.or_else(|| line.strip_prefix("not ok ").map(|rest| (rest, false)))?;
    Some((rest.split(' ').next()?.parse().ok()?, ok))
}

/// Every point, those of subtests too; or what is wrong.
fn points(text: &str) -> Result<Vec<bool>, String> {
    let mut points = Vec::new();
    // Of each level: how many are planned, how many were there.
    let mut levels: [Option<(usize, usize)>; 2] = [None; 2];
    for line in text.lines() {
        let (level, line) = line.strip_prefix("  ").map_or((0, line), |line| (1, line));
        if line == "KTAP version 1" {
            ensure_str(levels[level].is_none(), "a level begins twice")?;
        } else if let Some(plan) = line.strip_prefix("1..") {
            levels[level] = Some((plan.parse().map_err(|_| "a plan without a number")?, 0));
        } else if let Some((number, ok)) = result(line) {
            if level == 0
                && let Some((planned, there)) = levels[1].take()
            {
                ensure_str(planned == there, "a subtest ends early")?;
            }
            let (planned, there) = levels[level].as_mut().ok_or("a result without a plan")?;
            *there += 1;
            ensure_str(number == *there && number <= *planned, "a result out of order")?;
            points.push(ok);
        } else {
            ensure_str(line.starts_with("# "), "an unknown line")?;
        }
    }
    ensure_str(levels[0].is_some_and(|(planned, there)| planned == there), "the document ends early")?;
    Ok(points)
}

fn ensure_str(holds: bool, reason: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason.to_owned()) }
}
