// SPDX-License-Identifier: MIT OR Apache-2.0
//! What differs between kernels' buses, as far as the comparison has to know it: one table. A difference that is not
//! in it is a fault of the model. `docs/generated/bus-differences.md` is made from it.

use std::fmt;

use vfio_ap::HostConfig;

use crate::Watch;

/// A version of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kernel(pub u16, pub u16, pub u16);

/// Something that kernels do in another way than the newest that is known, which is what the model does.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// What older kernels do.
    pub what: &'static str,
    /// The first version that does as the model.
    pub since: Kernel,
    /// How that is known.
    pub known: &'static str,
    /// What becomes of the comparison.
    pub treatment: Treatment,
}

/// What the comparison does about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// An older kernel has no such attribute of a queue: it is neither written nor compared.
    NoQueueAttribute(&'static str),
    /// Numbers of 64 bits and more are not written.
    NoLargeNumbers,
    /// The model binds a queue that has no driver when a change of the masks makes it the host's.
    MasksBindUnbound,
}

/// All of them.
pub const DIFFERENCES: &[Difference] = &[
    Difference {
        what: "queues have no `driver_override`",
        since: Kernel(6, 19, 0),
        known: "6.12.95 has none, 7.2.12 has it; the version is that of the change",
        treatment: Treatment::NoQueueAttribute("driver_override"),
    },
    Difference {
        what: "a change of the masks binds a queue that has no driver and is the host's by them",
        since: Kernel(7, 0, 0),
        known: "seen on 6.12.95 and 6.12.107 and not on 7.2.12; the version in between is not known",
        treatment: Treatment::MasksBindUnbound,
    },
    Difference {
        what: "a number of 2^64 or more in a mask runs over: `+18446744073709551617` is `+1`, and not EINVAL",
        since: Kernel(7, 0, 0),
        known: "seen on 6.12.95 and not on 7.2.12; the version in between is not known",
        treatment: Treatment::NoLargeNumbers,
    },
];

/// Something in which every kernel so far and the model differ, or that no kernel determines.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// What.
    pub what: &'static str,
    /// On which kernels that is known, and how.
    pub known: &'static str,
    /// What the comparison does about it.
    pub treatment: &'static str,
}

/// All of them.
pub const CHOICES: &[Choice] = &[
    Choice {
        what: "what a change of the masks does with a queue that has no driver is not determined: the bus looks at the \
               flags of a driver that is not there",
        known: "`__ap_revise_reserved` of 7.3; on 7.3.4 a mask bound such a queue in one run and not in another",
        treatment: "where vfio_ap is loaded, both probe such queues before a mask is written",
    },
    Choice {
        what: "who removes a mediated device that is open waits until it is closed; the model refuses with EBUSY",
        known: "`vfio_unregister_group_dev` of 7.3",
        treatment: "both close a device before they remove it",
    },
    Choice {
        what: "a mediated device is named by a UUID; the model takes other names as well",
        known: "`create_store` of mdev, in every version",
        treatment: "no other names are written",
    },
    Choice {
        what: "the driver warns with a stack, once in a boot, where a device is closed that has a deconfigured or \
               checkstopped queue; the model has nothing to complain of",
        known: "`vfio_ap_irq_disable` of 7.3, seen on 7.3.4: it is asked of every queue when all memory is unmapped",
        treatment: "this warning is left out",
    },
    Choice {
        what: "VFIO itself answers for a device that is not open, with EINVAL; the model's driver answers ENODEV",
        known: "`vfio_device_fops_unl_ioctl`, since devices have files of their own",
        treatment: "EINVAL is expected, and opening a device twice is not asked",
    },
];

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoQueueAttribute(name) => write!(f, "`{name}` is neither written nor compared"),
            Self::NoLargeNumbers => f.write_str("such numbers are not written"),
            Self::MasksBindUnbound => f.write_str("the model does so too (`masks-bind-unbound`)"),
        }
    }
}

impl Kernel {
    /// From what `uname -r` says, such as `6.12.107+deb13-s390x` or `7.2-rc1`.
    #[must_use]
    pub fn from_release(release: &str) -> Option<Self> {
        let version = release.trim().split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let mut numbers = version.split('.').map(str::parse);
        let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(Self(major, minor, numbers.next().map_or(Some(0), Result::ok)?))
    }

    /// The differences that this kernel has from the newest one.
    pub fn differences(self) -> impl Iterator<Item = &'static Difference> {
        DIFFERENCES.iter().filter(move |difference| self < difference.since)
    }

    /// Whether queues have an attribute of this name.
    #[must_use]
    pub fn has_queue_attribute(self, name: &str) -> bool {
        let lacks = |treatment| matches!(treatment, Treatment::NoQueueAttribute(lacking) if lacking == name);
        !self.differences().any(|difference| lacks(difference.treatment))
    }

    /// Whether a number may have more than 64 bits.
    pub(crate) fn takes_large_numbers(self) -> bool {
        self.differences().all(|difference| difference.treatment != Treatment::NoLargeNumbers)
    }

    /// What can be compared with this kernel.
    #[must_use]
    pub fn watch(self) -> Watch {
        let mut watch = Watch::everything();
        for difference in self.differences() {
            if let Treatment::NoQueueAttribute(left_out) = difference.treatment {
                watch.queue.retain(|name| *name != left_out);
            }
        }
        watch
    }

    /// Makes a host of the model one of this kernel.
    pub(crate) fn apply(self, config: &mut HostConfig) {
        let mut differences = self.differences();
        config.masks_bind_unbound = differences.any(|difference| difference.treatment == Treatment::MasksBindUnbound);
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(major, minor, patch) = self;
        write!(f, "{major}.{minor}")?;
        if *patch > 0 { write!(f, ".{patch}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_the_release() {
        for (release, version) in [
            ("6.12.107+deb13-s390x\n", Some(Kernel(6, 12, 107))),
            ("7.2-rc1", Some(Kernel(7, 2, 0))),
            ("7.3.4", Some(Kernel(7, 3, 4))),
            ("seven", None),
        ] {
            assert_eq!(Kernel::from_release(release), version, "{release}");
        }
    }

    #[test]
    fn what_a_kernel_lacks_is_not_watched() {
        let (old, new) = (Kernel(6, 12, 107), Kernel(7, 3, 4));
        assert_eq!(new.watch(), Watch::everything());
        assert!(!old.watch().queue.contains(&"driver_override") && old.watch().queue.contains(&"online"));
        assert!(!old.has_queue_attribute("driver_override") && new.has_queue_attribute("driver_override"));
    }
}
