// SPDX-License-Identifier: MIT OR Apache-2.0
//! The 16 defects seen in the code after the posted series. As read, not run.

use super::{Finding, Group, Severity};

findings! {
    "l-first-body-write-overflows", Critical, Uapi,
        "The write that completes the header is not checked against the total.",
        "A write that is too long succeeds and runs past the buffer.",
        "EIO, nothing consumed: vfio-ap migration spec 4.3.";
    "l-snapshot-survives-session", High, Guest,
        "Neither leaving STOP_COPY nor closing the stream drops the snapshot.",
        "A cancelled and repeated migration sends the old configuration.",
        "One snapshot for each session: vfio-ap migration spec 4.2.";
    "l-header-buffer-survives", High, Uapi,
        "After a reset the driver still believes that a header was received.",
        "Every later write is EFAULT until the device is closed.",
        "A reset ends the session: vfio-ap migration spec 2.6.";
    "l-old-header-rules-new-session", Critical, Uapi,
        "A second session is sized by the header of the first.",
        "A larger stream is EIO, a smaller one never completes, a forged count is read out of bounds.",
        "Every session starts fresh: vfio-ap migration spec 2.2.";
    "l-position-advanced-before-copy", Medium, Uapi,
        "The position is advanced before the copy to or from the user.",
        "A fault on read loses bytes; one on write leaves a hole.",
        "The position is unchanged: vfio-ap migration spec 4.2.";
    "l-copy-leaked-on-fault", Medium, Checker,
        "The private copy of a write is not freed when it faults.",
        "A leak for each fault.",
        "Nothing outlives the call.";
    "l-reader-uses-buffer-after-unlock", High, Checker,
        "The read uses buffer pointers after dropping the lock.",
        "Use after free when a reset or close comes in between.",
        "One lock over the transfer: vfio-ap migration spec 4.1.";
    "l-first-read-race", Medium, Checker,
        "Two first readers both take a snapshot.",
        "One leaks; length and buffer can disagree.",
        "The snapshot is taken before the stream exists: vfio-ap migration spec 4.2.";
    "l-inflight-write-outlives-session", Critical, Checker,
        "After the copy from the user only the existence of migration data is checked; the posted series does so too.",
        "A write applies in STOP, in RUNNING, or after a reset.",
        "A session ends when no write is under way: vfio-ap migration spec 4.1.";
    "l-silent-filtering", High, Guest,
        "Adapters and domains that fail the filter vanish while the write succeeds.",
        "The guest arrives without an adapter.",
        "ECANCELED: vfio-ap migration spec 6.4.";
    "l-state-request-in-error-succeeds", Low, Uapi,
        "A request in the error state ends at once with success.",
        "Latent: the driver never enters that state.",
        "EINVAL: vfio-ap migration spec 2.2.";
    "l-user-copy-under-global-lock", Medium, Checker,
        "Header bytes are fetched from the user with the global lock held; the posted series does so too.",
        "A stalled page stalls every device.",
        "Only the stream's lock is held: vfio-ap migration spec 4.1.";
    "l-removal-waits-for-stream", Low, Uapi,
        "A stream that is kept open blocks the removal of the device.",
        "The administrator's removal hangs.",
        "Removal goes on; waiting is accepted: vfio-ap migration spec 2.8.";
    "l-limit-hides-queues", Low, Uapi,
        "With more than ten bad queues most lines are lost.",
        "An administrator does not see everything in one attempt.",
        "All problems are logged: vfio-ap migration spec 5.";
    "l-quadratic-chunks", Low, Checker,
        "Every chunk copies the whole buffer twice under the global lock.",
        "Small writes of a large stream take long.",
        "Time in proportion to the stream.";
    "l-padding-ignored", Low, Uapi,
        "Reserved bytes are never looked at.",
        "They can never get a meaning safely.",
        "EINVAL; accepting them is tolerated: vfio-ap migration spec 3.2.";
}
