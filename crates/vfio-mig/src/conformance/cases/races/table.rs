// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cases of races and lifetimes. Where a call can be made to wait at the place that matters, it is: then nothing
//! depends on luck, and one round is enough.

use super::{Judge, Race};
use crate::Capability;

const LIFE: &[Capability] = &[Capability::Checkers, Capability::LifeCycle];
const PARKED: &[Capability] = &[Capability::ParkedCalls];
const PARKED_CHECKED: &[Capability] = &[Capability::Checkers, Capability::ParkedCalls];
const AT_ONCE: &[Capability] = &[Capability::Checkers, Capability::LifeCycle, Capability::TwoAtOnce];
const FAILING: &[Capability] = &[Capability::Checkers, Capability::FailingAllocations];
const TRACED: &[Capability] = &[Capability::Allocations, Capability::LifeCycle];
const TRACED_FAULTS: &[Capability] = &[Capability::Allocations, Capability::UserFaults];
const TRACED_AT_ONCE: &[Capability] = &[Capability::Allocations, Capability::TwoAtOnce];

/// All of them.
pub const RACES: &[Race] = &[
    Race {
        name: "order-of-locks",
        covers: &["probe-registers-under-global-lock"],
        source: "vfio-ap migration spec 2.8",
        rounds: 1,
        judge: Judge::Kernel,
        needs: LIFE,
        steps: "echo 1 > /sys/module/lockdep/parameters/prove_locking
                echo 6b617075-0000-4000-8000-000000000001 > @/../mdev_supported_types/vfio_ap-passthrough/create
                close-device
                open
                set resuming
                write all
                close
                set stop-copy
                read 4096
                reset
                close
                close-device",
    },
    Race {
        name: "failing-allocations-of-a-new-device",
        covers: &["probe-error-path-self-deadlock"],
        source: "vfio-ap migration spec 2.8",
        rounds: 200,
        judge: Judge::Kernel,
        needs: FAILING,
        steps: "echo 1 > /sys/module/lockdep/parameters/prove_locking
                fail #: echo 6b617075-0000-4000-8000-000000000001 > @/../mdev_supported_types/vfio_ap-passthrough/create
                echo 1 > @/../6b617075-0000-4000-8000-000000000001/remove",
    },
    Race {
        name: "failing-allocations-of-a-session",
        covers: &[],
        source: "vfio-ap migration spec 2.4",
        rounds: 60,
        judge: Judge::Kernel,
        needs: FAILING,
        steps: "set resuming
                fail #: write all
                close
                set running
                fail #: set stop-copy
                close
                set running",
    },
    Race {
        name: "stream-outlives-the-device",
        covers: &["stream-holds-no-device-reference"],
        source: "vfio-ap migration spec 2.8",
        rounds: 1,
        judge: Judge::Kernel,
        needs: LIFE,
        steps: "set resuming
                close-device
                echo 1 > @/remove
                write 0..16
                close",
    },
    Race {
        name: "readable-stream-outlives-the-device",
        covers: &["stream-holds-no-device-reference"],
        source: "vfio-ap migration spec 2.8",
        rounds: 1,
        judge: Judge::Kernel,
        needs: LIFE,
        steps: "set stop-copy
                close-device
                echo 1 > @/remove
                read 16
                close",
    },
    Race {
        name: "writes-behind-the-end",
        covers: &["error-path-frees-owned-buffer"],
        source: "vfio-ap migration spec 4.3",
        rounds: 1,
        judge: Judge::Kernel,
        needs: LIFE,
        steps: "set resuming
                write all
                write 0..1
                write 0..1
                close",
    },
    Race {
        name: "a-buffer-that-moves",
        covers: &["reallocated-pointer-not-published"],
        source: "vfio-ap migration spec 4.3",
        rounds: 1,
        judge: Judge::Kernel,
        needs: LIFE,
        steps: "patch 8: 000000000000000f
                set resuming
                write all
                write 0..4096
                write 0..1
                close",
    },
    Race {
        name: "short-headers",
        covers: &["short-header-write-starts-validation"],
        source: "vfio-ap migration spec 4.3",
        rounds: 1,
        judge: Judge::Kernel,
        needs: LIFE,
        steps: "set resuming
                write 0..1
                close
                set running
                set resuming
                write 0..6
                close
                set running
                set resuming
                write 0..11
                close",
    },
    Race {
        name: "queues-of-a-removed-device",
        covers: &["unlink-became-link"],
        source: "vfio-ap migration spec 2.8",
        rounds: 1,
        judge: Judge::Kernel,
        needs: LIFE,
        steps: "close-device
                echo 1 > @/remove
                echo 04.0033 > /sys/bus/ap/drivers/vfio_ap/unbind
                echo 04.003a > /sys/bus/ap/drivers/vfio_ap/unbind
                on b: get",
    },
    Race {
        name: "removal-of-adapter-and-domain",
        covers: &["queue-on-two-reset-lists", "x-list-removal-continues-after-delete"],
        source: "vfio-ap migration spec 6.2",
        rounds: 1,
        judge: Judge::Kernel,
        needs: LIFE,
        steps: "echo 0x0800000000000000000000000000000000000000000000000000000000000000,\
                0x0000000000001000000000000000000000000000000000000000000000000000,\
                0x0000000000000000000000000000000000000000000000000000000000000000 > @/ap_config
                echo 04.0033 > /sys/bus/ap/drivers/vfio_ap/unbind
                get",
    },
    Race {
        name: "a-count-that-changes",
        covers: &["queue-count-fetched-twice"],
        source: "vfio-ap migration spec 4.3",
        rounds: 1,
        judge: Judge::Kernel,
        needs: PARKED_CHECKED,
        steps: "set resuming
                park at 16: write all
                change 0: 00000006
                release
                close",
    },
    Race {
        name: "two-readers",
        covers: &["concurrent-reads-race-on-position"],
        source: "vfio-ap migration spec 4.1",
        rounds: 1,
        judge: Judge::TheyDiffer,
        needs: PARKED,
        steps: "set stop-copy
                park at 0: read 24
                begin: read 24
                release
                release",
    },
    Race {
        name: "two-writers",
        covers: &["concurrent-writes-race-on-position"],
        source: "vfio-ap migration spec 4.1",
        rounds: 1,
        judge: Judge::OneSucceeds,
        needs: PARKED,
        steps: "set resuming
                park at 16: write all
                begin: write all
                release
                release",
    },
    Race {
        name: "unlocks-what-another-locked",
        covers: &["unlocks-mutex-held-by-another-thread"],
        source: "vfio-ap migration spec 4.1",
        rounds: 1,
        judge: Judge::Kernel,
        needs: PARKED_CHECKED,
        steps: "set resuming
                on b: set resuming
                park at 16: write 0..40
                on b: park at 0: write 0..40
                release
                release",
    },
    Race {
        name: "close-of-device-and-stream",
        covers: &["release-handler-takes-no-lock"],
        source: "vfio-ap migration spec 2.8",
        rounds: 600,
        judge: Judge::Kernel,
        needs: AT_ONCE,
        steps: "set resuming
                write all
                together: close-device | close
                open",
    },
    Race {
        name: "a-stalled-copy-stalls-its-device",
        covers: &["l-user-copy-under-global-lock"],
        source: "vfio-ap migration spec 4.1",
        rounds: 1,
        judge: Judge::Kernel,
        needs: PARKED,
        steps: "set resuming
                park at 0: write all
                get
                release",
    },
    Race {
        name: "a-stalled-copy-stalls-other-devices",
        covers: &["global-lock-shared-by-all-guests"],
        source: "vfio-ap migration spec 4.1",
        rounds: 1,
        judge: Judge::Kernel,
        needs: PARKED,
        steps: "set resuming
                park at 0: write all
                on b: get
                release",
    },
    Race {
        name: "a-write-after-its-session",
        covers: &["l-inflight-write-outlives-session"],
        source: "vfio-ap migration spec 4.1",
        rounds: 1,
        judge: Judge::NothingLate,
        needs: PARKED,
        steps: "set resuming
                park at 16: write all
                begin: set running
                release
                release",
    },
    Race {
        name: "a-read-over-a-reset",
        covers: &["l-reader-uses-buffer-after-unlock"],
        source: "vfio-ap migration spec 4.1",
        rounds: 1,
        judge: Judge::Kernel,
        needs: PARKED_CHECKED,
        steps: "set stop-copy
                park at 0: read 64
                begin: reset
                release
                release
                close",
    },
    Race {
        name: "memory-of-sessions",
        covers: &["staging-buffer-leaked-on-device-close"],
        source: "vfio-ap migration spec 2.8",
        rounds: 50,
        judge: Judge::NoLeak,
        needs: TRACED,
        steps: "set resuming
                write all
                close-device
                close
                open
                set resuming
                write 0..20
                close-device
                close
                open",
    },
    Race {
        name: "memory-of-first-pieces",
        covers: &["partial-write-not-persisted"],
        source: "vfio-ap migration spec 4.3",
        rounds: 50,
        judge: Judge::NoLeak,
        needs: TRACED,
        steps: "set resuming
                write 0..20
                close
                set running",
    },
    Race {
        name: "memory-of-faults",
        covers: &["l-copy-leaked-on-fault"],
        source: "vfio-ap migration spec 4.3",
        rounds: 50,
        judge: Judge::NoLeak,
        needs: TRACED_FAULTS,
        steps: "set resuming
                fault at 40: write all
                close
                set running",
    },
    Race {
        name: "memory-of-first-readers",
        covers: &["l-first-read-race"],
        source: "vfio-ap migration spec 4.2",
        rounds: 50,
        judge: Judge::NoLeak,
        needs: TRACED_AT_ONCE,
        steps: "set stop-copy
                together: read 24 | read 24
                close
                set running",
    },
];
