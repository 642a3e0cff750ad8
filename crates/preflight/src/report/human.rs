// SPDX-License-Identifier: MIT OR Apache-2.0
//! For people at a terminal: the answer first, then every finding with both values and what helps.

use std::fmt::Write as _;

use super::{Group, groups};
use crate::judge::{Finding, Judgement, Subject, Verdict};
use crate::ranges;
use crate::rules::Severity;
use crate::text::plain;

/// How many lines of a kernel log or of commands stand in one paragraph.
const LINES: usize = 2;

/// The whole answer.
#[must_use]
pub fn screen(judgement: &Judgement, source: &str, destination: &str) -> String {
    let mut text = String::new();
    _ = writeln!(text, "{} -> {}: {}", plain(source), plain(destination), headline(judgement));
    let device = plain(&judgement.source_mdev);
    let what = judgement.guest.as_ref().map_or_else(|| "what it has is not known".to_owned(), ranges::matrix);
    let running = if judgement.in_use == Some(false) { ", no guest is running with it" } else { "" };
    _ = writeln!(text, "  mediated device {device}: {what}{running}");
    _ = writeln!(text, "  {}", counts(judgement));
    if let Some(step) = judgement.refused_at() {
        let errno = step
            .errno()
            .map_or("no driver is reached".to_owned(), |errno| format!("the destination's driver answers {errno}"));
        _ = writeln!(text, "  refused: {errno}");
    }
    let mut groups = groups(judgement);
    // Of what is only worth knowing, it is not worth knowing that it is not known.
    groups.retain(|group| group.first.is_violated || group.first.rule.severity != Severity::Note);
    groups.sort_by_key(|group| std::cmp::Reverse(rank(judgement, group)));
    for group in &groups {
        paragraph(&mut text, judgement, group);
    }
    text
}

fn headline(judgement: &Judgement) -> &'static str {
    if judgement.is_empty() && judgement.verdict() == Verdict::Unknown {
        return "UNKNOWN, this guest has no queue: there is nothing to move";
    }
    let breaks = |finding: &Finding| finding.rule.severity == Severity::Breaks && finding.is_violated;
    match judgement.verdict() {
        Verdict::Yes if judgement.findings.iter().any(breaks) => {
            "YES, the migration succeeds; but see what breaks (--strict says no)"
        }
        Verdict::Yes => "YES, the guest's crypto survives",
        Verdict::No => "NO, it does not survive",
        Verdict::Unknown => "UNKNOWN, an input is missing",
    }
}

fn counts(judgement: &Judgement) -> String {
    let subjects = judgement.subjects();
    let count = |of: fn(&Subject) -> bool, verdict| subjects.iter().filter(|(s, v)| of(s) && **v == verdict).count();
    let line = |of: fn(&Subject) -> bool| {
        let [yes, no, unknown] = [Verdict::Yes, Verdict::No, Verdict::Unknown].map(|verdict| count(of, verdict));
        format!("{yes} yes, {no} no, {unknown} unknown")
    };
    let queues = line(|subject| matches!(subject, Subject::Queue(_)));
    let domains = line(|subject| matches!(subject, Subject::ControlDomain(_)));
    format!("queues: {queues}; control domains: {domains}")
}

/// What comes first: what refuses, what is not known, what breaks, what is worth knowing.
fn rank(judgement: &Judgement, group: &Group<'_>) -> (Verdict, bool, bool) {
    let finding = group.first;
    (judgement.weight(finding), finding.rule.severity == Severity::Breaks, finding.is_violated)
}

fn paragraph(text: &mut String, judgement: &Judgement, group: &Group<'_>) {
    let finding = group.first;
    let word = match (judgement.weight(finding), finding.rule.severity, finding.is_violated) {
        (Verdict::No, ..) => "NO",
        (Verdict::Unknown, ..) => "UNKNOWN",
        (_, Severity::Breaks, true) => "BREAKS",
        (_, _, false) => "not known",
        _ => "note",
    };
    _ = writeln!(text, "\n{word:<9} {}: {}", finding.rule.id, group.about());
    _ = writeln!(text, "  rule         {}", finding.rule.statement);
    let evidence = &finding.evidence;
    for (side, seen) in [("source", &evidence.source), ("destination", &evidence.destination)] {
        if seen != "-" {
            _ = writeln!(text, "  {side:<12} {}", plain(seen));
        }
    }
    if finding.is_violated {
        some(text, "kernel log", &evidence.log);
    }
    some(text, "fix", &group.fix);
}

fn some<T: ToString>(text: &mut String, label: &str, lines: &[T]) {
    for (index, line) in lines.iter().take(LINES).enumerate() {
        let label = if index == 0 { label } else { "" };
        _ = writeln!(text, "  {label:<12} {}", plain(&line.to_string()));
    }
    if lines.len() > LINES {
        _ = writeln!(text, "  {:<12} and {} more", "", lines.len() - LINES);
    }
}
