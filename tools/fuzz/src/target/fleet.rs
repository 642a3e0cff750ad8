// SPDX-License-Identifier: MIT OR Apache-2.0
//! A fleet: files one after the other, the first line of each being its name. No plan sends guests that exclude each
//! other to one host, or anybody to a host that is to be empty, and nothing but ASCII is printed.

use std::path::Path;

use kaput::report::fleet::{Report, line, page, screen};
use preflight::fleet::Fleet;
use preflight::fleet::cell::{Answer, Cell, Table, exclude_each_other};
use preflight::fleet::plan::{self, Plan};
use preflight::fleet::read::{FleetError, Reader};

use super::{Target, kind_of};

/// The line between two files.
const BETWEEN: &str = "\n====\n";

pub(super) struct Fleets;

impl Target for Fleets {
    fn read(&mut self, input: &[u8]) -> Result<u64, String> {
        let text = String::from_utf8_lossy(input);
        let mut reader = Reader::default();
        for file in text.split(BETWEEN) {
            let (name, text) = file.split_once('\n').unwrap_or(("", file));
            // Names are without end, and no kinds of their own.
            match reader.add(Path::new(name), text) {
                Ok(()) => {}
                Err(FleetError::Snapshot { reason, .. }) => return Ok(kind_of(&reason.to_string())),
                Err(FleetError::Malformed { reason, .. }) => return Ok(kind_of(&reason.to_string())),
                Err(FleetError::Twice { .. }) => return Ok(1),
                Err(FleetError::Unnamed(_)) => return Ok(2),
            }
        }
        let fleet = reader.fleet();
        let mut kinds = 0_u64;
        for strict in [false, true] {
            let table = Table::new(&fleet, strict);
            for (row, guest) in table.rows.iter().zip(&fleet.guests) {
                let at_home = |(host, cell): (usize, &Cell)| (cell.answer == Answer::Home) == (host == guest.home);
                if !row.iter().enumerate().all(at_home) {
                    return Err(format!("{} is at home on a host that is not its own", guest.mdev));
                }
            }
            let all = plan::movable(&fleet, &table);
            said(Report { fleet: &fleet, table: &table, plan: &all, emptied: &[] })?;
            let half: Vec<usize> = (0..fleet.members.len()).step_by(2).collect();
            let plan = plan::empty(&fleet, &table, &half);
            holds(&fleet, &plan, &half)?;
            said(Report { fleet: &fleet, table: &table, plan: &plan, emptied: &half })?;
            let answers = table.rows.iter().flatten().map(|cell| format!("{:?}", cell.answer));
            kinds = kinds.rotate_left(8) ^ kind_of(&answers.collect::<String>()) ^ plan.stays.len() as u64;
        }
        Ok(kinds)
    }
}

fn holds(fleet: &Fleet, plan: &Plan, emptied: &[usize]) -> Result<(), String> {
    for (number, one) in plan.moves.iter().enumerate() {
        let excluded = |other: &plan::Move| {
            other.to == one.to && exclude_each_other(&fleet.guests[one.guest], &fleet.guests[other.guest])
        };
        if emptied.contains(&one.to) || plan.moves[..number].iter().any(excluded) {
            return Err(format!("{one:?} cannot be"));
        }
    }
    Ok(())
}

/// Every form of the answer.
fn said(report: Report<'_>) -> Result<(), String> {
    let screen = screen(report);
    let json = line(report).map_err(|error| error.to_string())?;
    page(report)?;
    let printed = format!("{screen}{json}{}", report.script());
    match printed.chars().find(|c| !matches!(c, ' '..='~' | '\n' | '\u{2026}')) {
        Some(c) => Err(format!("{c:?} is printed")),
        None => Ok(()),
    }
}
