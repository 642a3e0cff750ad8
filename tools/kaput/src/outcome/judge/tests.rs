// SPDX-License-Identifier: MIT OR Apache-2.0
//! A table of cases: a guest's report and what the devices did on one side, the verdict on the other.

use std::path::Path;

use vfio_mig::Errno;

use super::*;
use crate::guest::console::Console;
use crate::outcome::transfer::Refused;
use crate::scenario::load::Loaded;

const CASES: [&str; 2] = ["presence/installed", "migration-apcb/same"];
const GOOD: &str = "PASS: presence: installed\nINFO: all is well\nNow migrate the VM\nPASS: migration-apcb: same\n\
                    SUMMARY: 2 tests\nEXIT: STATUS=1\n";

fn loaded(text: String) -> Scenario {
    Loaded::from_text(Path::new("x.toml"), text).expect("a scenario").scenario
}

fn scenario(expect: &str) -> Scenario {
    loaded(format!(
        r#"
        summary = "x"
        [guest]
        suites = ["presence", "migration-apcb"]
        [hosts.A]
        topology = "05=cex8a/33"
        [hosts.B]
        topology = "05=cex8a/33"
        [[migrations]]
        to = "B"
        [expect]
        {expect}
        "#
    ))
}

const PASS: &str = "result = \"pass\"";
const FAILS: &str = "result = \"guest-fails\"\nfailing = [\"migration-apcb/same\"]";
const REFUSED: &str = "result = \"refused\"\nrefused = { errno = \"ENODEV\", messages = [\"Queue * missing\"] }";

fn accepted() -> Transfer {
    Transfer { to: "B".into(), refused: None }
}

fn refused(errno: Errno, messages: &[&str]) -> Transfer {
    let messages = messages.iter().map(|message| (*message).to_owned()).collect();
    let refused = Some(Refused { errno, desc: "no".into(), messages });
    Transfer { refused, ..accepted() }
}

fn judged(expect: &str, report: &str, transfer: Transfer) -> RunVerdict {
    judged_on(&scenario(expect), &CASES, report, &[transfer])
}

fn judged_on(scenario: &Scenario, cases: &[&str], report: &str, transfers: &[Transfer]) -> RunVerdict {
    let mut guest = Guest::default();
    let mut console = Console::default();
    for line in console.feed(report.as_bytes()) {
        guest.line(line);
    }
    let rest = console.rest();
    judge(&Evidence { scenario, cases, guest: &guest, transfers, host: "B", unfinished_line: &rest })
}

#[test]
fn a_good_report_of_a_good_migration_is_as_expected() {
    let verdict = judged(PASS, GOOD, accepted());
    assert_eq!((verdict.kind, verdict.host.as_deref()), (Kind::AsExpected, Some("B")));
}

#[test]
fn each_way_to_be_wrong_has_its_own_kind() {
    let with = |from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        GOOD.replace(from, to)
    };
    let failed = with(
        "PASS: migration-apcb: same\nSUMMARY: 2 tests\nEXIT: STATUS=1",
        "FAIL: migration-apcb: same (lost 05)\nSUMMARY: 2 tests, 1 unexpected failures\nEXIT: STATUS=3",
    );
    let skipped = with(
        "PASS: migration-apcb: same\nSUMMARY: 2 tests",
        "SKIP: migration-apcb: same (x)\nSUMMARY: 2 tests, 1 skipped",
    );
    let cut = with("SUMMARY: 2 tests\nEXIT: STATUS=1\n", "PASS: mig");
    let right = || refused(Errno::ENODEV, &["Queue 05.0033 missing"]);
    let mut verdicts = Vec::new();
    for (name, expect, report, transfer, kind) in [
        ("a failure", PASS, failed.clone(), accepted(), Kind::GuestFailed),
        ("the failure that was to be", FAILS, failed.clone(), accepted(), Kind::AsExpected),
        ("a failure after a refusal", REFUSED, failed, right(), Kind::GuestFailed),
        ("damage not noticed", FAILS, GOOD.into(), accepted(), Kind::GuestPassedButShouldFail),
        ("giving up", PASS, with("SUMMARY", "ABORT: no memory\nSUMMARY"), accepted(), Kind::GuestFailed),
        (
            "a silent case",
            PASS,
            with("PASS: migration-apcb: same\nSUMMARY: 2", "SUMMARY: 1"),
            accepted(),
            Kind::CaseNeverRan,
        ),
        ("a skipped case", PASS, skipped, accepted(), Kind::CaseSkipped),
        ("no summary", PASS, with("SUMMARY: 2 tests\n", ""), accepted(), Kind::NoSummary),
        ("no exit", PASS, with("EXIT: STATUS=1\n", ""), accepted(), Kind::NoSummary),
        ("a cut", PASS, cut, accepted(), Kind::NoSummary),
        ("wrong counts", PASS, with("SUMMARY: 2", "SUMMARY: 3"), accepted(), Kind::Contradiction),
        ("a wrong exit status", PASS, with("STATUS=1", "STATUS=3"), accepted(), Kind::Contradiction),
        ("garbage", PASS, with("INFO: all is well", "\u{1b}[2J"), accepted(), Kind::ConsoleGarbage),
        ("no request", PASS, with("Now migrate the VM\n", ""), accepted(), Kind::NeverAsked),
        ("a second request", PASS, with("EXIT: STATUS=1\n", "Now migrate the VM\n"), accepted(), Kind::AskedTooOften),
        ("no such information", "result = \"pass\"\ninfo = [\"newer\"]", GOOD.into(), accepted(), Kind::InfoMissing),
        ("the information", "result = \"pass\"\ninfo = [\"all*well\"]", GOOD.into(), accepted(), Kind::AsExpected),
        ("the refusal", REFUSED, GOOD.into(), right(), Kind::AsExpected),
        ("no refusal", REFUSED, GOOD.into(), accepted(), Kind::NotRefused),
        ("a refusal", PASS, GOOD.into(), right(), Kind::RefusedUnexpectedly),
        ("another error", REFUSED, GOOD.into(), refused(Errno::EFAULT, &["Queue 05.0033 missing"]), Kind::WrongRefusal),
        ("another message", REFUSED, GOOD.into(), refused(Errno::ENODEV, &["something"]), Kind::WrongRefusal),
        (
            "a message too many",
            REFUSED,
            GOOD.into(),
            refused(Errno::ENODEV, &["Queue 1 missing", "x"]),
            Kind::WrongRefusal,
        ),
        ("no message", REFUSED, GOOD.into(), refused(Errno::ENODEV, &[]), Kind::WrongRefusal),
    ] {
        let verdict = judged(expect, &report, transfer);
        assert_eq!(verdict.kind, kind, "{name}: {}", verdict.happened);
        verdicts.push((name, verdict));
    }
    insta::assert_json_snapshot!("verdicts", verdicts);
}

#[test]
fn of_a_guest_that_was_not_migrated_no_migration_is_named() {
    let scenario = loaded(
        r#"
        summary = "x"
        [guest]
        suites = ["presence"]
        [hosts.A]
        topology = "05=cex8a/33"
        [expect]
        result = "pass"
        "#
        .to_owned(),
    );
    let report = "PASS: presence: installed\nSUMMARY: 1 tests\nEXIT: STATUS=1\n";
    let verdict = judged_on(&scenario, &CASES[..1], report, &[]);
    assert_eq!(verdict.happened, "the guest's cases are as they should be: 1 passed");
}

#[test]
fn a_skip_must_be_announced_and_an_announced_skip_must_happen() {
    let all_skipped = "SKIP: presence: installed (no AP)\nNow migrate the VM\nSKIP: migration-apcb: same (no AP)\n\
                       SUMMARY: 2 tests, 2 skipped\nEXIT: STATUS=77\n";
    let announced = "result = \"pass\"\nskipped = [\"*\"]";
    assert_eq!(judged(announced, all_skipped, accepted()).kind, Kind::AsExpected);
    let ran = judged(announced, GOOD, accepted());
    assert_eq!(ran.kind, Kind::CaseSkipped);
    assert_eq!(ran.happened, "the case presence/installed ran, and the scenario says otherwise; so it is with 1 more");
    let one = "result = \"pass\"\nskipped = [\"presence/*\"]";
    assert_eq!(judged(one, all_skipped, accepted()).kind, Kind::CaseSkipped);
}

#[test]
fn a_case_that_ran_often_is_as_good_as_its_worst_time() {
    let twice = GOOD
        .replace("Now migrate", "FAIL: migration-apcb: same (lost 05)\nNow migrate")
        .replace("SUMMARY: 2 tests", "SUMMARY: 3 tests, 1 unexpected failures")
        .replace("STATUS=1", "STATUS=3");
    assert_eq!(judged(PASS, &twice, accepted()).kind, Kind::GuestFailed);
    assert_eq!(judged(FAILS, &twice, accepted()).kind, Kind::AsExpected);
}

#[test]
fn the_verdict_names_the_finding_and_shows_what_the_guest_said() {
    let expect = format!("{FAILS}\nfindings = [\"control-domains-dropped\"]");
    let failed = GOOD
        .replace("PASS: migration-apcb: same", "FAIL: migration-apcb: same (lost 33)")
        .replace("SUMMARY: 2 tests", "SUMMARY: 2 tests, 1 unexpected failures")
        .replace("STATUS=1", "STATUS=3");
    assert_eq!(judged(&expect, &failed, accepted()).findings, ["control-domains-dropped"]);
    let verdict = judged(PASS, &failed, accepted());
    assert!(verdict.happened.contains("migration-apcb/same (lost 33)"), "{}", verdict.happened);
}
