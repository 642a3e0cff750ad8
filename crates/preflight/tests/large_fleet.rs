// SPDX-License-Identifier: MIT OR Apache-2.0
//! A data centre: 50 hosts with 20 guests each. How long it takes is printed and not judged:
//! `cargo test --release -p preflight --test large_fleet -- --nocapture`.

use std::path::Path;
use std::time::Instant;

use preflight::fleet::cell::{Answer, Table};
use preflight::fleet::plan;
use preflight::fleet::read::Reader;
use serde_json::{Map, Value, json};

const HOSTS: usize = 50;
const GUESTS: usize = 20;
const ADAPTERS: usize = 8;
const DOMAINS: usize = 20;

/// Two adapters and two domains of 40 such blocks.
fn block(number: usize) -> Vec<String> {
    let (adapter, domain) = (number % (ADAPTERS / 2) * 2, number / (ADAPTERS / 2) % (DOMAINS / 2) * 2);
    let queue = |(a, d): (usize, usize)| format!("{:02x}.{:04x}", adapter + a, domain + d);
    [(0, 0), (0, 1), (1, 0), (1, 1)].map(queue).to_vec()
}

/// Every other host leaves to its own drivers what its guests do not have.
fn snapshot(host: usize) -> Value {
    let (empty, current, old) = ("0x0000000000000000", "0x0123456789abcdef", "0xfedcba9876543210");
    let keys = ["AES", "APKA", "SYM", "ASYM"]
        .map(|key| format!("{key} NEW: empty {empty}\n{key} CUR: valid {current}\n{key} OLD: valid {old}"));
    let (mut queues, mut cards, mut mdevs) = (Map::new(), Map::new(), Map::new());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let taken: Vec<String> = (0..GUESTS).flat_map(|guest| block(guest + host * 7)).collect();
    for adapter in 0..ADAPTERS {
        let card =
            json!({"hwtype": "14", "raw_hwtype": "14", "ap_functions": "0x92800000", "config": "1", "chkstop": "0"});
        cards.insert(format!("{adapter:02x}"), card);
        for domain in 0..DOMAINS {
            let name = format!("{adapter:02x}.{domain:04x}");
            let is_ours = host.is_multiple_of(2) || taken.contains(&name);
            if is_ours {
                ours.push(name.clone())
            } else {
                theirs.push(name.clone())
            }
            let chosen = if is_ours { "vfio_ap" } else { "" };
            let files = json!({"config": "1", "chkstop": "0", "ap_functions": "0x92800000",
                "driver_override": chosen, "mkvps": keys.join("\n")});
            queues.insert(name, files);
        }
    }
    for guest in 0..GUESTS {
        let list = block(guest + host * 7).join("\n");
        let files = json!({"matrix": list, "guest_matrix": list, "control_domains": "", "status": "in use"});
        mdevs.insert(format!("00000000-0000-4000-8000-{host:04x}{guest:08x}"), files);
    }
    let full = format!("0x{}", "f".repeat(64));
    json!({
        "format": "kaput-snapshot", "version": 1, "taken-by": "test",
        "host": {"osrelease": "6.19.0", "facilities": "0 15 158", "prot_virt_guest": "0"},
        "bus": {"apmask": full, "aqmask": full, "ap_control_domain_mask": full,
                "ap_max_adapter_id": "255", "ap_max_domain_id": "255"},
        "vfio-ap": {"features": "guest_matrix hotplug ap_config migratable"},
        "drivers": {"vfio_ap": ours, "cex4queue": theirs}, "cards": cards, "queues": queues, "mdevs": mdevs,
    })
}

#[test]
fn a_data_centre_is_compared_and_two_hosts_are_emptied() {
    let texts: Vec<String> = (0..HOSTS).map(|host| snapshot(host).to_string()).collect();
    let start = Instant::now();
    let mut reader = Reader::default();
    for (host, text) in texts.iter().enumerate() {
        reader.add(Path::new(&format!("zhost{host:02}.json")), text).expect("a snapshot");
    }
    let fleet = reader.fleet();
    let read = start.elapsed();
    let table = Table::new(&fleet, false);
    let compared = start.elapsed();
    let movable = plan::movable(&fleet, &table);
    let empty = plan::empty(&fleet, &table, &[0, 1]);
    println!(
        "{HOSTS} hosts, {} guests: read in {read:?}, compared in {:?}, planned in {:?}; all in {:?}",
        fleet.guests.len(),
        compared - read,
        start.elapsed() - compared,
        start.elapsed()
    );
    assert_eq!(table.rows.iter().map(Vec::len).sum::<usize>(), HOSTS * HOSTS * GUESTS);
    let has = |wanted: fn(&Answer) -> bool| table.rows.iter().flatten().any(|cell| wanted(&cell.answer));
    assert!(has(|answer| *answer == Answer::After(1)) && has(|answer| matches!(answer, Answer::After(2..))));
    assert!(has(|answer| matches!(answer, Answer::Never(_))) && movable.stays.is_empty());
    assert_eq!((empty.moves.len(), empty.stays.len(), empty.is_proven), (2 * GUESTS, 0, true));
}
