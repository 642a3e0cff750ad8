// SPDX-License-Identifier: MIT OR Apache-2.0
//! A machine that changes while guests use it.

use ap_arch::{Apid, Apqi, Apqn, FunctionCode, HwInfo, Mask256, QueueStatus, ResponseCode};
use ap_machine::{AdapterSpec, AdapterState, Topology, TopologyError};

use crate::cpu::{Cpu, QUEUE, Received, small_request, topology};

fn spec(kind: &str) -> AdapterSpec {
    AdapterSpec::new(kind.parse().unwrap())
}

#[test]
fn a_plugged_card_appears_with_its_own_kind() {
    let mut cpu = Cpu::new(&topology());
    let queue = Apqn::new(0x20, 0x33);
    assert_eq!(cpu.response(queue), ResponseCode::Q_NOT_AVAIL);
    cpu.machine().plug(Apid(0x20), &spec("cex7a")).unwrap();
    assert_eq!(cpu.tapq(queue).1.to_string(), "CEX7A 6a8000000dff0007");
    assert!(cpu.qci().matrix.adapters.contains(0x20));
    cpu.exchange(queue, &small_request());
}

#[test]
fn an_unplugged_card_is_gone_with_what_its_queues_held() {
    let mut cpu = Cpu::new(&topology());
    cpu.nqap(QUEUE, 1, &small_request());
    cpu.machine().unplug(Apid(5)).unwrap();
    assert_eq!(cpu.tapq(QUEUE), (QueueStatus::new(0, ResponseCode::Q_NOT_AVAIL), HwInfo(0)));
    assert!(!cpu.qci().matrix.adapters.contains(5));
    assert_eq!(cpu.machine().queue_snapshot(QUEUE), None);
    cpu.machine().plug(Apid(5), &spec("cex4c")).unwrap();
    let (status, info) = cpu.tapq(QUEUE);
    assert_eq!((status, info.ap_type().0), (QueueStatus::new(QueueStatus::EMPTY, ResponseCode::NORMAL), 10));
    // The new card is a coprocessor: it does not know type 50.
    assert_eq!(cpu.exchange(QUEUE, &small_request())[4], 0x20);
}

#[test]
fn a_deconfigured_adapter_stays_in_qci_and_comes_back_empty() {
    let mut cpu = Cpu::new(&topology());
    for state in [AdapterState::Deconfigured, AdapterState::Checkstopped] {
        cpu.nqap(QUEUE, 1, &small_request());
        cpu.machine().set_adapter_state(Apid(5), state).unwrap();
        assert!(cpu.qci().matrix.adapters.contains(5));
        cpu.machine().set_adapter_state(Apid(5), AdapterState::Configured).unwrap();
        assert!(matches!(cpu.dqap(QUEUE), Received::Nothing(status) if status.has(QueueStatus::EMPTY)));
    }
}

#[test]
fn a_domain_that_is_taken_away_loses_its_messages() {
    let mut cpu = Cpu::new(&topology());
    cpu.nqap(QUEUE, 1, &small_request());
    let only = |domain: u8| [domain].into_iter().collect::<Mask256>();
    cpu.machine().set_domains(only(0x3a), only(0x44)).unwrap();
    assert_eq!(cpu.response(QUEUE), ResponseCode::Q_NOT_AVAIL);
    assert_eq!(cpu.qci().matrix.control_domains, only(0x44));
    cpu.machine().set_domains(only(0x33), only(0x33)).unwrap();
    assert!(matches!(cpu.dqap(QUEUE), Received::Nothing(_)));
}

#[test]
fn one_checkstopped_queue_takes_nothing_and_its_neighbours_work() {
    let mut cpu = Cpu::new(&topology());
    let neighbour = Apqn::new(5, 0x3a);
    cpu.nqap(QUEUE, 1, &small_request());
    cpu.machine().set_checkstopped(QUEUE, true).unwrap();
    assert_eq!(cpu.response(QUEUE), ResponseCode::CHECKSTOPPED);
    assert_eq!(cpu.nqap(QUEUE, 2, &small_request()).response(), ResponseCode::CHECKSTOPPED);
    assert_eq!(cpu.function(FunctionCode::RAPQ, QUEUE).response(), ResponseCode::CHECKSTOPPED);
    cpu.exchange(neighbour, &small_request());
    cpu.machine().set_checkstopped(QUEUE, false).unwrap();
    assert!(matches!(cpu.dqap(QUEUE), Received::Nothing(status) if status.has(QueueStatus::EMPTY)));
    cpu.exchange(QUEUE, &small_request());
    cpu.machine().set_checkstopped(QUEUE, true).unwrap();
    cpu.machine().set_adapter_state(Apid(5), AdapterState::Configured).unwrap();
    assert_eq!(cpu.response(QUEUE), ResponseCode::NORMAL);
}

#[test]
fn a_domain_comes_and_goes_with_the_control_over_it_or_without() {
    let cpu = Cpu::new(&topology());
    let present = || {
        let snapshot = cpu.machine().snapshot();
        let has = |list: &[String]| list.contains(&"0050".to_owned());
        (has(&snapshot.domains), has(&snapshot.control_domains))
    };
    let change = |plug: bool, control_only: bool| {
        let (machine, domain) = (cpu.machine(), Apqi(0x50));
        if plug { machine.plug_domain(domain, control_only) } else { machine.unplug_domain(domain, control_only) }
    };
    for (plug, control_only, after) in [
        (true, true, (false, true)),
        (true, false, (true, true)),
        (false, true, (true, false)),
        (false, false, (false, false)),
    ] {
        change(plug, control_only).unwrap();
        assert_eq!(present(), after);
    }
}

#[test]
fn what_cannot_be_changed_is_refused_by_name() {
    let cpu = Cpu::new(&Topology { max_domain: ap_arch::Apqi(0x54), max_adapter: Apid(0x10), ..topology() });
    let machine = cpu.machine();
    assert_eq!(machine.plug(Apid(5), &spec("cex8a")), Err(TopologyError::AlreadyPlugged(Apid(5))));
    assert_eq!(machine.unplug(Apid(9)), Err(TopologyError::NoAdapter(Apid(9))));
    assert_eq!(machine.set_busy(Apqn::new(5, 0x34), true), Err(TopologyError::NoQueue(Apqn::new(5, 0x34))));
    let message = machine.plug(Apid(0x11), &spec("cex8a")).unwrap_err().to_string();
    assert!(message.contains("11 is too high") && message.contains("10"), "{message}");
    let message = machine.set_domains(Mask256::FULL, Mask256::EMPTY).unwrap_err().to_string();
    assert!(message.contains("domains: 00ff is too high"), "{message}");
    let message = machine.plug(Apid(1), &AdapterSpec { depth: 0, ..spec("cex8a") }).unwrap_err().to_string();
    assert!(message.contains("adapters.01.depth: 0: expected 1 to 16"), "{message}");
}

#[test]
fn a_snapshot_shows_adapters_and_the_queues_that_were_used() {
    let mut cpu = Cpu::new(&topology());
    cpu.nqap(QUEUE, 1, &small_request());
    cpu.machine().set_adapter_state(Apid(6), AdapterState::Deconfigured).unwrap();
    let snapshot = serde_json::to_value(cpu.machine().snapshot()).unwrap();
    assert_eq!(snapshot["adapters"][0]["serial"], "KAPUT005");
    assert_eq!(snapshot["adapters"][1]["state"], "deconfigured");
    assert_eq!(snapshot["control-domains"], serde_json::json!(["0033", "003a", "0044"]));
    let queues = snapshot["queues"].as_array().unwrap();
    assert_eq!(queues.len(), 1);
    assert_eq!((&queues[0]["queue"], &queues[0]["status"]), (&"05.0033".into(), &"40000000".into()));
    assert_eq!((&queues[0]["messages"], &queues[0]["counters"]["requests"]), (&1.into(), &1.into()));
}
