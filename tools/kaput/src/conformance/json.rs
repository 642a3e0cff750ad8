// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report for programs: one JSON object a line for each case, and a last one with the counts.

use serde::Serialize;
use vfio_mig::conformance::{CaseResult, Verdict};

use super::Judged;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Counts<'a> {
    device: &'a str,
    cases: usize,
    passed: usize,
    differed: usize,
    failed: usize,
    skipped: usize,
    broken: usize,
    exit_status: u8,
}

/// The whole report.
#[must_use]
pub fn lines(judged: &Judged) -> String {
    let counts = Counts {
        device: &judged.device,
        cases: judged.results.len(),
        passed: judged.count(Verdict::Pass),
        differed: judged.count(Verdict::Differs),
        failed: judged.count(Verdict::Fail),
        skipped: judged.count(Verdict::Skip),
        broken: judged.count(Verdict::Broken),
        exit_status: judged.exit().status(),
    };
    let case = |result: &CaseResult| {
        let covers = judged.findings(result).into_iter().map(str::to_owned).collect();
        serde_json::to_string(&CaseResult { covers, ..result.clone() }).unwrap_or_default()
    };
    let cases = judged.results.iter().map(case);
    let last = serde_json::to_string(&counts).unwrap_or_default();
    cases.chain([last]).map(|line| line + "\n").collect()
}
