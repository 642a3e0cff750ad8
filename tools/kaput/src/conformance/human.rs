// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report for people: a line for each group, then every case that did not pass, each on less than a screen.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use vfio_mig::catalogue;
use vfio_mig::conformance::{CaseResult, Verdict};

use super::Judged;
use crate::outcome::verdict::word;
use crate::report::text::paragraph;

/// Calls that are shown of a failure: the last ones, which led to it.
const SHOWN_CALLS: usize = 14;

/// The whole report.
#[must_use]
pub fn screen(judged: &Judged) -> String {
    let mut text = format!("{}: {} cases\n", judged.device, judged.results.len());
    let mut groups: BTreeMap<&str, BTreeMap<Verdict, usize>> = BTreeMap::new();
    for result in &judged.results {
        let group = result.case.split('/').next().unwrap_or_default();
        *groups.entry(group).or_default().entry(result.verdict).or_default() += 1;
    }
    for (group, counts) in groups {
        let counts: Vec<String> = counts.iter().map(|(verdict, count)| format!("{count} {}", word(*verdict))).collect();
        _ = writeln!(text, "  {group:<10} {}", counts.join(", "));
    }
    for result in judged.results.iter().filter(|result| result.verdict != Verdict::Pass) {
        text.push_str(&item(judged, result));
    }
    _ = writeln!(text, "\n{judged}");
    text
}

/// One case: what was done, what should have come of it, what did.
#[must_use]
pub fn item(judged: &Judged, result: &CaseResult) -> String {
    let mut text = format!("\n{} {}\n", word(result.verdict), result.case);
    let add = |text: &mut String, title, content: &str| paragraph(text, title, content);
    match result.verdict {
        Verdict::Skip => add(&mut text, "why", &result.reason),
        Verdict::Differs => add(&mut text, "accepted", &result.reason),
        _ => {
            add(&mut text, "rule", &result.source);
            add(&mut text, "asked", &result.reason);
            add(&mut text, "expected", &result.expected);
            add(&mut text, "seen", &result.seen);
            add(&mut text, "calls", &calls(&result.calls));
            let title = if judged.defects.is_some() { "finding" } else { "could be" };
            add(&mut text, title, &findings(&judged.findings(result)));
        }
    }
    text
}

/// The last calls, one a line.
#[must_use]
pub fn calls(calls: &[String]) -> String {
    let hidden = calls.len().saturating_sub(SHOWN_CALLS);
    let mut lines: Vec<String> = Vec::new();
    if hidden > 0 {
        lines.push(format!("({hidden} earlier calls: --report json shows all)"));
    }
    // One call may be a whole matrix: its beginning and its end say enough.
    lines.extend(calls[hidden..].iter().map(|call| {
        let length = call.chars().count();
        if length <= 160 {
            return call.clone();
        }
        let (begin, end): (String, String) =
            (call.chars().take(100).collect(), call.chars().skip(length - 50).collect());
        format!("{begin} … {end}")
    }));
    lines.join("\n")
}

fn findings(ids: &[&str]) -> String {
    let lines = ids.iter().map(|id| match catalogue::find(id) {
        Some(finding) => format!("{id} ({}): kaput explain {id}", finding.severity),
        None => (*id).to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}
