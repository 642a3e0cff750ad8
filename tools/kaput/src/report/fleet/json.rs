// SPDX-License-Identifier: MIT OR Apache-2.0
//! For programs: one JSON object.

use std::collections::BTreeMap;

use preflight::Verdict;
use preflight::fix;
use preflight::fleet::cell::{Answer, Cell};
use preflight::fleet::script::{by_host, lines};
use preflight::report::json::ascii;
use serde::Serialize;

use super::Report;

/// The version of the object's form.
const VERSION: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Whole<'a> {
    version: u32,
    verdict: Verdict,
    strict: bool,
    remarks: Vec<String>,
    hosts: Vec<HostRow<'a>>,
    guests: Vec<GuestRow<'a>>,
    plan: PlanRow<'a>,
}

#[derive(Serialize)]
struct HostRow<'a> {
    name: &'a str,
    kernel: Option<&'a str>,
    /// Mediated devices that have no queue in use.
    places: &'a [String],
}

#[derive(Serialize)]
struct GuestRow<'a> {
    mdev: &'a str,
    host: &'a str,
    /// `null` where that is not known.
    queues: Option<Vec<String>>,
    hosts: BTreeMap<&'a str, CellRow>,
}

/// A guest against a host.
#[derive(Serialize)]
struct CellRow {
    /// `here`, `yes`, `after`, `never`, `unknown`.
    answer: &'static str,
    /// The lines of `--fix`.
    #[serde(skip_serializing_if = "Option::is_none")]
    commands: Option<usize>,
    /// By which rule never, or unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
    /// By which rule its crypto does not work there.
    #[serde(skip_serializing_if = "Option::is_none")]
    breaks: Option<&'static str>,
}

/// Where the guests go: all of them, each by itself, or those of hosts that are to be emptied, all together.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PlanRow<'a> {
    /// The hosts to be emptied; empty where every guest is to be made movable.
    empty: Vec<&'a str>,
    is_proven: bool,
    /// The sum of what each guest needs.
    commands: usize,
    /// What is done for all of them: what two need is done once.
    lines: usize,
    moves: Vec<MoveRow<'a>>,
    stays: Vec<StayRow<'a>>,
    /// For each host what is to be done on it.
    scripts: BTreeMap<&'a str, String>,
    /// All of it, in its order.
    script: String,
}

#[derive(Serialize)]
struct MoveRow<'a> {
    mdev: &'a str,
    from: &'a str,
    to: &'a str,
    commands: usize,
}

#[derive(Serialize)]
struct StayRow<'a> {
    mdev: &'a str,
    host: &'a str,
    reasons: Vec<String>,
}

fn cell(cell: Cell) -> CellRow {
    let (answer, commands, rule) = match cell.answer {
        Answer::Home => ("here", None, None),
        Answer::After(0) => ("yes", Some(0), None),
        Answer::After(commands) => ("after", Some(commands), None),
        Answer::Never(rule) => ("never", None, Some(rule)),
        Answer::Unknown(rule) => ("unknown", None, Some(rule)),
    };
    CellRow { answer, commands, rule, breaks: cell.breaks }
}

/// One line of JSON, with a newline.
///
/// # Errors
/// None in practice: strings and maps can always be written.
pub fn line(report: Report<'_>) -> serde_json::Result<String> {
    let Report { fleet, table, plan, emptied } = report;
    let hosts = by_host(fleet, plan);
    let whole = Whole {
        version: VERSION,
        verdict: report.verdict(),
        strict: table.strict,
        remarks: fleet.remarks(),
        hosts: fleet
            .members
            .iter()
            .map(|member| HostRow {
                name: &member.name,
                kernel: member.host.kernel.as_deref().ok(),
                places: &member.places,
            })
            .collect(),
        guests: fleet
            .guests
            .iter()
            .zip(&table.rows)
            .map(|(guest, row)| GuestRow {
                mdev: &guest.mdev,
                host: fleet.name(guest.home),
                queues: guest
                    .matrix
                    .as_ref()
                    .ok()
                    .map(|matrix| matrix.queues().map(|queue| queue.to_string()).collect()),
                hosts: row.iter().enumerate().map(|(host, each)| (fleet.name(host), cell(*each))).collect(),
            })
            .collect(),
        plan: PlanRow {
            empty: emptied.iter().map(|host| fleet.name(*host)).collect(),
            is_proven: plan.is_proven,
            commands: plan.cost().commands,
            lines: lines(&hosts),
            moves: plan
                .moves
                .iter()
                .map(|each| {
                    let guest = report.guest(each.guest);
                    let (from, to) = (fleet.name(guest.home), fleet.name(each.to));
                    MoveRow { mdev: &guest.mdev, from, to, commands: each.cost.commands }
                })
                .collect(),
            stays: plan
                .stays
                .iter()
                .map(|stay| {
                    let guest = report.guest(stay.guest);
                    StayRow { mdev: &guest.mdev, host: fleet.name(guest.home), reasons: report.reasons(stay) }
                })
                .collect(),
            scripts: hosts
                .iter()
                .map(|(host, steps)| {
                    let name = fleet.name(*host);
                    (name, fix::script(&format!("host {name} takes guests"), steps))
                })
                .collect(),
            script: report.script(),
        },
    };
    serde_json::to_string(&whole).map(|text| ascii(&text) + "\n")
}
