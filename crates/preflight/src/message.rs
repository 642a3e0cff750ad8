// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the destination's kernel would log. vfio-ap migration spec 5.5: spellings that look wrong are the driver's.

use ap_arch::{Apqi, Apqn, HwInfo};

/// M1.
pub(crate) fn secure_execution(mdev: &str) -> String {
    format!("vfio_ap_mdev {mdev}: Migration not allowed from or to a Secure Execution guest")
}

/// M2, on the source.
pub(crate) fn queue_gone(mdev: &str, apqn: Apqn) -> String {
    format!("vfio_ap_mdev {mdev}: migration failed: Failed to get hwinfo for queue {apqn} on target host: TAPQ rc=1")
}

/// M3. No rule is about it: nobody foresees a response code.
pub(crate) fn queue_failed(mdev: &str, apqn: Apqn) -> String {
    format!("vfio_ap_mdev {mdev}: Failed to get hwinfo for queue {apqn}: TAPQ rc=0")
}

/// M4.
pub(crate) fn not_available(mdev: &str, apqn: Apqn) -> String {
    format!("vfio_ap_mdev {mdev}: Queue {apqn} not available to vfio_ap driver on target host")
}

/// M5, the heading of the lines about one queue.
pub(crate) fn not_compatible(mdev: &str, apqn: Apqn) -> String {
    format!("vfio_ap_mdev {mdev}: Migration failed: Source and target queue ({apqn}) not compatible")
}

/// Later than the posted series, and the model's.
pub(crate) fn control_domain(mdev: &str, domain: Apqi) -> String {
    format!("vfio_ap_mdev {mdev}: Control domain {domain} not available on target host")
}

/// When a queue belongs to another device. Since Linux 6.15, and in stable series of then: 6.1.141 for example.
pub(crate) fn already_assigned(mdev: &str, apqn: Apqn, owner: &str) -> String {
    format!("vfio_ap_mdev {mdev}: Userspace may not assign queue {apqn} to mdev: already assigned to {owner}")
}

/// What kernels said before, of an assignment and of a mask alike; the device is the owner.
pub(crate) fn already_assigned_before(apqn: Apqn, owner: &str) -> String {
    format!("vfio_ap_mdev {owner}: Userspace may not re-assign queue {apqn} already assigned to {owner}")
}

/// When a mask would take a queue from a device. Since the same kernels.
pub(crate) fn in_use_by_mdev(owner: &str, apqn: Apqn) -> String {
    format!("vfio_ap_mdev {owner}: Can not reserve queue {apqn} for host driver: in use by mdev")
}

/// A queue that answers and does not work; the posted series says nothing.
pub(crate) fn does_not_work(mdev: &str, apqn: Apqn, state: &str) -> String {
    format!("vfio_ap_mdev {mdev}: Queue {apqn} is {state} on target host")
}

/// M-AT.
pub(crate) fn ap_type(mdev: &str, source: u8, target: u8) -> String {
    format!("vfio_ap_mdev {mdev}: AP type of source ({source:02x}) not compatible with target ({target:02x})")
}

/// M-BS.
pub(crate) fn bind_state(mdev: &str, apqn: Apqn, source: u8, target: u8) -> String {
    format!(
        "vfio_ap_mdev {mdev}: Bind/associate state for source ({source:x}) and target ({target:x}) queue {apqn} must \
         be 0"
    )
}

/// M-CL.
pub(crate) fn class(mdev: &str, apqn: Apqn) -> [String; 2] {
    [
        format!("vfio_ap_mdev {mdev}: Full native card function available on source queue {apqn}"),
        format!("vfio_ap_mdev {mdev}: Only stateless functions available on target queue {apqn}"),
    ]
}

/// M-S to M-SL: the bit is on one side only.
pub(crate) fn facility(mdev: &str, apqn: Apqn, bit: u64, on_source: bool) -> [String; 2] {
    let state = |on: bool| if on { "" } else { "not " };
    let (s, t) = (state(on_source), state(!on_source));
    match bit {
        HwInfo::SLCF => [
            format!("vfio_ap_mdev {mdev}: Stateless-command-filtering (SLCF) {s}available in source queue {apqn}"),
            format!("vfio_ap_mdev {mdev}: Stateless-command-filtering (SLCF) {t}available in target queue {apqn}"),
        ],
        HwInfo::CCA => [
            format!("vfio_ap_mdev {mdev}: Coprocessor-mode facility {s}installed in source queue {apqn}"),
            format!("vfio_ap_mdev {mdev}: Coprocessor-mode  facility {t}installed target queue {apqn}"),
        ],
        HwInfo::ACCELERATOR | HwInfo::EP11 => {
            let mode = if bit == HwInfo::EP11 { "XCP" } else { "Accelerator" };
            [
                format!("vfio_ap_mdev {mdev}: {mode}-mode facility {s}installed source queue {apqn}"),
                format!("vfio_ap_mdev {mdev}: {mode}-mode facility {t}installed target queue {apqn}"),
            ]
        }
        _ => {
            let name = match bit {
                HwInfo::APSC => "APSC",
                HwInfo::MEX4K => "mex4k",
                HwInfo::CRT4K => "crt4k",
                _ => "AP-extended-addressing (APXA)",
            };
            let colon = if bit == HwInfo::APSC && !on_source { "" } else { ":" };
            [
                format!("vfio_ap_mdev {mdev}: {name} facility {s}installed in source queue {apqn}"),
                format!("vfio_ap_mdev {mdev}{colon} {name} facility {t}installed in target queue {apqn}"),
            ]
        }
    }
}
