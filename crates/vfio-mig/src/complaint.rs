// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a kernel finds wrong with itself, read: of which kind it is, in which function, with which object. By these
//! three two complaints are the same or not; addresses, tasks and lengths of traces differ each time.

use std::fmt;

/// Something that the host's kernel found wrong with itself: a report of a checker, a warning, an oops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Its first line.
    pub what: String,
    /// The lines that belong to it, as the kernel wrote them.
    pub report: Vec<String>,
}

/// By what a complaint is known again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Such as `slab-use-after-free`, `lock order`; of an unknown one its first line, without numbers.
    pub kind: String,
    /// The function of the driver, or else the first that the report names.
    pub function: String,
    /// The memory, by who allocated and who freed it, or the locks.
    pub object: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.kind, self.function)?;
        if self.object.is_empty() { Ok(()) } else { write!(f, ", {}", self.object) }
    }
}

/// The driver's functions begin so.
const DRIVER: &str = "vfio_ap";

/// What lockdep finds, by a part of its first line.
const LOCKS: [(&str, &str); 4] = [
    ("possible circular locking dependency", "lock order"),
    ("possible recursive locking", "self-deadlock"),
    ("bad unlock balance", "foreign unlock"),
    ("held lock freed", "held lock freed"),
];

/// Functions of allocators and of the checkers themselves, which say nothing.
const ALLOCATORS: [&str; 17] = [
    "kasan_",
    "__kasan_",
    "__kmalloc",
    "kfree",
    "kmalloc",
    "krealloc",
    "__kvmalloc",
    "stack_",
    "dump_stack",
    "print_",
    "check_noncircular",
    "lock_",
    "__lock_",
    "mutex_lock",
    "__mutex_lock",
    "mutex_unlock",
    "__mutex_unlock",
];

/// Frames of each trace in a short report.
const SHOWN_FRAMES: usize = 3;

impl Complaint {
    /// Kind, function and object.
    #[must_use]
    pub fn key(&self) -> Key {
        let first = self.frames("").into_iter().map(str::to_owned).collect::<Vec<_>>();
        let of_driver = || first.iter().find(|frame| frame.starts_with(DRIVER)).or(first.first());
        let function = || of_driver().cloned().unwrap_or_default();
        if let Some((kind, _)) = self.what.strip_prefix("BUG: KASAN: ").and_then(|rest| rest.split_once(" in ")) {
            return Key { kind: kind.to_owned(), function: function(), object: self.memory() };
        }
        if let Some((_, kind)) = LOCKS.iter().find(|(part, _)| self.what.contains(part)) {
            return Key { kind: (*kind).to_owned(), function: function(), object: self.locks() };
        }
        if self.what.contains(" blocked for more than ") {
            return Key { kind: "hung task".to_owned(), function: function(), object: String::new() };
        }
        let kind = match self.what.split_once(' ') {
            // `WARNING: drivers/x.c:12 at f+0x1/0x2, CPU#0: ...`
            Some(("WARNING:", rest)) if frame(rest).is_some() => "warning".to_owned(),
            _ => without_numbers(&self.what),
        };
        Key { kind, function: function(), object: String::new() }
    }

    /// The report in a few lines: what it says of the access, and the beginnings of its traces.
    #[must_use]
    pub fn short(&self) -> Vec<String> {
        let mut lines = vec![self.what.clone()];
        let (mut frames, mut skips) = (0, false);
        for line in self.report.iter().skip(1).map(|line| line.trim_start_matches("\\x0a").trim()) {
            if let Some(name) = frame(line) {
                if !skips && frames < SHOWN_FRAMES && !ALLOCATORS.iter().any(|part| name.starts_with(part)) {
                    lines.push(format!("  {line}"));
                    frames += 1;
                }
                continue;
            }
            let is_said = ["Read of", "Write of", "Allocated by", "Freed by", "Call Trace", "which belongs to", "but "]
                .iter()
                .any(|part| line.starts_with(part))
                || line.contains("trying to")
                || line.contains("(&");
            (frames, skips) = (0, !is_said);
            if is_said && lines.len() < 24 {
                lines.push(line.to_owned());
            }
        }
        lines
    }

    /// The functions of a trace: those before the first section if none is named.
    fn frames(&self, section: &str) -> Vec<&str> {
        let begins = |line: &&String| line.trim_start().starts_with(section);
        let mut lines = self.report.iter().skip_while(|line| !section.is_empty() && !begins(line));
        let head = if section.is_empty() { frame(&self.what) } else { None };
        if !section.is_empty() {
            // Its heading.
            lines.next();
        }
        let is_over = |line: &str| {
            ["Allocated by", "Freed by", "Last potentially", "The buggy"]
                .iter()
                .any(|other| line.trim_start().starts_with(other))
        };
        head.into_iter().chain(lines.take_while(|line| !is_over(line)).filter_map(|line| frame(line))).collect()
    }

    /// Who allocated and who freed the memory.
    fn memory(&self) -> String {
        let caches = self.report.iter().filter_map(|line| line.split_once("belongs to the cache "));
        let cache = caches.filter_map(|(_, rest)| rest.split(' ').next()).next();
        let mut words: Vec<String> = cache.into_iter().map(str::to_owned).collect();
        for (section, word) in [("Allocated by", "allocated by"), ("Freed by", "freed by")] {
            let frames = self.frames(section);
            let own = frames.iter().find(|name| name.starts_with(DRIVER));
            let other = || frames.iter().find(|name| !ALLOCATORS.iter().any(|part| name.starts_with(part)));
            if let Some(name) = own.or_else(other) {
                let moved = if frames.iter().any(|name| name.starts_with("krealloc")) { " by krealloc" } else { "" };
                words.push(format!("{word} {name}{moved}"));
            }
        }
        words.join(", ")
    }

    /// The locks that are named in parentheses, in their order.
    fn locks(&self) -> String {
        let mut locks: Vec<&str> = Vec::new();
        for line in self.report.iter().take(12) {
            let lock = line.split_once('(').and_then(|(_, rest)| rest.split([')', '{']).next());
            if let Some(lock) = lock.filter(|lock| lock.starts_with('&') && !locks.contains(lock)) {
                locks.push(lock);
            }
        }
        locks.join(" and ")
    }
}

/// The function of a line of a trace: `[<...>] f.isra.0+0x1/0x2` is `f`.
fn frame(line: &str) -> Option<&str> {
    let word = line.split_whitespace().find(|word| word.contains("+0x") && word.contains("/0x"))?;
    let name = word.split('+').next()?.trim_start_matches('(');
    name.split('.').next().filter(|name| !name.is_empty())
}

/// A line without what differs each time.
fn without_numbers(line: &str) -> String {
    let words = line.split_whitespace().filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> Complaint {
        let report: Vec<String> = text.lines().map(str::to_owned).collect();
        Complaint { what: report[0].clone(), report }
    }

    /// As `/dev/kmsg` has it; lines that say nothing are left out.
    const FREED: &str = "BUG: KASAN: slab-use-after-free in vfio_ap_resuming_write+0x1fc/0x1108
Read of size 8 at addr 000000000388c008 by task init/40
Call Trace:
 [<00007fffe05fd334>] dump_stack_lvl+0x11c/0x180
 [<00007fffe05f22c4>] vfio_ap_resuming_write+0x1fc/0x1108
 [<00007fffe040731e>] vfs_write+0x17e/0x2e0
Allocated by task 40:
 kasan_save_stack+0x40/0x68
 __kmalloc_noprof+0x1d4/0x4c0
 vfio_ap_resuming_write+0x506/0x1108
Freed by task 40:
 __kasan_slab_free+0x5c/0x90
 krealloc_node_align_noprof+0x132/0x3a8
 vfio_ap_resuming_write+0x244/0x1108
The buggy address belongs to the object at 000000000388c000\\x0a which belongs to the cache kmalloc-96 of size 96";

    const ORDER: &str = "WARNING: possible circular locking dependency detected
init/40 is trying to acquire lock:
00000000034b0438 (&matrix_dev->mdevs_lock){+.+.}-{3:3}, at: vfio_ap_mdev_close_device+0x40/0x198
\\x0abut task is already holding lock:
00000000038a07e8 (&new_dev_set->lock){+.+.}-{3:3}, at: vfio_df_unbind_iommufd+0x68/0xd0";

    const UNLOCK: &str = "WARNING: bad unlock balance detected!
init/47 is trying to release lock (&matrix_dev->mdevs_lock) at:
[<00007fffe05f2616>] vfio_ap_resuming_write+0x54e/0x1108
but there are no more locks to release!";

    #[test]
    fn reports_of_checkers_have_kind_function_and_object() {
        let read = |text| complaint(text).key().to_string();
        assert_eq!(
            read(FREED),
            "slab-use-after-free in vfio_ap_resuming_write, kmalloc-96, allocated by vfio_ap_resuming_write, freed by \
             vfio_ap_resuming_write by krealloc"
        );
        let locks = "&matrix_dev->mdevs_lock and &new_dev_set->lock";
        assert_eq!(read(ORDER), format!("lock order in vfio_ap_mdev_close_device, {locks}"));
        assert_eq!(read(UNLOCK), "foreign unlock in vfio_ap_resuming_write, &matrix_dev->mdevs_lock");
        let hung = "INFO: task init:39 blocked for more than 20 seconds.\n [<0>] vfio_ap_get_state+0x1/0x2";
        assert_eq!(read(hung), "hung task in vfio_ap_get_state");
    }

    #[test]
    fn an_unknown_complaint_is_kept_by_its_first_line_without_what_differs_each_time() {
        let [one, other] = [1, 2].map(|number| {
            complaint(&format!("BUG: workqueue lockup - pool cpus={number}\n [<0>] f.isra.0+0x{number}/0x9")).key()
        });
        assert_eq!(one, other);
        assert_eq!(one.to_string(), "BUG: workqueue lockup - pool in f");
        let warning = complaint("WARNING: drivers/x.c:12 at g+0x1/0x2, CPU#0: init/39").key();
        assert_eq!((warning.kind.as_str(), warning.function.as_str()), ("warning", "g"));
        assert_eq!(complaint("Kernel panic - not syncing: x").key().kind, "Kernel panic - not syncing: x");
    }

    #[test]
    fn a_short_report_has_what_was_done_and_the_beginnings_of_the_traces() {
        let short = complaint(FREED).short();
        assert!(short[1].starts_with("Read of size 8"), "{short:#?}");
        assert!(short.contains(&"Freed by task 40:".to_owned()), "{short:#?}");
        assert!(!short.iter().any(|line| line.contains("kasan_")), "{short:#?}");
        assert!(complaint(ORDER).short().iter().any(|line| line.contains("&new_dev_set->lock")));
    }
}
