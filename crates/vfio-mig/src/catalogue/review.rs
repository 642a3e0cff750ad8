// SPDX-License-Identifier: MIT OR Apache-2.0
//! The 43 findings of the review of the posted series.

use super::{Finding, Group, Severity};

findings! {
    "control-domains-dropped", Medium, Guest,
        "Neither saving nor restoring handles control domains, and nothing is logged.",
        "The migrated guest's PQAP(QCI) shows other control domains than before.",
        "The stream carries them, the destination checks and applies them: vfio-ap migration spec 3.3.";
    "guest-matrix-uninitialised", Critical, Guest,
        "The matrix rebuilt from the stream starts from uninitialised stack memory; bits are only added.",
        "QCI shows adapters, domains or control domains the guest never had, or migration fails for no visible reason.",
        "It starts from zero: vfio-ap migration spec 4.3.";
    "queues-linked-before-validation", High, Guest,
        "Queues of the candidate are linked to the device before the check that nobody else owns them.",
        "A bystander's PQAP(AQIC) on its own queue gives 01 while TAPQ gives 00.",
        "Validate first; a refusal changes nothing for anybody: vfio-ap migration spec 6.1 and 6.3.";
    "domain-only-removal-skips-reset", High, Guest,
        "Queues are reset only if an adapter was removed or filtered.",
        "The next owner of a queue finds the previous guest's replies.",
        "Every queue the guest had and no longer has is reset, once: vfio-ap migration spec 6.1.";
    "wrong-list-reset-for-domains", High, Guest,
        "After collecting queues of removed domains, the list of the adapters is reset a second time instead.",
        "A queue whose domain went while its adapter stayed keeps its replies.",
        "Every queue the guest had and no longer has is reset, once: vfio-ap migration spec 6.1.";
    "reset-bitmap-uninitialised", High, Guest,
        "The set of adapters to reset is accumulated in memory that was never cleared.",
        "A bystander loses a pending reply and its interruption.",
        "Only queues that the guest lost are reset: vfio-ap migration spec 6.1.";
    "bind-state-check-bypassed", Medium, Guest,
        "Two queues with identical words are accepted although their bind state is not 0.",
        "TAPQ on the destination shows a bind state that is not 0; the last write succeeds.",
        "The bind state of both queues must be 0, always: vfio-ap migration spec 5.4.";
    "stop-does-not-quiesce-queues", High, Guest,
        "RUNNING to STOP does nothing to the queues.",
        "Guest memory changes after it was copied: a notification byte is written, or a completion is lost.",
        "Interruption is disabled at STOP, remembered, and enabled again: vfio-ap migration spec 2.5.";
    "incomplete-resume-accepted", High, Guest,
        "RESUMING to STOP succeeds, however much of the configuration arrived.",
        "The guest runs on the destination without its queues, though the migration succeeded.",
        "EINVAL, and the error state: vfio-ap migration spec 4.3.";
    "stream-usable-after-leaving-state", High, Guest,
        "Streams are not disconnected when STOP_COPY or RESUMING is left.",
        "A late write changes the configuration of a running guest; a late read returns data.",
        "EINVAL for the read, ENXIO for the write: vfio-ap migration spec 4.1.";
    "config-sz-never-set", Critical, Uapi,
        "The source leaves the length field zero; the destination uses it to size buffers.",
        "Bytes 8 to 15 of the stream are zero.",
        "The source sets it, the destination refuses any other value: vfio-ap migration spec 3.2.";
    "stream-regenerated-per-read", High, Uapi,
        "Every read rebuilds the whole configuration.",
        "A change between two reads tears the stream.",
        "One snapshot, taken on the way to STOP_COPY: vfio-ap migration spec 4.2.";
    "size-t-in-wire-struct", Low, Uapi,
        "A structure on the wire has a field as wide as the machine's words.",
        "On a 32-bit machine the header has 12 bytes.",
        "Fixed widths: vfio-ap migration spec 3.2.";
    "redundant-size-fields-disagree", Critical, Uapi,
        "Two length fields come from the peer; one sizes memory, the other bounds loops.",
        "A stream that contradicts itself is not refused, and read out of bounds.",
        "The number of queues is the only authority: vfio-ap migration spec 3.2.";
    "short-header-write-starts-validation", Critical, Uapi,
        "A first write shorter than the header is taken for the whole configuration.",
        "A first write of 1 to 15 bytes returns an error.",
        "Bytes are collected until the header is complete: vfio-ap migration spec 4.3.";
    "partial-write-not-persisted", Critical, Uapi,
        "A write that does not complete the configuration loses its buffer.",
        "The second write returns EFAULT.",
        "Any split gives the same result: vfio-ap migration spec 4.3.";
    "plain-write-refused-with-espipe", High, Uapi,
        "Claim, wrong for the posted series: every plain write is taken for a positional one.",
        "A plain write returns ESPIPE.",
        "Only calls with an offset are refused: vfio-ap migration spec 4.1.";
    "large-contiguous-allocation", High, Uapi,
        "Buffers sized by the peer are requested physically contiguous.",
        "ENOMEM for large matrices on a fragmented host.",
        "An allocator that may fall back: vfio-ap migration spec 3.4.";
    "reset-leaves-stale-streams", High, Uapi,
        "VFIO_DEVICE_RESET rewrites the state and leaves both streams connected.",
        "A stream from before the reset still transfers data.",
        "Both streams end: vfio-ap migration spec 2.6.";
    "failed-arc-keeps-valid-state", High, Uapi,
        "A failing arc leaves the old state in place; the error state is never entered.",
        "After a failed resume get_state shows RESUMING, and the stream still works.",
        "The error state where nothing valid can be restored: vfio-ap migration spec 2.4.";
    "unratelimited-se-refusal-log", Medium, Uapi,
        "Each refusal under Secure Execution writes a line.",
        "An unprivileged owner of the device can flood the log.",
        "A limit, or once for each open: vfio-ap migration spec 2.7.";
    "facility-word-equality-defeats-class-rule", Medium, Uapi,
        "The comparison of the facility word includes classification, bind state and unnamed bits.",
        "EFAULT for a stateless queue on a native one; a heading in the log without a detail.",
        "Bits 0 to 7 are compared: vfio-ap migration spec 5.4.";
    "null-mdev-in-queue-collection", High, Uapi,
        "Queues are collected without a device, whose masks the loop then reads.",
        "Where address 0 cannot be read the host crashes; on s390x an adapter goes and its queues keep what they hold.",
        "The masks of before the change decide: vfio-ap migration spec 6.2.";
    "async-error-check-inverted", Medium, Uapi,
        "The test of the asynchronous-error bit is reversed.",
        "A queue with such an error fails with EIO; one with an unknown failure is accepted.",
        "Not set is the failure: vfio-ap migration spec 5.3.";
    "probe-error-path-self-deadlock", High, Checker,
        "When registration fails, the last reference is dropped with the lock held that its release takes.",
        "Creating a mediated device hangs, and with it all of vfio_ap.",
        "Neither registration nor the put under that lock: vfio-ap migration spec 2.8.";
    "staging-buffer-leaked-on-device-close", High, Checker,
        "Freeing the migration data does not free the configuration buffer inside.",
        "A leak for each device closed in RESUMING.",
        "The buffer goes with the session: vfio-ap migration spec 2.8.";
    "release-handler-takes-no-lock", Critical, Checker,
        "Closing a stream edits migration data without a lock.",
        "Use after free when device and stream are closed at once.",
        "The stream's own lock: vfio-ap migration spec 2.8.";
    "global-lock-shared-by-all-guests", Medium, Checker,
        "Migration state of all guests is behind one lock.",
        "One guest's owner can stall all others.",
        "A lock for each device: vfio-ap migration spec 2.8.";
    "stream-holds-no-device-reference", Critical, Checker,
        "A stream keeps a bare pointer to a device that may be removed.",
        "Use after free on any later use of the stream.",
        "A counted context of its own: vfio-ap migration spec 2.8.";
    "concurrent-reads-race-on-position", Critical, Checker,
        "The position is advanced after the lock is dropped.",
        "Duplicated or skipped blocks, or a read beyond the buffer.",
        "Check, transfer and update under one lock: vfio-ap migration spec 4.1.";
    "concurrent-writes-race-on-position", High, Checker,
        "The position of a write is advanced after the lock is dropped.",
        "Two writers both act as the first; two applications.",
        "Writers are serialised: vfio-ap migration spec 4.1.";
    "reallocated-pointer-not-published", Critical, Checker,
        "Growing the buffer may move it; only a local variable learns the new address.",
        "Use after free on the next write.",
        "The owner's pointer is replaced in the same step: vfio-ap migration spec 4.3.";
    "error-path-frees-owned-buffer", Critical, Checker,
        "The error exit frees the buffer although the session still points to it.",
        "A double free at close.",
        "An error path never frees what the session owns: vfio-ap migration spec 4.3.";
    "unlocks-mutex-held-by-another-thread", High, Checker,
        "The exit path unlocks the global lock whenever anybody holds it.",
        "Mutual exclusion of all vfio_ap breaks.",
        "Unlock only what the same call locked: vfio-ap migration spec 4.1.";
    "queue-count-fetched-twice", High, Checker,
        "The header is read from the user twice, and the second count is trusted.",
        "A count that changes between the two is read out of bounds.",
        "Every byte is fetched once: vfio-ap migration spec 3.2.";
    "unlink-became-link", Critical, Checker,
        "On removal of a device its queues are linked to it instead of detached.",
        "Queues point to a freed device.",
        "They belong to nobody: vfio-ap migration spec 6.2.";
    "queue-on-two-reset-lists", High, Checker,
        "A queue whose adapter and domain both go is put on two lists through one node.",
        "A corrupted list: an endless loop, or queues that are not reset.",
        "One set, by queue: vfio-ap migration spec 6.2.";
    "domain-loop-uses-adapter-limit", Low, Checker,
        "The domain mask is walked up to the adapter limit.",
        "Nothing today: both are 256.",
        "The domain limit: vfio-ap migration spec 6.2.";
    "kernel-doc-out-of-sync", Low, Documentation,
        "Comments name fields that do not exist and omit one that does.",
        "Warnings of the documentation build.",
        "Comments describe the fields there are.";
    "comment-typo-stte", Low, Documentation,
        "A comment says \"stte\".",
        "Reading.",
        "\"state\".";
    "rst-markup-malformed", Low, Documentation,
        "A table's border has too many columns; nested lists lack a blank line.",
        "Warnings of the documentation build.",
        "Markup that parses.";
    "doc-typos-and-inconsistent-names", Low, Documentation,
        "Doubled words, misspellings, and quantities under two names.",
        "Reading.",
        "One name for one thing.";
    "doc-heading-says-not-incompatible", Low, Documentation,
        "The heading of the incompatibility scenario says \"not incompatible\".",
        "Reading.",
        "\"incompatible\".";
}
