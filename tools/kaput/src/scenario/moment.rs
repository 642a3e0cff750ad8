// SPDX-License-Identifier: MIT OR Apache-2.0
//! The moments of a run at which a scenario can act or ask.

use std::fmt;
use std::num::NonZeroUsize;

use serde::Deserialize;
use toml::Spanned;

/// The moments of a run, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// The source QEMU is started and does not answer yet.
    Boot,
    /// The guest has printed its first line.
    Suites,
    /// The guest said that it waits for a domain to go away.
    Waiting,
    /// The guest asked for the migration.
    Asked,
    /// Pages move.
    Active,
    /// The guest is stopped, the AP configuration has not yet gone over.
    PreSwitchover,
    /// The AP configuration has gone over.
    HandedOver,
    /// QEMU was told to go on.
    Continued,
    /// The migration is over, wherever the guest is now; it waits for its key.
    Over,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boot => "boot",
            Self::Suites => "suites",
            Self::Waiting => "waiting",
            Self::Asked => "asked",
            Self::Active => "active",
            Self::PreSwitchover => "pre-switchover",
            Self::HandedOver => "handed-over",
            Self::Continued => "continued",
            Self::Over => "over",
        })
    }
}

/// Which migration an action or a question belongs to, where the file does not say.
pub(super) fn first() -> Spanned<NonZeroUsize> {
    Spanned::new(0..0, NonZeroUsize::MIN)
}
