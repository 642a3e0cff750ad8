// SPDX-License-Identifier: MIT OR Apache-2.0
//! The findings that the model does not imitate: which rule the tests of the model check instead, and how a real driver
//! is judged. They stand in `unmodelled.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Unmodelled {
    /// What is tested on the model: a rule, or the name of a test.
    pub rule: String,
    /// What shows it on a real driver: a case or a procedure, and the kernel's checker that judges.
    pub on_a_driver: String,
}

/// All of them, by the finding's id; none if the file were damaged, which a test excludes.
#[must_use]
pub fn all() -> BTreeMap<String, Unmodelled> {
    toml::from_str(include_str!("unmodelled.toml")).unwrap_or_default()
}
