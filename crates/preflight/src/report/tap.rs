// SPDX-License-Identifier: MIT OR Apache-2.0
//! TAP version 13: one test point for the hosts and one for each queue and control domain of the guest. Unknown is not
//! ok. What is worth knowing and changes nothing stands in comments.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::subject_name;
use crate::judge::{Finding, Judgement, Subject, Verdict};
use crate::text::plain;

/// The whole answer.
#[must_use]
pub fn document(judgement: &Judgement) -> String {
    let mut weighty: BTreeMap<Subject, Vec<&Finding>> = BTreeMap::new();
    let mut notes = Vec::new();
    for finding in &judgement.findings {
        match judgement.weight(finding) {
            Verdict::Yes => notes.push(finding),
            _ => weighty.entry(finding.subject).or_default().push(finding),
        }
    }
    let subjects: Vec<Subject> = [Subject::Hosts].into_iter().chain(judgement.subjects().into_keys()).collect();
    let mut text = format!("TAP version 13\n1..{}\n", subjects.len());
    for (number, subject) in (1..).zip(&subjects) {
        let findings = weighty.get(subject).map_or(&[][..], Vec::as_slice);
        let ok = if findings.is_empty() { "ok" } else { "not ok" };
        _ = writeln!(text, "{ok} {number} - {}", subject_name(*subject));
        if !findings.is_empty() {
            _ = writeln!(text, "  ---");
        }
        for finding in findings {
            let evidence = &finding.evidence;
            let verdict = judgement.weight(finding);
            _ = writeln!(text, "  {}:\n    verdict: {verdict}", finding.rule.id);
            for (key, value) in [("source", &evidence.source), ("destination", &evidence.destination)] {
                _ = writeln!(text, "    {key}: {}", yaml(value));
            }
            for (key, lines) in
                [("log", evidence.log.clone()), ("mend", evidence.mend.iter().map(ToString::to_string).collect())]
            {
                if !lines.is_empty() {
                    let lines: Vec<String> = lines.iter().map(|line| yaml(line)).collect();
                    _ = writeln!(text, "    {key}: [{}]", lines.join(", "));
                }
            }
        }
        if !findings.is_empty() {
            _ = writeln!(text, "  ...");
        }
    }
    for finding in notes.iter().filter(|finding| finding.is_violated) {
        let Finding { rule, subject, evidence, .. } = finding;
        let values = format!("{} -> {}", evidence.source, evidence.destination);
        _ = writeln!(text, "# {} {}, {}: {}", rule.severity.name(), rule.id, subject_name(*subject), plain(&values));
    }
    text
}

/// A text as a single-quoted scalar.
fn yaml(text: &str) -> String {
    format!("'{}'", plain(text).replace('\'', "''"))
}
