// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report for people at a terminal: one screen.

use std::fmt::Write as _;

use ap_arch::Mask256;
use ap_arch::report::CaseVerdict;

use super::chart::spread;
use super::timeline::Timeline;
use crate::guest::report::Case;
use crate::outcome::events::{Event, What};
use crate::outcome::finished::Finished;
use crate::outcome::verdict::KernelLine;
use crate::outcome::verdict::RunVerdict;
use crate::scenario::{HostSpec, Scenario};

/// How many lines of a kernel's log are for people.
const SHOWN_OF_A_LOG: usize = 16;

/// Everything about one run, in the order in which one asks: what was there, what happened, how long, and how it ended.
#[must_use]
pub fn screen(scenario: &Scenario, finished: &Finished) -> String {
    let mut text = String::new();
    _ = writeln!(text, "{}: {}", finished.scenario, scenario.summary);
    for (name, host) in &scenario.hosts {
        _ = writeln!(text, "  host {:<9} {}", name.get_ref(), describe(host, scenario.plugin));
    }
    let timeline = Timeline::of(&finished.events);
    once(&mut text, "driver", &finished.events, kernel);
    suites(&mut text, &finished.cases);
    for migration in &timeline.migrations {
        _ = writeln!(text, "  {migration}");
    }
    once(&mut text, "warning", &finished.events, warning);
    if !timeline.split.is_empty() {
        _ = writeln!(text, "  time           {}", timeline.split);
    }
    verdict(&mut text, &finished.verdict);
    text
}

/// One run in a line.
#[must_use]
pub fn line(finished: &Finished) -> String {
    let verdict = &finished.verdict;
    let folder =
        verdict.run_folder.as_ref().map_or(String::new(), |folder| format!("; run folder {}", folder.display()));
    format!("{}: {}: {}{folder}\n", finished.scenario, verdict.kind, verdict.happened)
}

fn describe(host: &HostSpec, plugin: bool) -> String {
    if !plugin {
        return "stock QEMU, no plugin".to_owned();
    }
    let topology = &host.topology;
    let mut cards: Vec<(String, Mask256)> = Vec::new();
    for (apid, spec) in &topology.adapters {
        cards.push((spec.kind.to_string().to_uppercase(), [apid.0].into_iter().collect()));
    }
    cards.dedup_by(|next, kept| {
        next.0 == kept.0 && {
            kept.1 = kept.1.union(next.1);
            true
        }
    });
    let cards: Vec<String> = cards.into_iter().map(|(kind, mask)| format!("{} {kind}", numbers(mask))).collect();
    let matrix = topology.matrix();
    let mut text = format!("{}; domains {}", cards.join(", "), numbers(matrix.domains));
    _ = write!(text, "; control domains {}", numbers(matrix.control_domains));
    let assigned = host.mdev.matrix();
    if assigned.queue_count() > 0 {
        _ = write!(text, "; assigned {} x {}", numbers(assigned.adapters), numbers(assigned.domains));
        _ = write!(text, " + control {}", numbers(assigned.control_domains));
    }
    if !host.defects.is_empty() {
        let names: Vec<&str> = host.defects.iter().map(|name| name.get_ref().as_str()).collect();
        _ = write!(text, "; DEFECT {}", names.join(", "));
    }
    text
}

/// Numbers in hex, three neighbours or more as a range; of a scattered mask only the beginning.
fn numbers(mask: Mask256) -> String {
    let run = |(first, last): (u8, u8)| match last - first {
        0 => format!("{first:02x}"),
        1 => format!("{first:02x},{last:02x}"),
        _ => format!("{first:02x}-{last:02x}"),
    };
    let all: Vec<String> = mask.runs().take(8).map(run).collect();
    let more = if mask.runs().count() > 8 { format!(",… ({})", mask.len()) } else { String::new() };
    format!("{}{more}", all.join(","))
}

fn warning(what: &What) -> Option<String> {
    if let What::Warned { text } = what { Some(text.clone()) } else { None }
}

fn kernel(what: &What) -> Option<String> {
    let What::Kernel { kernel, migrates, .. } = what else { return None };
    let by_hand =
        if *migrates { "" } else { "; it cannot migrate: the destination's device is given the same assignment first" };
    Some(format!("{kernel}{by_hand}"))
}

/// One line for each such text, with all hosts it is about.
fn once(text: &mut String, title: &str, events: &[Event], of: impl Fn(&What) -> Option<String>) {
    let mut all: Vec<(String, Vec<&str>)> = Vec::new();
    for event in events {
        let Some(text) = of(&event.what) else { continue };
        let host = event.host.as_deref().unwrap_or_default();
        match all.iter_mut().find(|(known, _)| *known == text) {
            Some((_, hosts)) if !hosts.contains(&host) => hosts.push(host),
            Some(_) => {}
            None => all.push((text, vec![host])),
        }
    }
    for (line, hosts) in all {
        _ = writeln!(text, "  {title:<14} {}: {line}", hosts.join(", "));
    }
}

/// One line a suite, with a case named only where it did not pass.
fn suites(text: &mut String, cases: &[Case]) {
    let mut suites: Vec<(&str, Vec<&Case>)> = Vec::new();
    for case in cases {
        let name = case.name.split_once('/').map_or(&*case.name, |(suite, _)| suite);
        // A suite's cases nearly always stand together, so its place is looked for from the end.
        match suites.iter_mut().rev().find(|(suite, _)| *suite == name) {
            Some((_, cases)) => cases.push(case),
            None => suites.push((name, vec![case])),
        }
    }
    let width = suites.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (suite, cases) in suites {
        let counts = CaseVerdict::ALL.iter().filter_map(|verdict| {
            let count = cases.iter().filter(|case| case.verdict == *verdict).count();
            (count > 0).then(|| format!("{count} {}", verdict.word()))
        });
        _ = writeln!(text, "  guest          {suite:<width$}  {}", counts.collect::<Vec<_>>().join(", "));
        let loud = cases.iter().filter(|case| !matches!(case.verdict, CaseVerdict::Pass | CaseVerdict::Skip));
        for case in loud.take(5) {
            let detail = case.detail.as_deref().map_or(String::new(), |detail| format!(": {detail}"));
            _ = writeln!(text, "                 {} {}{detail}", case.verdict.word(), case.name);
        }
    }
}

fn verdict(text: &mut String, verdict: &RunVerdict) {
    let word = match verdict.is_as_expected() {
        true if verdict.skipped().is_some() => "SKIPPED",
        true => "AS EXPECTED",
        false => "NOT AS EXPECTED",
    };
    let kind = if verdict.is_as_expected() { String::new() } else { format!(" ({})", verdict.kind) };
    _ = writeln!(text, "  {word}{kind}: {}", verdict.happened);
    if !verdict.findings.is_empty() {
        _ = writeln!(text, "  finding        {}", verdict.findings.join(", "));
    }
    paragraph(text, "host", verdict.host.as_deref().filter(|_| !verdict.is_as_expected()).unwrap_or_default());
    let explain = |id: &String| format!("{id}: kaput explain {id}");
    paragraph(text, "looks like", &verdict.suspects.iter().map(explain).collect::<Vec<_>>().join("\n"));
    paragraph(text, "expected", &verdict.expected);
    paragraph(text, "seen", &verdict.seen);
    kernel_log(text, &verdict.kernel_log);
    paragraph(text, "last AP", &verdict.last_instructions.join("\n"));
    paragraph(text, "next", &verdict.next);
    if let Some(folder) = &verdict.run_folder {
        _ = writeln!(text, "  run folder     {}", folder.display());
    }
}

/// What a kernel said, and what is behind it: each rule once, however many lines are about it.
fn kernel_log(text: &mut String, lines: &[KernelLine]) {
    let mut shown: Vec<&str> = lines.iter().map(|line| line.text.as_str()).take(SHOWN_OF_A_LOG).collect();
    let more = format!("and {} more, which the JSON report has", lines.len().saturating_sub(SHOWN_OF_A_LOG));
    if lines.len() > SHOWN_OF_A_LOG {
        shown.push(&more);
    }
    paragraph(text, "kernel log", &shown.join("\n"));
    let mut explained: Vec<&KernelLine> = Vec::new();
    for line in lines.iter().filter(|line| line.rule.is_some() || line.fix.is_some()) {
        if !explained.iter().any(|explained| {
            (&explained.rule, &explained.means, &explained.fix) == (&line.rule, &line.means, &line.fix)
        }) {
            explained.push(line);
        }
    }
    for line in explained {
        let (rule, means) = (line.rule.as_deref().unwrap_or("-"), line.means.as_deref().unwrap_or_default());
        paragraph(text, "rule", &format!("{rule}: {means}"));
        let fix = line.fix.as_ref().map_or(String::new(), |fix| format!("fix it by: {fix}"));
        paragraph(text, "", &fix);
    }
}

fn paragraph(text: &mut String, title: &str, content: &str) {
    for (number, line) in content.lines().enumerate() {
        let line = format!("  {:<14} {line}", if number == 0 { title } else { "" });
        _ = writeln!(text, "{}", line.trim_end());
    }
}

/// Figures over many runs of one scenario; `seconds` are the times of the runs, in any order.
#[must_use]
pub fn statistics(scenario: &str, times: u32, right: u32, seconds: &[f64]) -> String {
    let [least, median, most] = spread(seconds).unwrap_or_default().map(|seconds| seconds * 1e3);
    format!(
        "{scenario}: {right} of {times} runs as expected; milliseconds a run: least {least:.0}, median {median:.0}, \
         most {most:.0}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_reported_once_with_all_hosts_it_is_about() {
        let event = |host: &str, text: &str| Event {
            at: 0.0,
            host: Some(host.to_owned()),
            what: What::Warned { text: text.to_owned() },
        };
        let mut text = String::new();
        let events = [event("A", "old"), event("B", "old"), event("A", "old"), event("B", "slow")];
        once(&mut text, "warning", &events, warning);
        assert_eq!(text, "  warning        A, B: old\n  warning        B: slow\n");
    }

    #[test]
    fn statistics_do_not_depend_on_the_order_of_the_runs() {
        let text = statistics("survive", 3, 2, &[0.3, 0.1, 0.2]);
        assert_eq!(text, "survive: 2 of 3 runs as expected; milliseconds a run: least 100, median 200, most 300\n");
    }
}
