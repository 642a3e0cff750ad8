// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the tests find what they are there for: every defect alone, then the drivers that have many of them, and the
//! correct model as the control. The conformance suite judges all; what a guest can see is shown to a guest in the real
//! QEMU as well, and taken away again, because a scenario that passes without its defect shows nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use vfio_ap::mutants::Mutant;
use vfio_mig::catalogue::{self, Group};

use crate::machine::run_folder::FolderError;
use crate::outcome::verdict::{Exit, Kind, RunVerdict};
use crate::report::text::first_few;
use crate::run;
use crate::run::tools::Tools;
use crate::scenario::load::Loaded;

mod page;

/// What a guest said of one finding.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Seen {
    /// The scenario.
    pub scenario: String,
    /// The findings it shows.
    pub findings: Vec<String>,
    /// How it ended with the defect: as expected, if the guest or a bystander saw it.
    pub with_defect: Kind,
    /// How it ended without: anything else, if what was seen is the defect's doing.
    pub without: Kind,
    /// What happened in the run that ended as it should not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Seen {
    /// Whether the guest saw the defect, and saw nothing where there was none.
    #[must_use]
    pub fn is_caught(&self) -> bool {
        self.with_defect == Kind::AsExpected && self.without.exit() == Exit::NotAsExpected
    }
}

/// Whether a scenario shows a finding: it has a defect and says which finding that is.
#[must_use]
pub fn shows_a_finding(loaded: &Loaded) -> bool {
    let scenario = &loaded.scenario;
    !scenario.expect.findings.is_empty() && scenario.hosts.values().any(|host| !host.defects.is_empty())
}

/// Runs a scenario with its defects and without them.
///
/// # Errors
/// [`FolderError`] if there is no place for a run.
pub async fn show(tools: &Tools, loaded: &Loaded) -> Result<Seen, FolderError> {
    let with_defect = run::run(tools, loaded, run::Options::default()).await?.verdict;
    let mut correct = loaded.clone();
    correct.scenario.hosts.values_mut().for_each(|host| host.defects.clear());
    let without = run::run(tools, &correct, run::Options { discard: true, ..run::Options::default() }).await?.verdict;
    let words = |verdict: &RunVerdict| format!("{}: {}", verdict.kind, verdict.happened);
    let trouble = if !with_defect.is_as_expected() {
        Some(format!("with the defect {}", words(&with_defect)))
    } else if without.kind.exit() != Exit::NotAsExpected {
        Some(format!("without the defect {}", words(&without)))
    } else {
        None
    };
    Ok(Seen {
        scenario: loaded.scenario.name.clone(),
        findings: loaded.scenario.expect.findings.clone(),
        with_defect: with_defect.kind,
        without: without.kind,
        trouble,
    })
}

/// Everything that was found out.
#[derive(Debug)]
pub struct MutantsOutcome {
    /// What the suite says: the control first, then each defect, then the drivers.
    pub mutants: Vec<Mutant>,
    /// What guests say; `None` if none was asked.
    pub guests: Option<Vec<Seen>>,
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Row<'a> {
    name: &'a str,
    severity: String,
    caught_by: &'a [String],
    guest: &'static str,
    missed: bool,
}

impl MutantsOutcome {
    /// How many defects something that should notice them did not notice.
    #[must_use]
    pub fn missed(&self) -> usize {
        self.rows().iter().filter(|row| row.missed).count()
    }

    /// How many cases complained about the correct model.
    #[must_use]
    pub fn false_alarms(&self) -> usize {
        self.mutants.first().map_or(0, |control| control.caught_by.len())
    }

    /// The exit status that goes with it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let runs = self.guests.iter().flatten().flat_map(|seen| [seen.with_defect, seen.without]);
        let trouble = runs.map(Kind::exit).filter(|exit| *exit == Exit::Infrastructure).max();
        let wrong = self.missed() + self.false_alarms() > 0;
        trouble.unwrap_or(if wrong { Exit::NotAsExpected } else { Exit::AsExpected })
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let mut seen: BTreeMap<&str, bool> = BTreeMap::new();
        for guest in self.guests.iter().flatten() {
            // Several scenarios may show one finding: each of them has to.
            guest.findings.iter().for_each(|id| *seen.entry(id).or_insert(true) &= guest.is_caught());
        }
        let row = |mutant| row(mutant, self.guests.is_some(), &seen);
        self.mutants.iter().skip(1).map(row).collect()
    }

    /// What the correct model brought forth, in words.
    fn control(&self) -> String {
        let alarms = self.mutants.first().map_or(&[][..], |control| &control.caught_by);
        if alarms.is_empty() { "silent".to_owned() } else { first_few(alarms, 3) }
    }

    /// How many defects were switched on alone.
    fn defects(&self) -> usize {
        self.mutants.iter().filter(|mutant| mutant.defect.is_some()).count()
    }

    /// The table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!("{:<43} {:<9} {:<7} caught by\n", "defect", "severity", "guest");
        for Row { name, severity, caught_by, guest, missed } in self.rows() {
            let by = if missed { format!("MISSED ({})", first_few(caught_by, 1)) } else { first_few(caught_by, 1) };
            _ = writeln!(text, "{name:<43} {severity:<9} {guest:<7} {by}");
        }
        for seen in self.guests.iter().flatten() {
            if let Some(trouble) = &seen.trouble {
                _ = writeln!(text, "scenario {}: {trouble}", seen.scenario);
            }
        }
        _ = writeln!(text, "correct model: {}", self.control());
        let defects = self.defects();
        let (missed, false_alarms) = (self.missed(), self.false_alarms());
        let guests = self.guests.as_ref().map_or(String::new(), |seen| {
            format!(", {} seen by a guest", seen.iter().filter(|seen| seen.is_caught()).count())
        });
        _ = writeln!(text, "{defects} defects{guests}; MISSED = {missed}, false alarms = {false_alarms}");
        text
    }

    /// One JSON object a line: the defects and drivers, then the scenarios, then the counts.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut lines: Vec<String> = self.rows().iter().map(json).collect();
        lines.extend(self.guests.iter().flatten().map(json));
        let counts = serde_json::json!({
            "missed": self.missed(), "false-alarms": self.false_alarms(), "exit-status": self.exit().status(),
        });
        lines.push(counts.to_string());
        lines.join("\n") + "\n"
    }
}

fn row<'a>(mutant: &'a Mutant, guests_were_asked: bool, seen: &BTreeMap<&str, bool>) -> Row<'a> {
    let finding = catalogue::find(&mutant.name);
    let severity = finding.map_or_else(|| "driver".to_owned(), |finding| finding.severity.to_string());
    // The ten of the review that a guest can see must be seen by one; of the others a scenario may show some.
    let must_be_seen = finding.is_some_and(|finding| finding.group == Group::Guest && is_of_the_review(finding.id));
    let by_guest = seen.get(mutant.name.as_str()).copied();
    let guest = match by_guest {
        Some(true) => "seen",
        Some(false) => "MISSED",
        None if must_be_seen && guests_were_asked => "MISSED",
        None => "-",
    };
    let missed = !mutant.is_caught() || guest == "MISSED";
    let caught_by = if mutant.named_by.is_empty() { &mutant.caught_by } else { &mutant.named_by };
    Row { name: &mutant.name, severity, caught_by, guest, missed }
}

fn is_of_the_review(id: &str) -> bool {
    !id.starts_with("x-") && !id.starts_with("l-")
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
