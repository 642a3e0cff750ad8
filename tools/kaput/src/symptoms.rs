// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the findings that a guest can see show to it: which of its cases fail. Who runs into one of them is told its name.

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

    #[test]
    fn what_nothing_explains_has_no_name() {
        assert!(suspects(&["rsa/mex-1024"]).is_empty() && suspects(&[]).is_empty());
        assert_eq!(
            suspects(&["rsa/mex-1024", "migration-apcb/control-domains-unchanged"]),
            ["control-domains-dropped"]
        );
    }
}
