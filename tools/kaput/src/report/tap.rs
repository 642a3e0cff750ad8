// SPDX-License-Identifier: MIT OR Apache-2.0
//! TAP version 13 and KTAP version 1: the lines of any report for harnesses that read them, and the report of runs as
//! such lines. KTAP has the points of each suite one level below the suite's own.
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

/// Points that belong together, and the one that stands for all of them.
#[derive(Clone, Debug, Default)]
pub struct Suite {
    /// The suite as a whole.
    pub whole: Point,
    /// What is in it.
    pub points: Vec<Point>,
}

/// A whole document of KTAP, as KernelCI and the kernel's own tools read it; `remarks` stand at its end.
#[must_use]
pub fn nested(suites: &[Suite], remarks: &[String]) -> String {
    let mut text = format!("KTAP version 1\n1..{}\n", suites.len());
    for (number, suite) in (1..).zip(suites) {
        if !suite.points.is_empty() {
            _ = writeln!(text, "  KTAP version 1\n  # Subtest: {}", one_line(&suite.whole.name));
            _ = writeln!(text, "  1..{}", suite.points.len());
            (1..).zip(&suite.points).for_each(|(number, point)| ktap_point(&mut text, "  ", number, point));
        }
        ktap_point(&mut text, "", number, &suite.whole);
    }
    remarks.iter().for_each(|remark| _ = writeln!(text, "# {}", one_line(remark)));
    text
}

/// What is known of a point stands before its result.
fn ktap_point(text: &mut String, indent: &str, number: usize, point: &Point) {
    point.remark.iter().for_each(|remark| _ = writeln!(text, "{indent}# {}", one_line(remark)));
    for (name, value) in &point.diagnostic {
        _ = writeln!(text, "{indent}# {name}: {}", one_line(&value.to_string()));
    }
    text.push_str(indent);
    result(text, number, point);
}

fn result(text: &mut String, number: usize, point: &Point) {
    let word = if point.ok { "ok" } else { "not ok" };
    _ = write!(text, "{word} {number} - {}", one_line(&point.name));
    if let Some(reason) = &point.skip {
        _ = write!(text, " # SKIP {}", one_line(reason));
    }
    text.push('\n');
}

/// A whole document; `remarks` stand at its end.
#[must_use]
pub fn document(points: &[Point], remarks: &[String]) -> String {
    let mut text = format!("TAP version 13\n1..{}\n", points.len());
    for (number, point) in (1..).zip(points) {
        result(&mut text, number, point);
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
    for Suite { whole, points: cases } in suites(runs) {
        let of = whole.name.clone();
        points.push(whole);
        points.extend(cases.into_iter().map(|case| Point { name: format!("{of}: {}", case.name), ..case }));
    }
    document(&points, &[super::count(runs)])
}

/// The same as KTAP: a subtest for each run.
#[must_use]
pub fn nested_runs(runs: &[ReportedRun<'_>]) -> String {
    nested(&suites(runs), &[super::count(runs)])
}

fn suites(runs: &[ReportedRun<'_>]) -> Vec<Suite> {
    let suite = |run: &ReportedRun<'_>| {
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
        let cases = run.finished.cases.iter().map(|case| {
            let skip = (case.verdict == CaseVerdict::Skip).then(|| case.detail.clone().unwrap_or_default());
            let ok = run.case_is_right(case);
            let mut diagnostic = Vec::new();
            if !ok {
                diagnostic.push(("guest", json!(case.verdict.word())));
                diagnostic.extend(case.detail.as_ref().map(|detail| ("message", json!(detail))));
            }
            Point { ok, name: case.name.clone(), skip, diagnostic, ..Point::default() }
        });
        Suite { points: cases.collect(), whole: point }
    };
    runs.iter().map(suite).collect()
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
        assert_eq!(document(std::slice::from_ref(&point), &[]), "TAP version 13\n1..1\nnot ok 1 - a ok 2 - b   TODO\n");
        let suite = Suite { whole: point.clone(), points: vec![point] };
        let line = "not ok 1 - a ok 2 - b   TODO\n";
        let head = "KTAP version 1\n1..1\n  KTAP version 1\n  # Subtest: a ok 2 - b   TODO\n  1..1\n";
        assert_eq!(nested(&[suite], &[]), format!("{head}  {line}{line}"));
    }

    #[test]
    fn a_diagnostic_is_a_block_of_json_members() {
        let point = Point { name: "x".into(), diagnostic: vec![("seen", json!("a\n\"b\""))], ..Point::default() };
        let text = document(&[point], &["1 of 2".into()]);
        assert_eq!(text, "TAP version 13\n1..1\nnot ok 1 - x\n  ---\n  seen: \"a\\n\\\"b\\\"\"\n  ...\n# 1 of 2\n");
    }
}
