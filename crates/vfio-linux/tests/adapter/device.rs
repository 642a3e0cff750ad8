// SPDX-License-Identifier: MIT OR Apache-2.0
//! What no case asks yet: two calls at once, calls that wait for their memory, and what KVM was told.

use ap_arch::Matrix;
use vfio_ap::model::ModelFactory;
use vfio_linux::{LinuxFactory, Ownership};
use vfio_mig::conformance::{A, C, DeviceFactory, HostSetup};
use vfio_mig::{Answered, Capability, DeviceError, DeviceState, Errno, HostControl, StreamId, Verb};

use crate::fake::{FakeMachines, Flavour};

/// The model directly, and behind system calls.
fn factories() -> [Box<dyn DeviceFactory>; 2] {
    let driver = ModelFactory::corrected();
    [Box::new(driver.clone()), Box::new(LinuxFactory(FakeMachines::new(driver)))]
}

fn hosts(setup: &HostSetup) -> [Box<dyn HostControl>; 2] {
    factories().map(|factory| factory.host(setup).expect("a host"))
}

fn open_stream(host: &dyn HostControl, state: DeviceState) -> StreamId {
    host.device(A).set_state(state).expect("an answer").expect("a stream")
}

fn stream_of(host: &dyn HostControl) -> Vec<u8> {
    let stream = open_stream(host, DeviceState::STOP_COPY);
    host.device(A).read(stream, 1 << 20).expect("the stream")
}

#[test]
fn both_offer_everything_but_a_kernel_that_checks_itself() {
    for host in hosts(&HostSetup::source()) {
        let offered = host.capabilities().and(host.device(A).capabilities());
        let of_checkers = [Capability::Checkers, Capability::FailingAllocations, Capability::Allocations];
        let lacking: Vec<Capability> = Capability::ALL.into_iter().filter(|one| !offered.has(*one)).collect();
        assert_eq!(lacking, of_checkers);
    }
}

#[test]
fn two_verbs_at_once_have_an_answer_each() {
    for host in hosts(&HostSetup::source()) {
        let bytes = stream_of(&*host);
        host.device(A).set_state(DeviceState::RUNNING).expect("running");
        let stream = open_stream(&*host, DeviceState::STOP_COPY);
        let piece = Verb::Read(stream, 24);
        let answers = host.device(A).together(&[piece.clone(), piece]).expect("answers");
        let piece = |answer| match answer {
            Ok(Answered::Bytes(bytes)) => bytes,
            other => panic!("{other:?}"),
        };
        let mut pieces: Vec<Vec<u8>> = answers.into_iter().map(piece).collect();
        pieces.sort_by_key(|piece| *piece != bytes[..24]);
        assert_eq!(pieces.concat(), bytes[..48]);
        let answers = host.device(A).together(&[Verb::State, Verb::Close(stream)]).expect("answers");
        assert_eq!(answers, [Ok(Answered::State(DeviceState::STOP_COPY)), Ok(Answered::Done)]);
        let mut answers = host.device(A).together(&[Verb::Close(stream), Verb::DataSize]).expect("answers");
        assert_eq!(answers.swap_remove(0).expect_err("it is closed").errno(), Some(Errno::EBADF));
    }
}

#[test]
fn a_write_that_waits_for_its_memory_is_whole_when_it_has_it() {
    for at in [0, 16, 40] {
        for (source, destination) in hosts(&HostSetup::source()).into_iter().zip(hosts(&HostSetup::destination())) {
            let bytes = stream_of(&*source);
            let stream = open_stream(&*destination, DeviceState::RESUMING);
            let device = destination.device(A);
            let parked = device.park(&Verb::Write(stream, bytes.clone()), at).expect("parked");
            assert_eq!(device.state(), Ok(DeviceState::RESUMING));
            assert_eq!(parked.release(), Ok(Answered::Written(bytes.len())));
            device.set_state(DeviceState::RUNNING).expect("running");
            assert_ne!(destination.guest_masks(A), Ok(Matrix::EMPTY));
        }
    }
}

#[test]
fn a_read_that_waits_for_its_memory_has_the_stream_when_it_has_it() {
    for host in hosts(&HostSetup::source()) {
        let bytes = stream_of(&*host);
        host.device(A).set_state(DeviceState::RUNNING).expect("running");
        let stream = open_stream(&*host, DeviceState::STOP_COPY);
        let device = host.device(A);
        let parked = device.park(&Verb::Read(stream, bytes.len()), 8).expect("parked");
        assert_eq!(parked.release(), Ok(Answered::Bytes(bytes)));
        // One that is forgotten is released as well.
        drop(device.park(&Verb::Read(stream, 16), 0).expect("parked"));
        assert_eq!(device.read(stream, 16), Ok(Vec::new()));
    }
}

#[test]
fn a_verb_that_copies_nothing_cannot_wait() {
    for host in hosts(&HostSetup::source()) {
        let refused = host.device(A).park(&Verb::State, 0).err();
        assert!(matches!(refused, Some(DeviceError::Transport(_))), "{refused:?}");
    }
}

#[test]
fn what_the_driver_holds_while_a_write_waits_makes_the_end_of_the_session_wait() {
    let [direct, _] = hosts(&HostSetup::destination());
    let stream = open_stream(&*direct, DeviceState::RESUMING);
    let device = direct.device(A);
    let parked = device.park(&Verb::Write(stream, vec![0; 16]), 0).expect("parked");
    assert!(matches!(device.set_state(DeviceState::STOP), Err(DeviceError::Hung(_))));
    parked.release().expect_err("no stream begins like that");
}

#[test]
fn kvm_was_told_what_is_assigned_while_the_device_is_open() {
    let setup = HostSetup::source();
    for host in hosts(&setup) {
        assert_eq!(host.guest_masks(A), Ok(setup.mdevs[0].matrix));
        assert_eq!(host.guest_masks(C), Ok(Matrix::EMPTY));
        assert_eq!(host.guest_masks("nobody").expect_err("no device").errno(), Some(Errno::ENODEV));
        host.device(A).close_device().expect("closed");
        assert_eq!(host.guest_masks(A), Ok(Matrix::EMPTY));
        host.device(A).open().expect("open again");
        assert_eq!(host.guest_masks(A), Ok(setup.mdevs[0].matrix));
        assert_eq!(host.complaints(), Ok(Vec::new()));
    }
}

#[test]
fn somebody_elses_machine_is_left_as_it_was_whatever_a_case_leaves_open() {
    for flavour in [Flavour::DeviceFile, Flavour::Group] {
        let ownership = Ownership::Borrowed;
        let factory = LinuxFactory(FakeMachines { flavour, ownership, ..FakeMachines::new(ModelFactory::corrected()) });
        let host = factory.host(&HostSetup::source()).expect("a host");
        assert!(!host.capabilities().has(Capability::Expendable));
        open_stream(&*host, DeviceState::STOP_COPY);
        host.device(C).close_device().expect("closed");
        host.sysfs_write("/sys/devices/vfio_ap/matrix/c/remove", "1").expect("removed");
        drop(host);
        let kernel = factory.0.last.borrow().clone().expect("a machine");
        assert_eq!(kernel.left(), (0, 0, format!("{}\n", ap_arch::Mask256::FULL)));
    }
}
