// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every file that a snapshot has, absent, empty, unreadable or odd: what it means. No value of a single file makes the
//! whole answer impossible, and none that is not known makes it *yes* where a rule needs it. `docs/real-hosts.md` says
//! it in words.

use preflight::judge::Verdict;
use preflight::{Attribute, Host};

use super::fixture::{DESTINATION, Hosts, SOURCE};

/// Group, file, and what absent, empty, unreadable and odd mean for the answer: `y`es, `n`o or `?`, the source's and
/// the destination's.
const FILES: &[(&str, &str, [&str; 2])] = &[
    ("host", "osrelease", ["yyyy", "yyyy"]),
    ("host", "facilities", ["yyyy", "yyyy"]),
    ("host", "prot_virt_guest", ["????", "????"]),
    ("host", "vfio_ap-module", ["yyyy", "yyyy"]),
    ("bus", "apmask", ["yyyy", "yyyy"]),
    ("bus", "aqmask", ["yyyy", "yyyy"]),
    ("bus", "ap_adapter_mask", ["yyyy", "yyyy"]),
    ("bus", "ap_usage_domain_mask", ["yyyy", "yyyy"]),
    ("bus", "ap_control_domain_mask", ["yyyy", "????"]),
    ("bus", "ap_max_adapter_id", ["yyyy", "yyyy"]),
    ("bus", "ap_max_domain_id", ["yyyy", "yyyy"]),
    ("bus", "features", ["yyyy", "yyyy"]),
    // Without this file the driver is an old one; without a word in it, or with others, it cannot migrate.
    ("vfio-ap", "features", ["nn?n", "nn?n"]),
    ("card", "hwtype", ["????", "????"]),
    ("card", "raw_hwtype", ["yyyy", "yyyy"]),
    ("card", "ap_functions", ["yyyy", "yyyy"]),
    ("card", "config", ["yyyy", "yyyy"]),
    ("card", "chkstop", ["yyyy", "yyyy"]),
    ("card", "serialnr", ["yyyy", "yyyy"]),
    ("queue", "config", ["yyyy", "yyyy"]),
    ("queue", "chkstop", ["yyyy", "yyyy"]),
    ("queue", "driver_override", ["yyyy", "yyyy"]),
    ("queue", "online", ["yyyy", "yyyy"]),
    ("queue", "ap_functions", ["yyyy", "yyyy"]),
    ("queue", "mkvps", ["yyyy", "yyyy"]),
    ("mdev", "matrix", ["yyyy", "yyyy"]),
    ("mdev", "guest_matrix", ["????", "yyyy"]),
    ("mdev", "control_domains", ["?y??", "yyyy"]),
    ("mdev", "ap_config", ["yyyy", "yyyy"]),
    ("mdev", "status", ["yyyy", "yyyy"]),
];

fn letter(verdict: Verdict) -> char {
    match verdict {
        Verdict::Yes => 'y',
        Verdict::No => 'n',
        Verdict::Unknown => '?',
    }
}

#[test]
fn every_file_absent_empty_unreadable_or_odd_has_its_meaning() {
    let states = [
        Attribute::MISSING,
        Attribute::Text(String::new()),
        Attribute::unreadable("Permission denied"),
        Attribute::Text("-1 \u{1b}[2J $(x)".replace('\u{1b}', "?")),
    ];
    for (group, file, meanings) in FILES {
        for (side, meaning) in [(SOURCE, meanings[0]), (DESTINATION, meanings[1])] {
            let seen: String = states
                .iter()
                .map(|state| {
                    let mut hosts = Hosts::new();
                    // Only where a card's own word counts, the type that the machine said would answer for the other.
                    if *file == "hwtype" {
                        hosts.each_of(side, "card", "raw_hwtype", &Attribute::MISSING);
                    }
                    hosts.each_of(side, group, file, state);
                    letter(hosts.judge().verdict())
                })
                .collect();
            assert_eq!(seen, meaning, "{group} {file}, side {side}");
        }
    }
}

#[test]
fn every_file_that_is_collected_has_its_row() {
    let rows = |of: &str| FILES.iter().filter(|(group, ..)| *group == of).map(|(_, file, _)| *file).collect::<Vec<_>>();
    for (group, files) in [
        ("bus", preflight::collect::BUS),
        ("card", preflight::collect::CARD),
        ("queue", preflight::collect::QUEUE),
        ("mdev", preflight::collect::MDEV),
    ] {
        let rows = rows(group);
        assert!(files.iter().all(|file| rows.contains(file)), "{group}: {files:?}, {rows:?}");
    }
}

#[test]
fn a_section_that_cannot_be_listed_is_unknown_and_hides_no_other() {
    let mut hosts = Hosts::new();
    hosts.hide_queues(DESTINATION);
    assert_eq!(hosts.judge().verdict(), Verdict::Unknown);
    hosts.set(SOURCE, "vfio-ap", "features", "guest_matrix");
    assert_eq!(hosts.judge().verdict(), Verdict::No);
    assert!(Host::new(&hosts.snapshots[DESTINATION]).is_ok());
}
