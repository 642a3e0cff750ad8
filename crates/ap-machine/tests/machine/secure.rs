// SPDX-License-Identifier: MIT OR Apache-2.0
//! Binding and associating queues of Secure Execution guests: rows 09, 0A, 0B and 30 to 36 of AP reference 2.3.

use std::sync::Arc;

use ap_arch::{Apqn, BindState, FunctionCode, Gr0, ResponseCode};
use ap_machine::{Configuration, Machine, ManualClock, Timing, Topology};

use crate::cpu::{Cpu, small_request, topology};

const ACCELERATOR: Apqn = Apqn::new(5, 0x33);
const CCA: Apqn = Apqn::new(6, 0x33);
const EP11: Apqn = Apqn::new(7, 0x33);

fn secure() -> Topology {
    Topology { apsb: true, secrets: 4, ..topology() }
}

fn bapq(cpu: &mut Cpu, apqn: Apqn) -> ResponseCode {
    cpu.function(FunctionCode::BAPQ, apqn).response()
}

fn aapq(cpu: &mut Cpu, secret: u64) -> ResponseCode {
    cpu.pqap(Gr0::pqap(FunctionCode::AAPQ, EP11), 0, secret).unwrap();
    cpu.status().response()
}

#[test]
fn rc_0b_until_the_queue_is_bound() {
    let mut cpu = Cpu::new(&secure());
    assert_eq!(cpu.tapq(ACCELERATOR).1.bind_state(), BindState::UNBOUND);
    assert_eq!(cpu.response(ACCELERATOR), ResponseCode::NORMAL);
    assert_eq!(cpu.nqap(ACCELERATOR, 1, &small_request()).response(), ResponseCode::Q_NOT_BOUND);
    assert_eq!(bapq(&mut cpu, ACCELERATOR), ResponseCode::NORMAL);
    assert_eq!(cpu.tapq(ACCELERATOR).1.bind_state(), BindState::USABLE);
    cpu.exchange(ACCELERATOR, &small_request());
}

#[test]
fn rc_30_when_there_is_nothing_to_bind() {
    let mut cpu = Cpu::new(&secure());
    assert_eq!(cpu.tapq(CCA).1.bind_state(), BindState::UNUSABLE);
    assert_eq!(bapq(&mut cpu, CCA), ResponseCode::Q_BIND_ERROR);
    assert_eq!(bapq(&mut cpu, ACCELERATOR), ResponseCode::NORMAL);
    assert_eq!(bapq(&mut cpu, ACCELERATOR), ResponseCode::Q_BIND_ERROR);
}

#[test]
fn rc_09_when_another_configuration_has_bound_it() {
    let mut first = Cpu::new(&secure());
    let mut second = Cpu::of(Configuration::host(first.machine()));
    assert_eq!(bapq(&mut first, ACCELERATOR), ResponseCode::NORMAL);
    assert_eq!(bapq(&mut second, ACCELERATOR), ResponseCode::Q_BOUND_TO_ANOTHER);
    assert_eq!(second.nqap(ACCELERATOR, 1, &small_request()).response(), ResponseCode::Q_BOUND_TO_ANOTHER);
}

#[test]
fn a_reset_unbinds_only_with_the_f_bit() {
    let mut cpu = Cpu::new(&secure());
    bapq(&mut cpu, ACCELERATOR);
    cpu.function(FunctionCode::RAPQ, ACCELERATOR);
    assert_eq!(cpu.tapq(ACCELERATOR).1.bind_state(), BindState::USABLE);
    assert_eq!(cpu.pqap(Gr0::pqap(FunctionCode::RAPQ, ACCELERATOR).with(Gr0::BIT_41), 0, 0), Ok(0));
    assert_eq!(cpu.tapq(ACCELERATOR).1.bind_state(), BindState::UNBOUND);
}

#[test]
fn rc_31_32_and_34_refuse_an_association() {
    let mut cpu = Cpu::new(&secure());
    bapq(&mut cpu, ACCELERATOR);
    cpu.pqap(Gr0::pqap(FunctionCode::AAPQ, ACCELERATOR), 0, 0).unwrap();
    assert_eq!(cpu.status().response(), ResponseCode::Q_NOT_AVAIL_FOR_ASSOC);
    assert_eq!(aapq(&mut cpu, 0), ResponseCode::Q_NOT_BOUND);
    bapq(&mut cpu, EP11);
    for secret in [4, 0x1_0000, u64::MAX] {
        assert_eq!(aapq(&mut cpu, secret), ResponseCode::INVALID_ASSOC_SECRET, "{secret:#x}");
    }
    cpu.nqap(EP11, 1, &[0, 6]);
    assert_eq!(aapq(&mut cpu, 0), ResponseCode::Q_NOT_EMPTY);
}

#[test]
fn rc_0a_while_an_association_runs() {
    let clock = Arc::new(ManualClock::default());
    let topology = Topology { timing: Timing { reset_ns: 100, ..Timing::default() }, ..secure() };
    let machine = Machine::with_clock(&topology, clock.clone()).unwrap();
    let mut cpu = Cpu::on(&machine);
    bapq(&mut cpu, EP11);
    assert_eq!(cpu.tapq(EP11).1.bind_state(), BindState::BOUND);
    assert_eq!(aapq(&mut cpu, 3), ResponseCode::NORMAL);
    assert_eq!(cpu.tapq(EP11).1.bind_state(), BindState::BOUND);
    assert_eq!(aapq(&mut cpu, 3), ResponseCode::STATE_CHANGE_IN_PROGRESS);
    for function in [FunctionCode::RAPQ, FunctionCode::ZAPQ] {
        assert_eq!(cpu.function(function, EP11).response(), ResponseCode::STATE_CHANGE_IN_PROGRESS);
    }
    clock.advance(100);
    assert_eq!(cpu.tapq(EP11).1.bind_state(), BindState::USABLE);
}
