// SPDX-License-Identifier: MIT OR Apache-2.0
//! What people and programs are shown, as golden files, and that no item is longer than a screen.

use insta::assert_snapshot;
use vfio_ap::defect::Defect;
use vfio_ap::model::ModelFactory;
use vfio_ap::profile::Profile;
use vfio_mig::conformance::{DeviceFactory, Options, run};

use super::*;

/// Lines of a screen.
const SCREEN: usize = 40;

fn judged(defects: Vec<Defect>, only: &[&str]) -> Judged {
    let names = Some(defects.iter().map(|defect| defect.name()).collect());
    let factory = ModelFactory { profile: Profile::Corrected, defects };
    let only = only.iter().map(|part| (*part).to_owned()).collect();
    let results = run(&factory, &Options { only, dangerous: true, shuffle: None });
    Judged { device: factory.name(), defects: names, part: None, results }
}

fn one_of_each() -> Judged {
    let mut judged =
        judged(vec![Defect::ControlDomainsDropped], &["guest/control-domains", "guest/stale-read", "arc/"]);
    judged.results.retain(|result| !result.case.starts_with("arc/") || result.case.contains("error"));
    let mut add = |case: &str, verdict, reason: &str| {
        let mut result = judged.results[0].clone();
        (result.case, result.verdict, result.reason) = (case.to_owned(), verdict, reason.to_owned());
        (result.expected, result.seen) = (String::new(), String::new());
        judged.results.push(result);
    };
    add("code/example", Verdict::Skip, "this device offers no driver log");
    add("code/other", Verdict::Differs, "write: EINVAL instead of EFAULT");
    add("code/third", Verdict::Broken, "the connection ended");
    judged
}

#[test]
fn a_report_shows_what_did_not_pass() {
    assert_snapshot!("human", human::screen(&one_of_each()));
    assert_snapshot!("tap", tap::document(&one_of_each()));
    assert_snapshot!("ktap", tap::nested(&one_of_each()));
    assert_snapshot!("junit", junit::document(&one_of_each()).expect("written"));
    assert_snapshot!("json", json::lines(&one_of_each()));
    assert_snapshot!("page", page::page(&one_of_each()).expect("a page").split_once("<body>").expect("a body").1);
}

#[test]
fn what_programs_read_is_read_again_and_shares_become_the_whole() {
    let whole = Judged { defects: None, ..one_of_each() };
    let share = |text: &str| {
        let part: Partition = text.parse().expect("a share");
        let share = Judged { part: Some(part), results: part.take(whole.results.clone()), ..whole.clone() };
        json::read(&json::lines(&share)).expect("a report")
    };
    let lines = json::lines(&whole);
    assert_eq!(json::lines(&json::read(&lines).expect("a report")), lines);
    assert!(json::is_one(&lines) && json::is_one(&json::lines(&share("7/7"))) && !json::is_one("{\"scenario\":\"x\"}"));
    let merged = Judged::merge(vec![share("3/4"), share("1/4"), share("4/4"), share("2/4")]).expect("all four");
    assert_eq!(json::lines(&merged), lines);
    let refused =
        |shares: &[&str]| Judged::merge(shares.iter().map(|text| share(text)).collect()).expect_err("no whole");
    assert_eq!(refused(&["1/2"]), "a share is missing: 2/2");
    assert!(refused(&["1/2", "1/2"]).contains("is there twice"));
    let other = Judged { device: "another".to_owned(), ..share("2/2") };
    assert!(Judged::merge(vec![share("1/2"), other]).is_err_and(|why| why.ends_with("another of another")));
    let cut = lines.lines().skip(1).map(|line| line.to_owned() + "\n").collect::<String>();
    assert_eq!(json::read(&cut).expect_err("a case is gone"), "it has 5 cases, and its last line says 6");
}

#[test]
fn the_exit_status_is_that_of_the_worst() {
    assert_eq!(judged(Vec::new(), &["guest/stale-read"]).exit(), Exit::AsExpected);
    assert_eq!(judged(vec![Defect::ControlDomainsDropped], &["guest/control-domains"]).exit(), Exit::NotAsExpected);
    assert_eq!(one_of_each().exit(), Exit::Infrastructure);
}

#[test]
fn every_failure_of_every_imitated_driver_fits_a_screen() {
    for profile in [Profile::V3, Profile::Later] {
        let factory = ModelFactory { profile, defects: Vec::new() };
        let results = run(&factory, &Options { only: Vec::new(), dangerous: true, shuffle: None });
        let judged = Judged { device: factory.name(), defects: None, part: None, results };
        for result in &judged.results {
            let item = human::item(&judged, result);
            assert!(item.lines().count() <= SCREEN, "{item}");
            assert!(item.lines().all(|line| line.chars().count() <= 100), "{item}");
        }
    }
}
