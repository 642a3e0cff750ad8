// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known to be wrong with vfio-ap migration drivers: the findings of the review, those beyond it, those seen in
//! the code after the posted series, and those that the real driver showed in the lab. For people who ask what a
//! finding is; the cases refer to these ids.

/// A table of findings: id, severity, group; what the driver does, how it shows, what is right.
macro_rules! findings {
    ($($id:literal, $severity:ident, $group:ident, $what:literal, $shows:literal, $right:literal;)*) => {
        pub(super) const FINDINGS: &[Finding] = &[$(Finding {
            id: $id,
            severity: Severity::$severity,
            group: Group::$group,
            what: $what,
            shows: $shows,
            right: $right,
        }),*];
    };
}

mod beyond;
mod complaints;
mod lab;
mod later;
mod review;

pub use complaints::{elsewhere, finding_of};

use std::fmt;

use serde::Serialize;

/// One finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its id, the same everywhere. `x-`: beyond the review; `l-`: in the code after the posted series.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// By what it can be seen.
    pub group: Group,
    /// What the driver does.
    pub what: &'static str,
    /// How that shows.
    pub shows: &'static str,
    /// What is right instead, and where it stands.
    pub right: &'static str,
}

/// Severity, the highest one announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// A remark.
    Low,
    /// Wrong, seldom harmful.
    Medium,
    /// Harmful.
    High,
    /// Endangers the host or other guests.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

/// The first of these by which a finding shows by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// A guest can see it.
    Guest,
    /// It shows at the VFIO uAPI, in sysfs or in the log.
    Uapi,
    /// Only a checker of races or lifetimes can see it: not imitated, because safe Rust makes it impossible here.
    Checker,
    /// It is in the documentation.
    Documentation,
}

/// All findings: review, beyond it, later code, those that the lab found.
pub fn findings() -> impl Iterator<Item = &'static Finding> {
    review::FINDINGS.iter().chain(beyond::FINDINGS).chain(later::FINDINGS).chain(lab::FINDINGS)
}

/// The finding of this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Finding> {
    findings().find(|finding| finding.id == id)
}

/// Names of the cases that judge a finding by themselves.
#[must_use]
pub fn cases_of(id: &str) -> Vec<String> {
    let cases = crate::conformance::cases();
    cases.into_iter().filter(|case| case.covers.contains(&id)).map(|case| case.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_counts_are_those_of_the_catalogue() {
        let of = |group| review::FINDINGS.iter().filter(|finding| finding.group == group).count();
        let groups = [Group::Guest, Group::Uapi, Group::Checker, Group::Documentation].map(of);
        assert_eq!(groups, [10, 14, 14, 5]);
        let of = |severity| review::FINDINGS.iter().filter(|finding| finding.severity == severity).count();
        let severities = [Severity::Critical, Severity::High, Severity::Medium, Severity::Low].map(of);
        assert_eq!(severities, [11, 19, 6, 7]);
        assert_eq!((beyond::FINDINGS.len(), later::FINDINGS.len()), (17, 16));
        let ids: BTreeSet<&str> = findings().map(|finding| finding.id).collect();
        assert_eq!(ids.len(), 43 + 17 + 16 + lab::FINDINGS.len());
    }

    #[test]
    fn every_finding_of_guest_and_uapi_has_a_case() {
        let review = review::FINDINGS.iter().filter(|finding| matches!(finding.group, Group::Guest | Group::Uapi));
        let without: Vec<&str> = review.map(|finding| finding.id).filter(|id| cases_of(id).is_empty()).collect();
        assert!(without.is_empty(), "{without:?}");
    }

    #[test]
    fn cases_name_only_findings_that_exist() {
        for case in crate::conformance::cases() {
            for id in case.covers {
                assert!(find(id).is_some(), "{} covers {id}", case.name);
            }
        }
    }
}
