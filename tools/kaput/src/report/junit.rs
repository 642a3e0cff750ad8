// SPDX-License-Identifier: MIT OR Apache-2.0
//! JUnit's XML for CI systems: a suite for each run; its verdict and each case of its guest are test cases.

use std::collections::BTreeMap;
use std::time::Duration;

use ap_arch::report::CaseVerdict;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::ReportedRun;

/// The case of each suite that stands for the run as a whole.
const VERDICT: &str = "verdict";

/// The whole report.
///
/// # Errors
/// When the XML cannot be written; the text says why.
pub fn runs(runs: &[ReportedRun<'_>]) -> Result<String, String> {
    let mut report = Report::new("kaput");
    for run in runs {
        report.add_test_suite(suite(run));
    }
    report.to_string().map_err(|error| error.to_string())
}

fn suite(run: &ReportedRun<'_>) -> TestSuite {
    let finished = run.finished;
    let mut suite = TestSuite::new(finished.scenario.as_str());
    suite.set_time(run.duration());
    suite.add_property(("summary", run.loaded.scenario.summary.as_str()));
    let verdict = &finished.verdict;
    let whole = match verdict.skipped() {
        Some(reason) => skipped(&reason),
        None => status(verdict.is_as_expected(), &verdict.happened, verdict.kind.name()),
    };
    let mut whole = TestCase::new(VERDICT, whole);
    whole.set_classname(finished.scenario.as_str()).set_time(run.duration());
    if !verdict.is_as_expected() {
        whole.set_system_out(super::human::screen(&run.loaded.scenario, finished));
    }
    suite.add_test_case(whole);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for case in &finished.cases {
        let detail = case.detail.as_deref().unwrap_or_default();
        // What is judged after each migration comes several times; readers tell cases apart by their names alone.
        let times = seen.entry(&case.name).and_modify(|times| *times += 1).or_insert(1);
        let name = if *times == 1 { case.name.clone() } else { format!("{} ({times})", case.name) };
        let status = match case.verdict {
            CaseVerdict::Skip if run.case_is_right(case) => skipped(detail),
            _ => status(run.case_is_right(case), detail, case.verdict.word()),
        };
        let mut test = TestCase::new(name, status);
        // The guest's cases are timed by suite, in its own report.
        test.set_classname(finished.scenario.as_str()).set_time(Duration::ZERO);
        suite.add_test_case(test);
    }
    suite
}

/// The status of what could not be tested.
pub(crate) fn skipped(reason: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(reason);
    status
}

fn status(right: bool, message: &str, kind: &str) -> TestCaseStatus {
    if right {
        return TestCaseStatus::success();
    }
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(message).set_type(kind);
    status
}
