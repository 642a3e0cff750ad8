// SPDX-License-Identifier: MIT OR Apache-2.0
//! TAP version 13: the lines of any report for harnesses that read it, and the report of runs as such lines.
//!
//! What stands in the diagnostic blocks is JSON, which YAML readers take.

use std::fmt::Write as _;

use ap_arch::report::CaseVerdict;
use serde_json::{Value, json};

use super::ReportedRun;

/// One test point.
#[derive(Clone, Debug, Default)]
pub struct Point {
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was tested.
    pub name: String,
    /// Why it was not, if so.
    pub skip: Option<String>,
    /// What else there is to say in a line.
    pub remark: Option<String>,
    /// Members of the diagnostic block, in their order.
    pub diagnostic: Vec<(&'static str, Value)>,
}

/// A whole document; `remarks` stand at its end.
#[must_use]
pub fn document(points: &[Point], remarks: &[String]) -> String {
    let mut text = format!("TAP version 13\n1..{}\n", points.len());
    for (number, point) in (1..).zip(points) {
        let word = if point.ok { "ok" } else { "not ok" };
        _ = write!(text, "{word} {number} - {}", one_line(&point.name));
        if let Some(reason) = &point.skip {
            _ = write!(text, " # SKIP {}", one_line(reason));
        }
        text.push('\n');
        if let Some(remark) = &point.remark {
            _ = writeln!(text, "# {}", one_line(remark));
        }
        if !point.diagnostic.is_empty() {
            text.push_str("  ---\n");
            point.diagnostic.iter().for_each(|(name, value)| _ = writeln!(text, "  {name}: {value}"));
            text.push_str("  ...\n");
        }
    }
    remarks.iter().for_each(|remark| _ = writeln!(text, "# {}", one_line(remark)));
    text
}

/// A point for each run's verdict and for each case of its guest. A case that a scenario wants to fail is `ok` when it
/// does.
#[must_use]
pub fn runs(runs: &[ReportedRun<'_>]) -> String {
    let mut points = Vec::new();
    for run in runs {
        let verdict = &run.finished.verdict;
        let mut point = Point { ok: verdict.is_as_expected(), name: run.finished.scenario.clone(), ..Point::default() };
        point.skip = verdict.skipped();
        if !point.ok {
            let list = |lines: &[String]| if lines.is_empty() { Value::Null } else { json!(lines) };
            let members = [
                ("verdict", json!(verdict.kind)),
                ("message", json!(verdict.happened)),
                ("host", json!(verdict.host)),
                ("expected", json!(verdict.expected)),
                ("seen", json!(verdict.seen)),
                ("next", json!(verdict.next)),
                ("findings", list(&verdict.findings)),
                ("suspects", list(&verdict.suspects)),
                ("last-instructions", list(&verdict.last_instructions)),
                ("kernel-log", if verdict.kernel_log.is_empty() { Value::Null } else { json!(verdict.kernel_log) }),
                ("run-folder", json!(verdict.run_folder)),
            ];
            point.diagnostic = members.into_iter().filter(|(_, value)| !value.is_null() && value != "").collect();
        }
        points.push(point);
        for case in &run.finished.cases {
            let skip = (case.verdict == CaseVerdict::Skip).then(|| case.detail.clone().unwrap_or_default());
            let ok = run.case_is_right(case);
            let mut diagnostic = Vec::new();
            if !ok {
                diagnostic.push(("guest", json!(case.verdict.word())));
                diagnostic.extend(case.detail.as_ref().map(|detail| ("message", json!(detail))));
            }
            let name = format!("{}: {}", run.finished.scenario, case.name);
            points.push(Point { ok, name, skip, diagnostic, ..Point::default() });
        }
    }
    document(&points, &[super::count(runs)])
}

/// TAP is made of lines, and `#` begins a directive.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r', '#'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_neither_end_a_line_nor_begin_a_directive() {
        let point = Point { ok: false, name: "a\nok 2 - b # TODO".into(), ..Point::default() };
        assert_eq!(document(&[point], &[]), "TAP version 13\n1..1\nnot ok 1 - a ok 2 - b   TODO\n");
    }

    #[test]
    fn a_diagnostic_is_a_block_of_json_members() {
        let point = Point { name: "x".into(), diagnostic: vec![("seen", json!("a\n\"b\""))], ..Point::default() };
        let text = document(&[point], &["1 of 2".into()]);
        assert_eq!(text, "TAP version 13\n1..1\nnot ok 1 - x\n  ---\n  seen: \"a\\n\\\"b\\\"\"\n  ...\n# 1 of 2\n");
    }
}
