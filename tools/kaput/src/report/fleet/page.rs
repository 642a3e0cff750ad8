// SPDX-License-Identifier: MIT OR Apache-2.0
//! For a browser: every guest against every host as a heat map, and what is said of the plan. What comes from a host is
//! escaped.

use askama::Template;
use preflight::Verdict;
use preflight::fleet::cell::{Answer, Cell};

use super::{Report, human};

#[derive(Template)]
#[template(path = "fleet.html")]
struct Page {
    headline: String,
    good: bool,
    remarks: Vec<String>,
    tables: Vec<Part>,
    legend: String,
    plan: String,
}

/// As many hosts as a sheet of paper has room for.
struct Part {
    hosts: Vec<String>,
    rows: Vec<Row>,
}

struct Row {
    guest: String,
    home: String,
    cells: Vec<Field>,
}

struct Field {
    mark: String,
    heat: &'static str,
    /// What is shown when somebody points at it.
    rule: &'static str,
}

/// Hosts side by side.
const WIDTH: usize = 10;

/// How warm a field is: the more commands, the warmer.
const fn heat(cell: Cell) -> &'static str {
    match (cell.answer, cell.breaks) {
        (Answer::Home, _) => "home",
        (Answer::Never(_), _) => "never",
        (Answer::Unknown(_), _) => "unknown",
        (Answer::After(_), Some(_)) => "broken",
        (Answer::After(0), None) => "0",
        (Answer::After(1..=4), None) => "1",
        (Answer::After(5..=16), None) => "2",
        (Answer::After(_), None) => "3",
    }
}

const fn rule(cell: Cell) -> &'static str {
    match (cell.answer, cell.breaks) {
        (Answer::Never(rule) | Answer::Unknown(rule), _) | (_, Some(rule)) => rule,
        (Answer::Home, None) => "",
        (Answer::After(0), None) => "as things are",
        (Answer::After(_), None) => "commands",
    }
}

/// The page.
///
/// # Errors
/// When it cannot be written; the text says why.
pub fn page(report: Report<'_>) -> Result<String, String> {
    let fleet = report.fleet;
    let notes = report.notes();
    let hosts: Vec<usize> = (0..fleet.members.len()).collect();
    let part = |hosts: &[usize]| {
        let field = |cell: Cell| Field { mark: Report::mark(cell, &notes), heat: heat(cell), rule: rule(cell) };
        let cells = |guest: usize| hosts.iter().map(|host| field(report.table.cell(guest, *host))).collect();
        let row = |guest: usize| {
            let each = report.guest(guest);
            Row { guest: each.mdev.clone(), home: fleet.name(each.home).to_owned(), cells: cells(guest) }
        };
        Part {
            hosts: hosts.iter().map(|host| fleet.name(*host).to_owned()).collect(),
            rows: (0..fleet.guests.len()).map(row).collect(),
        }
    };
    let notes = notes.iter().enumerate().map(|(number, id)| Report::note(number, id));
    let legend: Vec<String> = report.legend().into_iter().map(str::to_owned).chain(notes).collect();
    let page = Page {
        headline: report.headline(),
        good: report.verdict() == Verdict::Yes,
        remarks: fleet.remarks(),
        tables: hosts.chunks(WIDTH).map(part).collect(),
        legend: legend.join("\n"),
        plan: human::plan(report).trim().to_owned(),
    };
    page.render().map_err(|error| error.to_string())
}
