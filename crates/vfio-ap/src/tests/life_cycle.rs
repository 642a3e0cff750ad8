// SPDX-License-Identifier: MIT OR Apache-2.0
//! Open, close, remove, with streams still open. vfio-ap migration spec 2.8.

use vfio_mig::{DeviceState, Errno};

use crate::tests::fixture::*;

#[test]
fn a_stream_outlives_its_device_and_says_so() {
    for (state, write) in [(DeviceState::STOP_COPY, false), (DeviceState::RESUMING, true)] {
        let host = host();
        let stream = host.open_stream(state);
        host.find(Some(A)).unwrap().close().unwrap();
        host.remove(A).unwrap();
        let outcome = if write { host.w(stream, b"vfap").map(|_| ()) } else { host.r(stream, 16).map(|_| ()) };
        assert_eq!(outcome, Err(Errno::ENODEV));
        assert_eq!(host.close_stream(stream), Ok(()));
        assert_eq!(host.open_streams(), 0);
    }
}

#[test]
fn a_closed_device_takes_the_queues_from_its_guest_and_resets_them() {
    let host = host();
    host.find(Some(A)).unwrap().close().unwrap();
    assert_eq!(host.guest_of(A), matrix(&[], &[], &[]));
    assert_eq!((host.resets(4, 0x33), host.resets(5, 0x3a), host.resets(6, 0x33)), (1, 1, 0));
    host.find(Some(A)).unwrap().open(None).unwrap();
    assert_eq!(host.guest_of(A), matrix_a());
    assert_eq!(host.now(), DeviceState::RUNNING);
}

#[test]
fn a_second_open_is_refused_as_busy_and_changes_nothing() {
    let host = host();
    host.go(DeviceState::STOP).unwrap();
    for guest in [None, Some(A), Some(B)] {
        assert_eq!(host.find(Some(A)).unwrap().open(guest).map_err(errno), Err(Errno::EBUSY));
    }
    assert_eq!((host.now(), host.guest_of(A)), (DeviceState::STOP, matrix_a()));
}

#[test]
fn a_reopened_device_does_not_know_the_streams_of_before() {
    let host = host();
    let old = host.open_stream(DeviceState::RESUMING);
    let device = host.find(Some(A)).unwrap();
    device.close().unwrap();
    device.open(None).unwrap();
    let full = host.full();
    let new = host.open_stream(DeviceState::RESUMING);
    assert_eq!(host.w(old, &full), Err(Errno::ENODEV));
    assert_eq!(host.w(new, &full), Ok(full.len()));
}

#[test]
fn an_open_device_cannot_be_removed_and_a_removed_one_owns_nothing() {
    let host = host();
    assert_eq!(host.remove(A).map_err(errno), Err(Errno::EBUSY));
    host.find(Some(A)).unwrap().close().unwrap();
    host.remove(A).unwrap();
    assert_eq!(host.find(Some(A)).err().map(errno), Some(Errno::ENODEV));
    host.sysfs_write("/sys/devices/vfio_ap/matrix/c/assign_domain", "0x3a").unwrap();
    host.sysfs_write("/sys/devices/vfio_ap/matrix/c/assign_adapter", "4").unwrap();
    assert_eq!(host.guest_of(C), matrix(&[4], &[0x3a], &[]));
}

#[test]
fn closing_device_and_stream_at_once_is_safe() {
    for _ in 0..200 {
        let host = host();
        let full = host.full();
        let stream = host.open_stream(DeviceState::RESUMING);
        std::thread::scope(|scope| {
            scope.spawn(|| host.find(Some(A)).unwrap().close().unwrap());
            scope.spawn(|| {
                let _either = host.w(stream, &full);
                host.close_stream(stream).unwrap();
            });
        });
        assert_eq!((host.open_streams(), host.guest_of(A)), (0, matrix(&[], &[], &[])));
    }
}

#[test]
fn a_write_under_way_never_applies_after_its_session() {
    for _ in 0..200 {
        let full = host().full();
        let host = destination();
        let stream = host.open_stream(DeviceState::RESUMING);
        host.w(stream, &full[..100]).unwrap();
        let (written, stopped) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| host.w(stream, &full[100..]));
            let stopper = scope.spawn(|| host.go(DeviceState::STOP));
            (writer.join().unwrap(), stopper.join().unwrap())
        });
        assert_eq!(written.is_ok(), stopped.is_ok(), "write {written:?}, stop {stopped:?}");
        assert_eq!(host.guest_of(A) == matrix_a(), written.is_ok());
    }
}

#[test]
fn one_guests_owner_does_not_wait_for_another() {
    let host = host();
    let busy = host.find(Some(A)).unwrap();
    let _parked = busy.hold_state_lock();
    assert_eq!(host.find(Some(B)).unwrap().state(), DeviceState::RUNNING);
    assert!(host.set_state(Some(B), DeviceState::STOP).is_ok());
    assert_eq!(host.now(), DeviceState::RUNNING);
}

#[test]
fn a_guest_is_served_by_one_device_and_a_second_one_changes_nothing_for_it() {
    let host = host();
    let device = |name| host.find(Some(name)).unwrap();
    device(C).close().unwrap();
    let before = host.guest_of(B);
    assert_eq!(device(C).open(Some(B)).map_err(errno), Err(Errno::EPERM));
    assert!(!device(C).is_open());
    assert_eq!(host.guest_of(B), before);
    // The guest's interruptions go through its own device still.
    let aqic = ap_arch::Gr0::pqap(ap_arch::FunctionCode::AQIC, ap_arch::Apqn::new(6, 0x33)).0;
    let call = vfio_mig::GuestCall::Pqap { gr0: aqic, gr1: 0, gr2: 0x2000 };
    let answer = host.guest_execute(B, &crate::control::GuestInstruction::of(&call)).unwrap().reply_to(&call);
    let response = ap_arch::QueueStatus::from_gr1(answer.gr1).response();
    assert_ne!(response, ap_arch::ResponseCode::Q_NOT_AVAIL);
    device(B).close().unwrap();
    device(C).open(Some(B)).unwrap();
    assert_eq!(device(B).open(None).map_err(errno), Err(Errno::EPERM));
}
