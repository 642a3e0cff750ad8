// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reports: renderings of finished runs, each for other readers. They compute nothing a verdict depends on.

pub mod chart;
pub mod html;
pub mod human;
pub mod json;
pub mod junit;
pub mod lanes;
pub mod matrix;
pub mod preflight;
pub mod soak;
pub mod tap;
pub mod text;
pub mod timeline;

use std::time::Duration;

use ap_arch::report::Verdict as CaseVerdict;

use crate::guest::report::Case;
use crate::outcome::finished::Finished;
use crate::outcome::verdict::Verdict;
use crate::scenario::Outcome;
use crate::scenario::load::Loaded;

/// A finished run, with the scenario it was a run of.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// What was to happen.
    pub loaded: &'a Loaded,
    /// What happened.
    pub finished: &'a Finished,
}

impl Told<'_> {
    /// Whether a case ended as the scenario has it: passed, skipped where it must be, failed where it must notice
    /// damage.
    #[must_use]
    pub fn case_is_right(&self, case: &Case) -> bool {
        let expect = &self.loaded.scenario.expect;
        match case.verdict {
            CaseVerdict::Pass => !expect.skips(&case.name),
            CaseVerdict::Skip => expect.skips(&case.name),
            CaseVerdict::Fail => {
                let wanted = expect.failing.iter().any(|name| *name.get_ref() == case.name);
                expect.outcome() == Outcome::GuestFails && wanted
            }
            _ => false,
        }
    }

    /// How long the run took.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::try_from_secs_f64(self.finished.events.last().map_or(0.0, |event| event.at)).unwrap_or_default()
    }
}

/// How many runs there are of each kind, in words.
#[must_use]
pub fn count(runs: &[Told<'_>]) -> String {
    let of = |wanted: fn(&Verdict) -> bool| runs.iter().filter(|told| wanted(&told.finished.verdict)).count();
    let right = of(|verdict| verdict.is_as_expected() && verdict.skipped().is_none());
    let text = format!("{right} of {} runs as expected", runs.len());
    match of(|verdict| verdict.skipped().is_some()) {
        0 => text,
        skipped => format!("{text}, {skipped} skipped"),
    }
}

#[cfg(test)]
mod tests;
