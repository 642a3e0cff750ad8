// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reports: renderings of finished runs, each for other readers. They compute nothing a verdict depends on.

pub mod chart;
pub mod fleet;
pub mod html;
pub mod human;
pub mod json;
pub mod junit;
pub mod lanes;
pub mod matrix;
pub mod partition;
pub mod preflight;
pub mod soak;
pub mod tap;
pub mod text;
pub mod timeline;

use std::time::Duration;

use partition::Partition;

use crate::guest::report::Case;
use crate::outcome::finished::Finished;
use crate::outcome::verdict::RunVerdict;
use crate::scenario::load::Loaded;

/// A finished run, with the scenario it was a run of.
#[derive(Clone, Copy, Debug)]
pub struct ReportedRun<'a> {
    /// What was to happen.
    pub loaded: &'a Loaded,
    /// What happened.
    pub finished: &'a Finished,
    /// The share of the scenarios that it was a part of, if not all were run.
    pub part: Option<Partition>,
}

impl ReportedRun<'_> {
    /// Whether a line of the guest's report is as the scenario has it.
    #[must_use]
    pub fn case_is_right(&self, case: &Case) -> bool {
        self.loaded.scenario.expect.is_right(&case.name, case.verdict)
    }

    /// How long the run took.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::try_from_secs_f64(self.finished.events.last().map_or(0.0, |event| event.at)).unwrap_or_default()
    }
}

/// How many runs there are of each kind, in words.
#[must_use]
pub fn count(runs: &[ReportedRun<'_>]) -> String {
    let of = |wanted: fn(&RunVerdict) -> bool| runs.iter().filter(|told| wanted(&told.finished.verdict)).count();
    let right = of(|verdict| verdict.is_as_expected() && verdict.skipped().is_none());
    let text = format!("{right} of {} runs as expected", runs.len());
    match of(|verdict| verdict.skipped().is_some()) {
        0 => text,
        skipped => format!("{text}, {skipped} skipped"),
    }
}

#[cfg(test)]
mod tests;
