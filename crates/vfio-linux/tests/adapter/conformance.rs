// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every case through the whole adapter: what the model answers behind system calls is what it answers directly.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use vfio_ap::model::ModelFactory;
use vfio_ap::profile::Profile;
use vfio_linux::{LinuxFactory, Machine, Machines};
use vfio_mig::conformance::{CaseResult, HostSetup, NoHost, Options, Verdict, cases, run};

use crate::fake::{FakeMachines, Flavour};

const EVERYTHING: Options = Options { only: Vec::new(), dangerous: true, shuffle: None };

fn driver(profile: Profile) -> ModelFactory {
    ModelFactory { profile, defects: Vec::new() }
}

fn machines(profile: Profile) -> FakeMachines {
    FakeMachines::new(driver(profile))
}

fn judge(machines: FakeMachines) -> Vec<CaseResult> {
    but_races(run(&LinuxFactory(machines), &EVERYTHING))
}

/// Calls at the same time end in any order: such cases have tests of their own.
fn but_races(mut results: Vec<CaseResult>) -> Vec<CaseResult> {
    results.retain(|result| !result.case.starts_with("races/"));
    results
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

fn hold_equal(machines: FakeMachines) {
    let profile = machines.driver.profile;
    let direct = but_races(run(&driver(profile), &EVERYTHING));
    let adapted = judge(machines);
    if let Some(difference) = difference(&direct, &adapted) {
        panic!("{}: {difference}", profile.name());
    }
}

#[test]
fn every_case_passes_on_the_correct_driver_behind_system_calls() {
    let results = judge(machines(Profile::Corrected));
    let wrong: Vec<_> = results.iter().filter(|result| result.verdict != Verdict::Pass).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(results.len() >= 141, "{} cases", results.len());
}

#[test]
fn no_race_is_found_on_the_correct_driver_behind_a_kernel_with_checkers() {
    let options = Options { only: vec!["races/".to_owned()], ..EVERYTHING };
    let results = run(&LinuxFactory(FakeMachines { checks: true, ..machines(Profile::Corrected) }), &options);
    let wrong: Vec<_> = results.iter().filter(|result| result.verdict != Verdict::Pass).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(results.len() >= 20, "{} cases", results.len());
}

#[test]
fn a_kernel_without_checkers_is_not_asked_what_only_they_see() {
    let options = Options { only: vec!["races/".to_owned()], ..EVERYTHING };
    for results in [run(&LinuxFactory(machines(Profile::V3)), &options), run(&driver(Profile::V3), &options)] {
        let skipped = results.iter().filter(|result| result.verdict == Verdict::Skip);
        assert!(skipped.clone().count() >= 12, "{results:#?}");
        assert!(skipped.clone().all(|result| result.reason.contains("builds such a kernel")), "{results:#?}");
        assert!(results.iter().all(|result| result.calls.is_empty() == (result.verdict == Verdict::Skip)));
    }
}

#[test]
fn the_correct_driver_is_judged_alike_directly_and_behind_system_calls() {
    hold_equal(machines(Profile::Corrected));
}

#[test]
fn the_posted_driver_is_judged_alike_directly_and_behind_system_calls() {
    hold_equal(machines(Profile::V3));
}

#[test]
fn the_later_driver_is_judged_alike_directly_and_behind_system_calls() {
    hold_equal(machines(Profile::Later));
}

#[test]
fn a_device_that_is_opened_by_its_group_is_judged_alike_once_it_is_open() {
    let mut direct = but_races(run(&driver(Profile::Corrected), &EVERYTHING));
    let mut adapted = judge(FakeMachines { flavour: Flavour::Group, ..machines(Profile::Corrected) });
    // Before that there is no file by which anybody could ask it.
    let mut before_open = |result: &mut CaseResult| result.case == "arc/before-open";
    assert_eq!(
        adapted.extract_if(.., &mut before_open).map(|result| result.verdict).collect::<Vec<_>>(),
        [Verdict::Differs]
    );
    direct.retain_mut(|result| !before_open(result));
    if let Some(difference) = difference(&direct, &adapted) {
        panic!("{difference}");
    }
}

/// Counts the machines that are made.
struct Counted(FakeMachines, AtomicUsize);

impl Machines for Counted {
    fn name(&self) -> String {
        self.0.name()
    }

    fn machine(&self, setup: &HostSetup) -> Result<Machine, NoHost> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.machine(setup)
    }
}

/// What is left of the suite on the drivers of released kernels.
#[test]
fn a_driver_without_migration_is_judged_by_the_cases_that_need_none() {
    let machines = FakeMachines { migrates: false, ..machines(Profile::Corrected) };
    let factory = LinuxFactory(Counted(machines, AtomicUsize::new(0)));
    let results = run(&factory, &EVERYTHING);
    let judged: Vec<&CaseResult> = results.iter().filter(|result| result.verdict != Verdict::Skip).collect();
    assert!(judged.iter().all(|result| result.verdict == Verdict::Pass), "{judged:#?}");
    assert!(judged.len() >= 8, "{} cases", judged.len());
    let migrating: BTreeSet<String> = cases().into_iter().filter(|case| case.migrates).map(|case| case.name).collect();
    let of_migration = results.iter().filter(|result| migrating.contains(&result.case));
    let reasons: Vec<&str> = of_migration.map(|result| result.reason.as_str()).collect();
    assert!(reasons.iter().all(|reason| *reason == "this device offers no migration verbs"), "{reasons:?}");
    // One machine shows what the driver is; the others are for cases that need no migration.
    let (made, others) = (factory.0.1.into_inner(), results.len() - reasons.len());
    assert!(made <= others + 1, "{made} machines for {others} cases");
}

#[test]
fn a_call_that_does_not_return_fails_its_case_and_no_other() {
    const VFIO_DEVICE_RESET: u64 = 0x3b6f;
    let options = Options { only: vec!["uapi/reset-zeroizes".to_owned(), "beyond/features".to_owned()], ..EVERYTHING };
    let results =
        run(&LinuxFactory(FakeMachines { hangs: Some(VFIO_DEVICE_RESET), ..machines(Profile::Corrected) }), &options);
    let [hung, other] = &results[..] else { panic!("{results:?}") };
    assert_eq!(
        (hung.verdict, hung.reason.as_str(), hung.expected.as_str()),
        (Verdict::Fail, "VFIO_DEVICE_RESET", "an answer")
    );
    assert!(hung.seen.contains("ioctl on thread 0 has not returned"), "{}", hung.seen);
    assert_eq!(other.verdict, Verdict::Pass);
}
