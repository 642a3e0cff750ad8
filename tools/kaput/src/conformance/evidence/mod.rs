// SPDX-License-Identifier: MIT OR Apache-2.0
//! What real kernels said: of each finding the case that showed it and on which kernel, or why no kernel shows it. It
//! stands in `evidence.toml` and was recorded in the lab.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

#[cfg(test)]
mod runs;

/// What became of a finding in the code after v4, as it was read: it has not been posted, and nobody can build it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Later {
    /// It is not there any more.
    Fixed,
    /// It is there as in v3.
    Still,
    /// Something else is wrong at its place.
    Changed,
    /// There is nothing any more that could have it.
    NotApplicable,
    /// Its place was not found.
    NotSeen,
    /// It is there, and v3 does not have it.
    Only,
    /// Neither has it: a false alarm.
    Neither,
}

/// What is known of one finding.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Evidence {
    /// The kernel that was asked.
    #[serde(default)]
    pub kernel: String,
    /// The case that showed it.
    #[serde(default)]
    pub case: String,
    /// In how many of how many runs.
    #[serde(default)]
    pub runs: String,
    /// What was seen, and the kernel's report, shortened.
    #[serde(default)]
    pub said: Vec<String>,
    /// What the code after v4 has of it.
    pub later: Later,
    /// Why no kernel shows it, or not any more.
    #[serde(default)]
    pub not_shown: String,
}

/// All that there is, by the finding's id; nothing if the file were damaged, which a test excludes.
static ALL: LazyLock<BTreeMap<String, Evidence>> =
    LazyLock::new(|| toml::from_str(include_str!("../evidence.toml")).unwrap_or_default());

/// All of it, by the findings' ids.
#[must_use]
pub fn all() -> &'static BTreeMap<String, Evidence> {
    &ALL
}

/// That of a finding, if anybody asked a kernel.
#[must_use]
pub fn of(id: &str) -> Option<&'static Evidence> {
    ALL.get(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_of_findings_and_cases_that_there_are_and_says_what_was_seen_or_why_not() {
        let all: BTreeMap<String, Evidence> = toml::from_str(include_str!("../evidence.toml")).expect("TOML");
        let cases = vfio_mig::conformance::cases();
        for (id, evidence) in &all {
            let covers = |case: &vfio_mig::conformance::Case| case.covers.contains(&id.as_str());
            assert!(vfio_mig::catalogue::find(id).is_some(), "{id}");
            let case = cases.iter().find(|case| case.name == evidence.case);
            assert!(evidence.case.is_empty() || case.is_some_and(covers), "{id}: {}", evidence.case);
            assert_eq!(evidence.said.is_empty(), !evidence.not_shown.is_empty(), "{id}");
            assert!(evidence.later != Later::Only || !evidence.not_shown.is_empty(), "{id}: no kernel has that code");
        }
        let without = vfio_mig::catalogue::findings().find(|finding| !all.contains_key(finding.id));
        assert_eq!(without.map(|finding| finding.id), None, "nobody has asked a kernel");
    }
}
