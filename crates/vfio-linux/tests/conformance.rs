// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every case through the whole adapter: what the model answers behind system calls is what it answers directly.

mod fake;

use vfio_ap::model::ModelFactory;
use vfio_ap::profile::Profile;
use vfio_linux::LinuxFactory;
use vfio_mig::conformance::{CaseResult, Options, Verdict, run};

use fake::{FakeMachines, Flavour};

const EVERYTHING: Options = Options { only: Vec::new(), dangerous: true };

fn driver(profile: Profile) -> ModelFactory {
    ModelFactory { profile, defects: Vec::new() }
}

fn behind_system_calls(profile: Profile, flavour: Flavour) -> Vec<CaseResult> {
    run(&LinuxFactory(FakeMachines { driver: driver(profile), flavour }), &EVERYTHING)
}

/// The first case of which the two runs say something else.
fn difference(direct: &[CaseResult], adapted: &[CaseResult]) -> Option<String> {
    let pairs = direct.iter().zip(adapted);
    let different = pairs.filter(|(direct, adapted)| direct != adapted);
    let lines: Vec<String> =
        different.map(|(direct, adapted)| format!("direct {direct:#?}\nadapted {adapted:#?}")).collect();
    if lines.is_empty() && direct.len() == adapted.len() {
        return None;
    }
    Some(format!(
        "{} of {} differ; the first:\n{}",
        lines.len(),
        direct.len(),
        lines.first().cloned().unwrap_or_default()
    ))
}

fn hold_equal(profile: Profile, flavour: Flavour) {
    let direct = run(&driver(profile), &EVERYTHING);
    let adapted = behind_system_calls(profile, flavour);
    if let Some(difference) = difference(&direct, &adapted) {
        panic!("{}: {difference}", profile.name());
    }
}

#[test]
fn every_case_passes_on_the_correct_driver_behind_system_calls() {
    let results = behind_system_calls(Profile::Corrected, Flavour::DeviceFile);
    let wrong: Vec<_> = results.iter().filter(|result| result.verdict != Verdict::Pass).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(results.len() >= 141, "{} cases", results.len());
}

#[test]
fn the_correct_driver_is_judged_alike_directly_and_behind_system_calls() {
    hold_equal(Profile::Corrected, Flavour::DeviceFile);
}

#[test]
fn the_posted_driver_is_judged_alike_directly_and_behind_system_calls() {
    hold_equal(Profile::V3, Flavour::DeviceFile);
}

#[test]
fn the_later_driver_is_judged_alike_directly_and_behind_system_calls() {
    hold_equal(Profile::Later, Flavour::DeviceFile);
}
