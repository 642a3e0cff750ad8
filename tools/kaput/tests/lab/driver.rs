// SPDX-License-Identifier: MIT OR Apache-2.0
//! The released driver, judged by the cases that need no migration: sysfs and resets. It has no fault that they know,
//! so whatever fails is the lab's.

use vfio_linux::Driver;
use vfio_mig::conformance::{Options, Verdict, run};

use crate::bench::Bench;

/// Parts of the names of cases: those that judge a driver without migration, and others of their groups, which skip it.
const CASES: [&str; 5] = ["beyond/", "code/eaddrnotavail", "code/enodev-above-maximum", "guest/", "uapi/"];
/// How many of them judge it: `without_migration` in the cases, less one that needs control of uninitialised memory.
const JUDGED: usize = 7;

pub(crate) fn is_judged(bench: &Bench) -> Result<(), String> {
    let factory = bench.factory("driver", Driver::VFIO_AP)?;
    let only = CASES.iter().map(|case| (*case).to_owned()).collect();
    let results = run(&factory, &Options { only, dangerous: true, shuffle: None });
    let count = |verdict| results.iter().filter(|result| result.verdict == verdict).count();
    let wrong = results.iter().filter(|result| matches!(result.verdict, Verdict::Fail | Verdict::Broken));
    let wrong: Vec<String> = wrong
        .map(|result| format!("{}: {}: expected {}, seen {}", result.case, result.reason, result.expected, result.seen))
        .collect();
    println!("{} passed, {} skipped, {} LPARs", count(Verdict::Pass), count(Verdict::Skip), factory.machines.count());
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    let passed = count(Verdict::Pass);
    if passed >= JUDGED { Ok(()) } else { Err(format!("{passed} cases passed, where {JUDGED} judge this driver")) }
}
