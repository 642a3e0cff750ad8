// SPDX-License-Identifier: MIT OR Apache-2.0
//! The groups of tests that may be skipped, each with the reasons for which it may be skipped in CI. Everywhere else a
//! skipped group is reported at the end, with what to install.
//!
//! A test program names the group of a skipped test in its line (`test [linux] boots ... ignored`), and says once why
//! the group is skipped (`SKIP linux: the reason`); where tests are functions of Rust's own harness, their line says
//! both (`test boots ... ignored, linux: the reason`).

use std::collections::BTreeMap;

/// Tests that are skipped together.
struct Group {
    name: &'static str,
    /// What they are, for people.
    what: &'static str,
    /// How the reasons begin that are good enough for CI.
    allowed: &'static [&'static str],
    /// What to do about it.
    remedy: &'static str,
}

const GROUPS: [Group; 12] = [
    Group {
        name: "linux",
        what: "Debian's Linux as a guest",
        allowed: &[],
        remedy: "cargo xtask test linux; KAPUT_DEBIAN_MIRROR names another mirror",
    },
    Group {
        name: "lab",
        what: "the real vfio_ap driver in an emulated LPAR",
        allowed: &[],
        remedy: "apt-get install build-essential gcc-s390x-linux-gnu libc6-dev-s390x-cross flex bison bc libssl-dev \
            libelf-dev",
    },
    Group {
        name: "hosts",
        what: "two hosts that are reached by ssh",
        allowed: &[NO_NAMESPACES],
        remedy: "as root: apt-get install iproute2 openssh-client openssh-server util-linux mount hostname",
    },
    Group {
        name: "libvirt",
        what: "runs by libvirt on two hosts",
        allowed: &[NO_NAMESPACES],
        remedy: "as root: apt-get install libvirt-daemon libvirt-daemon-driver-qemu libvirt-daemon-system \
            libvirt-clients",
    },
    Group {
        name: "browser",
        what: "pages in a browser",
        allowed: &["there is no Chromium for s390x"],
        remedy: "apt-get install chromium",
    },
    Group {
        name: "validators",
        what: "strict readers of reports and of libvirt's XML",
        allowed: &[],
        remedy: "apt-get install libxml2-utils perl libvirt-daemon",
    },
    Group { name: "terminal", what: "output at a terminal", allowed: &[], remedy: "apt-get install bsdutils" },
    Group {
        name: "book",
        what: "the documents as a book",
        allowed: &[],
        remedy: "let cargo reach the registry of crates once, for mdBook",
    },
    Group {
        name: "apt",
        what: "set-up from a mirror that lacks files",
        allowed: &["there is no apt-get"],
        remedy: "use a Debian system",
    },
    Group {
        name: "big-endian",
        what: "the libraries on an emulated big-endian machine",
        allowed: &["this machine is big-endian"],
        remedy: "apt-get install gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user",
    },
    Group {
        name: "agent",
        what: "the agent as it is built, in the emulation of one program",
        allowed: &["only `cargo xtask test big-endian`"],
        remedy: "cargo xtask test big-endian",
    },
    Group {
        name: "installation",
        what: "what CI installs, on a system with nothing on it",
        allowed: &["no mount namespaces can be made, which needs root"],
        remedy: "as root: apt-get install debootstrap",
    },
];

/// Without these there are no two hosts on one machine; it is the machine that refuses them, and nothing can be
/// installed.
const NO_NAMESPACES: &str = "no network namespaces can be made, which needs root";

/// What was skipped so far.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Skips {
    /// How many tests of each group.
    tests: BTreeMap<String, usize>,
    /// Why.
    reasons: BTreeMap<String, String>,
}

impl Skips {
    /// One test, or one step that is a test itself.
    pub(crate) fn add(&mut self, group: &str, reason: &str) {
        *self.tests.entry(group.to_owned()).or_default() += 1;
        self.reasons.insert(group.to_owned(), reason.to_owned());
    }

    /// Notes what a line of a test program says about skipped tests.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some((group, reason)) = line.strip_prefix("SKIP ").and_then(|rest| rest.split_once(": ")) {
            self.reasons.insert(group.to_owned(), reason.to_owned());
        }
        let Some((test, why)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ignored")) else {
            return;
        };
        let kind = test.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(kind, _)| kind);
        let why = why.strip_prefix(", ").and_then(|why| why.split_once(": "));
        match (kind, why) {
            (_, Some((group, reason))) => self.add(group, reason),
            (Some(group), None) => *self.tests.entry(group.to_owned()).or_default() += 1,
            // It is of no group, so it stands for itself.
            (None, None) => *self.tests.entry(test.trim().to_owned()).or_default() += 1,
        }
    }

    /// What was skipped for a reason that is not good enough for CI, one line each.
    pub(crate) fn not_allowed(&self) -> Vec<String> {
        let all = self.tests.keys().map(|name| (name, self.reason(name)));
        let wrong = all.filter(|(name, reason)| {
            let group = GROUPS.iter().find(|group| group.name == *name);
            !group.is_some_and(|group| group.allowed.iter().any(|allowed| reason.starts_with(allowed)))
        });
        wrong.map(|(name, reason)| format!("{name}: {reason}")).collect()
    }

    /// What was not tested here, why, and what to do about it; nothing where all was.
    pub(crate) fn block(&self) -> String {
        let mut text = String::new();
        for (name, count) in &self.tests {
            let group = GROUPS.iter().find(|group| group.name == name);
            let tests = if *count == 1 { "1 test" } else { &format!("{count} tests") };
            let what = group.map_or(name.as_str(), |group| group.what);
            text += &format!("  {what} ({tests})\n    {}\n", self.reason(name));
            if let Some(group) = group {
                text += &format!("    fix it by: {}\n", group.remedy);
            }
        }
        if text.is_empty() { text } else { format!("\nNot tested here:\n{text}") }
    }

    fn reason(&self, name: &str) -> &str {
        self.reasons.get(name).map_or("no reason is given", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Skips {
        let mut skips = Skips::default();
        lines.iter().for_each(|line| skips.read(line));
        skips
    }

    #[test]
    fn a_skipped_group_is_reported_with_its_reason_and_what_to_install() {
        let skips = read(&[
            "SKIP browser: there is no Chromium",
            "test [browser] runs_in_a_browser   ... ignored",
            "test [browser] soak_in_a_browser   ... ignored",
            "test runs_has_no_parse_error ... ok",
            "test result: ok. 1 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ]);
        let expected = "\nNot tested here:\n  pages in a browser (2 tests)\n    there is no Chromium\n    \
                        fix it by: apt-get install chromium\n";
        assert_eq!(skips.block(), expected);
        assert_eq!(Skips::default().block(), "");
    }

    #[test]
    fn a_reason_that_the_list_does_not_allow_is_wrong_in_ci() {
        let wrong = |lines: &[&str]| read(lines).not_allowed();
        let refused = "SKIP hosts: no network namespaces can be made, which needs root: Operation not permitted";
        assert!(wrong(&[refused, "test [hosts] a ... ignored"]).is_empty());
        assert!(wrong(&["test a ... ignored, apt: there is no apt-get"]).is_empty());
        let missing = ["SKIP hosts: there is no ip (Debian: iproute2)", "test [hosts] a ... ignored"];
        assert_eq!(wrong(&missing), ["hosts: there is no ip (Debian: iproute2)"]);
        let linux = ["SKIP linux: no Linux for s390x: 404  Not Found", "test [linux] boots ... ignored"];
        assert_eq!(wrong(&linux), ["linux: no Linux for s390x: 404  Not Found"]);
    }

    #[test]
    fn a_skipped_test_of_no_group_and_one_without_a_reason_are_wrong_in_ci() {
        let skips = read(&["test parser::later ... ignored", "test [linux] boots ... ignored"]);
        assert_eq!(skips.not_allowed(), ["linux: no reason is given", "parser::later: no reason is given"]);
    }

    #[test]
    fn ci_installs_every_package_that_a_remedy_names() {
        let ci = include_str!("../../../.ci/run");
        let packages = GROUPS.iter().filter(|group| group.name != "big-endian");
        let packages = packages.filter_map(|group| Some(group.remedy.split_once("apt-get install ")?.1));
        for package in packages.flat_map(str::split_whitespace) {
            assert!(ci.split([' ', '\n', '(', ')']).any(|word| word == package), "{package}");
        }
    }
}
