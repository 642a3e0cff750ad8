// SPDX-License-Identifier: MIT OR Apache-2.0
//! The answer of `kaput preflight` for a browser: both hosts as a picture, and why. What comes from a host is escaped.

use askama::Template;
use preflight::report::human;
use preflight::report::picture::{LEGEND, Table, both};
use preflight::{Judgement, Pair, Verdict};

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
