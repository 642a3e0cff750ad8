// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cases of races on a kernel with its own checkers. On a released driver nothing may be found; on one that
//! migrates whatever is found must be known.

use std::path::PathBuf;

use kaput::conformance::evidence;
use vfio_linux::Driver;
use vfio_mig::conformance::{Options, Verdict, run};

use crate::bench::Bench;

pub(crate) fn judge(_: &Bench) -> Result<(), String> {
    let named = |variable| std::env::var_os(variable).map(PathBuf::from).ok_or(format!("{variable} names nothing"));
    let bench = Bench::new(&named("KAPUT_LAB_CHECKERS")?, &named("KAPUT_AGENT")?);
    let options = Options { only: vec!["races/".to_owned()], dangerous: true, shuffle: None };
    let results = run(&bench.factory("checkers", Driver::VFIO_AP)?, &options);
    let mut wrong = Vec::new();
    for result in results.iter().filter(|result| matches!(result.verdict, Verdict::Fail | Verdict::Broken)) {
        println!("{}: {}", result.case, result.seen);
        let shown = |id: &String| evidence::of(id).is_some_and(|evidence| evidence.not_shown.is_empty());
        if result.verdict == Verdict::Broken || !result.covers.iter().any(shown) {
            wrong.push(format!("{}: {}: {}", result.case, result.reason, result.seen));
        }
    }
    let judged = results.iter().filter(|result| result.verdict != Verdict::Skip).count();
    println!("{judged} of {} cases judged", results.len());
    if wrong.is_empty() && judged > 0 { Ok(()) } else { Err(wrong.join("\n")) }
}
