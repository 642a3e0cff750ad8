// SPDX-License-Identifier: MIT OR Apache-2.0
//! What takes time: engines, resets, interruption control. The clock stands still until the test moves it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ap_arch::{FunctionCode, Gr0, QueueStatus, ResponseCode};
use ap_machine::{Configuration, EngineTime, Machine, ManualClock, Timing, Topology};

use crate::cpu::{Cpu, QUEUE, Received, small_request, topology};

fn timed(timing: Timing) -> (Cpu, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    let machine = Machine::with_clock(&Topology { timing, ..topology() }, clock.clone()).unwrap();
    (Cpu::on(&machine), clock)
}

fn with_engine(ns: u64) -> (Cpu, Arc<ManualClock>) {
    timed(Timing { engine: EngineTime::Fixed(ns), ..Timing::default() })
}

fn flags(cpu: &mut Cpu) -> (bool, bool) {
    let status = cpu.tapq(QUEUE).0;
    (status.has(QueueStatus::EMPTY), status.has(QueueStatus::REPLIES_WAITING))
}

#[test]
fn a_reply_becomes_available_when_the_engine_is_done() {
    let (mut cpu, clock) = with_engine(1000);
    let status = cpu.nqap(QUEUE, 1, &small_request());
    assert!(!status.has(QueueStatus::EMPTY) && !status.has(QueueStatus::REPLIES_WAITING));
    clock.advance(999);
    assert_eq!(flags(&mut cpu), (false, false));
    let waiting = QueueStatus::new(0, ResponseCode::NO_PENDING_REPLY);
    assert_eq!(cpu.dqap(QUEUE), Received::Nothing(waiting));
    clock.advance(1);
    assert_eq!(flags(&mut cpu), (false, true));
    assert!(matches!(cpu.dqap(QUEUE), Received::Reply { psmid: 1, .. }));
    assert_eq!(flags(&mut cpu), (true, false));
}

#[test]
fn an_engine_works_on_one_request_after_the_other() {
    let (mut cpu, clock) = with_engine(1000);
    for psmid in 1..=3 {
        cpu.nqap(QUEUE, psmid, &small_request());
    }
    for expected in 1..=3 {
        clock.advance(1000);
        assert!(matches!(cpu.dqap(QUEUE), Received::Reply { psmid, .. } if psmid == expected));
        assert!(matches!(cpu.dqap(QUEUE), Received::Nothing(_)));
    }
}

#[test]
fn rc_02_while_a_reset_runs_for_every_instruction() {
    let (mut cpu, clock) = timed(Timing { reset_ns: 500, ..Timing::default() });
    cpu.nqap(QUEUE, 1, &small_request());
    assert_eq!(cpu.function(FunctionCode::RAPQ, QUEUE).response(), ResponseCode::NORMAL);
    let info = cpu.tapq(QUEUE).1;
    assert_ne!(info.0, 0, "hardware information is valid during a reset");
    for function in [FunctionCode::TAPQ, FunctionCode::RAPQ, FunctionCode::ZAPQ, FunctionCode::AQIC] {
        let status = cpu.function(function, QUEUE);
        assert_eq!(status, QueueStatus::new(QueueStatus::EMPTY, ResponseCode::RESET_IN_PROGRESS), "{function}");
    }
    assert_eq!(cpu.nqap(QUEUE, 2, &small_request()).response(), ResponseCode::RESET_IN_PROGRESS);
    assert!(matches!(cpu.dqap(QUEUE), Received::Nothing(s) if s.response() == ResponseCode::RESET_IN_PROGRESS));
    clock.advance(500);
    assert_eq!(cpu.tapq(QUEUE).0, QueueStatus::new(QueueStatus::EMPTY, ResponseCode::NORMAL));
    assert!(matches!(cpu.dqap(QUEUE), Received::Nothing(_)), "replies from before a reset never appear");
}

#[test]
fn a_request_that_a_reset_took_away_never_becomes_a_reply() {
    let (mut cpu, clock) = with_engine(1000);
    cpu.nqap(QUEUE, 1, &small_request());
    cpu.function(FunctionCode::ZAPQ, QUEUE);
    clock.advance(10_000);
    assert_eq!(flags(&mut cpu), (true, false));
}

#[test]
fn rc_04_comes_before_02() {
    let (mut cpu, _clock) = timed(Timing { reset_ns: 500, ..Timing::default() });
    cpu.function(FunctionCode::RAPQ, QUEUE);
    cpu.machine().set_adapter_state(QUEUE.apid, ap_machine::AdapterState::Checkstopped).unwrap();
    assert_eq!(cpu.response(QUEUE), ResponseCode::CHECKSTOPPED);
}

const ENABLE: u64 = 1 << 47 | 6;

fn aqic(cpu: &mut Cpu, gr1: u64) -> ResponseCode {
    cpu.pqap(Gr0::pqap(FunctionCode::AQIC, QUEUE), gr1, 0x5000).unwrap();
    cpu.status().response()
}

#[test]
fn interruption_is_enabled_and_disabled_some_time_after_aqic() {
    let (mut cpu, clock) = timed(Timing { aqic_ns: 100, ..Timing::default() });
    let enabled = |cpu: &mut Cpu| cpu.tapq(QUEUE).0.has(QueueStatus::INTERRUPT_ENABLED);
    assert_eq!(aqic(&mut cpu, ENABLE), ResponseCode::NORMAL);
    assert!(!enabled(&mut cpu));
    assert_eq!(aqic(&mut cpu, ENABLE), ResponseCode::OTHERWISE_CHANGED);
    assert_eq!(aqic(&mut cpu, 0), ResponseCode::BUSY);
    cpu.nqap(QUEUE, 1, &small_request());
    assert_eq!(cpu.configuration.take_notifications(), []);
    clock.advance(100);
    assert!(enabled(&mut cpu));
    assert_eq!(cpu.configuration.take_notifications().len(), 1);
    assert_eq!(aqic(&mut cpu, 0), ResponseCode::NORMAL);
    assert!(enabled(&mut cpu));
    assert_eq!((aqic(&mut cpu, 0), aqic(&mut cpu, ENABLE)), (ResponseCode::OTHERWISE_CHANGED, ResponseCode::BUSY));
    clock.advance(100);
    assert!(!enabled(&mut cpu));
}

#[test]
fn a_reply_notifies_although_no_instruction_looks_at_the_queue() {
    let (mut cpu, clock) = with_engine(1000);
    aqic(&mut cpu, ENABLE);
    for psmid in 1..=3 {
        cpu.nqap(QUEUE, psmid, &small_request());
    }
    for _ in 1..=3 {
        assert!(cpu.machine().expects_notification());
        cpu.machine().run_due();
        assert_eq!(cpu.configuration.pending().load(Ordering::SeqCst), 0);
        clock.advance(1000);
        cpu.machine().run_due();
        assert_eq!(cpu.configuration.take_notifications().len(), 1);
    }
    assert!(!cpu.machine().expects_notification());
    clock.advance(100_000);
    cpu.machine().run_due();
    assert_eq!(cpu.configuration.take_notifications(), []);
}

#[test]
fn a_strict_machine_is_slow_busy_after_a_reset_and_tells_of_the_first_reply_only() {
    let clock = Arc::new(ManualClock::default());
    let timing = Timing { engine: EngineTime::Fixed(1000), reset_ns: 400, aqic_ns: 0 };
    let machine = Machine::with_clock(&Topology { strict: true, timing, ..topology() }, clock.clone()).unwrap();
    let mut cpu = Cpu::on(&machine);
    let response = |cpu: &mut Cpu| cpu.tapq(QUEUE).0.response();
    cpu.pqap(Gr0::pqap(FunctionCode::RAPQ, QUEUE), 0, 0).unwrap();
    assert_eq!(response(&mut cpu), ResponseCode::RESET_IN_PROGRESS);
    clock.advance(400);
    assert_eq!((response(&mut cpu), aqic(&mut cpu, ENABLE)), (ResponseCode::BUSY, ResponseCode::BUSY));
    clock.advance(100);
    assert_eq!((response(&mut cpu), aqic(&mut cpu, ENABLE)), (ResponseCode::NORMAL, ResponseCode::NORMAL));
    clock.advance(100_000);
    let told = |cpu: &mut Cpu| {
        clock.advance(1000);
        cpu.machine().run_due();
        cpu.configuration.take_notifications().len()
    };
    for psmid in 1..=2 {
        cpu.nqap(QUEUE, psmid, &small_request());
    }
    assert_eq!((told(&mut cpu), told(&mut cpu)), (1, 0));
    (1..=2).for_each(|_| assert!(matches!(cpu.dqap(QUEUE), Received::Reply { .. })));
    cpu.nqap(QUEUE, 3, &small_request());
    assert_eq!(told(&mut cpu), 1);
}

#[test]
fn in_real_time_the_machine_notifies_by_itself() {
    let timing = Timing { engine: EngineTime::Fixed(1_000_000), ..Timing::default() };
    let machine = Machine::new(&Topology { timing, ..topology() }).unwrap();
    let configuration = Configuration::host(&machine);
    let (sender, receiver) = std::sync::mpsc::channel();
    configuration.set_waker(Box::new(move || sender.send(()).unwrap()));
    let mut cpu = Cpu::of(configuration);
    aqic(&mut cpu, ENABLE);
    for psmid in 0..2 {
        cpu.nqap(QUEUE, psmid, &small_request());
    }
    for _ in 0..2 {
        receiver.recv_timeout(std::time::Duration::from_secs(60)).expect("no notification within a minute");
    }
}

#[test]
fn like_a_card_a_longer_key_takes_longer() {
    let (mut cpu, clock) = timed(Timing { engine: EngineTime::LikeACard, ..Timing::default() });
    let mut wait = |width: usize| {
        let mut message = vec![0; 1552];
        let len = ap_arch::message::type50::mex(&mut message, &vec![0xff; width], &[3], &[2]).unwrap();
        cpu.nqap(QUEUE, 1, &message[..len]);
        let mut waited = 0_u64;
        while !cpu.tapq(QUEUE).0.has(QueueStatus::REPLIES_WAITING) {
            clock.advance(1000);
            waited += 1;
            assert!(waited < 1_000_000, "no reply within a second of the machine's time");
        }
        cpu.dqap(QUEUE);
        waited
    };
    let (short, long) = (wait(128), wait(512));
    assert!(0 < short && short < long, "{short} {long}");
}
