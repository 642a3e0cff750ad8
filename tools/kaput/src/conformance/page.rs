// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report as one page: a row for each case, behind each failure what the report for people says of it, and below
//! what is known of the findings that failures are known as. The page needs no other file.

use std::collections::BTreeMap;

use askama::Template;
use vfio_mig::catalogue;
use vfio_mig::conformance::{CaseResult, Verdict};

use super::{Judged, explain, human};
use crate::outcome::verdict::{Exit, word};

#[derive(Template)]
#[template(path = "conformance.html")]
struct Page<'a> {
    judged: &'a Judged,
    is_good: bool,
    rows: Vec<Row<'a>>,
    /// What is known of each finding that a row names.
    findings: BTreeMap<&'a str, String>,
}

struct Row<'a> {
    case: &'a str,
    word: &'static str,
    class: &'static str,
    reason: &'a str,
    findings: Vec<&'a str>,
    details: String,
}

/// The page.
///
/// # Errors
/// When it cannot be written; the text says why.
pub fn page(judged: &Judged) -> Result<String, String> {
    let rows: Vec<Row<'_>> = judged.results.iter().map(|result| row(judged, result)).collect();
    let named = rows.iter().flat_map(|row| &row.findings);
    let findings = named.filter_map(|id| Some((*id, explain::screen(catalogue::find(id)?, &[])))).collect();
    let page = Page { judged, is_good: judged.exit() == Exit::AsExpected, rows, findings };
    page.render().map_err(|error| error.to_string())
}

fn row<'a>(judged: &'a Judged, result: &'a CaseResult) -> Row<'a> {
    let is_wrong = matches!(result.verdict, Verdict::Fail | Verdict::Broken);
    let class = match result.verdict {
        Verdict::Pass | Verdict::Differs => "good",
        Verdict::Skip => "faint",
        Verdict::Fail | Verdict::Broken => "bad",
    };
    let findings = if is_wrong { judged.findings(result) } else { Vec::new() };
    let details = if is_wrong { human::item(judged, result).trim().to_owned() } else { String::new() };
    Row { case: &result.case, word: word(result.verdict), class, reason: &result.reason, findings, details }
}
