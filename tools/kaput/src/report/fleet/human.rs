// SPDX-License-Identifier: MIT OR Apache-2.0
//! For people at a terminal: the answer first, then who goes where, or every guest against every host.

use std::fmt::Write as _;

use preflight::text::plain;

use super::{Report, count};

/// Columns of a terminal that the table may use.
const WIDTH: usize = 110;

/// The whole answer.
#[must_use]
pub fn screen(report: Report<'_>) -> String {
    let mut text = report.headline() + "\n";
    for remark in report.fleet.remarks() {
        _ = writeln!(text, "  note: {remark}");
    }
    if report.emptied.is_empty() {
        text.push_str(&table(report));
    }
    text + &plan(report)
}

/// Who goes where, who stays and why.
pub(super) fn plan(report: Report<'_>) -> String {
    let mut text = String::new();
    if !report.emptied.is_empty() {
        text.push('\n');
        for each in &report.plan.moves {
            let guest = report.guest(each.guest);
            let (from, to) = (report.fleet.name(guest.home), report.fleet.name(each.to));
            let breaks = report.table.cell(each.guest, each.to).breaks;
            let breaks = breaks.map_or_else(String::new, |rule| format!("; its crypto does not work there: {rule}"));
            _ = writeln!(text, "{}  {from} -> {to}  {}{breaks}", guest.mdev, Report::price(each.cost));
        }
    }
    if let Some(proof) = report.proof() {
        _ = writeln!(text, "{proof}");
    }
    for stay in &report.plan.stays {
        let guest = report.guest(stay.guest);
        _ = writeln!(text, "\n{} stays on {}", guest.mdev, report.fleet.name(guest.home));
        for reason in report.reasons(stay) {
            _ = writeln!(text, "  {}", plain(&reason));
        }
    }
    if !report.plan.moves.is_empty() {
        let what = if report.emptied.is_empty() { "the commands" } else { "the commands and the migrations" };
        _ = writeln!(text, "\n--fix prints {what} as a script");
    }
    text
}

fn table(report: Report<'_>) -> String {
    let fleet = report.fleet;
    let places = fleet.members.iter().map(|member| member.places.len()).sum();
    let mut text = format!(
        "  {}, {}, {}\n",
        count(fleet.members.len(), "host"),
        count(fleet.guests.len(), "guest"),
        count(places, "prepared place")
    );
    let notes = report.notes();
    let row = |guest: usize| {
        (0..fleet.members.len()).map(|host| Report::mark(report.table.cell(guest, host), &notes)).collect()
    };
    let rows: Vec<Vec<String>> = (0..fleet.guests.len()).map(row).collect();
    let widest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
    let name = widest(&mut fleet.guests.iter().map(|guest| guest.mdev.len()).chain([5]));
    let on = widest(&mut fleet.guests.iter().map(|guest| fleet.name(guest.home).len()).chain([2]));
    let column = |host: usize| widest(&mut rows.iter().map(|row| row[host].len()).chain([fleet.name(host).len()]));
    let columns: Vec<usize> = (0..fleet.members.len()).map(column).collect();
    let mut first = 0;
    while first < fleet.members.len() && !rows.is_empty() {
        let mut left = WIDTH.saturating_sub(name + on + 2);
        let fits = |host: &usize| {
            let width = columns[*host] + 2;
            let fits = *host == first || width <= left;
            left = left.saturating_sub(width);
            fits
        };
        let hosts: Vec<usize> = (first..fleet.members.len()).take_while(fits).collect();
        let mut write = |guest: &str, home: &str, cells: &dyn Fn(usize) -> String| {
            let cells: String =
                hosts.iter().map(|host| format!("  {:<width$}", cells(*host), width = columns[*host])).collect();
            let line = format!("{guest:<name$}  {home:<on$}{cells}");
            _ = writeln!(text, "{}", line.trim_end());
        };
        write("\nguest", "on", &|host| fleet.name(host).to_owned());
        for (guest, row) in fleet.guests.iter().zip(&rows) {
            write(&guest.mdev, fleet.name(guest.home), &|host| row[host].clone());
        }
        first += hosts.len();
    }
    if !rows.is_empty() {
        text.push('\n');
    }
    let notes = notes.iter().enumerate().map(|(number, id)| Report::note(number, id));
    for line in report.legend().into_iter().map(str::to_owned).chain(notes) {
        _ = writeln!(text, "{line}");
    }
    text
}
