// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the findings that a guest can see show to it: which of its cases fail. Who runs into one of them gets its
//! name.

use crate::outcome::verdict::KernelLine;

/// A finding, and the cases that fail together where it is.
const SYMPTOMS: [(&str, &[&str]); 7] = [
    ("bind-state-check-bypassed", &["migration-queues/compatible", "migration-queues/usable"]),
    ("control-domains-dropped", &["migration-apcb/control-domains-unchanged"]),
    ("domain-only-removal-skips-reset", &["migration-queues/empty"]),
    ("guest-matrix-uninitialised", &["migration-apcb/adapters-unchanged", "migration-apcb/control-domains-unchanged"]),
    (
        "incomplete-resume-accepted",
        &[
            "migration-apcb/adapters-unchanged",
            "migration-apcb/domains-unchanged",
            "migration-apcb/control-domains-unchanged",
            "migration-queues/available",
        ],
    ),
    ("stream-usable-after-leaving-state", &["migration-apcb/adapters-unchanged", "migration-queues/available"]),
    ("wrong-list-reset-for-domains", &["migration-queues/empty"]),
];

/// The findings that show like this: all of their cases failed, and no other finding explains more of the failures.
#[must_use]
pub fn suspects(failed: &[&str]) -> Vec<&'static str> {
    let explains = |cases: &&[&str]| cases.iter().all(|case| failed.contains(case));
    let most = SYMPTOMS.iter().map(|(_, cases)| *cases).filter(explains).map(<[_]>::len).max();
    let of_most = SYMPTOMS.iter().filter(|(_, cases)| explains(cases) && Some(cases.len()) == most);
    of_most.map(|(finding, _)| *finding).collect()
}

/// So often the same refusal is no accident.
const FLOOD: usize = 10;

/// The findings that show like this in the kernel's log of a host that refuses.
#[must_use]
pub fn of_log(lines: &[KernelLine]) -> Vec<&'static str> {
    let is_heading = |line: &KernelLine| line.rule.is_none() && line.text.contains("not compatible");
    let is_detail = |line: &&KernelLine| line.rule.is_some();
    let bare = (0..lines.len()).any(|at| is_heading(&lines[at]) && !lines.get(at + 1).is_some_and(|l| is_detail(&l)));
    let secure = lines.iter().filter(|line| line.rule.as_deref().is_some_and(|rule| rule.ends_with("-not-secure")));
    let mut findings = Vec::new();
    if bare {
        findings.push("facility-word-equality-defeats-class-rule");
    }
    if secure.count() >= FLOOD {
        findings.push("unratelimited-se-refusal-log");
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use vfio_mig::catalogue;

    use super::*;
    use crate::scenario::load::{find, names};

    #[test]
    fn every_shipped_scenario_that_shows_a_finding_by_failing_cases_is_recognised() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut recognised = 0;
        for name in names(&folder).expect("a folder") {
            let expect = find(&folder, &name).expect("a scenario").scenario.expect;
            let failing: Vec<&str> = expect.failing.iter().map(|case| case.get_ref().as_str()).collect();
            let Some(finding) = expect.findings.first().filter(|_| !failing.is_empty()) else { continue };
            assert!(suspects(&failing).contains(&finding.as_str()), "{name}: {:?}", suspects(&failing));
            recognised += 1;
        }
        assert_eq!(recognised, SYMPTOMS.len());
        assert!(SYMPTOMS.iter().all(|(finding, _)| catalogue::find(finding).is_some()));
    }

    fn log(lines: &[(&str, Option<&str>)]) -> Vec<KernelLine> {
        let line = |(text, rule): &(&str, Option<&str>)| {
            let (text, rule) = ((*text).to_owned(), rule.map(str::to_owned));
            KernelLine { text, rule, means: None, fix: None }
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn a_heading_without_a_detail_and_a_flood_are_recognised_in_a_log() {
        let heading = ("Source and target queue (05.0033) not compatible", None);
        let detail = ("AP type of source (0e) not compatible with target (0d)", Some("ap-type"));
        assert!(of_log(&log(&[heading, detail, heading, detail])).is_empty());
        let bare = ["facility-word-equality-defeats-class-rule"];
        assert_eq!(of_log(&log(&[heading, heading, detail])), bare);
        assert_eq!(of_log(&log(&[heading])), bare);
        let secure = ("Migration not allowed", Some("destination-not-secure"));
        assert!(of_log(&log(&[secure])).is_empty());
        assert_eq!(of_log(&log(&[secure; FLOOD])), ["unratelimited-se-refusal-log"]);
        let named = bare.iter().chain(&["unratelimited-se-refusal-log"]);
        assert!(named.into_iter().all(|finding| catalogue::find(finding).is_some()));
    }

    #[test]
    fn what_nothing_explains_has_no_name() {
        assert!(suspects(&["rsa/mex-1024"]).is_empty() && suspects(&[]).is_empty());
        assert_eq!(
            suspects(&["rsa/mex-1024", "migration-apcb/control-domains-unchanged"]),
            ["control-domains-dropped"]
        );
    }
}
