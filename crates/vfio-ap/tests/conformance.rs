// SPDX-License-Identifier: MIT OR Apache-2.0
//! The model under the conformance suite: silent when it is right, and every defect is caught by a case that names it.

use vfio_ap::defect::Defect;
use vfio_ap::model::ModelFactory;
use vfio_ap::mutants::mutants;
use vfio_ap::profile::Profile;
use vfio_mig::conformance::{CaseResult, Options, Verdict, run, run_several};

const EVERYTHING: Options = Options { only: Vec::new(), dangerous: true, shuffle: None };

fn names(results: &[CaseResult], verdict: Verdict) -> Vec<&str> {
    results.iter().filter(|result| result.verdict == verdict).map(|result| result.case.as_str()).collect()
}

/// A model has no checkers.
fn is_of_checkers(result: &CaseResult) -> bool {
    result.verdict == Verdict::Skip && result.case.starts_with("races/")
}

#[test]
fn the_corrected_model_passes_every_case_and_skips_none_but_those_of_a_kernels_checkers() {
    let results = run(&ModelFactory::corrected(), &EVERYTHING);
    let wrong: Vec<_> = results.iter().filter(|one| one.verdict != Verdict::Pass && !is_of_checkers(one)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(results.len() >= 120, "{} cases", results.len());
}

#[test]
fn every_defect_is_caught_by_a_case_that_names_it() {
    let mutants = mutants(&EVERYTHING);
    let (control, mutants) = mutants.split_first().expect("there is a control");
    assert_eq!(control.caught_by, [""; 0]);
    let missed: Vec<_> = mutants.iter().filter(|mutant| mutant.defect.is_some() && !mutant.is_caught()).collect();
    assert!(missed.is_empty(), "missed: {missed:#?}");
}

/// Other kernels are imitated so that what is seen on them is known before; so this changes only on purpose.
#[test]
fn each_imitated_driver_does_what_it_is_on_record_for() {
    let profiles = Profile::ALL.map(|profile| (profile.name(), ModelFactory { profile, defects: Vec::new() }));
    let defects = Defect::ALL
        .iter()
        .map(|defect| (defect.name(), ModelFactory { profile: Profile::Corrected, defects: vec![*defect] }));
    let shown = |result: &CaseResult| match result.verdict {
        Verdict::Pass => None,
        Verdict::Fail => Some(format!("  {} Fail: {}, not {}\n", result.case, result.seen, result.expected)),
        verdict => Some(format!("  {} {verdict:?}: {}\n", result.case, result.reason)),
    };
    let record = profiles.into_iter().chain(defects).map(|(name, driver)| {
        let results = run(&driver, &EVERYTHING);
        format!("{name}\n{}", results.iter().filter(|one| !is_of_checkers(one)).filter_map(shown).collect::<String>())
    });
    insta::assert_snapshot!(record.collect::<String>());
}

#[test]
fn the_order_of_the_cases_changes_no_result() {
    let verdicts = |shuffle| -> Vec<(String, Verdict)> {
        let results = run(&ModelFactory::corrected(), &Options { shuffle, ..EVERYTHING });
        results.into_iter().map(|result| (result.case, result.verdict)).collect()
    };
    let (mut usual, mut shuffled) = (verdicts(None), verdicts(Some(7)));
    assert_ne!(usual, shuffled);
    usual.sort();
    shuffled.sort();
    assert_eq!(usual, shuffled);
}

#[test]
fn the_later_driver_fails_fewer_cases_than_the_posted_one() {
    let of = |profile| run(&ModelFactory { profile, defects: Vec::new() }, &EVERYTHING);
    let (posted, later) = (of(Profile::V3), of(Profile::Later));
    let (posted, later) = (names(&posted, Verdict::Fail), names(&later, Verdict::Fail));
    assert!(later.len() < posted.len(), "posted {posted:?}, later {later:?}");
    for case in ["later/second-snapshot", "later/session-after-reset", "later/second-session-larger"] {
        assert!(later.contains(&case), "{case} passed");
    }
}

#[test]
fn several_cases_at_a_time_say_what_one_after_the_other_says() {
    let driver = ModelFactory { profile: Profile::V3, defects: Vec::new() };
    let done = std::sync::Mutex::new(Vec::new());
    let count = |progress: vfio_mig::conformance::Progress<'_>| {
        done.lock().expect("nobody panics").push((progress.done, progress.all));
    };
    let several =
        run_several(&driver, &EVERYTHING.cases(), &EVERYTHING, std::num::NonZero::new(3).expect("three"), &count);
    assert_eq!(several, run(&driver, &EVERYTHING));
    let all = several.len();
    assert_eq!(done.into_inner().expect("nobody panics"), (1..=all).map(|done| (done, all)).collect::<Vec<_>>());
}

#[test]
fn a_failure_shows_calls_expectation_and_what_was_seen() {
    let defects = vec![vfio_ap::defect::Defect::IncompleteResumeAccepted];
    let factory = ModelFactory { profile: Profile::Corrected, defects };
    let options = Options { only: vec!["guest/incomplete-resume".to_owned()], dangerous: false, shuffle: None };
    let results = run(&factory, &options);
    let [result] = &results[..] else { panic!("{results:?}") };
    assert_eq!(result.verdict, Verdict::Fail);
    assert_eq!((result.expected.as_str(), result.seen.as_str()), ("EINVAL", "ok"));
    assert!(
        result.calls.ends_with(&["destination: S:->resuming = ok, stream".into(), "destination: S:->stop = ok".into()])
    );
}

#[test]
fn every_defect_is_in_the_catalogue_and_every_behavioural_finding_is_a_defect() {
    use vfio_mig::catalogue::{Group, find, findings};
    for defect in Defect::ALL {
        assert!(find(defect.name()).is_some(), "{defect}");
    }
    // Not defects of the model: what is specified so, and what only a real driver can show.
    let not_imitated =
        ["x-incompatible-returns-efault", "x-aqic-registration-not-migrated", "l-removal-waits-for-stream"];
    for finding in findings().filter(|finding| matches!(finding.group, Group::Guest | Group::Uapi)) {
        let is_defect = Defect::from_name(finding.id).is_ok();
        assert!(is_defect != not_imitated.contains(&finding.id), "{}", finding.id);
    }
}
