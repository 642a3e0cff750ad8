// SPDX-License-Identifier: MIT OR Apache-2.0
//! The texts the driver logs, word for word. vfio-ap migration spec 5.5.
//!
//! In the templates `%s` is the name of the mediated device and `%q` a queue such as `05.0033`. Spellings that look
//! wrong are the driver's: tests and administrators match them.

use ap_arch::{Apqi, Apqn, HwInfo, ResponseCode};

/// M1, prefixed by the device.
pub(crate) fn secure_execution(mdev: &str) -> String {
    format!("vfio_ap_mdev {mdev}: Migration not allowed from or to a Secure Execution guest")
}

/// M2: TAPQ response code 01. Tidied, it is as M3.
pub(crate) fn queue_gone(mdev: &str, apqn: Apqn, response: ResponseCode, tidied: bool) -> String {
    if tidied {
        return queue_failed(mdev, apqn, response);
    }
    let text = "migration failed: Failed to get hwinfo for queue %q on target host: TAPQ rc=";
    fill(&format!("vfio_ap_mdev %s: {text}{}", response.0), mdev, apqn)
}

/// M3: TAPQ failed otherwise.
pub(crate) fn queue_failed(mdev: &str, apqn: Apqn, response: ResponseCode) -> String {
    fill(&format!("vfio_ap_mdev %s: Failed to get hwinfo for queue %q: TAPQ rc={}", response.0), mdev, apqn)
}

/// M4: the queue is absent or not bound.
pub(crate) fn queue_not_available(mdev: &str, apqn: Apqn) -> String {
    fill("vfio_ap_mdev %s: Queue %q not available to vfio_ap driver on target host", mdev, apqn)
}

/// M5: heading of the details for one incompatible queue.
pub(crate) fn not_compatible(mdev: &str, apqn: Apqn) -> String {
    fill("vfio_ap_mdev %s: Migration failed: Source and target queue (%q) not compatible", mdev, apqn)
}

/// A control domain is not available; missing in the posted driver, worded otherwise in the later one.
pub(crate) fn control_domain_not_available(mdev: &str, domain: u8, tidied: bool) -> String {
    let domain = Apqi(domain);
    if tidied {
        return format!("vfio_ap_mdev: {mdev}: Control domain {domain} not available on the destination host");
    }
    format!("vfio_ap_mdev {mdev}: Control domain {domain} not available on target host")
}

/// A queue takes its adapter out of the guest although filtering is forbidden; missing in the posted driver.
pub(crate) fn queue_filtered(mdev: &str, apqn: Apqn) -> String {
    fill("vfio_ap_mdev %s: Queue %q would have to be filtered on target host", mdev, apqn)
}

/// An adapter or domain is filtered without one of its queues being the cause; missing in the posted driver.
pub(crate) fn number_filtered(mdev: &str, what: &str, number: impl std::fmt::Display) -> String {
    format!("vfio_ap_mdev {mdev}: {what} {number} would have to be filtered on target host")
}

/// A queue that `mdev` is to get belongs to another device: a warning, since Linux 6.15.
pub(crate) fn already_assigned(mdev: &str, apqn: Apqn, owner: &str) -> String {
    let text = "vfio_ap_mdev %s: Userspace may not assign queue %q to mdev: already assigned to";
    format!("{} {owner}", fill(text, mdev, apqn))
}

/// A queue of `mdev` is to be the host's own by the masks: a warning, since Linux 6.15.
pub(crate) fn in_use_by_mdev(mdev: &str, apqn: Apqn) -> String {
    fill("vfio_ap_mdev %s: Can not reserve queue %q for host driver: in use by mdev", mdev, apqn)
}

/// A queue on the destination answers, but does not work: it is accepted with this warning.
pub(crate) fn queue_does_not_work(mdev: &str, apqn: Apqn, response: ResponseCode) -> String {
    let state = response.name().unwrap_or("not working");
    fill(&format!("vfio_ap_mdev %s: Queue %q is {state} on target host"), mdev, apqn)
}

/// A queue could not be reset.
pub(crate) fn reset_failed(mdev: &str, apqn: Apqn, response: ResponseCode) -> String {
    fill(&format!("vfio_ap_mdev %s: Reset of queue %q failed: response code {:02x}", response.0), mdev, apqn)
}

/// D1: one arc.
pub(crate) fn arc(from: u32, to: u32) -> String {
    format!("vfio_ap_transition_to_state: {from} -> {to}")
}

/// D2: one request.
pub(crate) fn request(target: u32) -> String {
    format!("vfio_ap_set_device_state -> {target}")
}

/// The texts for one facility, of the source's queue and of the target's; `%n` is `not ` where the queue lacks it.
const FACILITIES: [(u64, [&str; 2]); 8] = [
    (
        HwInfo::APSC,
        ["%s: APSC facility %ninstalled in source queue %q", "%s%c APSC facility %ninstalled in target queue %q"],
    ),
    (
        HwInfo::MEX4K,
        ["%s: mex4k facility %ninstalled in source queue %q", "%s: mex4k facility %ninstalled in target queue %q"],
    ),
    (
        HwInfo::CRT4K,
        ["%s: crt4k facility %ninstalled in source queue %q", "%s: crt4k facility %ninstalled in target queue %q"],
    ),
    (
        HwInfo::CCA,
        [
            "%s: Coprocessor-mode facility %ninstalled in source queue %q",
            "%s: Coprocessor-mode  facility %ninstalled target queue %q",
        ],
    ),
    (
        HwInfo::ACCELERATOR,
        [
            "%s: Accelerator-mode facility %ninstalled source queue %q",
            "%s: Accelerator-mode facility %ninstalled target queue %q",
        ],
    ),
    (
        HwInfo::EP11,
        ["%s: XCP-mode facility %ninstalled source queue %q", "%s: XCP-mode facility %ninstalled target queue %q"],
    ),
    (
        HwInfo::APXA,
        [
            "%s: AP-extended-addressing (APXA) facility %ninstalled in source queue %q",
            "%s: AP-extended-addressing (APXA) facility %ninstalled in target queue %q",
        ],
    ),
    (
        HwInfo::SLCF,
        [
            "%s: Stateless-command-filtering (SLCF) %navailable in source queue %q",
            "%s: Stateless-command-filtering (SLCF) %navailable in target queue %q",
        ],
    ),
];

/// The detail lines after M5: what differs between the source's and the target's hardware, in the driver's order.
pub(crate) fn differences(mdev: &str, apqn: Apqn, source: HwInfo, target: HwInfo, tidied: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (bit, texts) in FACILITIES {
        let has = [source.has(bit), target.has(bit)];
        if has[0] != has[1] {
            lines.extend(texts.iter().zip(has).map(|(text, has)| {
                // One of the texts has lost its colon.
                let text = text.replace("%n", if has { "" } else { "not " }).replace("%c", if has { "" } else { ":" });
                fill(&format!("vfio_ap_mdev {}", if tidied { tidy(&text) } else { text }), mdev, apqn)
            }));
        }
    }
    let types = (source.ap_type().0, target.ap_type().0);
    if types.0 > types.1 {
        let text = format!("AP type of source ({:02x}) not compatible with target ({:02x})", types.0, types.1);
        lines.push(format!("vfio_ap_mdev {mdev}: {text}"));
    }
    let bind = (source.bind_state().0, target.bind_state().0);
    if bind != (0, 0) {
        let text =
            format!("Bind/associate state for source ({:01x}) and target ({:01x}) queue %q must be 0", bind.0, bind.1);
        lines.push(fill(&format!("vfio_ap_mdev %s: {text}"), mdev, apqn));
    }
    if source.has(HwInfo::NATIVE) && !target.has(HwInfo::NATIVE) {
        for text in [
            "vfio_ap_mdev %s: Full native card function available on source queue %q",
            "vfio_ap_mdev %s: Only stateless functions available on target queue %q",
        ] {
            lines.push(fill(text, mdev, apqn));
        }
    }
    lines
}

/// The spellings of the later driver: colon, one space, "in".
fn tidy(template: &str) -> String {
    let text = template.replace("%s APSC", "%s: APSC").replace("  ", " ");
    ["source", "target"]
        .iter()
        .fold(text, |text, side| text.replace(&format!("installed {side}"), &format!("installed in {side}")))
}

fn fill(template: &str, mdev: &str, apqn: Apqn) -> String {
    template.replace("%s", mdev).replace("%q", &apqn.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CCA8: u64 = 0xf380_0000_0e00_0000;

    #[test]
    fn an_accelerator_against_a_coprocessor_is_explained_line_by_line() {
        let lines = differences("u", Apqn::new(4, 0x33), HwInfo(0xeb80_0000_0e00_0000), HwInfo(CCA8), false);
        assert_eq!(
            lines,
            [
                "vfio_ap_mdev u: Coprocessor-mode facility not installed in source queue 04.0033",
                "vfio_ap_mdev u: Coprocessor-mode  facility installed target queue 04.0033",
                "vfio_ap_mdev u: Accelerator-mode facility installed source queue 04.0033",
                "vfio_ap_mdev u: Accelerator-mode facility not installed target queue 04.0033",
            ]
        );
    }

    #[test]
    fn type_bind_state_and_class_come_last_in_this_order() {
        let source = HwInfo(CCA8);
        let target = HwInfo(0xf340_4000_0d00_0000);
        assert_eq!(
            differences("u", Apqn::new(4, 0x33), source, target, false),
            [
                "vfio_ap_mdev u: AP type of source (0e) not compatible with target (0d)",
                "vfio_ap_mdev u: Bind/associate state for source (0) and target (1) queue 04.0033 must be 0",
                "vfio_ap_mdev u: Full native card function available on source queue 04.0033",
                "vfio_ap_mdev u: Only stateless functions available on target queue 04.0033",
            ]
        );
    }

    #[test]
    fn every_facility_logs_the_source_first() {
        let all = differences("u", Apqn::new(4, 0x33), HwInfo(0xff << 56), HwInfo(0), false);
        assert_eq!(all.len(), 16);
        assert!(all.chunks(2).all(|pair| pair[0].contains("source") && pair[1].contains("target")));
        assert_eq!(
            differences("u", Apqn::new(4, 0x33), HwInfo(0), HwInfo(HwInfo::APSC), false),
            [
                "vfio_ap_mdev u: APSC facility not installed in source queue 04.0033",
                "vfio_ap_mdev u APSC facility installed in target queue 04.0033",
            ]
        );
    }

    #[test]
    fn tidied_texts_are_regular() {
        for (source, target) in [(0xff << 56, 0), (0, 0xff << 56)] {
            for line in differences("u", Apqn::new(4, 0x33), HwInfo(source), HwInfo(target), true) {
                assert!(line.starts_with("vfio_ap_mdev u: ") && !line.contains("  "), "{line}");
                assert!(
                    line.contains(" in source queue 04.0033") || line.contains(" in target queue 04.0033"),
                    "{line}"
                );
            }
        }
    }
}
