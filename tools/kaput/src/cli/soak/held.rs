// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the harness holds while no run is under way, and an LPAR in a run of many migrations. A soak that ends well
//! holds no more at its end than after its first runs, and leaves no file and no process behind.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use crate::outcome::events::{Event, What};

/// Memory that is no growth: an allocator keeps what it may need again.
const SLACK_KIBIBYTES: u64 = 16 << 10;
/// Threads that are no growth: of those that may block, the runtime keeps some for a while.
const SLACK_THREADS: usize = 16;
/// Memory of an LPAR that is no growth, all of it and what stands in its slabs.
const SLACK_OF_LPAR: [u64; 2] = [4 << 10, 1 << 10];

/// What is held at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Memory.
    kibibytes: u64,
    /// Threads, the owners of LPARs' hardware among them.
    threads: usize,
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
        let number = |name: &str| -> Option<u64> {
            let text = status.lines().find_map(|line| line.strip_prefix(name))?;
            text.trim().trim_end_matches("kB").trim().parse().ok()
        };
        let count = |folder: &Path| fs::read_dir(folder).map_or(0, Iterator::count);
        let id = std::process::id();
        let children = fs::read_to_string(format!("/proc/self/task/{id}/children")).unwrap_or_default();
        Self {
            kibibytes: number("VmRSS:").unwrap_or_default(),
            threads: number("Threads:").and_then(|count| usize::try_from(count).ok()).unwrap_or_default(),
            descriptors: count(Path::new("/proc/self/fd")),
            files: count(runs),
            children: children.split_whitespace().count(),
        }
    }

    /// What has grown since `before`, in words.
    pub(super) fn growth(&self, before: &Self) -> Option<String> {
        let grown = self.kibibytes > before.kibibytes + SLACK_KIBIBYTES
            || self.threads > before.threads + SLACK_THREADS
            || self.descriptors > before.descriptors
            || self.files > before.files
            || self.children > before.children;
        grown.then(|| format!("it held {before} after the first runs, and now {self}"))
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kibibytes, threads, descriptors, files, children } = self;
        write!(f, "{kibibytes} KiB, {threads} threads, {descriptors} descriptors, {files} files, {children} processes")
    }
}

/// What the LPARs of one run held at the first look and at the last, by the names of their hosts: all memory in use,
/// and what stands in slabs; KiB.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lpars(BTreeMap<String, [[u64; 2]; 2]>);

impl Lpars {
    /// Reads the events of a run.
    pub(super) fn of(events: &[Event]) -> Self {
        let mut all = BTreeMap::new();
        for event in events {
            if let (Some(host), What::LparMemory { used, slab }) = (&event.host, &event.what) {
                all.entry(host.clone()).or_insert([[*used, *slab]; 2])[1] = [*used, *slab];
            }
        }
        Self(all)
    }

    /// What has grown, in words.
    pub(super) fn growth(&self) -> Option<String> {
        let grew = |[first, last]: &[[u64; 2]; 2]| (0..2).any(|at| last[at] > first[at] + SLACK_OF_LPAR[at]);
        self.0.values().any(grew).then(|| self.to_string())
    }

    /// Whether nobody looked.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Lpars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (host, [first, last])) in self.0.iter().enumerate() {
            let between = if number == 0 { "" } else { "; " };
            let ([used, slab], [used_last, slab_last]) = (first, last);
            write!(
                f,
                "{between}the LPAR of host {host} held {used} KiB, {slab} of them in slabs, and then {used_last} and \
                 {slab_last}"
            )?;
        }
        Ok(())
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
        let before = Held { kibibytes: 20_000, threads: 5, descriptors: 10, files: 0, children: 0 };
        assert_eq!(Held { kibibytes: 30_000, threads: 9, descriptors: 9, ..before }.growth(&before), None);
        for grown in [
            Held { kibibytes: 60_000, ..before },
            Held { threads: 50, ..before },
            Held { descriptors: 11, ..before },
            Held { files: 1, ..before },
            Held { children: 1, ..before },
        ] {
            assert!(grown.growth(&before).is_some_and(|words| words.contains("10 descriptors")), "{grown}");
        }
    }

    #[test]
    fn an_lpar_whose_slabs_grow_is_named_with_its_host() {
        let look = |host: &str, slab| {
            let what = What::LparMemory { used: 50_000, slab };
            Event { at: 0.0, host: Some(host.to_owned()), what }
        };
        let steady = Lpars::of(&[look("A", 9000), look("B", 9000), look("A", 12_000), look("A", 9500)]);
        assert_eq!((steady.is_empty(), steady.growth()), (false, None));
        let growing = Lpars::of(&[look("A", 9000), look("B", 9000), look("B", 10_500)]);
        assert!(growing.growth().is_some_and(|words| words.contains("host B held 50000 KiB, 9000 of them")));
        assert!(Lpars::of(&[]).is_empty());
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
