// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report as JUnit's XML, for CI systems: a suite for each group of cases.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use vfio_mig::conformance::{CaseResult, Verdict};

use super::{Judged, human};
use crate::outcome::verdict::word;
use crate::report::junit::skipped;

/// The whole report.
///
/// # Errors
/// When the XML cannot be written; the text says why.
pub fn document(judged: &Judged) -> Result<String, String> {
    let mut report = Report::new(judged.device.as_str());
    for (group, results) in judged.groups() {
        let mut suite = TestSuite::new(group);
        suite.set_time(Duration::ZERO);
        suite.add_test_cases(results.iter().map(|result| case(judged, group, result)));
        report.add_test_suite(suite);
    }
    report.to_string().map_err(|error| error.to_string())
}

fn case(judged: &Judged, group: &str, result: &CaseResult) -> TestCase {
    let wrong = |kind| {
        let mut status = TestCaseStatus::non_success(kind);
        let message = match result.verdict {
            Verdict::Broken => result.reason.clone(),
            _ => format!("{}: expected {}, seen {}", result.reason, result.expected, result.seen),
        };
        status.set_message(message).set_type(word(result.verdict));
        status.set_description(human::item(judged, result).trim());
        status
    };
    let status = match result.verdict {
        Verdict::Pass | Verdict::Differs => TestCaseStatus::success(),
        Verdict::Skip => skipped(&result.reason),
        Verdict::Fail => wrong(NonSuccessKind::Failure),
        Verdict::Broken => wrong(NonSuccessKind::Error),
    };
    let mut case = TestCase::new(result.case.as_str(), status);
    case.set_classname(group).set_time(Duration::ZERO);
    case
}
