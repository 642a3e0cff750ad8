// SPDX-License-Identifier: MIT OR Apache-2.0
//! The page of a finding, and the index of all of them, as Markdown: `docs/findings/`. What a page says is made from
//! the catalogue, the cases, the model and what kernels said; nothing is written by hand.

use std::cmp::Reverse;
use std::fmt::Write as _;

use kaput::conformance::evidence::{self, Later};
use kaput::conformance::{explain, human, program, unmodelled};
use textwrap::{Options, WordSeparator, WordSplitter};
use vfio_mig::catalogue::{self, Finding};

const WIDTH: usize = 118;
/// What no kernel was asked for.
const NOT_ASKED: &str = "No case has shown it on a real driver yet.";

fn wrapped(text: &str) -> String {
    let options = Options::new(WIDTH).break_words(false).word_splitter(WordSplitter::NoHyphenation);
    textwrap::fill(text, options.word_separator(WordSeparator::AsciiSpace))
}

fn block(page: &mut String, lines: &str) {
    let folded: Vec<String> = lines.trim_end().lines().map(folded).collect();
    _ = writeln!(page, "\n```text\n{}\n```", folded.join("\n"));
}

fn folded(line: &str) -> String {
    let options = Options::new(WIDTH).subsequent_indent("  ").break_words(false);
    textwrap::fill(line, options.word_splitter(WordSplitter::NoHyphenation).word_separator(WordSeparator::AsciiSpace))
}

/// The index, the worst first.
pub(super) fn index() -> String {
    let mut page = String::from(
        "# Findings\n\nMade from the catalogue; the test `documents` of the harness compares it. `kaput explain ID` \
         says the same at a\nterminal. *Kernel*: the case that showed it on a real driver in [the lab](../lab.md).\n",
    );
    let mut findings: Vec<&Finding> = catalogue::findings().collect();
    findings.sort_by_key(|finding| (Reverse(finding.severity), finding.group, finding.id));
    let mut last = None;
    for finding in findings {
        if last.replace(finding.severity) != Some(finding.severity) {
            let severity = finding.severity.to_string();
            let title = severity[..1].to_uppercase() + &severity[1..];
            _ = writeln!(page, "\n## {title}\n\n| finding | seen by | kernel |\n| --- | --- | --- |");
        }
        let kernel = evidence::of(finding.id).map_or("", |evidence| evidence.case.as_str());
        let kernel = if kernel.is_empty() { String::new() } else { format!("`{kernel}`") };
        let id = finding.id;
        _ = writeln!(page, "| [`{id}`]({id}.md) | {} | {kernel} |", explain::seen_by(finding.group));
    }
    page
}

/// The page of a finding.
pub(super) fn page(finding: &Finding) -> String {
    let Finding { id, severity, group, what, shows, right } = finding;
    let head = format!("Severity {severity}; {}. {}", explain::seen_by(*group), versions(id));
    let mut page = format!("# {id}\n\n{}\n", wrapped(&head));
    for (title, text) in [("What the driver does", what), ("Why it matters", shows), ("What is right", right)] {
        _ = writeln!(page, "\n## {title}\n\n{}", wrapped(text));
    }
    if let Some(race) = program::race_of(id) {
        _ = writeln!(page, "\n## The calls\n\n{} rounds at most, of:", race.rounds);
        let lines: Vec<&str> = race.steps.lines().map(str::trim).collect();
        block(&mut page, &lines.join("\n"));
    }
    page.push_str("\n## On the model\n\n");
    match (explain::reproduction(id), unmodelled::all().remove(*id)) {
        (Some(result), _) => {
            _ = writeln!(page, "{}", wrapped(&format!("`kaput conformance --defect {id} --only {}`:", result.case)));
            let judged = format!("asked: {}\nexpected: {}\nseen: {}", result.reason, result.expected, result.seen);
            block(&mut page, &(human::calls(&result.calls) + "\n" + &judged));
        }
        (None, Some(rule)) => {
            let text = format!("Not imitated: safe Rust makes it impossible there. The rule is tested: {}.", rule.rule);
            _ = writeln!(page, "{}", wrapped(&text));
        }
        (None, None) => page.push_str("Nothing to imitate.\n"),
    }
    page.push_str("\n## On a real kernel\n\n");
    match evidence::of(id) {
        Some(seen) if seen.not_shown.is_empty() => {
            let runs = if seen.runs.is_empty() { String::new() } else { format!(", in {} runs", seen.runs) };
            _ = writeln!(page, "{}", wrapped(&format!("{}, case `{}`{runs}:", seen.kernel, seen.case)));
            block(&mut page, &seen.said.join("\n"));
            _ = writeln!(page, "\n`kaput lab run --only {}` asks your kernel.", seen.case);
            match program::of(id) {
                Ok(_) => _ = writeln!(page, "`kaput explain {id} --c` prints a C program that needs nothing else."),
                Err(error) => _ = writeln!(page, "\n{}", wrapped(&format!("{error}."))),
            }
        }
        Some(seen) => _ = writeln!(page, "{}", wrapped(&seen.not_shown)),
        None => _ = writeln!(page, "{}", wrapped(NOT_ASKED)),
    }
    page
}

/// Which versions of the driver have it, as far as that is known: v1 and v2 were not looked at.
fn versions(id: &str) -> &'static str {
    match evidence::of(id).map(|seen| seen.later) {
        Some(Later::Fixed) => {
            "In v3 and in v4, which has the same code; not in the code after them, which has not been posted. Whether \
             v1 and v2 have it is not known."
        }
        Some(Later::Still) => {
            "In v3, in v4, which has the same code, and in the code after them, which has not been posted. Whether v1 \
             and v2 have it is not known."
        }
        Some(Later::Changed) => {
            "In v3 and in v4, which has the same code; the code after them, which has not been posted, does something \
             else there. Whether v1 and v2 have it is not known."
        }
        Some(Later::NotApplicable) => {
            "In v3 and in v4, which has the same code; the code after them, which has not been posted, has nothing \
             that could have it. Whether v1 and v2 have it is not known."
        }
        Some(Later::Neither) => "In no version that was looked at: a false alarm.",
        Some(Later::Only) => "Read in the code after v4, which has not been posted; not in v3 or v4.",
        Some(Later::NotSeen) | None => {
            "In v3 and in v4, which has the same code. Whether v1, v2 or the code after v4 have it is not known."
        }
    }
}
