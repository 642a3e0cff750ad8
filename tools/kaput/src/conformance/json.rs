// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report for programs: one JSON object a line for each case, and a last one with the counts. It is read again to
//! be reported in another form.

use serde::{Deserialize, Serialize};
use vfio_mig::conformance::{CaseResult, Verdict};

use super::Judged;
use crate::report::partition::Partition;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Counts<'a> {
    device: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<Partition>,
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
        part: judged.part,
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

/// The last line, as far as it says what the others do not.
#[derive(Deserialize)]
struct Whole {
    device: String,
    part: Option<Partition>,
    cases: usize,
}

/// Whether a text is such a report, and not one of runs.
#[must_use]
pub fn is_one(text: &str) -> bool {
    let first = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>().next();
    first.is_some_and(|first| first.is_ok_and(|first| ["case", "device"].iter().any(|key| first.get(key).is_some())))
}

/// Reads a report.
///
/// # Errors
/// A sentence that names the line.
pub fn read(text: &str) -> Result<Judged, String> {
    let lines: Vec<&str> = text.lines().collect();
    let wrong = |number: usize, error: &serde_json::Error| format!("line {number}: {error}");
    let Some((last, cases)) = lines.split_last() else { return Err("it is empty".to_owned()) };
    let case = |(number, line): (usize, &&str)| serde_json::from_str(line).map_err(|error| wrong(number + 1, &error));
    let whole: Whole = serde_json::from_str(last).map_err(|error| wrong(lines.len(), &error))?;
    let results: Vec<CaseResult> = cases.iter().enumerate().map(case).collect::<Result<_, _>>()?;
    if results.len() != whole.cases {
        return Err(format!("it has {} cases, and its last line says {}", results.len(), whole.cases));
    }
    Ok(Judged { device: whole.device, defects: None, part: whole.part, results })
}
