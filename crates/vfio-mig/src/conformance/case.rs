// SPDX-License-Identifier: MIT OR Apache-2.0
//! One case: a rule, where it stands, and how it is tried.

use super::record::Stop;
use super::script::Script;
use crate::Capability;

type Body = Box<dyn Fn(&Script<'_>) -> Result<(), Stop> + Send + Sync>;

/// One rule as a test.
pub struct Case {
    /// Its name, `group/rule`.
    pub name: String,
    /// Findings of the catalogue that this case catches by itself.
    pub covers: &'static [&'static str],
    /// Where the rule stands.
    pub source: &'static str,
    /// It needs the migration verbs.
    pub migrates: bool,
    /// What it needs besides.
    pub needs: &'static [Capability],
    /// It could wreck a real kernel: only run on demand, or on a device that is expendable.
    pub dangerous: bool,
    pub(super) body: Body,
}

impl Case {
    pub(super) fn new(
        name: impl Into<String>,
        source: &'static str,
        body: impl Fn(&Script<'_>) -> Result<(), Stop> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            covers: &[],
            source,
            migrates: true,
            needs: &[],
            dangerous: false,
            body: Box::new(body),
        }
    }

    pub(super) const fn covers(mut self, findings: &'static [&'static str]) -> Self {
        self.covers = findings;
        self
    }

    pub(super) const fn needs(mut self, capabilities: &'static [Capability]) -> Self {
        self.needs = capabilities;
        self
    }

    /// It judges what drivers without migration do as well.
    pub(super) const fn without_migration(mut self) -> Self {
        self.migrates = false;
        self
    }

    pub(super) const fn dangerous(mut self) -> Self {
        self.dangerous = true;
        self
    }
}
