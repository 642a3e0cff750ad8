// SPDX-License-Identifier: MIT OR Apache-2.0
//! `doc-typos-and-inconsistent-names`, `doc-heading-says-not-incompatible`: one quantity has one name, and what is said
//! of scenarios and findings is what the code has.

use std::collections::BTreeMap;

use vfio_mig::catalogue;

use super::{Faults, all_keep, documents};

/// Placeholders such as `$RESPONSE-CODE` that differ from another one in a hyphen only.
fn two_spellings(text: &str) -> Faults {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut faults = Faults::new();
    for (number, line) in (1..).zip(text.lines()) {
        for rest in line.split('$').skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_ascii_uppercase() || matches!(c, '_' | '-')).collect();
            let first = known.entry(name.replace('-', "_")).or_insert_with(|| name.clone());
            if *first != name {
                faults.push((number, format!("`${name}` is called `${first}` elsewhere")));
            }
        }
    }
    faults
}

/// Two negations that make their opposite.
fn double_negation(text: &str) -> Faults {
    let wrong = ["not incompatible", "not impossible", "not unavailable", "never not"];
    let of = |line: &str| wrong.iter().find(|phrase| line.to_lowercase().contains(*phrase)).copied();
    (1..).zip(text.lines()).filter_map(|(number, line)| Some((number, format!("`{}`", of(line)?)))).collect()
}

/// Names in backquotes that begin as findings do, and are none.
fn unknown_findings(text: &str) -> Faults {
    let is_id = |name: &str| {
        let rest = name.strip_prefix("x-").or_else(|| name.strip_prefix("l-"));
        rest.is_some_and(|rest| rest.len() > 3 && rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
    };
    let mut faults = Faults::new();
    for (number, line) in (1..).zip(text.lines()) {
        for name in line.split('`').skip(1).step_by(2).filter(|name| is_id(name)) {
            if catalogue::find(name).is_none() {
                faults.push((number, format!("there is no finding `{name}`")));
            }
        }
    }
    faults
}

#[test]
fn the_version_to_cite_is_the_one_that_is_built() {
    let citation = std::fs::read_to_string(super::root().join("CITATION.cff")).expect("text");
    let version = citation.lines().find_map(|line| line.strip_prefix("version: "));
    assert_eq!(version, Some(env!("CARGO_PKG_VERSION")));
}

#[test]
fn one_quantity_has_one_name() {
    assert_eq!(two_spellings("$RESPONSE-CODE and\n$RESPONSE_CODE").len(), 1);
    assert!(two_spellings("$SIGNAL-ID, $PROCESS-ID, $SIGNAL-ID").is_empty());
    all_keep(two_spellings, documents());
}

#[test]
fn nothing_is_said_by_two_negations() {
    assert_eq!(double_negation("### Configurations that are Not Incompatible").len(), 1);
    all_keep(double_negation, documents());
}

#[test]
fn findings_are_called_as_in_the_catalogue() {
    assert_eq!(unknown_findings("`x-dead-queues-accepted`").len(), 1);
    all_keep(unknown_findings, documents());
}
