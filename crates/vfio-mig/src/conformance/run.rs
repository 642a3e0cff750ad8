// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the cases and says what came of each.

use serde::Serialize;

use super::case::Case;
use super::cases;
use super::factory::DeviceFactory;
use super::record::Stop;
use super::script::Script;
use crate::Capability;

/// What a case says of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As the specification says.
    Pass,
    /// Otherwise, in a way that is accepted.
    Differs,
    /// Not as any driver should: a finding.
    Fail,
    /// Not judged.
    Skip,
    /// Not judged, because the device could not be asked: the connection to it broke, or it behaved like no device.
    Broken,
}

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseResult {
    /// Name of the case.
    pub case: String,
    /// Where the rule stands.
    pub source: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Why it was skipped, or in what it differs; what was asked where it failed.
    pub reason: String,
    /// What should have been seen, where it failed.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// The calls made, in order, with their answers: a reproducer.
    pub calls: Vec<String>,
    /// Findings of the catalogue that the case stands for.
    pub covers: Vec<String>,
}

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only cases whose name contains one of these; none means all.
    pub only: Vec<String>,
    /// Also cases that could wreck a real kernel.
    pub dangerous: bool,
}

/// Runs the suite.
#[must_use]
pub fn run(factory: &dyn DeviceFactory, options: &Options) -> Vec<CaseResult> {
    let wanted = |case: &Case| options.only.is_empty() || options.only.iter().any(|part| case.name.contains(part));
    cases::all().iter().filter(|case| wanted(case)).map(|case| run_one(factory, case, options)).collect()
}

fn run_one(factory: &dyn DeviceFactory, case: &Case, options: &Options) -> CaseResult {
    let migration = case.migrates.then_some(Capability::Migration);
    let needs = migration.into_iter().chain(case.needs.iter().copied()).collect();
    let script = Script::new(factory, needs, case.dangerous && !options.dangerous);
    let outcome = (case.body)(&script);
    let (calls, differs, complaints) = script.into_record().into_parts();
    let mut result = CaseResult {
        case: case.name.clone(),
        source: case.source.to_owned(),
        verdict: Verdict::Pass,
        reason: String::new(),
        expected: String::new(),
        seen: String::new(),
        calls,
        covers: case.covers.iter().map(|id| (*id).to_owned()).collect(),
    };
    match outcome {
        Ok(()) | Err(Stop::Skip(_)) if !complaints.is_empty() => {
            (result.verdict, result.reason) = (Verdict::Fail, "the kernel's own verdict".to_owned());
            (result.expected, result.seen) = ("no complaint".to_owned(), complaints.join("; "));
        }
        Ok(()) if differs.is_empty() => {}
        Ok(()) => (result.verdict, result.reason) = (Verdict::Differs, differs.join("; ")),
        Err(Stop::Skip(reason)) => (result.verdict, result.reason) = (Verdict::Skip, reason),
        Err(Stop::Broken(reason)) => (result.verdict, result.reason) = (Verdict::Broken, reason),
        Err(Stop::Finding { what, expected, seen }) => {
            (result.verdict, result.reason) = (Verdict::Fail, what);
            (result.expected, result.seen) = (expected, seen);
        }
    }
    result
}
