// SPDX-License-Identifier: MIT OR Apache-2.0
//! What nobody had read in the posted series before the kernel's own checkers said it in the lab.

use super::{Finding, Group, Severity};

findings! {
    "probe-registers-under-global-lock", High, Checker,
        "A device is registered with the lock of all devices held, which opening a device takes the other way round.",
        "lockdep: a circular dependency, at the first open of every boot. Two administrators can stop each other.",
        "Nothing that takes locks of VFIO is called with the driver's lock held: vfio-ap migration spec 2.8.";
}
