// SPDX-License-Identifier: MIT OR Apache-2.0
//! A stopped guest's memory stays as it is. vfio-ap migration spec 2.5.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ap_arch::{Apqn, FunctionCode, Gr0, QueueStatus};
use ap_machine::{EngineTime, ManualClock, Notification};
use vfio_mig::DeviceState;

use crate::Host;
use crate::control::{GuestInstruction, GuestState, Hex64, HexBytes, MemoryImage};
use crate::defect::Defect;
use crate::tests::fixture::*;

const QUEUE: Apqn = Apqn::new(4, 0x33);
const NIB: u64 = 0x2000;

/// A host whose engines take a microsecond of a time that stands still, with interruption.
fn slow_host() -> (Arc<Host>, Arc<ManualClock>) {
    let mut config = config();
    config.topology.facilities.apqi = true;
    config.topology.timing.engine = EngineTime::Fixed(1000);
    let clock = Arc::new(ManualClock::default());
    (Host::with_clock(config, Arc::clone(&clock) as _).unwrap(), clock)
}

fn execute(host: &Arc<Host>, instruction: &GuestInstruction) -> GuestState {
    host.guest_execute(A, instruction).unwrap()
}

fn pqap(gr0: Gr0, gr1: u64, gr2: u64) -> GuestInstruction {
    let code = HexBytes(vec![0xb2, 0xaf, 0, 0]);
    GuestInstruction { code, gr0: Hex64(gr0.0), gr1: Hex64(gr1), gr2: Hex64(gr2), ..Default::default() }
}

fn status(host: &Arc<Host>) -> QueueStatus {
    let state = execute(host, &pqap(Gr0::pqap(FunctionCode::TAPQ, QUEUE), 0, 0));
    QueueStatus::from_gr1(state.registers[&1].0)
}

/// Arms the queue and sends it a request.
fn arm_and_send(host: &Arc<Host>) {
    let armed = execute(host, &pqap(Gr0::pqap(FunctionCode::AQIC, QUEUE), 1 << 47 | 6, NIB));
    assert_eq!(armed.cc, Some(0));
    let request = GuestInstruction {
        code: HexBytes(vec![0xb2, 0xad, 0, 0x46]),
        gr0: Hex64(Gr0::nqap(QUEUE).0),
        r1: [Hex64(0), Hex64(7)],
        r2: [Hex64(0x3000), Hex64(64)],
        store: vec![MemoryImage { address: Hex64(0x3000), data: HexBytes(vec![0; 64]) }],
        ..Default::default()
    };
    assert_eq!(execute(host, &request).cc, Some(0));
}

fn nib(host: &Arc<Host>) -> u8 {
    host.guest_memory(A, NIB, 1).unwrap()[0]
}

fn let_it_finish(host: &Arc<Host>, clock: &Arc<ManualClock>) {
    clock.advance(1_000_000);
    host.machine().run_due();
}

#[test]
fn a_reply_that_comes_while_stopped_notifies_when_the_guest_runs_again() {
    let (host, clock) = slow_host();
    arm_and_send(&host);
    host.go(DeviceState::STOP).unwrap();
    assert!(!status(&host).has(QueueStatus::INTERRUPT_ENABLED));
    let_it_finish(&host, &clock);
    host.go(DeviceState::STOP_COPY).unwrap();
    let_it_finish(&host, &clock);
    assert_eq!(nib(&host), 0);
    host.go(DeviceState::RUNNING).unwrap();
    let seen = status(&host);
    assert!(seen.has(QueueStatus::INTERRUPT_ENABLED) && seen.has(QueueStatus::REPLIES_WAITING));
    assert_eq!(nib(&host), Notification::INDICATOR);
    assert_eq!(host.resets(4, 0x33), 0);
}

#[test]
fn a_resuming_vcpu_finds_its_interruption_on() {
    let (host, clock) = slow_host();
    arm_and_send(&host);
    host.go(DeviceState::STOP_COPY).unwrap();
    host.vcpu_resumed();
    assert!(status(&host).has(QueueStatus::INTERRUPT_ENABLED));
    let_it_finish(&host, &clock);
    assert_eq!(nib(&host), Notification::INDICATOR);
}

#[test]
fn with_the_defect_memory_changes_while_stopped() {
    let (host, clock) = slow_host();
    host.context.defects.set(Defect::StopDoesNotQuiesceQueues, true);
    arm_and_send(&host);
    host.go(DeviceState::STOP).unwrap();
    let_it_finish(&host, &clock);
    assert_eq!(nib(&host), Notification::INDICATOR);
}

#[test]
fn a_queue_lost_while_stopped_is_not_armed_again() {
    let (host, _clock) = slow_host();
    arm_and_send(&host);
    host.go(DeviceState::STOP).unwrap();
    host.sysfs_write("/sys/devices/vfio_ap/matrix/a/unassign_adapter", "4").unwrap();
    host.go(DeviceState::RUNNING).unwrap();
    assert_eq!(host.machine().interruption(QUEUE), None);
    assert_eq!(host.resets(4, 0x33), 1);
}

#[test]
fn after_a_device_reset_no_interruption_is_left() {
    let (host, _clock) = slow_host();
    arm_and_send(&host);
    host.go(DeviceState::STOP).unwrap();
    host.device_reset().unwrap();
    let seen = status(&host);
    assert!(seen.has(QueueStatus::EMPTY) && !seen.has(QueueStatus::INTERRUPT_ENABLED));
}

#[test]
fn a_reply_of_before_a_reset_of_the_guest_stores_nothing_afterwards() {
    let (host, clock) = slow_host();
    arm_and_send(&host);
    let_it_finish(&host, &clock);
    assert_ne!(host.guest().pending().load(Ordering::SeqCst), 0, "the byte is still to be stored");
    host.guest_reset().unwrap();
    assert_eq!(host.guest().pending().load(Ordering::SeqCst), 0);
    assert!(!status(&host).has(QueueStatus::INTERRUPT_ENABLED));
    assert_eq!(nib(&host), 0);
}

#[test]
fn a_destination_that_was_armed_before_it_received_is_not_armed_afterwards() {
    let (host, _clock) = slow_host();
    let configuration = host.full();
    arm_and_send(&host);
    let stream = host.open_stream(DeviceState::RESUMING);
    assert_eq!(host.w(stream, &configuration), Ok(configuration.len()));
    host.go(DeviceState::STOP).unwrap();
    host.go(DeviceState::RUNNING).unwrap();
    assert_eq!(host.guest_of(A), matrix_a());
    assert_eq!(host.machine().interruption(QUEUE), None, "the guest that came has not enabled it");
}
