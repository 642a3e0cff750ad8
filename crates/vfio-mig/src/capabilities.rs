// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a device under test and its host can be asked: a case names what it needs, and lacking it is a skip.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::DeviceError;

/// One thing that a test may need and a device or host may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// The verbs of the migration uAPI: state, data size, streams, reset.
    Migration,
    /// A read or write with an explicit offset.
    PositionedIo,
    /// A read or write whose user buffer faults at a chosen byte.
    UserFaults,
    /// Opening and closing the device, removing the mediated device.
    LifeCycle,
    /// Writing and reading sysfs attributes.
    Sysfs,
    /// The driver's log lines.
    Log,
    /// How often each queue was reset.
    ResetCounters,
    /// Choosing hardware information and the answers of queues.
    Hardware,
    /// Executing AP instructions as a guest.
    Guests,
    /// Making the host or the guest one under Secure Execution.
    SecureExecution,
    /// Choosing what uninitialised memory of the driver holds.
    Poison,
    /// What KVM was told that a guest has.
    GuestMasks,
    /// Two verbs that begin at the same moment.
    TwoAtOnce,
    /// A read or write that waits inside the driver.
    ParkedCalls,
    /// The kernel's own checkers of lifetimes and locks.
    Checkers,
    /// An allocation of the kernel that fails.
    FailingAllocations,
    /// Which function has how much of the kernel's memory.
    Allocations,
    /// The device is a model: a case that could wreck a real kernel may run.
    Expendable,
}

impl Capability {
    /// Every capability, in the order of declaration.
    pub const ALL: [Self; 18] = [
        Self::Migration,
        Self::PositionedIo,
        Self::UserFaults,
        Self::LifeCycle,
        Self::Sysfs,
        Self::Log,
        Self::ResetCounters,
        Self::Hardware,
        Self::Guests,
        Self::SecureExecution,
        Self::Poison,
        Self::GuestMasks,
        Self::TwoAtOnce,
        Self::ParkedCalls,
        Self::Checkers,
        Self::FailingAllocations,
        Self::Allocations,
        Self::Expendable,
    ];

    /// What is missing, said so that it reads after "this device offers no".
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Migration => "migration verbs",
            Self::PositionedIo => "read or write at an offset",
            Self::UserFaults => "user buffer that faults on demand",
            Self::LifeCycle => "opening, closing and removing of devices",
            Self::Sysfs => "sysfs attributes",
            Self::Log => "driver log",
            Self::ResetCounters => "count of queue resets",
            Self::Hardware => "control of the hardware's answers",
            Self::Guests => "guest that can be scripted",
            Self::SecureExecution => "control of Secure Execution",
            Self::Poison => "control of uninitialised memory",
            Self::GuestMasks => "view of what KVM was told",
            Self::TwoAtOnce => "two calls at once",
            Self::ParkedCalls => "call that waits for its memory",
            Self::Checkers => "checkers of lifetimes and locks: `kaput lab build --checkers` builds such a kernel",
            Self::FailingAllocations => "failing allocations: `kaput lab build --checkers` builds such a kernel",
            Self::Allocations => "traces of allocations: `kaput lab build --pattern` builds such a kernel",
            Self::Expendable => "licence to be wrecked: it is a real kernel",
        }
    }
}

impl Capability {
    /// The answer to what needs this, of a device or host that has it not.
    #[must_use]
    pub fn lacking(self) -> DeviceError {
        DeviceError::Transport(format!("this device offers no {}", self.describe()))
    }
}

/// A set of [`Capability`].
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(u32);

impl Capabilities {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Everything there is.
    #[must_use]
    pub fn all() -> Self {
        Capability::ALL.into_iter().collect()
    }

    /// Whether `one` is in the set.
    #[must_use]
    pub const fn has(self, one: Capability) -> bool {
        self.0 & (1 << one as u32) != 0
    }

    /// What is in at least one of the sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The set less `one`.
    #[must_use]
    pub const fn without(self, one: Capability) -> Self {
        Self(self.0 & !(1 << one as u32))
    }

    /// The first of `needed` that is not in the set.
    #[must_use]
    pub fn first_missing(self, needed: &[Capability]) -> Option<Capability> {
        needed.iter().copied().find(|one| !self.has(*one))
    }

    /// What is in the set, in the order of declaration.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.into_iter().filter(move |one| self.has(*one))
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        Self(capabilities.into_iter().fold(0, |set, one| set | 1 << one as u32))
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let set: Capabilities = [Capability::Migration, Capability::Log].into_iter().collect();
        assert_eq!(set.first_missing(&[Capability::Log, Capability::Sysfs]), Some(Capability::Sysfs));
        assert_eq!(Capabilities::all().first_missing(&Capability::ALL), None);
        assert_eq!(set.iter().count(), 2);
    }
}
