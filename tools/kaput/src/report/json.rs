// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verdict for programs: `verdict.json` of a run folder, and one line on standard output with `--report json`.

use serde::Serialize;

use crate::guest::Case;
use crate::observed::State;
use crate::run::Finished;
use crate::verdict::Verdict;

/// A run in figures and words.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report<'a> {
    scenario: &'a str,
    exit_status: u8,
    verdict: &'a Verdict,
    cases: Vec<CaseReport<'a>>,
    info: &'a [String],
}

#[derive(Debug, Serialize)]
struct CaseReport<'a> {
    name: &'a str,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

fn report<'a>(scenario: &'a str, verdict: &'a Verdict, cases: &'a [Case], info: &'a [String]) -> Report<'a> {
    let case =
        |case: &'a Case| CaseReport { name: &case.name, verdict: case.verdict.word(), detail: case.detail.as_deref() };
    Report { scenario, exit_status: verdict.kind.exit() as u8, verdict, cases: cases.iter().map(case).collect(), info }
}

/// The report for the run folder.
#[must_use]
pub fn verdict<'a>(scenario: &'a str, verdict: &'a Verdict, state: &'a State) -> Report<'a> {
    report(scenario, verdict, &state.guest.cases, &state.guest.info)
}

/// The report of a finished run, as one line.
#[must_use]
pub fn line(finished: &Finished) -> String {
    serde_json::to_string(&report(&finished.scenario, &finished.verdict, &finished.cases, &finished.info))
        .unwrap_or_default()
}
