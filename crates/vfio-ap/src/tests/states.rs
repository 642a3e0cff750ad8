// SPDX-License-Identifier: MIT OR Apache-2.0
//! States and arcs. vfio-ap migration spec 2.

use vfio_mig::{DeviceState, Errno};

use crate::tests::fixture::*;

const STOP: DeviceState = DeviceState::STOP;
const RUNNING: DeviceState = DeviceState::RUNNING;
const STOP_COPY: DeviceState = DeviceState::STOP_COPY;
const RESUMING: DeviceState = DeviceState::RESUMING;

#[test]
fn a_device_is_running_when_it_is_opened() {
    assert_eq!(host().now(), RUNNING);
}

#[test]
fn every_request_reaches_its_state_and_opens_a_stream_where_it_should() {
    for from in [STOP, RUNNING, STOP_COPY] {
        for to in [STOP, RUNNING, STOP_COPY, RESUMING] {
            let host = host();
            host.go(from).unwrap();
            let stream = host.go(to).unwrap();
            let expected = from != to && (to == STOP_COPY || to == RESUMING);
            assert_eq!((host.now(), stream.is_some()), (to, expected), "{from} -> {to}");
        }
    }
}

#[test]
fn a_complete_resume_goes_on_to_any_state() {
    let full = host().full();
    for to in [STOP, RUNNING, STOP_COPY] {
        let host = destination();
        let stream = host.open_stream(RESUMING);
        assert_eq!(host.go(RESUMING), Ok(None));
        host.w(stream, &full).unwrap();
        assert_eq!(host.go(to).unwrap().is_some(), to == STOP_COPY);
        assert_eq!(host.now(), to);
    }
}

#[test]
fn a_state_that_cannot_be_requested_changes_nothing() {
    for target in [0, 5, 6, 7, 8, u32::MAX] {
        let host = host();
        host.go(STOP).unwrap();
        assert_eq!(host.go(DeviceState(target)), Err(Errno::EINVAL));
        assert_eq!(host.now(), STOP);
    }
}

#[test]
fn an_incomplete_resume_ends_in_the_error_state_and_only_a_reset_leads_out() {
    let full = host().full();
    for cut in [0, 1, 15, 16, 47, 48, 49, full.len() / 2, full.len() - 1] {
        let host = destination();
        let stream = host.open_stream(RESUMING);
        assert_eq!(host.w(stream, &full[..cut]), Ok(cut));
        assert_eq!(host.go(STOP), Err(Errno::EINVAL), "cut at {cut}");
        assert_eq!(host.now(), DeviceState::ERROR);
        for target in [0, 1, 2, 3, 4] {
            assert_eq!(host.go(DeviceState(target)), Err(Errno::EINVAL));
        }
        assert_eq!(host.w(stream, &full[cut..]), Err(Errno::ENXIO));
        assert_eq!(host.device_reset(), Ok(()));
        assert_eq!(host.now(), RUNNING);
        assert_eq!(host.guest_of(A), matrix(&[], &[], &[]));
    }
}

#[test]
fn a_failed_snapshot_leaves_the_device_stopped_and_able_to_run() {
    use ap_arch::{Apqn, ResponseCode};
    let host = host();
    let answer = vfio_mig::QueueAnswer { response: ResponseCode(0x08), asynchronous: false, hw_info: None };
    host.context.hardware.set_answer(Apqn::new(5, 0x33), Some(answer));
    assert_eq!(host.go(STOP_COPY), Err(Errno::EIO));
    assert_eq!(host.now(), STOP);
    assert_eq!(host.errors(), ["vfio_ap_mdev a: Failed to get hwinfo for queue 05.0033: TAPQ rc=8"]);
    assert_eq!(host.go(RUNNING), Ok(None));
    assert_eq!((host.resets(4, 0x33), host.resets(5, 0x33)), (0, 0));
}

#[test]
fn before_open_only_running_can_be_requested() {
    let host = host();
    host.find(Some(A)).unwrap().close().unwrap();
    assert_eq!(host.go(RUNNING), Ok(None));
    assert_eq!(host.go(STOP), Err(Errno::ENODEV));
    assert_eq!(host.now(), RUNNING);
    assert_eq!(host.find(Some(A)).unwrap().data_size(), Ok(112));
    assert_eq!(host.device_reset(), Err(Errno::ENODEV));
}

#[test]
fn under_secure_execution_every_request_is_refused_and_logged_once() {
    for (is_host, is_guest) in [(true, false), (false, true)] {
        let mut config = config();
        (config.host_is_secure, config.guest_is_secure) = (is_host, is_guest);
        let host = crate::Host::new(config).unwrap();
        for _ in 0..10_000 {
            assert_eq!(host.go(RUNNING), Err(Errno::EPERM));
        }
        assert_eq!(host.go(STOP), Err(Errno::EPERM));
        assert_eq!((host.now(), host.find(Some(A)).unwrap().data_size()), (RUNNING, Ok(112)));
        let line = "vfio_ap_mdev a: Migration not allowed from or to a Secure Execution guest";
        assert_eq!(host.errors(), [line]);
    }
}

#[test]
fn a_reset_zeroizes_every_queue_and_ends_both_kinds_of_stream() {
    let host = host();
    let reading = host.open_stream(STOP_COPY);
    host.device_reset().unwrap();
    assert_eq!(host.now(), RUNNING);
    assert_eq!(host.r(reading, 16), Err(Errno::EINVAL));
    for (adapter, domain) in [(4, 0x33), (4, 0x3a), (5, 0x33), (5, 0x3a)] {
        assert_eq!(host.resets(adapter, domain), 1);
    }
    assert_eq!(host.resets(6, 0x33), 0);
    let full = host.full();
    let writing = host.open_stream(RESUMING);
    host.w(writing, &full[..full.len() / 2]).unwrap();
    host.device_reset().unwrap();
    assert_eq!(host.w(writing, &full[full.len() / 2..]), Err(Errno::ENXIO));
    assert_eq!(host.guest_of(A), matrix_a());
    let again = host.open_stream(RESUMING);
    host.close_stream(writing).unwrap();
    assert_eq!(host.w(again, &full), Ok(full.len()));
}

#[test]
fn a_resuming_vcpu_brings_a_stopped_device_back_to_running() {
    for from in [STOP, STOP_COPY] {
        let host = host();
        let stream = host.go(from).unwrap();
        host.vcpu_resumed();
        assert_eq!(host.now(), RUNNING);
        if let Some(stream) = stream {
            assert_eq!(host.r(stream, 16), Err(Errno::EINVAL));
        }
        assert_eq!(host.guest_of(A), matrix_a());
    }
}

#[test]
fn a_resuming_vcpu_does_not_touch_a_device_that_is_receiving() {
    let host = destination();
    let stream = host.open_stream(RESUMING);
    host.vcpu_resumed();
    assert_eq!(host.now(), RESUMING);
    assert_eq!(host.w(stream, b"vfap"), Ok(4));
}

#[test]
fn each_arc_and_each_request_leaves_a_debug_line() {
    let host = host();
    host.go(STOP_COPY).unwrap();
    let lines: Vec<String> = host.context.log.since(0, 100).lines.into_iter().map(|line| line.text).collect();
    assert_eq!(
        lines,
        ["vfio_ap_set_device_state -> 3", "vfio_ap_transition_to_state: 2 -> 1", "vfio_ap_transition_to_state: 1 -> 3",]
    );
}
