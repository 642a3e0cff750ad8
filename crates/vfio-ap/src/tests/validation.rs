// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the destination accepts and refuses, and what it says. vfio-ap migration spec 5.

use ap_arch::stream::{QueueEntry, StreamFormat, StreamHeader};
use ap_arch::{Apqn, HwInfo, Mask256, ResponseCode};
use vfio_mig::{DeviceState, Errno, QueueAnswer};

use crate::tests::fixture::*;

const CCA8: HwInfo = HwInfo(0xf380_0000_0e00_0000);

fn stream_of(queues: &[(u8, u8)], info: HwInfo, control_domains: Mask256) -> Vec<u8> {
    let header = StreamHeader::new(StreamFormat::Vfap, queues.len() as u32, control_domains);
    let mut bytes = header.to_bytes().to_vec();
    for (adapter, domain) in queues {
        bytes.extend(QueueEntry { info, apqn: Apqn::new(*adapter, *domain) }.to_bytes());
    }
    bytes
}

/// Writes a stream to a fresh destination; what came of it, and the errors logged.
fn offer(host: &std::sync::Arc<crate::Host>, bytes: &[u8]) -> (Result<usize, Errno>, Vec<String>) {
    let before = host.guest_of(A);
    let stream = host.open_stream(DeviceState::RESUMING);
    let outcome = host.w(stream, bytes);
    if outcome.is_err() {
        assert_eq!(host.guest_of(A), before, "a refused stream changed the guest");
        assert_eq!(host.go(DeviceState::STOP), outcome.map(|_| None));
    }
    (outcome, host.errors())
}

fn answer(response: u8, asynchronous: bool, hw_info: Option<HwInfo>) -> Option<QueueAnswer> {
    Some(QueueAnswer { response: ResponseCode(response), asynchronous, hw_info })
}

#[test]
fn a_list_that_is_no_product_is_refused() {
    for queues in [&[(4, 0x33), (5, 0x3a)][..], &[(4, 0x33), (4, 0x33)], &[(5, 0x33), (4, 0x33)]] {
        let (outcome, errors) = offer(&destination(), &stream_of(queues, CCA8, Mask256::EMPTY));
        assert_eq!((outcome, errors), (Err(Errno::EINVAL), vec![]));
    }
}

#[test]
fn a_reserved_byte_of_an_entry_is_refused() {
    let mut bytes = stream_of(&[(4, 0x33)], CCA8, Mask256::EMPTY);
    bytes[63] = 1;
    assert_eq!(offer(&destination(), &bytes).0, Err(Errno::EINVAL));
}

#[test]
fn every_queue_that_is_not_available_is_named() {
    let mut config = destination_config();
    config.unbound = vec![crate::control::QueueName(Apqn::new(4, 0x33))];
    let host = crate::Host::new(config).unwrap();
    let full = stream_of(&[(4, 0x33), (4, 0x3a), (8, 0x33), (8, 0x3a)], CCA8, Mask256::EMPTY);
    let line = |queue| format!("vfio_ap_mdev a: Queue {queue} not available to vfio_ap driver on target host");
    let expected = ["04.0033", "08.0033", "08.003a"].map(line);
    assert_eq!(offer(&host, &full), (Err(Errno::ENODEV), expected.to_vec()));
}

#[test]
fn every_incompatible_queue_is_explained() {
    let accelerator = HwInfo(0xeb80_0000_0e00_0000);
    let (outcome, errors) = offer(&destination(), &stream_of(&[(4, 0x33), (4, 0x3a)], accelerator, Mask256::EMPTY));
    assert_eq!(outcome, Err(Errno::EFAULT));
    assert_eq!(errors.len(), 10);
    assert_eq!(errors[0], "vfio_ap_mdev a: Migration failed: Source and target queue (04.0033) not compatible");
    assert_eq!(errors[5], "vfio_ap_mdev a: Migration failed: Source and target queue (04.003a) not compatible");
}

#[test]
fn an_older_card_is_refused_and_a_newer_one_accepted() {
    let older = HwInfo(0xf380_0000_0d00_0000);
    let newer = HwInfo(0xf380_0000_0f00_0000);
    assert_eq!(offer(&destination(), &stream_of(&[(4, 0x33)], older, Mask256::EMPTY)).0, Ok(64));
    let (outcome, errors) = offer(&destination(), &stream_of(&[(4, 0x33)], newer, Mask256::EMPTY));
    assert_eq!(outcome, Err(Errno::EFAULT));
    assert_eq!(errors[1], "vfio_ap_mdev a: AP type of source (0f) not compatible with target (0e)");
}

#[test]
fn the_answer_of_tapq_decides_whether_information_is_valid() {
    let full = stream_of(&[(4, 0x33)], CCA8, Mask256::EMPTY);
    let m2 = "vfio_ap_mdev a: migration failed: Failed to get hwinfo for queue 04.0033 on target host: TAPQ rc=1";
    let m3 = |rc| format!("vfio_ap_mdev a: Failed to get hwinfo for queue 04.0033: TAPQ rc={rc}");
    for (response, asynchronous, outcome, errors) in [
        (0, false, Ok(64), vec![]),
        (2, false, Ok(64), vec![]),
        (3, false, Ok(64), vec![]),
        (4, false, Ok(64), vec![]),
        (5, false, Ok(64), vec![]),
        (8, true, Ok(64), vec![]),
        (8, false, Err(Errno::EIO), vec![m3(8)]),
        (1, false, Err(Errno::ENODEV), vec![m2.to_owned()]),
        (1, true, Err(Errno::ENODEV), vec![m2.to_owned()]),
    ] {
        let host = destination();
        host.context.hardware.set_answer(Apqn::new(4, 0x33), answer(response, asynchronous, None));
        assert_eq!(offer(&host, &full), (outcome, errors), "response code {response:02x}");
    }
}

#[test]
fn information_of_all_zeros_is_none() {
    let host = destination();
    host.context.hardware.set_answer(Apqn::new(4, 0x33), answer(0, false, Some(HwInfo(0))));
    assert_eq!(offer(&host, &stream_of(&[(4, 0x33)], CCA8, Mask256::EMPTY)).0, Err(Errno::EIO));
}

#[test]
fn every_control_domain_that_is_missing_is_named() {
    let full = stream_of(&[(4, 0x33)], CCA8, mask(&[0x33, 0x45, 0x46]));
    let line = |domain| format!("vfio_ap_mdev a: Control domain {domain} not available on target host");
    let expected = vec![line("0045"), line("0046")];
    assert_eq!(offer(&destination(), &full), (Err(Errno::ENODEV), expected));
}

#[test]
fn a_queue_of_another_device_is_refused_and_stays_there() {
    let host = destination();
    let (outcome, errors) = offer(&host, &stream_of(&[(6, 0x33)], CCA8, Mask256::EMPTY));
    assert_eq!((outcome, errors), (Err(Errno::EADDRINUSE), Vec::new()));
    let warnings = host.context.log.since(0, usize::MAX).lines.into_iter();
    let warnings: Vec<String> = warnings.filter(|l| l.level == vfio_mig::LogLevel::Warning).map(|l| l.text).collect();
    assert_eq!(warnings, ["vfio_ap_mdev a: Userspace may not assign queue 06.0033 to mdev: already assigned to b"]);
    assert_eq!(host.guest_of(B), matrix(&[6], &[0x33, 0x3a], &[]));
    assert_eq!(host.resets(6, 0x33), 0);
}

#[test]
fn a_queue_reserved_since_validation_began_is_refused() {
    let host = destination();
    let mut tables = host.context.tables.lock();
    tables.bus.set_masks(mask(&[4]), mask(&[0x33]));
    let candidate = matrix(&[4], &[0x33], &[]);
    let refused = host.context.set_new_guest_config(&mut tables, A, candidate, crate::config::Filtering::Forbidden);
    assert_eq!(refused.map_err(errno), Err(Errno::EADDRNOTAVAIL));
}

#[test]
fn a_configuration_that_would_be_filtered_is_refused_and_explained() {
    let host = destination();
    host.context.tables.lock().bus.reset_failed.insert(Apqn::new(4, 0x33));
    let (outcome, errors) = offer(&host, &stream_of(&[(4, 0x33), (4, 0x3a)], CCA8, Mask256::EMPTY));
    assert_eq!(outcome, Err(Errno::ECANCELED));
    assert_eq!(errors, ["vfio_ap_mdev a: Queue 04.0033 would have to be filtered on target host"]);
}

#[test]
fn the_posted_driver_takes_control_domains_away_that_the_destination_has_of_its_own() {
    let v3 = |mut config: crate::HostConfig| {
        config.profile = Some("v3".to_owned());
        crate::Host::new(config).unwrap()
    };
    let (source, same) = (v3(config()), v3(config()));
    assert_eq!(same.guest_of(A).control_domains, mask(&[0x33, 0x3a, 0x44]));
    assert!(offer(&same, &source.full()).0.is_ok());
    assert_eq!(same.guest_of(A), matrix(&[4, 5], &[0x33, 0x3a], &[]));
}

#[test]
fn with_the_defect_control_domains_are_dropped_on_either_side() {
    use crate::defect::Defect;
    let source = host();
    source.context.defects.set(Defect::ControlDomainsDropped, true);
    let dropped = destination();
    assert!(offer(&dropped, &source.full()).0.is_ok());
    assert_eq!(dropped.guest_of(A).control_domains, Mask256::EMPTY);
    let careless = destination();
    careless.context.defects.set(Defect::ControlDomainsDropped, true);
    assert!(offer(&careless, &host().full()).0.is_ok());
    assert_eq!(careless.guest_of(A), matrix(&[4, 5], &[0x33, 0x3a], &[]));
}
