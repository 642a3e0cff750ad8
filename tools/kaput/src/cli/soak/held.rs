// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the harness holds while no run is under way. A soak that ends well holds no more at its end than after its
//! first runs, and leaves no file and no process behind.

use std::fmt;
use std::fs;
use std::path::Path;

/// Memory that is no growth: an allocator keeps what it may need again.
const SLACK_KIBIBYTES: u64 = 16 << 10;

/// What is held at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Memory.
    kibibytes: u64,
    /// Open files, sockets and what else has a descriptor.
    descriptors: usize,
    /// Files and folders where runs have theirs.
    files: usize,
    /// Processes that were started.
    children: usize,
}

impl Held {
    /// Now, with the runs' folders under `runs`.
    pub(super) fn now(runs: &Path) -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = resident.and_then(|text| text.trim().trim_end_matches("kB").trim().parse().ok());
        let count = |folder: &Path| fs::read_dir(folder).map_or(0, Iterator::count);
        let id = std::process::id();
        let children = fs::read_to_string(format!("/proc/self/task/{id}/children")).unwrap_or_default();
        Self {
            kibibytes: kibibytes.unwrap_or_default(),
            descriptors: count(Path::new("/proc/self/fd")),
            files: count(runs),
            children: children.split_whitespace().count(),
        }
    }

    /// What has grown since `before`, in words.
    pub(super) fn growth(&self, before: &Self) -> Option<String> {
        let grown = self.kibibytes > before.kibibytes + SLACK_KIBIBYTES
            || self.descriptors > before.descriptors
            || self.files > before.files
            || self.children > before.children;
        grown.then(|| format!("it held {before} after the first runs, and now {self}"))
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kibibytes, descriptors, files, children } = self;
        write!(f, "{kibibytes} KiB, {descriptors} descriptors, {files} files, {children} processes")
    }
}

/// Seconds of CPU that this process has used, its children not counted; by the kernel's clock of 100 ticks a second.
pub(super) fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_may_vary_and_nothing_else_may_grow() {
        let before = Held { kibibytes: 20_000, descriptors: 10, files: 0, children: 0 };
        assert_eq!(Held { kibibytes: 30_000, descriptors: 9, ..before }.growth(&before), None);
        for grown in [
            Held { kibibytes: 60_000, ..before },
            Held { descriptors: 11, ..before },
            Held { files: 1, ..before },
            Held { children: 1, ..before },
        ] {
            assert!(grown.growth(&before).is_some_and(|words| words.contains("10 descriptors")), "{grown}");
        }
    }

    #[test]
    fn what_is_held_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let before = Held::now(folder.path());
        fs::write(folder.path().join("file"), "").expect("written");
        let held = fs::File::open(folder.path().join("file")).expect("opened");
        let after = Held::now(folder.path());
        assert!(after.files == 1 && after.growth(&before).is_some() && before.kibibytes > 0);
        drop(held);
    }
}
