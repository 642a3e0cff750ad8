// SPDX-License-Identifier: MIT OR Apache-2.0
//! Queue interruption: the observed protocol of AP reference 5.2 row by row, and delivery.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ap_arch::{Apqn, FunctionCode, Gr0, Matrix, QueueStatus, ResponseCode};
use ap_machine::{Configuration, Facilities, Instruction, Notification, Operands, Outcome};

use crate::cpu::{Cpu, QUEUE, small_request, topology};

const ENABLE: u64 = 1 << 47;
const NIB: u64 = 0x5000;

fn aqic(cpu: &mut Cpu, gr1: u64, nib: u64) -> (u8, ResponseCode) {
    let cc = cpu.pqap(Gr0::pqap(FunctionCode::AQIC, QUEUE), gr1, nib).unwrap();
    (cc, cpu.status().response())
}

fn is_enabled(cpu: &mut Cpu) -> bool {
    cpu.tapq(QUEUE).0.has(QueueStatus::INTERRUPT_ENABLED)
}

fn pending(cpu: &Cpu) -> u64 {
    cpu.configuration.pending().load(Ordering::SeqCst)
}

#[test]
fn row_1_a_notification_address_of_zero_or_outside_of_storage_is_rc_06() {
    let mut cpu = Cpu::new(&topology());
    for nib in [0, u64::MAX, crate::cpu::END] {
        assert_eq!(aqic(&mut cpu, ENABLE, nib), (3, ResponseCode::INVALID_ADDRESS), "{nib:#x}");
    }
    assert!(!is_enabled(&mut cpu));
}

#[test]
fn row_2_disable_while_disabled_is_rc_07() {
    let mut cpu = Cpu::new(&topology());
    assert_eq!(aqic(&mut cpu, 0, 0), (3, ResponseCode::OTHERWISE_CHANGED));
}

#[test]
fn row_3_enable_sets_ir() {
    let mut cpu = Cpu::new(&topology());
    assert_eq!(aqic(&mut cpu, ENABLE | 6, NIB), (0, ResponseCode::NORMAL));
    assert!(is_enabled(&mut cpu));
}

#[test]
fn row_4_enable_while_enabled_is_rc_07_and_keeps_the_first_registration() {
    let mut cpu = Cpu::new(&topology());
    aqic(&mut cpu, ENABLE | 6, NIB);
    assert_eq!(aqic(&mut cpu, ENABLE | 3, NIB + 1), (3, ResponseCode::OTHERWISE_CHANGED));
    assert_eq!(cpu.machine().interruption(QUEUE), Some(Notification { isc: 6, nib: NIB }));
}

#[test]
fn row_5_disable_clears_ir() {
    let mut cpu = Cpu::new(&topology());
    aqic(&mut cpu, ENABLE | 6, NIB);
    assert_eq!(aqic(&mut cpu, 0, 0), (0, ResponseCode::NORMAL));
    assert!(!is_enabled(&mut cpu));
    assert_eq!(cpu.machine().interruption(QUEUE), None);
}

#[test]
fn row_6_a_reset_disables() {
    let mut cpu = Cpu::new(&topology());
    for function in [FunctionCode::RAPQ, FunctionCode::ZAPQ] {
        assert_eq!(aqic(&mut cpu, ENABLE | 6, NIB).0, 0);
        cpu.function(function, QUEUE);
        assert!(!is_enabled(&mut cpu), "{function}");
    }
    assert_eq!(aqic(&mut cpu, ENABLE | 6, NIB).0, 0);
}

#[test]
fn only_a_hypervisor_designates_a_gisa() {
    let mut cpu = Cpu::new(&topology());
    for gisa in [1 << 40, 1 << 32, 0x1000] {
        assert_eq!(aqic(&mut cpu, ENABLE | gisa, NIB), (3, ResponseCode::INVALID_GISA), "{gisa:#x}");
    }
}

#[test]
fn a_reply_on_an_enabled_queue_notifies_with_byte_and_subclass() {
    let mut cpu = Cpu::new(&topology());
    aqic(&mut cpu, ENABLE | 6, NIB);
    assert_eq!(pending(&cpu), 0);
    cpu.nqap(QUEUE, 1, &small_request());
    assert_eq!(pending(&cpu), 0x80 >> 6);
    assert_eq!(cpu.configuration.take_notifications(), [Notification { isc: 6, nib: NIB }]);
    assert_eq!((pending(&cpu), cpu.configuration.take_notifications().len()), (0, 0));
}

#[test]
fn every_reply_notifies() {
    let mut cpu = Cpu::new(&topology());
    aqic(&mut cpu, ENABLE | 6, NIB);
    for psmid in 0..3 {
        cpu.nqap(QUEUE, psmid, &small_request());
        assert_eq!(cpu.configuration.take_notifications().len(), 1, "reply {psmid}");
    }
    assert_eq!(cpu.machine().queue_snapshot(QUEUE).unwrap().counters.notifications, 3);
}

#[test]
fn a_reply_on_a_disabled_queue_notifies_nobody_until_it_is_enabled() {
    let mut cpu = Cpu::new(&topology());
    cpu.nqap(QUEUE, 1, &small_request());
    assert_eq!(pending(&cpu), 0);
    aqic(&mut cpu, ENABLE | 2, NIB);
    assert_eq!(cpu.configuration.take_notifications(), [Notification { isc: 2, nib: NIB }]);
}

#[test]
fn nothing_is_notified_after_a_reset() {
    let mut cpu = Cpu::new(&topology());
    aqic(&mut cpu, ENABLE | 6, NIB);
    cpu.function(FunctionCode::ZAPQ, QUEUE);
    cpu.nqap(QUEUE, 1, &small_request());
    assert_eq!(pending(&cpu), 0);
}

#[test]
fn the_waker_hears_of_every_notification() {
    let mut cpu = Cpu::new(&topology());
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    assert!(cpu.configuration.set_waker(Box::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    })));
    assert!(!cpu.configuration.set_waker(Box::new(|| ())));
    aqic(&mut cpu, ENABLE | 6, NIB);
    cpu.nqap(QUEUE, 1, &small_request());
    cpu.nqap(QUEUE, 2, &small_request());
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[test]
fn a_host_can_quiesce_a_guest_and_arm_it_again() {
    let mut host = Cpu::new(&topology());
    let guest = Configuration::guest(host.machine());
    guest.set_apcb(Matrix { ..topology().matrix() });
    let mut cpu = Cpu::of(guest.clone());
    aqic(&mut cpu, ENABLE | 6, NIB);

    let registered = host.machine().interruption(QUEUE).unwrap();
    assert_eq!(aqic(&mut host, 0, 0), (0, ResponseCode::NORMAL));
    cpu.nqap(QUEUE, 1, &small_request());
    assert_eq!(pending(&cpu), 0);

    let operands = Operands {
        gr0: Gr0::pqap(FunctionCode::AQIC, QUEUE).0,
        gr1: ENABLE | u64::from(registered.isc),
        gr2: registered.nib,
        ..Operands::default()
    };
    host.configuration.execute_for(&guest, Instruction::Pqap, &operands, &mut host.storage);
    assert_eq!((pending(&cpu), pending(&host)), (0x80 >> 6, 0), "what became ready meanwhile is notified now");
    assert_eq!(guest.take_notifications(), [registered]);
}

#[test]
fn a_queue_without_the_guest_notifies_whoever_armed_it() {
    let mut first = Cpu::new(&topology());
    let mut second = Cpu::on(first.machine());
    aqic(&mut first, ENABLE | 6, NIB);
    second.nqap(QUEUE, 1, &small_request());
    assert_eq!((pending(&first), pending(&second)), (0x80 >> 6, 0));
    let other = Apqn::new(5, 0x3a);
    second.nqap(other, 1, &small_request());
    assert_eq!(first.configuration.take_notifications().len(), 1);
}

#[test]
fn a_queue_that_the_interceptor_does_not_know_is_rc_01_for_aqic_alone() {
    let mut cpu = Cpu::new(&topology());
    assert!(cpu.configuration.set_aqic_lookup(Box::new(|apqn| apqn != QUEUE)));
    assert!(!cpu.configuration.set_aqic_lookup(Box::new(|_| true)));
    assert_eq!(aqic(&mut cpu, ENABLE | 6, NIB), (3, ResponseCode::Q_NOT_AVAIL));
    assert_eq!(cpu.response(QUEUE), ResponseCode::NORMAL);
    let other = Gr0::pqap(FunctionCode::AQIC, Apqn::new(5, 0x3a));
    assert_eq!(cpu.pqap(other, ENABLE | 6, NIB), Ok(0));
}

#[test]
fn two_guests_of_one_machine_have_facilities_of_their_own() {
    let cpu = Cpu::new(&topology());
    let shown = cpu.configuration.facilities();
    assert!(shown.apqi);
    for (facilities, installed) in [(shown, true), (Facilities { apqi: false, ..shown }, false)] {
        let guest = Configuration::guest_with(cpu.machine(), facilities);
        guest.set_apcb(topology().matrix());
        let gr0 = Gr0::pqap(FunctionCode::AQIC, QUEUE).0;
        let operands = Operands { gr0, gr1: ENABLE | 6, gr2: 8, ..Operands::default() };
        let outcome = guest.execute(Instruction::Pqap, &operands, &mut vec![0; 16]);
        assert_eq!(matches!(outcome, Outcome::Completed { .. }), installed, "{outcome:?}");
        assert_eq!(guest.facilities(), facilities);
    }
}
