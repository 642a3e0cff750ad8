// SPDX-License-Identifier: MIT OR Apache-2.0
//! The 17 observations beyond the review. vfio-ap migration spec 12.

use super::{Finding, Group, Severity};

findings! {
    "x-nonrectangular-queue-list", High, Guest,
        "A queue list that is not a full product is accepted.",
        "The guest gets queues whose hardware was never compared.",
        "EINVAL: vfio-ap migration spec 5.1.";
    "x-filter-report-ignores-new-adapters", High, Guest,
        "Only adapters the guest had before count as filtered.",
        "The guest arrives with adapters silently missing.",
        "ECANCELED if any bit is lost: vfio-ap migration spec 6.4.";
    "x-control-domain-availability-unchecked", Medium, Guest,
        "Whether the host has the control domains is not checked.",
        "The guest loses control domains without a message.",
        "ENODEV, and a line for each: vfio-ap migration spec 3.3.";
    "x-interrupt-resources-leak-on-removal", Medium, Checker,
        "A queue's reference to its device is broken before it is reset.",
        "Pinned pages and registered interruption subclasses are never released.",
        "Reset while the reference stands: vfio-ap migration spec 6.1.";
    "x-intersection-queues-not-reset", High, Guest,
        "A queue whose adapter and domain both go is reached from neither side.",
        "It keeps the previous guest's replies.",
        "Every queue the guest had and no longer has is reset: vfio-ap migration spec 6.1.";
    "x-list-removal-continues-after-delete", Medium, Checker,
        "A list is searched on from a node that was deleted.",
        "Use of freed memory.",
        "One set, by queue: vfio-ap migration spec 6.2.";
    "x-se-predicate-tests-host", Medium, Uapi,
        "Secure Execution of the host's kernel is tested, not that of the guest.",
        "A guest under Secure Execution is not refused.",
        "EPERM if either is: vfio-ap migration spec 2.7.";
    "x-tapq-without-t-bit", High, Uapi,
        "TAPQ is issued without the T bit.",
        "The stream has no facility bits: there is nothing to compare.",
        "With T where the machine has it: vfio-ap migration spec 5.3.";
    "x-zero-hwinfo-accepted", Medium, Uapi,
        "Hardware information of all zeros counts as information.",
        "Two queues of which nothing is known are compatible.",
        "EIO: vfio-ap migration spec 5.3.";
    "x-incompatible-returns-efault", Low, Uapi,
        "Incompatible queues are reported as EFAULT, faults of the user as EIO.",
        "A choice that surprises; the documentation says ENODEV.",
        "The model keeps EFAULT; EINVAL is accepted: vfio-ap migration spec 4.4.";
    "x-size-limit-error-becomes-size", Medium, Uapi,
        "The negative error of the size check is stored in an unsigned size.",
        "A count above the limit in a later write gives another error than EINVAL.",
        "EINVAL: vfio-ap migration spec 3.4.";
    "x-zero-length-first-write-validates", Medium, Uapi,
        "A first write of no bytes is validated as a whole stream.",
        "It returns an error or applies something.",
        "It returns 0 and does nothing: vfio-ap migration spec 4.3.";
    "x-aqic-registration-not-migrated", Low, Guest,
        "Interruption set up by AQIC is not migrated, and nothing says so.",
        "After migration interruption is off until the guest sets it up again.",
        "So it is specified: vfio-ap migration spec 1.";
    "x-series-does-not-build-at-patch-4", Low, Documentation,
        "A function is called that no patch defines, until the next patch removes the call.",
        "The tree does not build in between.",
        "Every step builds.";
    "x-magic-unchecked-in-single-write", High, Uapi,
        "Magic and version are checked only at the start of a second or later write.",
        "A stream of another format in one write is applied.",
        "As soon as their bytes are there: vfio-ap migration spec 3.3.";
    "x-dead-queue-accepted", Low, Uapi,
        "Deconfigured and checkstopped queues count as usable.",
        "A guest is moved onto a dead queue without a word.",
        "Accepted, with a line in the log: vfio-ap migration spec 5.3.";
    "x-doc-facts-wrong", Low, Documentation,
        "Mask example, attribute name, facility bits, a flag, an error number.",
        "Reading.",
        "vfio-ap migration spec 7 and 8.";
}
