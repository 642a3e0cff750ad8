// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules that nobody in the review named, but the specification has. vfio-ap migration spec 12.

use ap_arch::stream::StreamFormat;
use ap_arch::{Apqn, Gr0, HwInfo, Mask256, Matrix, ResponseCode};

use super::super::fixture::{A, HostSetup, mask, matrix, matrix_a, stream};
use super::super::side::entries_of;
use super::{
    Answer, Case, DeviceState, RESUMING, RUNNING, STOP, STOP_COPY, Script, Stop, full, handmade, offer, stream_like,
    write_pieces,
};
use crate::{Capability, GuestCall, QueueAnswer};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("beyond/nonrectangular-list", "vfio-ap migration spec 5.1", nonrectangular)
            .covers(&["x-nonrectangular-queue-list"]),
        Case::new("beyond/unavailable-control-domain", "vfio-ap migration spec 3.3", unavailable_control_domain)
            .covers(&["x-control-domain-availability-unchecked"]),
        Case::new("beyond/secure-guest", "vfio-ap migration spec 2.7", secure_guest)
            .covers(&["x-se-predicate-tests-host"])
            .needs(&[Capability::SecureExecution]),
        Case::new("beyond/facility-bits-are-read", "vfio-ap migration spec 5.3", facility_bits)
            .covers(&["x-tapq-without-t-bit"])
            .needs(&[Capability::Guests]),
        Case::new("beyond/zero-information", "vfio-ap migration spec 5.3", zero_information)
            .covers(&["x-zero-hwinfo-accepted"])
            .needs(&[Capability::Hardware]),
        Case::new("beyond/write-of-no-bytes", "vfio-ap migration spec 4.3", no_bytes)
            .covers(&["x-zero-length-first-write-validates"]),
        Case::new("beyond/magic-in-one-write", "vfio-ap migration spec 3.3", |s| magic(s, &[]))
            .covers(&["x-magic-unchecked-in-single-write"]),
        Case::new("beyond/magic-after-11-bytes", "vfio-ap migration spec 3.3", |s| magic(s, &[11]))
            .covers(&["x-magic-unchecked-in-single-write"]),
        Case::new("beyond/magic-after-12-bytes", "vfio-ap migration spec 3.3", |s| magic(s, &[12])),
        Case::new("beyond/magic-after-48-bytes", "vfio-ap migration spec 3.3", |s| magic(s, &[48])),
        Case::new("beyond/features", "vfio-ap migration spec 7", features).needs(&[Capability::Sysfs]),
        Case::new("beyond/sysfs-formats", "vfio-ap migration spec 7", sysfs)
            .without_migration()
            .needs(&[Capability::Sysfs]),
        Case::new("beyond/secure-host", "vfio-ap migration spec 2.7", secure_host)
            .needs(&[Capability::SecureExecution]),
    ]
}

/// The guest is given the product: a queue that is not listed would be one that nobody compared.
fn nonrectangular(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.destination()?;
    let bytes = handmade(script, &[Apqn::new(4, 0x33), Apqn::new(5, 0x3a)], Mask256::EMPTY)?;
    let (_, answer) = offer(&side, &bytes)?;
    script.expect("04.0033 and 05.003a without the other two", answer, "EINVAL", &[])?;
    side.expect_guest("guest afterwards", &Matrix::EMPTY)
}

fn unavailable_control_domain(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    let mut setup = HostSetup::destination();
    setup.host.control_domains.remove(0x44);
    let side = script.host("destination", &setup)?;
    let (_, answer) = offer(&side, &bytes)?;
    script.expect("a host without control domain 0044", answer, "ENODEV", &["EINVAL"])?;
    side.expect_guest("guest afterwards", &Matrix::EMPTY)
}

fn secure_guest(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    side.host_call("the guest is under Secure Execution", side.host.set_secure_execution(false, true))?;
    for target in [RUNNING, STOP, STOP_COPY, RESUMING] {
        script.expect(&format!("request of {target}"), side.set(target)?, "EPERM", &["ENOTTY"])?;
    }
    Ok(())
}

fn secure_host(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    side.host_call("the host is under Secure Execution", side.host.set_secure_execution(true, false))?;
    for target in [RUNNING, STOP, DeviceState(99)] {
        script.expect(&format!("request of {target}"), side.set(target)?, "EPERM", &["ENOTTY"])?;
    }
    script.expect("state", side.state()?, "running", &["ENOTTY"])?;
    let size = side.size()?;
    script.require("data size", size.is_done() || size == Answer::Refused(crate::Errno::ENOTTY), "a size", size)
}

fn facility_bits(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    let bytes = side.full()?;
    for (apqn, info) in entries_of(&bytes) {
        let gr0 = Gr0::pqap(ap_arch::FunctionCode::TAPQ, apqn).with(Gr0::T).0;
        let seen = side.guest(A, &GuestCall::Pqap { gr0, gr1: 0, gr2: 0 })?;
        let facilities = HwInfo(seen.gr2).facilities();
        script.expect(
            &format!("facility word of {apqn}"),
            format!("{:08x}", info.facilities()),
            &format!("{facilities:08x}"),
            &[],
        )?;
    }
    Ok(())
}

fn zero_information(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.destination()?;
    let format = side.format()?;
    let apqn = Apqn::new(4, 0x33);
    let zero = QueueAnswer { response: ResponseCode::NORMAL, asynchronous: false, hw_info: Some(HwInfo(0)) };
    side.host_call("TAPQ of 04.0033 := GR2 0", side.host.set_queue_answer(apqn, Some(zero)))?;
    let (_, answer) = offer(&side, &stream(format, &[(apqn, HwInfo(0))], Mask256::EMPTY))?;
    script.expect("information of all zeros on both sides", answer, "EIO", &["EFAULT", "EINVAL", "ENODEV"])
}

fn no_bytes(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    let side = script.destination()?;
    let stream = side.open_stream(RESUMING)?;
    script.expect("first write, of no bytes", side.write(stream, &[])?, "0", &["EINVAL"])?;
    side.expect_guest("guest afterwards", &Matrix::EMPTY)?;
    script.expect("write of the whole stream", side.write(stream, &bytes)?, &bytes.len().to_string(), &[])
}

/// Wrong magic, then wrong version, in this many writes.
fn magic(script: &Script<'_>, splits: &[usize]) -> Result<(), Stop> {
    for at in [0, 7] {
        let side = script.destination()?;
        let mut bytes = stream_like(script)?;
        if super::super::side::format_of(&bytes)? == StreamFormat::Posted {
            return Err(Stop::Skip("the device's stream has no magic".to_owned()));
        }
        bytes[at] ^= 0x20;
        let stream = side.open_stream(RESUMING)?;
        let (head, rest) = bytes.split_at(splits.first().copied().unwrap_or(0));
        let pieces = [head, rest];
        let answer = write_pieces(&side, stream, if head.is_empty() { &pieces[1..] } else { &pieces })?;
        script.expect(&format!("byte {at} wrong, {} writes", splits.len() + 1), answer, "EINVAL", &[])?;
        side.expect_guest("guest afterwards", &Matrix::EMPTY)?;
    }
    Ok(())
}

fn features(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    let seen = side.read_sysfs("/sys/devices/vfio_ap/matrix/features")?;
    script.expect("features", seen, "guest_matrix hotplug ap_config migratable", &[])
}

fn sysfs(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    let read = |attribute: &str| side.read_sysfs(&format!("/sys/devices/vfio_ap/matrix/{A}/{attribute}"));
    script.expect("matrix", read("matrix")?, "04.0033 04.003a 05.0033 05.003a", &[])?;
    script.expect("guest_matrix", read("guest_matrix")?, "04.0033 04.003a 05.0033 05.003a", &[])?;
    script.expect("control_domains", read("control_domains")?, "0033 003a 0044", &[])?;
    let host = mask(&[0x33, 0x3a, 0x44, 0x55]).to_string();
    script.expect("control domains of the host", side.read_sysfs("/sys/bus/ap/ap_control_domain_mask")?, &host, &[])?;
    script.expect("type of a card", side.read_sysfs("/sys/bus/ap/devices/card04/hwtype")?, "14", &[])?;
    side.ap_config(&matrix(&[4], &[], &[]))?;
    script.expect("only adapters", read("matrix")?, "04.", &[])?;
    side.ap_config(&matrix(&[], &[0x33], &[]))?;
    script.expect("only domains", read("matrix")?, ".0033", &[])?;
    script.expect("back to all", side.ap_config(&matrix_a())?, "ok", &[])
}
