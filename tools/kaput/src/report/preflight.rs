// SPDX-License-Identifier: MIT OR Apache-2.0
//! The answer of `kaput preflight` for a browser, with both hosts as a picture, and as TAP. What comes from a host is
//! escaped.

use std::collections::BTreeMap;

use askama::Template;
use preflight::judge::{Finding, Subject};
use preflight::report::human;
use preflight::report::picture::{LEGEND, Table, both};
use preflight::report::subject_name;
use preflight::text::plain;
use preflight::{Judgement, Pair, Verdict};
use serde_json::json;

use super::tap::{Point, document};

#[derive(Template)]
#[template(path = "preflight.html")]
struct Page {
    from: String,
    to: String,
    verdict: String,
    good: bool,
    headline: String,
    tables: Vec<Table>,
    legend: &'static str,
    screen: String,
}

/// Domains side by side: what a sheet of paper has room for.
const WIDTH: usize = 16;

/// A table as several that are narrow enough.
fn parts(table: &Table) -> Vec<Table> {
    let narrow = |(part, domains): (usize, &[String])| {
        let mut narrow = table.clone();
        narrow.domains = domains.to_vec();
        for row in &mut narrow.rows {
            row.marks = row.marks.chunks(WIDTH).nth(part).unwrap_or_default().to_vec();
        }
        narrow
    };
    let parts: Vec<Table> = table.domains.chunks(WIDTH).enumerate().map(narrow).collect();
    if parts.is_empty() { vec![table.clone()] } else { parts }
}

impl Page {
    /// The colour of a mark, as a class of the style sheet; what is unknown stands out.
    fn class(&self, mark: &char) -> char {
        match mark {
            '?' => 'x',
            mark if mark.is_ascii_alphabetic() => *mark,
            _ => 'm',
        }
    }
}

/// The page.
///
/// # Errors
/// When it cannot be written; the text says why.
pub fn page(pair: &Pair<'_>, judgement: &Judgement, from: &str, to: &str) -> Result<String, String> {
    let screen = human::screen(judgement, from, to);
    let (first, rest) = screen.split_once('\n').unwrap_or((&screen, ""));
    let page = Page {
        from: from.to_owned(),
        to: to.to_owned(),
        verdict: judgement.verdict().to_string(),
        good: judgement.verdict() == Verdict::Yes,
        headline: first.rsplit(": ").next().unwrap_or(first).to_owned(),
        tables: both(pair, judgement).iter().flat_map(parts).collect(),
        legend: LEGEND,
        screen: rest.to_owned(),
    };
    page.render().map_err(|error| error.to_string())
}

/// TAP: a point for the hosts and one for each queue and control domain of the guest. Unknown is not ok. What is worth
/// knowing and changes nothing stands in remarks at the end.
#[must_use]
pub fn tap(judgement: &Judgement) -> String {
    let (mut weighty, mut remarks): (BTreeMap<Subject, Vec<&Finding>>, Vec<String>) = Default::default();
    for finding in &judgement.findings {
        let Finding { rule, subject, evidence, .. } = finding;
        if judgement.weight(finding) != Verdict::Yes {
            weighty.entry(*subject).or_default().push(finding);
        } else if finding.is_violated {
            let values = plain(&format!("{} -> {}", evidence.source, evidence.destination));
            remarks.push(format!("{} {}, {}: {values}", rule.severity.name(), rule.id, subject_name(*subject)));
        }
    }
    let point = |subject: Subject| {
        let findings = weighty.get(&subject).map_or(&[][..], Vec::as_slice);
        let diagnostic = findings.iter().map(|finding| {
            let evidence = &finding.evidence;
            let fix: Vec<String> = evidence.fix.iter().map(|fix| plain(&fix.to_string())).collect();
            let value = json!({
                "verdict": judgement.weight(finding).to_string(),
                "source": plain(&evidence.source), "destination": plain(&evidence.destination),
                "log": evidence.log.iter().map(|line| plain(line)).collect::<Vec<_>>(), "fix": fix,
            });
            (finding.rule.id, value)
        });
        let (ok, name) = (findings.is_empty(), subject_name(subject));
        Point { ok, name, diagnostic: diagnostic.collect(), ..Point::default() }
    };
    let subjects = [Subject::Hosts].into_iter().chain(judgement.subjects().into_keys());
    document(&subjects.map(point).collect::<Vec<_>>(), &remarks)
}
