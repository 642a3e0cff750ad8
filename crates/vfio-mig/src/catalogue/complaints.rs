// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which finding a complaint of the kernel stands for. The table was written before anything hunted by it: it says what
//! each finding must look like, by kind, function and object.

use crate::Complaint;
use crate::complaint::Key;

/// Part of the kind, of the function and of the object, and the finding. The first that fits counts.
const KNOWN: &[(&str, &str, &str, &str)] = &[
    ("lock order", "vfio", "mdevs_lock", "probe-registers-under-global-lock"),
    ("self-deadlock", "vfio_ap_mdev_release_dev", "mdevs_lock", "probe-error-path-self-deadlock"),
    ("foreign unlock", "vfio_ap_resuming_write", "mdevs_lock", "unlocks-mutex-held-by-another-thread"),
    ("use-after-free", "vfio_ap_release_mig_file", "vfio_ap_init_migration_data", "release-handler-takes-no-lock"),
    ("use-after-free", "vfio_ap_mdev_remove_queue", "", "unlink-became-link"),
    ("use-after-free", "vfio_ap_mdev_link", "", "unlink-became-link"),
    ("use-after-free", "vfio_ap", "allocated by vfio_ap_mdev_probe", "stream-holds-no-device-reference"),
    ("use-after-free", "vfio_ap", "allocated by _vfio_alloc_device", "stream-holds-no-device-reference"),
    ("use-after-free", "vfio_ap", "freed by vfio_ap_resuming_write by krealloc", "reallocated-pointer-not-published"),
    (
        "use-after-free",
        "vfio_ap_resuming_write",
        "freed by vfio_ap_release_migration_data",
        "l-inflight-write-outlives-session",
    ),
    ("free", "vfio_ap", "allocated by vfio_ap_resuming_write", "error-path-frees-owned-buffer"),
    ("out-of-bounds", "vfio_ap", "kmalloc-8,", "short-header-write-starts-validation"),
    ("out-of-bounds", "vfio_ap", "kmalloc-16,", "short-header-write-starts-validation"),
    ("out-of-bounds", "vfio_ap", "allocated by vfio_ap_resuming_write", "queue-count-fetched-twice"),
    ("out-of-bounds", "vfio_ap_stop_copy_read", "", "concurrent-reads-race-on-position"),
    ("no answer", "create", "a failing allocation", "probe-error-path-self-deadlock"),
    ("no answer", "", "a call of another device waits", "global-lock-shared-by-all-guests"),
    ("no answer", "get", "", "l-user-copy-under-global-lock"),
    ("no answer", "size", "", "l-user-copy-under-global-lock"),
    ("late success", "write", "", "l-inflight-write-outlives-session"),
];

/// Part of the first line of a complaint that is about something else than the driver, and what that is.
const ELSEWHERE: &[(&str, &str)] = &[(
    "WARNING: at vfio_group_release+",
    "not the driver's: VFIO warns where an allocation fails while a group is made",
)];

/// If a complaint is not about the driver: what it is about.
#[must_use]
pub fn elsewhere(complaint: &Complaint) -> Option<&'static str> {
    ELSEWHERE.iter().find(|(part, _)| complaint.what.contains(part)).map(|(_, why)| *why)
}

/// The finding that a complaint stands for.
#[must_use]
pub fn finding_of(key: &Key) -> Option<&'static str> {
    let fits = |(kind, function, object, _): &&(&str, &str, &str, &str)| {
        key.kind.contains(kind) && key.function.contains(function) && key.object.contains(object)
    };
    KNOWN.iter().find(fits).map(|(.., finding)| *finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_findings_of_the_catalogue() {
        for (.., finding) in KNOWN {
            assert!(super::super::find(finding).is_some(), "{finding}");
        }
    }

    #[test]
    fn what_vfio_warns_of_itself_is_not_the_drivers() {
        let said = |what: &str| Complaint { what: what.to_owned(), report: Vec::new() };
        assert!(elsewhere(&said("WARNING: at vfio_group_release+0x8c/0xb0, CPU#0: init/39")).is_some());
        assert_eq!(elsewhere(&said("WARNING: at vfio_ap_mdev_probe+0x8c/0xb0, CPU#0: init/39")), None);
    }
}
