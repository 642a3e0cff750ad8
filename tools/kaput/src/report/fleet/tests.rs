// SPDX-License-Identifier: MIT OR Apache-2.0
//! Golden reports of a small fleet in which every answer occurs.

use std::path::Path;

use insta::assert_snapshot;
use preflight::fleet::plan;
use preflight::fleet::read::Reader;
use serde_json::{Value, json};

use super::*;

const ONE: &str = "11111111-1111-4111-8111-111111111111";
const TWO: &str = "22222222-2222-4222-8222-222222222222";
const OTHER: &str = "33333333-3333-4333-8333-333333333333";

/// A host whose queues are given by overrides, `ours` to vfio_ap and `theirs` to the host's own driver; guests and
/// places have one queue each.
fn host(ours: &[&str], theirs: &[&str], guests: &[(&str, &str)], places: &[(&str, &str)]) -> Value {
    let full = format!("0x{}", "f".repeat(64));
    let queue = |name: &&str, chosen: &str| {
        let keys = "AES CUR: valid 0x01";
        let files = json!({"ap_functions": "0x6A800000", "config": "1", "chkstop": "0", "mkvps": keys,
            "driver_override": chosen});
        ((*name).to_owned(), files)
    };
    let queues: serde_json::Map<String, Value> =
        ours.iter().map(|q| queue(q, "vfio_ap")).chain(theirs.iter().map(|q| queue(q, ""))).collect();
    let card = json!({"hwtype": "14", "ap_functions": "0x6A800000", "config": "1", "chkstop": "0"});
    let cards: serde_json::Map<String, Value> =
        queues.keys().map(|queue| (queue[..2].to_owned(), card.clone())).collect();
    let device = |(name, queue): &(&str, &str), status: &str| {
        let files = json!({"matrix": queue, "guest_matrix": queue, "control_domains": "", "status": status});
        ((*name).to_owned(), files)
    };
    let guests = guests.iter().map(|guest| device(guest, "in use"));
    let mdevs: serde_json::Map<String, Value> = guests.chain(places.iter().map(|p| device(p, "assigned"))).collect();
    json!({
        "format": "kaput-snapshot", "version": 1, "taken-by": "test",
        "host": {"osrelease": "6.19.0", "facilities": "0 15 158", "prot_virt_guest": "0"},
        "bus": {"apmask": full, "aqmask": full, "ap_control_domain_mask": full,
                "ap_max_adapter_id": "255", "ap_max_domain_id": "255"},
        "vfio-ap": {"features": "guest_matrix hotplug ap_config migratable"},
        "drivers": {"vfio_ap": ours, "cex4queue": theirs}, "cards": cards, "queues": queues, "mdevs": mdevs,
    })
}

fn fleet(hosts: &[(&str, Value)]) -> Fleet {
    let mut reader = Reader::default();
    for (name, host) in hosts {
        reader.add(Path::new(&format!("{name}.json")), &host.to_string()).expect("a snapshot");
    }
    reader.fleet()
}

/// On `a` two guests, one of which has the queue of a guest on `b`; `c` has a place for the first, and has to give the
/// queue; `d` has another kernel and hides its masks.
fn every_answer() -> Fleet {
    let mut hidden = host(&["05.0033"], &["05.0034"], &[], &[]);
    hidden["bus"]["apmask"] = json!({"unreadable": "Permission denied"});
    hidden["host"]["osrelease"] = json!("7.0.0-<rc1>");
    fleet(&[
        ("a", host(&["05.0033", "05.0034"], &[], &[(ONE, "05.0033"), (TWO, "05.0034")], &[])),
        ("b", host(&["05.0033"], &[], &[(OTHER, "05.0033")], &[])),
        ("c", host(&["06.0033"], &["05.0033"], &[], &[(ONE, "06.0033")])),
        ("d", hidden),
    ])
}

/// Reports on a fleet; of hosts to be emptied, if any are named.
fn reported<T>(fleet: &Fleet, emptied: &[usize], render: impl FnOnce(Report<'_>) -> T) -> T {
    let table = Table::new(fleet, false);
    let plan = if emptied.is_empty() { plan::movable(fleet, &table) } else { plan::empty(fleet, &table, emptied) };
    render(Report { fleet, table: &table, plan: &plan, emptied })
}

#[test]
fn the_terminal_shows_every_guest_against_every_host() {
    assert_snapshot!(reported(&every_answer(), &[], screen));
}

#[test]
fn the_terminal_says_where_the_guests_of_a_host_go_and_who_stays() {
    assert_snapshot!(reported(&every_answer(), &[0], screen));
}

#[test]
fn the_script_has_the_commands_of_each_host_and_then_the_migrations() {
    assert_snapshot!(reported(&every_answer(), &[1], |report| report.script()));
}

#[test]
fn the_page_is_a_heat_map() {
    let page = reported(&every_answer(), &[], page).expect("written");
    assert_snapshot!(page.split_once("<body>").expect("a body").1);
}

#[test]
fn programs_read_cells_and_plan() {
    let text = reported(&every_answer(), &[1], line).expect("written");
    let mut value: Value = serde_json::from_str(&text).expect("JSON");
    assert!(
        text.is_ascii() && value["plan"]["script"].take().as_str().is_some_and(|text| text.starts_with("#!/bin/sh"))
    );
    value["plan"]["scripts"].take();
    assert_snapshot!(serde_json::to_string_pretty(&value).expect("written"));
}

#[test]
fn two_guests_that_would_have_to_swap_are_told_so() {
    let both = || host(&["05.0033"], &[], &[], &[]);
    let with = |guest: &str| host(&["05.0033"], &[], &[(guest, "05.0033")], &[]);
    let two = fleet(&[("a", with(ONE)), ("b", with(TWO))]);
    let said = reported(&two, &[0], screen);
    assert!(said.starts_with("empty a: NO") && said.contains("the two cannot swap a and b"), "{said}");
    // A third host that takes one of them makes it possible, in two steps.
    let three = fleet(&[("a", with(ONE)), ("b", with(TWO)), ("c", both())]);
    assert!(reported(&three, &[0], screen).starts_with("empty a: YES"));
    // Both cannot go to the third host, since each has the other's queue.
    let said = reported(&three, &[0, 1], screen);
    assert!(said.starts_with("empty a, b: NO, 1 of 2 guests") && said.contains("c: guests go there"), "{said}");
}

#[test]
fn a_fleet_without_guests_needs_nothing() {
    let said = reported(&fleet(&[("a", host(&[], &["05.0033"], &[], &[]))]), &[], screen);
    assert!(said.starts_with("fleet: YES, there is no guest"), "{said}");
    let script = reported(&fleet(&[("a", host(&[], &["05.0033"], &[], &[]))]), &[0], |report| report.script());
    assert!(script.contains("Nothing is to be done"), "{script}");
}
