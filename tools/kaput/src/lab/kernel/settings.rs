// SPDX-License-Identifier: MIT OR Apache-2.0
//! The settings of the lab's kernels: fragments of a `.config`, on top of `make allnoconfig`.

/// Which kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// As a distribution has it.
    #[default]
    Usual,
    /// With KASAN, lockdep and failing allocations.
    Checkers,
    /// With a stack that is filled by a pattern, and traced slabs.
    Pattern,
}

impl Kind {
    /// A word for it, in names of folders.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Checkers => "checkers",
            Self::Pattern => "pattern",
        }
    }
}

/// Without these there is no LPAR, no port or no driver. What a tree lacks of the others is missed by some cases.
pub(super) const NEEDED: [&str; 15] = [
    "CONFIG_BLK_DEV_INITRD",
    "CONFIG_BINFMT_ELF",
    "CONFIG_DEVTMPFS",
    "CONFIG_PROC_FS",
    "CONFIG_SYSFS",
    "CONFIG_SCLP_CONSOLE",
    "CONFIG_S390_GUEST",
    "CONFIG_VIRTIO_CONSOLE",
    "CONFIG_KVM",
    "CONFIG_AP",
    "CONFIG_ZCRYPT",
    "CONFIG_VFIO",
    "CONFIG_VFIO_MDEV",
    "CONFIG_VFIO_AP",
    "CONFIG_DEBUG_FS",
];

/// The fragment.
#[must_use]
pub fn settings(kind: Kind) -> String {
    let more = match kind {
        Kind::Usual => "",
        Kind::Checkers => include_str!("checkers.config"),
        Kind::Pattern => include_str!("pattern.config"),
    };
    let gap = if more.is_empty() { "" } else { "\n" };
    format!("{}{gap}{more}", include_str!("lab.config"))
}

/// The lines of a fragment that a `.config` does not have.
pub(super) fn lacking<'a>(fragment: &'a str, config: &str) -> Vec<&'a str> {
    let has = |wanted: &str| config.lines().any(|line| line == wanted);
    fragment.lines().filter(|line| line.starts_with("CONFIG_") && !has(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_names_everything_that_is_needed() {
        for kind in [Kind::Usual, Kind::Checkers, Kind::Pattern] {
            let fragment = settings(kind);
            for option in NEEDED {
                assert!(fragment.lines().any(|line| line == format!("{option}=y")), "{option}");
            }
        }
    }

    #[test]
    fn what_a_config_lacks_is_named() {
        let config = "CONFIG_KVM=y\n# CONFIG_VFIO_AP is not set\nCONFIG_NR_CPUS=4\n";
        let fragment = "# The driver.\nCONFIG_KVM=y\nCONFIG_VFIO_AP=y\nCONFIG_NR_CPUS=4\n";
        assert_eq!(lacking(fragment, config), ["CONFIG_VFIO_AP=y"]);
    }
}
