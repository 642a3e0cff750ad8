// SPDX-License-Identifier: MIT OR Apache-2.0
//! How often a kernel showed what `evidence.toml` says of it, counted in reports of `kaput lab run --report json`. That
//! a test can do it keeps it out of the program. It writes the file anew for one kernel, by its name there:
//!
//! ```sh
//! KAPUT_EVIDENCE_KERNEL='Linux 7.3.4 with v3 and checkers' KAPUT_EVIDENCE_REPORTS=1.json:2.json \
//!     cargo test --release -p kaput --lib evidence::runs
//! ```

use std::fmt::Write as _;
use std::path::Path;

use vfio_mig::conformance::{CaseResult, Verdict};

use super::{Evidence, all};
use crate::conformance::json;

/// Whether a run of the case showed the finding; nothing if the case was not judged.
fn shown(id: &str, evidence: &Evidence, result: &CaseResult) -> Option<bool> {
    if matches!(result.verdict, Verdict::Skip | Verdict::Broken) {
        return None;
    }
    let first = evidence.said.first()?;
    let is_same = result.reason == first.strip_prefix("asked: ").unwrap_or(first);
    Some(is_same || result.seen.contains(&format!("known as {id})")))
}

/// The file with the counts of these reports at what this kernel showed.
fn counted(file: &str, kernel: &str, reports: &[Vec<CaseResult>]) -> String {
    let mut text = String::new();
    let mut id = "";
    for line in file.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            id = name;
        }
        let asked = all().get(id).filter(|evidence| evidence.kernel == kernel);
        if asked.is_none() || !line.starts_with("runs = ") {
            _ = writeln!(text, "{line}");
        }
        if let (Some(evidence), true) = (asked, line.starts_with("case = ")) {
            let results = reports.iter().flatten().filter(|result| result.case == evidence.case);
            let runs: Vec<bool> = results.filter_map(|result| shown(id, evidence, result)).collect();
            let shows = runs.iter().filter(|shows| **shows).count();
            _ = writeln!(text, "runs = '{shows} of {}'", runs.len());
        }
    }
    text
}

#[test]
fn the_file_has_what_reports_say_if_some_are_named() {
    let (Ok(kernel), Ok(reports)) = (std::env::var("KAPUT_EVIDENCE_KERNEL"), std::env::var("KAPUT_EVIDENCE_REPORTS"))
    else {
        return;
    };
    let read = |path: &str| json::read(&std::fs::read_to_string(path).expect("a report")).expect("a report").results;
    let reports: Vec<Vec<CaseResult>> = reports.split(':').map(read).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conformance/evidence.toml");
    let file = std::fs::read_to_string(&path).expect("the file");
    std::fs::write(&path, counted(&file, &kernel, &reports)).expect("the file");
}

#[test]
fn a_run_counts_when_its_case_was_judged_and_showed_the_same() {
    let id = "control-domains-dropped";
    let evidence = super::of(id).expect("evidence");
    let asked = evidence.said[0].strip_prefix("asked: ").expect("what was asked");
    let result = |verdict, reason: &str, seen: &str| {
        let [case, source, expected] = [evidence.case.clone(), String::new(), String::new()];
        let [reason, seen] = [reason.to_owned(), seen.to_owned()];
        vec![CaseResult { case, source, verdict, reason, expected, seen, calls: Vec::new(), covers: Vec::new() }]
    };
    let reports = [
        result(Verdict::Fail, asked, "none"),
        result(Verdict::Fail, "the kernel's own verdict", &format!("it complains (known as {id})")),
        result(Verdict::Fail, "something else", "none"),
        result(Verdict::Pass, "", ""),
        result(Verdict::Skip, asked, ""),
    ];
    let file = format!("[{id}]\nkernel = 'k'\ncase = 'c'\nruns = '1 of 1'\n\n[unlink-became-link]\ncase = 'd'\n");
    let text = counted(&file, &evidence.kernel, &reports);
    assert_eq!(text, file.replace("1 of 1", "2 of 4"));
}
