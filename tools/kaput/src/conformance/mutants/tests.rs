// SPDX-License-Identifier: MIT OR Apache-2.0
//! When a mutant counts as missed, and how the table shows it.

use insta::assert_snapshot;
use vfio_ap::defect::Defect;

use super::*;

fn mutant(defect: Option<Defect>, name: &str, named_by: &[&str], caught_by: &[&str]) -> Mutant {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Mutant { name: name.to_owned(), defect, caught_by: owned(caught_by), named_by: owned(named_by) }
}

fn seen(id: &str, with_defect: Kind, without: Kind) -> Seen {
    let trouble = (with_defect != Kind::AsExpected).then(|| "with the defect guest-failed: it did".to_owned());
    Seen { scenario: id.to_owned(), findings: vec![id.to_owned()], with_defect, without, trouble }
}

fn outcome(alarms: &[&str]) -> MutantsOutcome {
    let guest_finding = |defect: Defect, cases: &[&str]| mutant(Some(defect), defect.name(), cases, cases);
    MutantsOutcome {
        mutants: vec![
            mutant(None, "corrected", &[], alarms),
            guest_finding(Defect::ControlDomainsDropped, &["guest/control-domains", "uapi/other"]),
            guest_finding(Defect::IncompleteResumeAccepted, &["guest/incomplete-resume"]),
            mutant(Some(Defect::ConfigSzNeverSet), "config-sz-never-set", &["uapi/length"], &["uapi/length"]),
            mutant(Some(Defect::PaddingIgnored), "l-padding-ignored", &[], &["uapi/length"]),
            mutant(None, "v3", &[], &["a", "b", "c"]),
        ],
        guests: Some(vec![
            seen("control-domains-dropped", Kind::AsExpected, Kind::GuestPassedButShouldFail),
            seen("incomplete-resume-accepted", Kind::GuestFailed, Kind::GuestFailed),
        ]),
    }
}

#[test]
fn the_table_says_who_noticed_what() {
    assert_snapshot!(outcome(&[]).table());
}

#[test]
fn what_no_case_names_and_what_no_guest_sees_is_missed() {
    let outcome = outcome(&[]);
    let missed: Vec<&str> = outcome.rows().iter().filter(|row| row.missed).map(|row| row.name).collect();
    assert_eq!(missed, ["incomplete-resume-accepted", "l-padding-ignored"]);
    assert_eq!(outcome.exit(), Exit::NotAsExpected);
}

#[test]
fn a_scenario_that_passes_without_its_defect_shows_nothing() {
    assert!(seen("x", Kind::AsExpected, Kind::GuestFailed).is_caught());
    assert!(!seen("x", Kind::AsExpected, Kind::AsExpected).is_caught());
    assert!(!seen("x", Kind::AsExpected, Kind::QemuDied).is_caught());
}

#[test]
fn a_complaint_about_the_correct_model_is_a_false_alarm() {
    let mut outcome = outcome(&["arc/x"]);
    assert_eq!(outcome.false_alarms(), 1);
    outcome.guests = None;
    outcome.mutants.truncate(2);
    assert_eq!((outcome.missed(), outcome.exit()), (0, Exit::NotAsExpected));
    outcome.mutants[0].caught_by.clear();
    assert_eq!(outcome.exit(), Exit::AsExpected);
}
