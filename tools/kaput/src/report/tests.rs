// SPDX-License-Identifier: MIT OR Apache-2.0
//! Golden reports of three runs that never were: one as expected, one that was not, with everything in it that a report
//! must not trip over, and one that was skipped.

use std::path::Path;

use ap_arch::report::CaseVerdict;
use insta::assert_snapshot;

use super::*;
use crate::outcome::events::{Event, What};
use crate::outcome::verdict::KernelLine;
use crate::outcome::verdict::{Kind, RunVerdict};
use crate::scenario::load::Loaded;

const SCENARIO: &str = r#"summary = "A guest <moves> & stays"
[guest]
suites = ["presence", "migration-apcb"]
[hosts.A]
topology = "05=cex8a/33,3a/33,44"
mdev = { adapters = ["05"], domains = ["33"], control-domains = ["33", "44"] }
[hosts.B]
topology = "05=cex8a/33,3a/33,44"
[[migrations]]
to = "B"
[expect]
result = "pass"
skipped = ["presence/optional"]
"#;

fn event(at: f64, host: &str, what: What) -> Event {
    Event { at, host: Some(host.to_owned()), what }
}

fn matrix(control: &str) -> What {
    let mask = |digits: &str| format!("0x{digits:0<64}");
    What::Matrix { adapters: mask("04"), domains: mask("0000000000001"), control_domains: mask(control) }
}

fn finished(name: &str, verdict: RunVerdict, last: CaseVerdict, detail: &str) -> Finished {
    let case = |name: &str, verdict, detail: Option<&str>| Case {
        name: name.to_owned(),
        verdict,
        detail: detail.map(str::to_owned),
    };
    let events = vec![
        event(0.0, "A", What::Launched { pid: 1 }),
        event(0.05, "A", What::Console { line: "PASS: presence: installed".to_owned() }),
        event(0.1, "A", matrix("00000000000010008")),
        event(0.1, "A", What::MigrationBegun { migration: 1, to: "B".to_owned() }),
        event(0.15, "A", What::Migration { status: "pre-switchover".to_owned() }),
        event(0.16, "B", What::HandedOver { bytes: 112, writes: 1, series: "the later code's format".to_owned() }),
        event(0.2, "B", matrix("0000000000001")),
        event(0.25, "A", What::Ended { how: "dismissed".to_owned() }),
    ];
    let cases = vec![
        case("presence/installed", CaseVerdict::Pass, None),
        case("presence/optional", CaseVerdict::Skip, Some("no facility # 65")),
        case("migration-apcb/control-domains-unchanged", last, Some(detail)),
    ];
    Finished { scenario: name.to_owned(), verdict, events, cases, trace: None }
}

/// Renders the runs.
fn rendered<T>(render: impl FnOnce(&[ReportedRun<'_>]) -> T) -> T {
    let loaded = Loaded::from_text(Path::new("moves.toml"), SCENARIO.to_owned()).expect("a good scenario");
    let right = finished("moves", RunVerdict::new(Kind::AsExpected, "all well"), CaseVerdict::Pass, "");
    let verdict = RunVerdict::new(Kind::GuestFailed, "the guest lost a <control> domain")
        .on("B")
        .expected("every case passes")
        .seen("line 1\nline \"2\"");
    let line = |text: &str, rule: Option<&str>| KernelLine {
        text: text.to_owned(),
        rule: rule.map(str::to_owned),
        means: Some("what <it> means".to_owned()),
        fix: rule.map(|_| "another card".to_owned()),
    };
    let kernel_log = vec![line("a heading", None), line("a <detail>", Some("ap-type")), line("again", Some("ap-type"))];
    let verdict = RunVerdict { kernel_log, ..verdict };
    let wrong = finished("loses", verdict, CaseVerdict::Fail, "control domains lost: <script>{44}</script>");
    let skipped =
        RunVerdict::new(Kind::Skipped, "QEMU of host A cannot migrate this guest").seen("VFIO has no migration");
    let skipped =
        Finished { events: Vec::new(), cases: Vec::new(), ..finished("stays", skipped, CaseVerdict::Skip, "") };
    render(&[&right, &wrong, &skipped].map(|finished| ReportedRun { loaded: &loaded, finished, part: None }))
}

#[test]
fn the_tap_report_is_as_it_was() {
    assert_snapshot!("tap", rendered(tap::runs));
    assert_snapshot!("ktap", rendered(tap::nested_runs));
}

#[test]
fn the_junit_report_is_as_it_was() {
    assert_snapshot!("junit", rendered(junit::runs).expect("written"));
}

#[test]
fn the_page_is_as_it_was() {
    let page = rendered(html::runs).expect("written");
    let body = page.split_once("<body>").expect("a body").1;
    assert_snapshot!("html", body);
}

#[test]
fn nothing_a_guest_says_becomes_part_of_the_page() {
    let page = rendered(html::runs).expect("written");
    assert!(page.contains("&#60;script&#62;{44}&#60;/script&#62;") && !page.contains("<script"));
}

#[test]
fn the_page_needs_nothing_from_anywhere() {
    let page = rendered(html::runs).expect("written");
    for word in ["http", "src=", "@import", "url(", "<link"] {
        assert!(!page.contains(word), "the page has `{word}`");
    }
}
