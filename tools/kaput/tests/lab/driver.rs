// SPDX-License-Identifier: MIT OR Apache-2.0
//! The released driver, judged by the cases that need no migration: life cycle, sysfs, resets, log. It has no fault
//! that they know, so whatever fails is the lab's.

use vfio_linux::LinuxFactory;
use vfio_mig::conformance::{Options, Verdict, run};

use crate::bench::Bench;

/// Parts of the names of cases that judge a driver without migration as well: life cycle, sysfs, resets, log.
const CASES: [&str; 4] = ["arc/before-open", "beyond/", "guest/", "uapi/"];

pub(crate) fn is_judged(bench: &Bench) -> Result<(), String> {
    let factory = LinuxFactory(bench.machines("driver")?);
    let only = CASES.iter().map(|case| (*case).to_owned()).collect();
    let results = run(&factory, &Options { only, dangerous: true });
    let count = |verdict| results.iter().filter(|result| result.verdict == verdict).count();
    let wrong = results.iter().filter(|result| matches!(result.verdict, Verdict::Fail | Verdict::Broken));
    let wrong: Vec<String> = wrong
        .map(|result| format!("{}: {}: expected {}, seen {}", result.case, result.reason, result.expected, result.seen))
        .collect();
    println!("{} passed, {} skipped, {} LPARs", count(Verdict::Pass), count(Verdict::Skip), factory.0.count());
    if count(Verdict::Pass) == 0 {
        return Err("no case passed".to_owned());
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}
