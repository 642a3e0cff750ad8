// SPDX-License-Identifier: MIT OR Apache-2.0
//! A run for programs: `verdict.json` of a run folder, and one line on standard output with `--report json`. It holds
//! everything that the other reports are made from, so that `kaput report` makes them again, elsewhere or later. Each
//! fact stands there once: what the guest said is in its console's lines.

use std::path::Path;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::ReportedRun;
use super::partition::Partition;
use crate::guest::console::Line;
use crate::guest::report::Guest;
use crate::outcome::events::{Event, What};
use crate::outcome::finished::Finished;
use crate::outcome::verdict::RunVerdict;
use crate::scenario::load::{Loaded, ScenarioError};

/// The version of a report. Version 1 had the guest's cases and INFO lines a second time.
const VERSION: u32 = 2;

/// A run in figures and words.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The version of this form. A reader takes what it knows; a form that it cannot read has a greater number.
    #[serde(deserialize_with = "known_version")]
    pub version: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// The share of the scenarios that it was a part of, if not all were run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Partition>,
    /// The judgement.
    pub verdict: RunVerdict,
    /// Everything that happened, in order; the guest's cases are lines of its console.
    pub events: Vec<Event>,
    /// The scenario file, as it was read.
    pub scenario_file: String,
}

fn known_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let version = u32::deserialize(deserializer)?;
    if version <= VERSION {
        return Ok(version);
    }
    let known = format!("this report has version {version}, and this kaput reads up to {VERSION}: use a newer one");
    Err(D::Error::custom(known))
}

impl Report {
    /// The report of a finished run.
    #[must_use]
    pub fn of(run: ReportedRun<'_>) -> Self {
        let finished = run.finished;
        Self {
            version: VERSION,
            scenario: finished.scenario.clone(),
            part: run.part,
            verdict: finished.verdict.clone(),
            events: finished.events.clone(),
            scenario_file: run.loaded.text.clone(),
        }
    }

    /// The run again, with its scenario.
    ///
    /// # Errors
    /// [`ScenarioError`] where the file it was a run of is no scenario of this version.
    pub fn into_run(self) -> Result<(Loaded, Finished), ScenarioError> {
        let loaded = Loaded::from_text(Path::new(&format!("{}.toml", self.scenario)), self.scenario_file)?;
        let mut guest = Guest::default();
        for event in &self.events {
            if let What::Console { line } = &event.what {
                guest.line(Line::Text(line.clone()));
            }
        }
        let Self { scenario, verdict, events, .. } = self;
        Ok((loaded, Finished { scenario, verdict, events, cases: guest.cases, trace: None }))
    }
}

/// The report of a finished run, as one line.
#[must_use]
pub fn line(run: ReportedRun<'_>) -> String {
    serde_json::to_string(&Report::of(run)).unwrap_or_default()
}

/// Reads reports, one after the other in one text: lines of `--report json`, or a `verdict.json`.
///
/// # Errors
/// The JSON reader's, with line and column.
pub fn read(text: &str) -> Result<Vec<Report>, serde_json::Error> {
    serde_json::Deserializer::from_str(text).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::events::What;

    #[test]
    fn a_report_with_more_in_it_is_read_and_one_of_a_later_version_is_refused_with_what_to_do() {
        let report = |version: u32| {
            format!(
                r#"{{"version": {version}, "scenario": "x", "scenario-file": "",
                "verdict": {{"kind": "as-expected", "happened": "y", "new": 1}},
                "new": {{}},
                "events": [{{"at": 0.5, "event": "brand-new", "new": [1]}},
                           {{"at": 1.0, "event": "judged", "verdict": {{}}}}]}}"#
            )
        };
        let read_back = read(&report(VERSION)).expect("readable");
        let what: Vec<_> = read_back[0].events.iter().map(|event| event.what.clone()).collect();
        assert_eq!(what, [What::Unknown, What::Judged]);
        let older = report(1).replace("\"events\": [", "\"cases\": [{\"name\": \"a/b\"}], \"info\": [], \"events\": [");
        assert_eq!(read(&older).expect("version 1 is readable")[0].events.len(), 2);
        let error = read(&report(VERSION + 1)).expect_err("too new").to_string();
        assert!(error.contains("version 3") && error.contains("newer"), "{error}");
    }
}
