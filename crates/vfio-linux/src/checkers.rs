// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's own checkers, as far as they are asked: lockdep, failing allocations, traces of slabs. What they find
//! by themselves stands in the kernel's log.

use std::collections::BTreeMap;

use vfio_mig::{Capability, DeviceError, Errno};

use crate::{Fd, Linux, number};

/// Kernels whose locks are checked have it. KASAN has no file of its own; the lab's kernels have both or none.
const LOCKDEP: &str = "/proc/lockdep_stats";
/// By its first report lockdep ends. Without the order of locks it still sees who unlocks what is not its own.
const LOCK_ORDER: &str = "/sys/module/lockdep/parameters/prove_locking";
const SLABS: &str = "/sys/kernel/debug/slab";
const FAIL_NTH: &str = "/proc/thread-self/fail-nth";
/// Otherwise only allocations fail that may not wait, and each is reported.
const FAILSLAB: [(&str, &str); 2] =
    [("/sys/kernel/debug/failslab/ignore-gfp-wait", "N"), ("/sys/kernel/debug/failslab/verbose", "0")];
/// A symbol that kernels with KASAN have.
const KASAN: &[u8] = b" __asan_report_load8_noabort";

/// What this kernel checks.
#[derive(Clone, Default)]
pub(crate) struct Checkers {
    has_lockdep: bool,
    /// Where the number of the allocation stands that fails, of the thread that makes the calls.
    fail_nth: Option<Fd>,
    /// Caches whose allocations are traced.
    caches: Vec<String>,
}

/// A file that some kernels have.
fn optional<T>(result: Result<T, DeviceError>) -> Result<Option<T>, DeviceError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(DeviceError::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Checkers {
    /// Looks what there is, and prepares it on a machine that is `expendable`.
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    pub(crate) fn find(linux: &Linux, expendable: bool) -> Result<Self, DeviceError> {
        if !expendable {
            return Ok(Self::default());
        }
        let has_lockdep = optional(linux.open(LOCKDEP, number::O_RDONLY).and_then(|fd| linux.close(fd)))?.is_some();
        optional(linux.write_file(LOCK_ORDER, "0"))?;
        let fail_nth = optional(linux.open(FAIL_NTH, number::O_RDWR))?;
        if fail_nth.is_some() {
            for (path, value) in FAILSLAB {
                optional(linux.write_file(path, value))?;
            }
        }
        let caches = optional(linux.list(SLABS))?.unwrap_or_default();
        let caches = caches.into_iter().filter(|name| name.starts_with("kmalloc-")).collect();
        Ok(Self { has_lockdep, fail_nth, caches })
    }

    pub(crate) fn capabilities(&self) -> impl Iterator<Item = Capability> {
        let checkers = self.has_lockdep.then_some(Capability::Checkers);
        let failing = self.fail_nth.is_some().then_some(Capability::FailingAllocations);
        let traced = (!self.caches.is_empty()).then_some(Capability::Allocations);
        checkers.into_iter().chain(failing).chain(traced)
    }

    /// How many allocations of each function are alive.
    ///
    /// # Errors
    /// EOPNOTSUPP on a kernel with KASAN, which keeps what was freed.
    pub(crate) fn allocations(&self, linux: &Linux) -> Result<BTreeMap<String, u64>, DeviceError> {
        let symbols = optional(linux.read_file("/proc/kallsyms"))?.unwrap_or_default();
        if symbols.windows(KASAN.len()).any(|part| part == KASAN) {
            return Err(DeviceError::refused(Errno::EOPNOTSUPP, "KASAN keeps what was freed"));
        }
        let mut alive = BTreeMap::new();
        for cache in &self.caches {
            let traces = optional(linux.read_file(&format!("{SLABS}/{cache}/alloc_traces")))?.unwrap_or_default();
            for (count, function) in String::from_utf8_lossy(&traces).lines().filter_map(trace) {
                *alive.entry(function.to_owned()).or_default() += count;
            }
        }
        Ok(alive)
    }

    /// Arms the allocation that fails, 0 for none; whether the one of before has failed.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn fail_allocation(&self, linux: &Linux, number: u32) -> Result<bool, DeviceError> {
        let file = self.fail_nth.ok_or_else(|| Capability::FailingAllocations.lacking())?;
        let left = linux.read_at(file, 0, 16)?;
        linux.write_at(file, 0, number.to_string().as_bytes())?;
        Ok(left.first() == Some(&b'0'))
    }
}

/// The head of a trace: `     50 vfio_ap_resuming_write+0x1a4/0x6f0 age=...`; the stack below it is indented by a tab.
fn trace(line: &str) -> Option<(u64, &str)> {
    let mut words = line.split_whitespace();
    let count = words.next()?.parse().ok()?;
    let (function, _) = words.next()?.split_once('+')?;
    Some((count, function))
}

#[cfg(test)]
mod tests {
    use super::trace;

    #[test]
    fn a_trace_has_a_count_and_a_function() {
        let head = "     50 vfio_ap_resuming_write+0x1a4/0x6f0 age=12/40/99 pid=1 cpus=0-1";
        assert_eq!(trace(head), Some((50, "vfio_ap_resuming_write")));
        for other in ["\t__kmalloc_noprof+0x1a/0x20", "", "     50", "No data"] {
            assert_eq!(trace(other), None);
        }
    }
}
