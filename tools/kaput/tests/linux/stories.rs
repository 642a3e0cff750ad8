// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guests and what they live through.

use crate::guest::{From, Plan};
use crate::{Story, bus, steps};

pub(crate) const ALL: &[Story] = &[POLLING, INTERRUPTS, WITHOUT, DISK, LPAR, BUS];

/// No interruption facility: the drivers poll.
const POLLING: Story = Story {
    name: "polling",
    plan: Plan { ap: &["--ap", "05=cex8a,06=cex8c/33,3a"], cpus: 1, kernel: "", from: From::Options },
    steps: &[
        ("cards and queues", steps::polling_cards),
        ("there are no interruptions", steps::no_interruptions),
        ("1000 requests to the accelerator", steps::accelerator_requests),
        ("1000 requests to the coprocessor", steps::coprocessor_requests),
        ("random numbers of the coprocessor", steps::random_numbers),
        ("the poll thread takes over", steps::poll_thread),
        ("a deconfigured card comes back", steps::deconfigured_card),
        ("a checkstopped card comes back", steps::checkstopped_card),
        ("a checkstopped queue comes back", steps::checkstopped_queue),
        ("a queue is reset by Linux under load", steps::queue_reset),
        ("the device is reset under load", steps::device_reset),
        ("requests go on across a migration", steps::migration),
        ("the kernel has nothing to complain of", steps::quiet_kernel),
    ],
};

/// With the interruption facility, on two CPUs.
const INTERRUPTS: Story = Story {
    name: "interrupts",
    plan: Plan {
        ap: &["--topology", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/linux/slow-cards.toml")],
        cpus: 2,
        kernel: "",
        from: From::Options,
    },
    steps: &[
        ("cards and queues", steps::interrupt_cards),
        ("every queue is enabled for interruptions", steps::interruptions_enabled),
        ("1000 requests to the accelerators", steps::accelerator_requests),
        ("requests to the coprocessor", steps::coprocessor_requests),
        ("replies are announced by interruptions", steps::interruptions_arrive),
        ("a deconfigured card comes back", steps::deconfigured_card),
        ("a queue is reset by Linux under load", steps::queue_reset),
        ("the kernel has nothing to complain of", steps::quiet_kernel),
        ("a reboot under load resets and disarms", steps::reboot),
        ("so does a second one", steps::reboot),
        ("so does a reset by the monitor", steps::system_reset),
        ("requests after the resets", steps::accelerator_requests),
        ("the kernel has still nothing to complain of", steps::quiet_kernel),
        ("a migration loses the registration of interruptions", steps::lost_registration),
    ],
};

/// The facility is there, but the guest does not use it; four CPUs, and a guest that has only a part of the machine.
const WITHOUT: Story = Story {
    name: "without",
    plan: Plan {
        ap: &["--ap", "10=cex5a,11=cex5c,12=cex6p,fe=cex8a/00-10", "--guest", "10-12/04-05/04-06", "--interrupts"],
        cpus: 4,
        kernel: "ap.useirq=0 ap.poll_thread=1",
        from: From::Options,
    },
    steps: &[
        ("cards and queues", steps::without_cards),
        ("interruptions are left alone", steps::no_interruptions),
        ("1000 requests to the accelerator", steps::accelerator_requests),
        ("the kernel has nothing to complain of", steps::quiet_kernel),
    ],
};

/// Booted from a disk by the firmware, which executes before the kernel and resets the machine on its way.
const DISK: Story = Story {
    name: "disk",
    plan: Plan { ap: &["--ap", "05=cex8a,06=cex8c/33,3a"], cpus: 1, kernel: "", from: From::Disk },
    steps: &[
        ("cards and queues", steps::polling_cards),
        ("1000 requests to the accelerator", steps::accelerator_requests),
        ("the kernel has nothing to complain of", steps::quiet_kernel),
    ],
};

/// Shown an LPAR: what KVM and vfio_ap look for is there, and the cards are as usable as elsewhere.
const LPAR: Story = Story {
    name: "lpar",
    plan: Plan { ap: &["--ap", "05=cex8a,06=cex8c/33,3a", "--lpar"], cpus: 2, kernel: "", from: From::Options },
    steps: &[("every CPU has SIE", steps::sie), ("1000 requests to the accelerator", steps::accelerator_requests)],
};

/// An administrator's random steps: what the kernel answers is what the driver's model answers.
const BUS: Story = Story {
    name: "bus",
    plan: Plan { ap: &["--ap", bus::HARDWARE], cpus: 1, kernel: "", from: From::Options },
    steps: &[
        ("the model's AP bus answers as this kernel's", bus::compare),
        ("the kernel has nothing to complain of", steps::quiet_kernel),
    ],
};
