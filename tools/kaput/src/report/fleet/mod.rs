// SPDX-License-Identifier: MIT OR Apache-2.0
//! The answers of `kaput preflight --fleet`: for a terminal, as JSON and as a page. What they have in common is here:
//! the marks in the table, the notes to them, and what is said of a plan.

mod human;
mod json;
mod page;

pub use self::human::screen;
pub use self::json::line;
pub use self::page::page;

use std::collections::BTreeSet;

use preflight::fleet::cell::{Answer, Cell, Cost, Table};
use preflight::fleet::placement::EXACT;
use preflight::fleet::plan::{Obstacle, Plan, Stay};
use preflight::fleet::script::{by_host, lines, script};
use preflight::fleet::{Fleet, Guest};
use preflight::{RULES, Verdict};

/// Everything that is reported.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The hosts.
    pub fleet: &'a Fleet,
    /// Every guest against every host.
    pub table: &'a Table,
    /// Where the guests go.
    pub plan: &'a Plan,
    /// The hosts that are to be emptied; none, if every guest is to be made movable.
    pub emptied: &'a [usize],
}

/// `1 guest`, `2 guests`.
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The rules by which these cells are what they are, in the order of the rules.
fn rules_in<'a>(cells: impl Iterator<Item = &'a Cell>) -> Vec<&'static str> {
    let of = |cell: &Cell| match cell.answer {
        Answer::Never(rule) | Answer::Unknown(rule) => Some(rule),
        _ => cell.breaks,
    };
    let seen: BTreeSet<&str> = cells.filter_map(of).collect();
    RULES.iter().map(|rule| rule.id).filter(|id| seen.contains(id)).collect()
}

impl Report<'_> {
    /// The answer for all guests that are asked about.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.plan.verdict(self.table)
    }

    /// The plan as a shell script.
    #[must_use]
    pub fn script(&self) -> String {
        script(self.fleet, self.plan, &self.title(), !self.emptied.is_empty())
    }

    fn guest(&self, guest: usize) -> &Guest {
        &self.fleet.guests[guest]
    }

    fn names(&self, hosts: impl IntoIterator<Item = usize>) -> String {
        hosts.into_iter().map(|host| self.fleet.name(host)).collect::<Vec<_>>().join(", ")
    }

    /// What the plan is about, in one line.
    fn title(&self) -> String {
        let (moves, hosts) = (self.plan.moves.len(), by_host(self.fleet, self.plan));
        let commands = match lines(&hosts) {
            0 => "no command is needed".to_owned(),
            lines => format!("{} on {}", count(lines, "command"), count(hosts.len(), "host")),
        };
        match self.emptied {
            [] => format!("{} can be made movable: {commands}", count(moves, "guest")),
            emptied => {
                format!("{} can leave {}: {commands}", count(moves, "guest"), self.names(emptied.iter().copied()))
            }
        }
    }

    /// The answer, first of all.
    fn headline(&self) -> String {
        let about = match self.emptied {
            [] => "fleet".to_owned(),
            emptied => format!("empty {}", self.names(emptied.iter().copied())),
        };
        let all = self.plan.moves.len() + self.plan.stays.len();
        let stays = self.plan.stays.len();
        let answer = match (self.verdict(), all) {
            (_, 0) => "YES, there is no guest".to_owned(),
            (Verdict::Yes, _) => format!("YES, {}", self.title()),
            (Verdict::No, _) => format!("NO, {stays} of {} cannot go anywhere; {}", count(all, "guest"), self.title()),
            (Verdict::Unknown, _) => {
                format!("UNKNOWN, for {stays} of {} an input is missing; {}", count(all, "guest"), self.title())
            }
        };
        format!("{about}: {answer}")
    }

    /// What a move costs, in words.
    fn price(cost: Cost) -> String {
        match cost.commands {
            0 => "as things are".to_owned(),
            commands => format!("after {}", count(commands, "command")),
        }
    }

    /// Rules that stand in cells, in the order of the rules: the first one is note 1.
    fn notes(&self) -> Vec<&'static str> {
        rules_in(self.table.rows.iter().flatten())
    }

    /// A note in full.
    fn note(number: usize, id: &str) -> String {
        let statement = RULES.iter().find(|rule| rule.id == id).map_or("", |rule| rule.statement);
        format!("[{}] {id}: {statement}", number + 1)
    }

    /// What stands in a cell.
    fn mark(cell: Cell, notes: &[&str]) -> String {
        let note = |rule: &str| notes.iter().position(|id| *id == rule).map_or(0, |at| at + 1);
        match (cell.answer, cell.breaks) {
            (Answer::Home, _) => "here".to_owned(),
            (Answer::Never(rule), _) => format!("no [{}]", note(rule)),
            (Answer::Unknown(rule), _) => format!("? [{}]", note(rule)),
            (Answer::After(commands), breaks) => {
                let breaks = breaks.map_or_else(String::new, |rule| format!(" ![{}]", note(rule)));
                let commands = if commands == 0 { "yes".to_owned() } else { commands.to_string() };
                commands + &breaks
            }
        }
    }

    /// What the marks mean, as far as there are any.
    fn legend(&self) -> Vec<&'static str> {
        let mut lines = Vec::new();
        let mut add = |wanted: fn(&Cell) -> bool, line| {
            if self.table.rows.iter().flatten().any(wanted) {
                lines.push(line);
            }
        };
        add(|cell| cell.answer == Answer::After(0), "yes      it can go there as things are");
        add(
            |cell| matches!(cell.answer, Answer::After(1..)),
            "3        after this many commands: `kaput preflight FROM.json TO.json --mdev UUID --fix` prints them",
        );
        add(
            |cell| matches!(cell.answer, Answer::Never(_)),
            "no [1]   never: a rule does not hold, and no command helps that takes nothing in use",
        );
        add(|cell| matches!(cell.answer, Answer::Unknown(_)), "? [1]    not known: an input of a rule is missing");
        add(
            |cell| cell.breaks.is_some(),
            "![1]     it can go there and its crypto does not work then (--strict: never)",
        );
        lines
    }

    /// Why a guest stays where it is.
    fn reasons(&self, stay: &Stay) -> Vec<String> {
        let mut reasons = Vec::new();
        for id in rules_in(self.table.rows.get(stay.guest).into_iter().flatten()) {
            let by = |wanted: Answer| {
                let hosts = (0..self.fleet.members.len()).filter(|host| !self.emptied.contains(host));
                hosts.filter(|host| self.table.cell(stay.guest, *host).answer == wanted).collect::<Vec<_>>()
            };
            for (word, hosts) in [("never", by(Answer::Never(id))), ("not known", by(Answer::Unknown(id)))] {
                if !hosts.is_empty() {
                    reasons.push(format!("{}: {word}, {id}", self.names(hosts)));
                }
            }
        }
        if !stay.taken.is_empty() {
            let hosts = self.names(stay.taken.iter().copied());
            reasons.push(format!("{hosts}: guests go there with which it has queues in common"));
        }
        for Obstacle { guest, third } in &stay.in_the_way {
            let (other, home) = (self.guest(*guest), self.fleet.name(self.guest(stay.guest).home));
            let (name, at) = (&other.mdev, self.fleet.name(other.home));
            reasons.push(match third {
                Some(third) => {
                    let third = self.fleet.name(*third);
                    format!("{name} on {at} is in the way: migrate it to {third} first, then take the snapshots again")
                }
                None => format!(
                    "{name} on {at} is in the way, and no third host takes it: the two cannot swap {home} and {at}"
                ),
            });
        }
        if self.fleet.members.len() - self.emptied.len().max(1) == 0 {
            reasons.push("there is no other host".to_owned());
        }
        reasons
    }

    /// Whether the plan is the best there is.
    fn proof(&self) -> Option<String> {
        (!self.plan.is_proven).then(|| {
            format!(
                "not proven: more than {EXACT} guests share queues with each other, so not every division was looked \
                 at; another one may need fewer commands, or leave fewer guests behind"
            )
        })
    }
}

#[cfg(test)]
mod tests;
