// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each rule by itself: a pair of hosts where it holds, one where it does not, and one where that cannot be known.

mod field;
mod files;
mod fixture;
mod words;

use fixture::{DESTINATION, Hosts, SOURCE, UUID};
use preflight::RULES;
use preflight::judge::{Finding, Verdict};
use preflight::rules::Severity;

/// One rule: how to break it, and how to make it unanswerable; `None` where nothing it needs can be missing.
type Row = (&'static str, fn(&mut Hosts), Option<fn(&mut Hosts)>);

/// What a released QEMU says of its device.
const QEMU: &str = "QEMU emulator version 11.1.3\noption fd\noption iommufd\noption sysfsdev";

const ROWS: &[Row] = &[
    ("qemu-not-blocked", |h| h.blocked("0: cannot migrate"), Some(|h| h.blocked_unreadable())),
    ("qemu-can-migrate", |h| h.set(SOURCE, "host", "qemu-vfio-ap", QEMU), None),
    (
        "source-migratable",
        |h| h.set(SOURCE, "vfio-ap", "features", "guest_matrix hotplug ap_config"),
        Some(|h| h.hide(SOURCE, "vfio-ap", "features")),
    ),
    ("destination-driver", |h| h.without_the_driver(DESTINATION), Some(|h| h.hide(DESTINATION, "vfio-ap", "features"))),
    (
        "destination-migratable",
        |h| h.set(DESTINATION, "vfio-ap", "features", "guest_matrix hotplug"),
        Some(|h| h.hide(DESTINATION, "vfio-ap", "features")),
    ),
    ("destination-mdev", |h| h.rename_mdev("another"), Some(|h| h.hide_mdevs(DESTINATION))),
    (
        "source-not-secure",
        |h| h.set(SOURCE, "host", "prot_virt_guest", "1"),
        Some(|h| h.hide(SOURCE, "host", "prot_virt_guest")),
    ),
    (
        "destination-not-secure",
        |h| h.set(DESTINATION, "host", "prot_virt_guest", "1"),
        Some(|h| h.hide(DESTINATION, "host", "prot_virt_guest")),
    ),
    ("queue-on-source", |h| h.drop_queue(SOURCE, "05.0033"), Some(|h| h.hide_queues(SOURCE))),
    (
        "queue-list-is-product",
        |h| h.mdev(SOURCE, "guest_matrix", "05.0033\n06.003a"),
        Some(|h| h.hide_mdev(SOURCE, "guest_matrix")),
    ),
    ("queue-on-destination", |h| h.drop_queue(DESTINATION, "05.0033"), Some(|h| h.hide_queues(DESTINATION))),
    (
        "queue-released",
        |h| {
            h.unbind(DESTINATION, "05.0033");
            h.masks(DESTINATION, "04", "ff");
        },
        Some(|h| {
            h.unbind(DESTINATION, "05.0033");
            h.masks(DESTINATION, "04", "ff");
            h.hide(DESTINATION, "bus", "apmask");
        }),
    ),
    ("queue-bound", |h| h.unbind(DESTINATION, "05.0033"), Some(|h| h.hide_drivers(DESTINATION))),
    ("facility-apsc", |h| h.flip(DESTINATION, 0), Some(|h| h.hide_functions(DESTINATION))),
    ("facility-mex4k", |h| h.flip(DESTINATION, 1), Some(|h| h.hide_functions(SOURCE))),
    ("facility-crt4k", |h| h.flip(DESTINATION, 2), Some(|h| h.hide_functions(DESTINATION))),
    ("mode-cca", |h| h.flip(DESTINATION, 3), Some(|h| h.hide_functions(SOURCE))),
    ("mode-accelerator", |h| h.flip(DESTINATION, 4), Some(|h| h.hide_functions(DESTINATION))),
    ("mode-ep11", |h| h.flip(DESTINATION, 5), Some(|h| h.hide_functions(DESTINATION))),
    ("facility-apxa", |h| h.flip(DESTINATION, 6), Some(|h| h.hide_functions(DESTINATION))),
    ("facility-slcf", |h| h.flip(DESTINATION, 7), Some(|h| h.only_a_masked_word(DESTINATION))),
    ("ap-type", |h| h.card_type(DESTINATION, "13"), Some(|h| h.hide_type(DESTINATION))),
    ("source-bind-state", |h| h.flip(SOURCE, 17), Some(|h| h.only_the_card_of_an_unknown_host(SOURCE))),
    ("destination-bind-state", |h| h.flip(DESTINATION, 16), Some(|h| h.only_the_card_of_an_unknown_host(DESTINATION))),
    ("class", |h| h.flip(DESTINATION, 8), Some(|h| h.hide_functions(DESTINATION))),
    (
        "control-domain-available",
        |h| h.control_mask(DESTINATION, &[0x33]),
        Some(|h| h.hide(DESTINATION, "bus", "ap_control_domain_mask")),
    ),
    (
        "queue-given",
        |h| h.masks(DESTINATION, "ff", "ff"),
        Some(|h| {
            h.masks(DESTINATION, "ff", "ff");
            h.hide_state(DESTINATION, "driver_override");
        }),
    ),
    ("queue-not-shared", |h| h.other_mdev("05.0033\n05.003a"), Some(|h| h.other_mdev_hidden())),
    (
        "adapter-limit",
        |h| {
            h.drop_queue(DESTINATION, "05.0033");
            h.set(DESTINATION, "bus", "ap_max_adapter_id", "4");
        },
        Some(|h| {
            h.drop_queue(DESTINATION, "05.0033");
            h.hide(DESTINATION, "bus", "ap_max_adapter_id");
        }),
    ),
    (
        "domain-limit",
        |h| {
            h.drop_queue(DESTINATION, "05.0033");
            h.set(DESTINATION, "bus", "ap_max_domain_id", "15");
        },
        Some(|h| {
            h.drop_queue(DESTINATION, "05.0033");
            h.hide(DESTINATION, "bus", "ap_max_domain_id");
        }),
    ),
    (
        "control-domain-limit",
        |h| {
            h.control_mask(DESTINATION, &[0x33]);
            h.set(DESTINATION, "bus", "ap_max_domain_id", "57");
        },
        Some(|h| {
            h.control_mask(DESTINATION, &[0x33]);
            h.hide(DESTINATION, "bus", "ap_max_domain_id");
        }),
    ),
    ("queue-configured", |h| h.queue(DESTINATION, "config", "0"), Some(|h| h.hide_state(DESTINATION, "config"))),
    (
        "queue-not-checkstopped",
        |h| h.queue(DESTINATION, "chkstop", "1"),
        Some(|h| h.hide_state(DESTINATION, "chkstop")),
    ),
    (
        "master-keys",
        |h| h.queue(DESTINATION, "mkvps", "AES CUR: valid 0x02\nAPKA CUR: valid 0x02"),
        Some(|h| h.queue(DESTINATION, "mkvps", "AES CUR: - -\nAPKA CUR: valid 0x01")),
    ),
    (
        "master-keys-new-old",
        |h| {
            h.queue(SOURCE, "mkvps", "AES NEW: empty 0x00\nAES CUR: valid 0x01\nAPKA CUR: valid 0x01");
            h.queue(DESTINATION, "mkvps", "AES NEW: full 0x02\nAES CUR: valid 0x01\nAPKA CUR: valid 0x01");
        },
        None,
    ),
    ("same-uuid", |h| h.go_to_another_uuid(), None),
    (
        "destination-mdev-empty",
        |h| h.mdev(DESTINATION, "ap_config", &fixture::config(&[7], &[0x33], &[])),
        Some(|h| h.nothing_known_of_the_target()),
    ),
    ("guest-has-queues", |h| h.guest_without_domains(), Some(|h| h.nothing_known_of_the_guest())),
    (
        "guest-not-filtered",
        |h| h.mdev(SOURCE, "ap_config", &fixture::config(&[5, 6, 7], &[0x33, 0x3a], &[0x33, 0x3a])),
        Some(|h| h.hide_mdev(SOURCE, "guest_matrix")),
    ),
    (
        "facilities-reported",
        |h| h.set(SOURCE, "host", "facilities", "0 1 12"),
        Some(|h| h.hide(DESTINATION, "host", "facilities")),
    ),
    (
        "masks-decide",
        |h| h.queue(DESTINATION, "driver_override", "vfio_ap"),
        Some(|h| h.hide_state(DESTINATION, "driver_override")),
    ),
    (
        "ap-check",
        |h| h.masks_full(DESTINATION),
        Some(|h| {
            h.masks_full(DESTINATION);
            h.hide(DESTINATION, "bus", "apmask");
        }),
    ),
    ("kubevirt-sweep", |h| h.set(DESTINATION, "host", "kubevirt", "node"), None),
    ("way-back", |h| h.card_type(DESTINATION, "15"), Some(|h| h.hide_type(SOURCE))),
];

fn findings(hosts: &Hosts, id: &str) -> Vec<Finding> {
    hosts.judge().findings.into_iter().filter(|finding| finding.rule.id == id).collect()
}

#[test]
fn every_rule_has_its_cases_and_every_case_its_rule() {
    let rules: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
    let rows: Vec<&str> = ROWS.iter().map(|(id, ..)| *id).collect();
    assert_eq!(rows, rules);
    assert!(rules.len() >= 25);
}

#[test]
fn a_qemu_can_migrate_by_its_option_or_by_its_state_and_without_a_device_nothing_is_said() {
    for (text, verdict) in [
        (QEMU, Verdict::No),
        (&*format!("{QEMU}\noption enable-migration"), Verdict::Yes),
        (&*format!("{QEMU}\nstate"), Verdict::Yes),
        ("QEMU emulator version 11.1.3", Verdict::Yes),
        ("", Verdict::Yes),
    ] {
        let mut hosts = Hosts::new();
        hosts.set(DESTINATION, "host", "qemu-vfio-ap", text);
        assert_eq!(hosts.judge().verdict(), verdict, "{text}");
    }
}

#[test]
fn two_equal_hosts_break_no_rule() {
    let judgement = Hosts::new().judge();
    assert_eq!((judgement.verdict(), judgement.findings.len()), (Verdict::Yes, 0), "{:#?}", judgement.findings);
}

#[test]
fn a_rule_that_is_broken_says_so() {
    for (id, violate, _) in ROWS {
        let mut hosts = Hosts::new();
        violate(&mut hosts);
        let found = findings(&hosts, id);
        assert!(found.iter().any(|finding| finding.is_violated), "{id} does not notice; {:#?}", hosts.judge().findings);
        // The masks that ap-check does not like are refused by the driver too, where no override gives the queues.
        let refuses = matches!(found[0].rule.severity, Severity::Refused(_)) || *id == "ap-check";
        assert_eq!(hosts.judge().verdict() == Verdict::No, refuses, "{id}");
        for finding in found {
            assert!(!finding.evidence.source.is_empty() && !finding.evidence.destination.is_empty(), "{id}: no values");
            assert!(!finding.evidence.fix.is_empty(), "{id}: nothing helps");
        }
    }
}

#[test]
fn a_rule_without_its_input_says_unknown_and_never_yes() {
    for (id, _, withhold) in ROWS {
        let Some(withhold) = withhold else { continue };
        let mut hosts = Hosts::new();
        withhold(&mut hosts);
        let found = findings(&hosts, id);
        assert!(found.iter().any(|finding| !finding.is_violated), "{id} is sure: {:#?}", hosts.judge().findings);
        let severity = found[0].rule.severity;
        if let Severity::Refused(_) = severity {
            assert_ne!(hosts.judge().verdict(), Verdict::Yes, "{id}");
        }
    }
}

#[test]
fn what_only_breaks_counts_when_asked_strictly() {
    let mut hosts = Hosts::new();
    hosts.queue(DESTINATION, "config", "0");
    assert_eq!((hosts.judge().verdict(), hosts.judge_strictly().verdict()), (Verdict::Yes, Verdict::No));
    let mut hosts = Hosts::new();
    hosts.queue(DESTINATION, "mkvps", "AES CUR: - -");
    assert_eq!((hosts.judge().verdict(), hosts.judge_strictly().verdict()), (Verdict::Yes, Verdict::Unknown));
}

#[test]
fn a_card_does_not_show_a_bind_state_and_a_host_without_secure_execution_has_none() {
    let mut hosts = Hosts::new();
    hosts.only_the_card(SOURCE);
    hosts.only_the_card(DESTINATION);
    assert_eq!(hosts.judge().verdict(), Verdict::Yes);
    hosts.hide(SOURCE, "host", "prot_virt_guest");
    let ids: Vec<&str> = hosts.judge().findings.iter().map(|finding| finding.rule.id).collect();
    assert!(ids.contains(&"source-bind-state") && ids.contains(&"source-not-secure"), "{ids:?}");
}

#[test]
fn only_bits_0_to_7_are_compared_and_18_to_31_are_not() {
    for bit in 18..32 {
        let mut hosts = Hosts::new();
        hosts.flip(DESTINATION, bit);
        assert_eq!(hosts.judge().verdict(), Verdict::Yes, "bit {bit}");
    }
    for bit in 0..8 {
        let mut hosts = Hosts::new();
        hosts.flip(DESTINATION, bit);
        assert_eq!(hosts.judge().verdict(), Verdict::No, "bit {bit}");
    }
}

#[test]
fn the_bit_that_a_kernel_masks_is_not_taken_for_zero() {
    let mut hosts = Hosts::new();
    hosts.only_a_masked_word(SOURCE);
    hosts.only_a_masked_word(DESTINATION);
    let judgement = hosts.judge();
    let ids: Vec<&str> = judgement.findings.iter().map(|finding| finding.rule.id).collect();
    assert_eq!((judgement.verdict(), ids), (Verdict::Unknown, vec!["facility-slcf"; 4]));
    // A kernel that does not mask it is believed.
    for (release, verdict) in [
        ("6.17.0-rc1", Verdict::Yes),
        ("6.12.42", Verdict::Yes),
        ("6.12.107+deb13-s390x", Verdict::Yes),
        ("6.15.10", Verdict::Yes),
        ("6.16.1", Verdict::Yes),
        ("7.3.4", Verdict::Yes),
        ("6.16.0", Verdict::Unknown),
        ("6.15.9", Verdict::Unknown),
        ("6.14.11", Verdict::Unknown),
        ("4.15.0-213-generic", Verdict::Unknown),
    ] {
        for side in [SOURCE, DESTINATION] {
            hosts.set(side, "host", "osrelease", release);
        }
        assert_eq!(hosts.judge().verdict(), verdict, "{release}");
    }
}

#[test]
fn the_file_is_called_apmask_and_a_file_called_ap_mask_is_nobodys() {
    let mut hosts = Hosts::new();
    hosts.unbind(DESTINATION, "05.0033");
    hosts.masks(DESTINATION, "04", "ff");
    let report = preflight::report::fix(&hosts.judge());
    assert!(report.contains("put -0x05 /sys/bus/ap/apmask"), "{report}");
    assert!(!report.contains("ap_mask") && !preflight::collect::SCRIPT.contains("/ap_mask"));
    assert!(!preflight::collect::BUS.contains(&"ap_mask"));
}

#[test]
fn a_qemu_that_names_no_reason_is_not_blocked() {
    let mut hosts = Hosts::new();
    hosts.blocked("");
    assert_eq!((hosts.judge().verdict(), hosts.judge().findings.len()), (Verdict::Yes, 0));
}

#[test]
fn a_guest_that_lacks_a_control_domain_is_not_filtered() {
    let mut hosts = Hosts::new();
    hosts.mdev(SOURCE, "ap_config", &fixture::config(&[5, 6], &[0x33, 0x3a], &[0x33, 0x3a, 0x44]));
    assert!(findings(&hosts, "guest-not-filtered").is_empty());
}

#[test]
fn a_queue_that_does_not_show_its_state_has_that_of_its_card() {
    for (rule, file, bad) in [("queue-configured", "config", "0"), ("queue-not-checkstopped", "chkstop", "1")] {
        let mut hosts = Hosts::new();
        hosts.each_of(DESTINATION, "queue", file, &preflight::Attribute::MISSING);
        assert!(findings(&hosts, rule).is_empty(), "{rule}");
        hosts.each_of(DESTINATION, "card", file, &preflight::Attribute::Text(bad.to_owned()));
        assert!(findings(&hosts, rule).iter().all(|finding| finding.is_violated), "{rule}");
        assert_eq!(findings(&hosts, rule).len(), 4, "{rule}");
    }
}

#[test]
fn without_a_guest_there_is_nothing_to_ask() {
    let mut hosts = Hosts::new();
    hosts.snapshots[SOURCE].mdevs = preflight::snapshot::Section::Listed(Default::default());
    assert!(hosts.error().contains("no mediated device"));
    let mut hosts = Hosts::new();
    hosts.add_mdev(SOURCE, "second", "");
    assert!(hosts.error().contains("several mediated devices") && hosts.error().contains(UUID));
}
