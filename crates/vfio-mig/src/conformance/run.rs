// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the cases and says what came of each.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde::{Deserialize, Serialize};

use super::case::Case;
use super::cases;
use super::factory::DeviceFactory;
use super::record::Stop;
use super::recording::Recording;
use super::script::{Driver, Script};
use crate::Capability;

/// What a case says of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// In another order than usual, by this seed: the order must not matter.
    pub shuffle: Option<u64>,
}

impl Options {
    /// The cases that are wanted, in their order, as shuffled.
    #[must_use]
    pub fn cases(&self) -> Vec<Case> {
        let is_wanted = |case: &Case| self.only.is_empty() || self.only.iter().any(|part| case.name.contains(part));
        let mut wanted: Vec<Case> = cases::all().into_iter().filter(is_wanted).collect();
        if let Some(seed) = self.shuffle {
            wanted.sort_by_cached_key(|case| {
                let mut hasher = DefaultHasher::new();
                (seed, &case.name).hash(&mut hasher);
                hasher.finish()
            });
        }
        wanted
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The case that is done.
    pub result: &'a CaseResult,
    /// How many are done.
    pub done: usize,
    /// How many there are.
    pub all: usize,
}

/// Runs the suite, a case after the other.
#[must_use]
pub fn run(factory: &dyn DeviceFactory, options: &Options) -> Vec<CaseResult> {
    let driver = Driver::default();
    options.cases().iter().map(|case| run_one(factory, &driver, case, options)).collect()
}

/// Runs these cases, [`Options::cases`] or some of them, this many at a time; `watch` hears of each that is done. The
/// results are in their order.
#[must_use]
pub fn run_several(
    factory: &(dyn DeviceFactory + Sync),
    cases: &[Case],
    options: &Options,
    at_a_time: NonZero<usize>,
    watch: &(dyn Fn(Progress<'_>) + Sync),
) -> Vec<CaseResult> {
    let (driver, next) = (Driver::default(), AtomicUsize::new(0));
    let results = Mutex::new(Vec::new());
    let work = || {
        while let Some((index, case)) = take(&next, cases) {
            let result = run_one(factory, &driver, case, options);
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            watch(Progress { result: &result, done: results.len() + 1, all: cases.len() });
            results.push((index, result));
        }
    };
    thread::scope(|scope| (0..at_a_time.get()).for_each(|_| _ = scope.spawn(work)));
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn take<'c>(next: &AtomicUsize, cases: &'c [Case]) -> Option<(usize, &'c Case)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    cases.get(index).map(|case| (index, case))
}

fn run_one(factory: &dyn DeviceFactory, driver: &Driver, case: &Case, options: &Options) -> CaseResult {
    let migration = case.migrates.then_some(Capability::Migration);
    let needs = migration.into_iter().chain(case.needs.iter().copied()).collect();
    let script = Script::new(factory, driver, needs, case.dangerous && !options.dangerous);
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
        // A kernel that complains and cannot be asked any more is no fault of ours.
        Ok(()) | Err(Stop::Skip(_) | Stop::Broken(_)) if !complaints.is_empty() => {
            (result.verdict, result.reason) = (Verdict::Fail, "the kernel's own verdict".to_owned());
            (result.expected, result.seen) = ("no complaint".to_owned(), complaints.join("; "));
            if let Err(Stop::Broken(reason)) = outcome {
                result.seen = format!("{}; then {reason}", result.seen);
            }
        }
        Ok(()) if differs.is_empty() => {}
        Ok(()) => (result.verdict, result.reason) = (Verdict::Differs, differs.join("; ")),
        Err(Stop::Skip(reason)) => (result.verdict, result.reason) = (Verdict::Skip, reason),
        Err(Stop::Broken(reason)) => (result.verdict, result.reason) = (Verdict::Broken, reason),
        Err(Stop::Finding { what, expected, seen }) => {
            (result.verdict, result.reason) = (Verdict::Fail, what);
            let seen = std::iter::once(seen).chain(complaints).collect::<Vec<_>>().join("; ");
            (result.expected, result.seen) = (expected, seen);
        }
    }
    result
}

/// Runs a case of this name on this driver; nothing if there is none, or the driver does not fail it.
#[must_use]
pub fn record(factory: &dyn DeviceFactory, name: &str) -> Option<Recording> {
    let cases = Options { only: vec![name.to_owned()], ..Options::default() }.cases();
    let case = cases.into_iter().find(|case| case.name == name)?;
    let driver = Driver::default();
    let own = Script::new(factory, &driver, Vec::new(), false).source().and_then(|side| side.full()).ok()?;
    let script = Script::new(factory, &driver, Vec::new(), false).recorded(own);
    let outcome = (case.body)(&script);
    let recording = script.into_record().into_recording()?;
    match outcome {
        Err(Stop::Finding { what, expected, seen }) => Some(Recording { asked: what, expected, seen, ..recording }),
        _ => None,
    }
}
