// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report as one page: a row for each case, and behind each failure what the report for people says of it.

use askama::Template;
use vfio_mig::conformance::{CaseResult, Verdict};

use super::{Judged, human};
use crate::outcome::verdict::{Exit, word};

#[derive(Template)]
#[template(path = "conformance.html")]
struct Page<'a> {
    judged: &'a Judged,
    is_good: bool,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    case: &'a str,
    word: &'static str,
    class: &'static str,
    reason: &'a str,
    findings: String,
    details: String,
}

/// The page.
///
/// # Errors
/// When it cannot be written; the text says why.
pub fn page(judged: &Judged) -> Result<String, String> {
    let rows = judged.results.iter().map(|result| row(judged, result)).collect();
    let page = Page { judged, is_good: judged.exit() == Exit::AsExpected, rows };
    page.render().map_err(|error| error.to_string())
}

fn row<'a>(judged: &Judged, result: &'a CaseResult) -> Row<'a> {
    let is_wrong = matches!(result.verdict, Verdict::Fail | Verdict::Broken);
    let class = match result.verdict {
        Verdict::Pass | Verdict::Differs => "good",
        Verdict::Skip => "faint",
        Verdict::Fail | Verdict::Broken => "bad",
    };
    let findings = judged.findings(result);
    let findings = if findings.is_empty() { "more".to_owned() } else { findings.join(", ") };
    let details = if is_wrong { human::item(judged, result).trim().to_owned() } else { String::new() };
    Row { case: &result.case, word: word(result.verdict), class, reason: &result.reason, findings, details }
}
