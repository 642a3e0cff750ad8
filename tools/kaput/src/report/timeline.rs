// SPDX-License-Identifier: MIT OR Apache-2.0
//! Times out of the stream of events: what a run spent where, and how each migration went.

use std::fmt;

use super::chart::spread;
use crate::outcome::events::{Event, What};

/// A run in times.
#[derive(Debug, Default)]
pub struct Timeline {
    /// Each migration in a line.
    pub migrations: Vec<MigrationLine>,
    /// The whole, in parts.
    pub split: String,
}

/// One migration.
#[derive(Debug, Default)]
pub struct MigrationLine {
    number: usize,
    hosts: String,
    begun: f64,
    paused: Option<f64>,
    handed: Option<f64>,
    done: Option<f64>,
    outcome: String,
}

/// More migrations than this are shown as one line.
const SHOWN: usize = 3;

impl Timeline {
    /// Reads the events of a run.
    #[must_use]
    pub fn of(events: &[Event]) -> Self {
        let mut migrations: Vec<MigrationLine> = Vec::new();
        for event in events {
            if let What::MigrationBegun { migration, to } = &event.what {
                let hosts = format!("{} to {to}", event.host.as_deref().unwrap_or_default());
                migrations.push(MigrationLine {
                    number: *migration,
                    hosts,
                    begun: event.at,
                    ..MigrationLine::default()
                });
            }
            let Some(line) = migrations.last_mut() else { continue };
            match &event.what {
                What::Migration { status } if status == "pre-switchover" => line.paused = Some(event.at),
                What::HandedOver { bytes, writes, series } => {
                    line.handed = Some(event.at);
                    let writes = if *writes == 1 { "1 write".to_owned() } else { format!("{writes} writes") };
                    // A report of an earlier version does not say.
                    let series = if series.is_empty() { String::new() } else { format!(", {series}") };
                    line.outcome = format!("{bytes} bytes of AP configuration in {writes}{series}");
                }
                What::AssignedAlike => {
                    line.outcome = "the same was assigned there first, as an administrator does".to_owned()
                }
                What::Refused { errno, .. } => {
                    line.handed = Some(event.at);
                    line.outcome = format!("refused with {errno}");
                }
                What::Migration { status } if status == "cancelled" && !line.outcome.starts_with("refused") => {
                    line.outcome = "cancelled".to_owned();
                }
                What::MigrationDone { downtime, transferred, .. } => {
                    line.done = Some(event.at);
                    let downtime = downtime.map_or(String::new(), |ms| format!(", guest stood still {ms} ms"));
                    let memory = transferred.map_or(String::new(), |bytes| format!(", {} KiB of memory", bytes / 1024));
                    line.outcome.push_str(&format!("{downtime}{memory}"));
                }
                _ => {}
            }
        }
        let split = split(events, &migrations);
        if migrations.len() > SHOWN {
            migrations = vec![summed_up(&migrations)];
        }
        Self { migrations, split }
    }
}

/// The figures of one migration that came to its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Whether the guest went over.
    pub accepted: bool,
    /// Milliseconds the guest stood still, as QEMU reports.
    pub stood_still: Option<u64>,
    /// Seconds the AP configuration took to go over.
    pub hand_over: Option<f64>,
}

/// The migrations of a run that came to their ends, in figures.
#[must_use]
pub fn migrations(events: &[Event]) -> Vec<Figures> {
    let mut found = Vec::new();
    let (mut paused, mut handed) = (None, None);
    for event in events {
        match &event.what {
            What::MigrationBegun { .. } => (paused, handed) = (None, None),
            What::Migration { status } if status == "pre-switchover" => paused = Some(event.at),
            What::HandedOver { .. } => handed = Some(event.at),
            What::MigrationDone { accepted, downtime, .. } => {
                let hand_over = handed.zip(paused).map(|(handed, paused)| handed - paused);
                found.push(Figures { accepted: *accepted, stood_still: *downtime, hand_over });
            }
            _ => {}
        }
    }
    found
}

/// The parts of a run, which add up to the whole.
fn split(events: &[Event], migrations: &[MigrationLine]) -> String {
    let first = |wanted: fn(&What) -> bool| events.iter().find(|event| wanted(&event.what)).map(|event| event.at);
    let Some(end) = events.last().map(|event| event.at) else { return String::new() };
    let Some(boot) = first(|what| matches!(what, What::Console { .. } | What::Garbage { .. })) else {
        return format!("{:.0} ms, without a word of the guest", end * 1e3);
    };
    let begun = migrations.first().map(|line| line.begun);
    let done = migrations.last().and_then(|line| line.done);
    let mut text = format!("{:.0} ms: QEMU boot {:.0}", end * 1e3, boot * 1e3);
    match (begun, done) {
        (Some(begun), Some(done)) => {
            let hand_overs: Vec<f64> = migrations.iter().filter_map(MigrationLine::hand_over).collect();
            let hand_over: f64 = hand_overs.iter().sum();
            let moving: f64 = migrations.iter().filter_map(|line| Some(line.done? - line.begun)).sum();
            let between = done - begun - moving;
            text.push_str(&format!(
                ", suites {:.0}, migration {:.0}",
                (begun - boot) * 1e3,
                (moving - hand_over) * 1e3
            ));
            if !hand_overs.is_empty() {
                text.push_str(&format!(", AP hand-over {:.1}", hand_over * 1e3));
            }
            if migrations.len() > 1 {
                text.push_str(&format!(", between migrations {:.0}", between * 1e3));
            }
            text.push_str(&format!(", end {:.0}", (end - done) * 1e3));
        }
        _ => text.push_str(&format!(", suites and end {:.0}", (end - boot) * 1e3)),
    }
    text
}

fn summed_up(migrations: &[MigrationLine]) -> MigrationLine {
    let (first, last) = (&migrations[0], &migrations[migrations.len() - 1]);
    let each: Vec<f64> = migrations.iter().filter_map(|line| Some((line.done? - line.begun) * 1e3)).collect();
    let [least, median, most] = spread(&each).unwrap_or_default();
    MigrationLine {
        number: migrations.len(),
        hosts: format!("migrations, {} first", first.hosts),
        outcome: format!(
            "each {least:.1} to {most:.1} ms, median {median:.1}; {:.0} ms from the first's begin to the last's end",
            (last.done.unwrap_or(last.begun) - first.begun) * 1e3
        ),
        ..MigrationLine::default()
    }
}

impl MigrationLine {
    fn hand_over(&self) -> Option<f64> {
        Some(self.handed? - self.paused?)
    }
}

impl fmt::Display for MigrationLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(paused) = self.paused else {
            let what = if self.outcome.is_empty() { "did not get to the switch-over" } else { &self.outcome };
            return write!(f, "migration      {} {}: {what}", self.number, self.hosts);
        };
        write!(f, "migration {:<4} {}: memory {:.1} ms", self.number, self.hosts, (paused - self.begun) * 1e3)?;
        if let Some(hand_over) = self.hand_over() {
            write!(f, ", AP hand-over {:.1} ms", hand_over * 1e3)?;
        }
        if let (Some(handed), Some(done)) = (self.handed, self.done) {
            write!(f, ", the rest {:.1} ms", (done - handed) * 1e3)?;
        }
        if self.outcome.is_empty() { Ok(()) } else { write!(f, "; {}", self.outcome.trim_start_matches(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_over_of_a_report_that_names_no_series_is_told_without_one() {
        let told = |series: &str| {
            let event = |what| Event { at: 0.0, host: Some("A".to_owned()), what };
            let over = What::HandedOver { bytes: 80, writes: 2, series: series.to_owned() };
            let begun = What::MigrationBegun { migration: 1, to: "B".to_owned() };
            let paused = What::Migration { status: "pre-switchover".to_owned() };
            Timeline::of(&[begun, paused, over].map(event)).migrations[0].to_string()
        };
        assert!(told("").ends_with("; 80 bytes of AP configuration in 2 writes"), "{}", told(""));
        assert!(told("the posted series' format").ends_with("in 2 writes, the posted series' format"));
    }
}
