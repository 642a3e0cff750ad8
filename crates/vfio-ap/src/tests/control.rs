// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control protocol from the outside: lines in, lines out.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::Host;
use crate::tests::fixture::*;

fn ask(host: &Arc<Host>, execute: &str, arguments: Value) -> Value {
    let line = json!({"execute": execute, "arguments": arguments, "id": 1}).to_string();
    let reply: Value = serde_json::from_str(&host.control_line(&line)).unwrap();
    assert_eq!(reply["id"], 1);
    reply
}

fn ok(host: &Arc<Host>, execute: &str, arguments: Value) -> Value {
    let reply = ask(host, execute, arguments);
    assert!(reply.get("error").is_none(), "{reply}");
    reply["return"].clone()
}

#[test]
fn a_guest_is_migrated_by_lines() {
    let (source, target) = (host(), destination());
    assert_eq!(ok(&source, "migration-set-state", json!({"state": "stop"})), json!({"state": "stop", "stream": null}));
    let reading = ok(&source, "migration-set-state", json!({"state": "stop-copy"}))["stream"].clone();
    let size = ok(&source, "migration-data-size", json!({}))["size"].as_u64().unwrap();
    let data = ok(&source, "migration-read", json!({"stream": reading, "length": 65536}))["data"].clone();
    assert_eq!(data.as_str().unwrap().len() as u64, 2 * size);
    assert_eq!(ok(&source, "migration-read", json!({"stream": reading, "length": 65536}))["data"], "");
    let writing = ok(&target, "migration-set-state", json!({"state": "resuming"}))["stream"].clone();
    assert_eq!(ok(&target, "migration-write", json!({"stream": writing, "data": data}))["written"], size);
    for (host, stream) in [(&source, reading), (&target, writing)] {
        ok(host, "migration-close", json!({"stream": stream}));
        assert_eq!(ok(host, "migration-set-state", json!({"state": "running"}))["state"], "running");
    }
    let mdev = ok(&target, "query-host", json!({}))["mdevs"][0].clone();
    assert_eq!(mdev["guest-adapters"], matrix_a().adapters.to_string());
    assert_eq!(mdev["guest-control-domains"], matrix_a().control_domains.to_string());
    assert_eq!(ok(&target, "query-counters", json!({}))["applied"], 1);
}

#[test]
fn a_refusal_has_the_devices_error_and_a_sentence() {
    let host = host();
    let reply = ask(&host, "migration-set-state", json!({"state": 77}));
    assert_eq!(reply["error"]["class"], "EINVAL");
    assert_eq!(
        reply["error"]["desc"],
        "state 77 cannot be requested: vfio-ap knows stop, running, stop-copy, resuming"
    );
    let reply = ask(&host, "migration-get-state", json!({"mdev": "z"}));
    assert_eq!(reply["error"], json!({"class": "ENODEV", "desc": "there is no mediated device z"}));
}

#[test]
fn a_scripted_guest_sees_its_own_queues_only() {
    let host = host();
    let tapq = |mdev: &str, queue: u64| {
        let gr0 = format!("{queue:#x}");
        let instruction = json!({"code": "b2af0000", "gr0": gr0});
        let state = ok(&host, "guest-execute", json!({"mdev": mdev, "instruction": instruction}));
        (state["cc"].as_u64(), state["registers"]["1"].as_str().unwrap().to_owned())
    };
    assert_eq!(tapq(B, 0x0633), (Some(0), "0x0000000080000000".to_owned()));
    assert_eq!(tapq(B, 0x0433), (Some(3), "0x0000000000010000".to_owned()));
    let qci = json!({"code": "b2af0000", "gr0": "0x4000000", "gr2": "0x1000", "fetch": ["0x1000", 128]});
    let state = ok(&host, "guest-execute", json!({"mdev": B, "instruction": qci}));
    let block = state["fetched"].as_str().unwrap();
    assert_eq!(&block[32..34], "02");
    let wrong = json!({"code": "b2af0000", "gr0": "0x2a000000"});
    assert_eq!(ok(&host, "guest-execute", json!({"mdev": B, "instruction": wrong}))["exception"], 6);
}

#[test]
fn defects_are_switched_by_name() {
    let host = host();
    ok(&host, "defect-set", json!({"name": "control-domains-dropped", "on": true}));
    assert_eq!(ok(&host, "query-host", json!({}))["defects"], json!(["control-domains-dropped"]));
    let reply = ask(&host, "defect-set", json!({"name": "no-such", "on": true}));
    assert!(reply["error"]["desc"].as_str().unwrap().contains("there are: control-domains-dropped"));
}

#[test]
fn the_log_is_read_from_a_number_on() {
    let host = host();
    ok(&host, "migration-set-state", json!({"state": "stop"}));
    let log = ok(&host, "query-log", json!({}));
    assert_eq!(log["lines"][0]["level"], "debug");
    let next = log["next"].clone();
    assert_eq!(ok(&host, "query-log", json!({"since": next}))["lines"], json!([]));
}

#[test]
fn queues_show_their_driver_and_their_owner() {
    let queues = ok(&host(), "query-queues", json!({}))["queues"].clone();
    assert_eq!(queues.as_array().unwrap().len(), 8);
    assert_eq!(queues[0]["queue"], "04.0033");
    assert_eq!((&queues[0]["driver"], &queues[0]["mdev"]), (&json!("vfio_ap"), &json!("a")));
    assert!(queues[0]["hw-info"].as_str().unwrap().starts_with("0xf38000000e"));
    assert_eq!(queues[6]["mdev"], Value::Null);
}

#[test]
fn state_changes_are_events_also_when_a_vcpu_caused_them() {
    let host = host();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    host.on_event(move |line| sink.lock().unwrap().push(serde_json::from_str::<Value>(line).unwrap()));
    ok(&host, "migration-set-state", json!({"state": "stop"}));
    host.vcpu_resumed();
    let events = seen.lock().unwrap().clone();
    assert_eq!(
        events,
        [
            json!({"event": "migration-state", "data": {"mdev": "a", "from": "running", "to": "stop"}}),
            json!({"event": "migration-state", "data": {"mdev": "a", "from": "stop", "to": "running"}}),
        ]
    );
    assert_eq!(ok(&host, "query-counters", json!({}))["resumed-by-vcpu"], 1);
}

#[test]
fn streams_that_nobody_closes_come_to_an_end() {
    let host = host();
    let mut outcome = Ok(None);
    for _ in 0..2000 {
        outcome = host.go(vfio_mig::DeviceState::STOP_COPY).and_then(|_| host.go(vfio_mig::DeviceState::STOP));
        if outcome.is_err() {
            break;
        }
    }
    assert_eq!(outcome, Err(vfio_mig::Errno::EMFILE));
}

proptest! {
    #[test]
    fn no_line_makes_a_host_panic(
        execute in "migration-(read|write|set-state)|sysfs-(read|write)|guest-execute|query-log|\\PC{0,20}",
        arguments in "\\{(\"(stream|length|data|state|path|value|mdev|since)\":\
                      (\"[0-9a-f/x.,+-]{0,30}\"|[0-9]{1,20}|null),?){0,4}\\}"
    ) {
        let host = host();
        let reply = host.control_line(&format!(r#"{{"execute":"{execute}","arguments":{arguments}}}"#));
        prop_assert!(serde_json::from_str::<Value>(&reply).unwrap().is_object());
    }
}

#[test]
fn hardware_changes_reach_the_guest() {
    let host = host();
    let status = || ask(&host, "query-queues", json!({}))["return"]["queues"][0]["status"].as_str().unwrap().to_owned();
    ok(&host, "adapter-deconfigure", json!({"adapter": "04"}));
    assert!(status().ends_with("80030000"), "{}", status());
    ok(&host, "adapter-configure", json!({"adapter": "04"}));
    ok(&host, "queue-busy", json!({"queue": "04.0033", "busy": true}));
    assert!(status().ends_with("80050000"), "{}", status());
    ok(&host, "queue-busy", json!({"queue": "04.0033", "busy": false}));
    ok(&host, "queue-checkstop", json!({"queue": "04.0033", "on": true}));
    assert!(status().ends_with("80040000"), "{}", status());
    ok(&host, "queue-checkstop", json!({"queue": "04.0033", "on": false}));
    assert!(status().ends_with("80000000"), "{}", status());
    ok(&host, "domain-unplug", json!({"domain": "3a"}));
    assert_eq!(host.guest_of(A), matrix(&[4, 5], &[0x33], &[0x33, 0x44]));
    ok(&host, "domain-plug", json!({"domain": "3a"}));
    assert_eq!(host.guest_of(A), matrix_a());
    ok(&host, "domain-unplug", json!({"domain": "44", "control-only": true}));
    assert_eq!(host.guest_of(A), matrix(&[4, 5], &[0x33, 0x3a], &[0x33, 0x3a]));
    ok(&host, "domain-plug", json!({"domain": "44", "control-only": true}));
    assert_eq!(ask(&host, "domain-plug", json!({"domain": "100"}))["error"]["class"], "EINVAL");
    ok(&host, "adapter-unplug", json!({"adapter": "05"}));
    assert_eq!(host.guest_of(A).adapters, mask(&[4]));
    ok(&host, "adapter-plug", json!({"adapter": "05", "card": "cex7c"}));
    assert_eq!(host.guest_of(A), matrix_a());
    assert_eq!(ask(&host, "adapter-unplug", json!({"adapter": "09"}))["error"]["class"], "ENODEV");
    assert_eq!(ask(&host, "adapter-plug", json!({"adapter": "05", "card": "cex8c"}))["error"]["class"], "EEXIST");
}
