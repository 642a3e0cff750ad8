// SPDX-License-Identifier: MIT OR Apache-2.0
//! One case for each row of the table of error codes that can be reached by system calls. vfio-ap migration spec 4.4.
//!
//! Overflow of the position and lack of memory cannot; the model has unit tests for them.

use ap_arch::stream::{QueueEntry, StreamFormat};
use ap_arch::{Apqn, HwInfo, Mask256, ResponseCode};

use super::super::fixture::{A, C, HostSetup, mask, matrix, matrix_a, stream};
use super::{
    Case, DeviceState, RESUMING, STOP_COPY, Script, Stop, expect_stale, full, handmade, offer, stream_like,
    write_pieces,
};
use crate::{Capability, QueueAnswer};

const SOURCE: &str = "vfio-ap migration spec 4.4";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("code/read-write-espipe", SOURCE, espipe).needs(&[Capability::PositionedIo]),
        Case::new("code/wrong-direction-ebadf", "vfio-ap migration spec 4.1", ebadf),
        Case::new("code/read-enodev-closed", SOURCE, |s| closed(s, STOP_COPY)).needs(&[Capability::LifeCycle]),
        Case::new("code/write-enodev-closed", SOURCE, |s| closed(s, RESUMING)).needs(&[Capability::LifeCycle]),
        Case::new("code/removed-device-enodev", "vfio-ap migration spec 2.8", removed)
            .needs(&[Capability::LifeCycle, Capability::Sysfs]),
        Case::new("code/read-efault", "vfio-ap migration spec 4.2", read_efault).needs(&[Capability::UserFaults]),
        Case::new("code/write-eio-fault", SOURCE, write_fault).needs(&[Capability::UserFaults]),
        Case::new("code/write-eio-too-long", SOURCE, too_long).covers(&["partial-write-not-persisted"]),
        Case::new("code/write-after-complete", "vfio-ap migration spec 4.3", after_complete),
        Case::new("code/write-einval-count", "vfio-ap migration spec 3.4", count_above_limit)
            .covers(&["x-size-limit-error-becomes-size", "short-header-write-starts-validation"]),
        Case::new("code/write-einval-header-padding", "vfio-ap migration spec 3.2", |s| padding(s, false))
            .covers(&["l-padding-ignored"]),
        Case::new("code/write-einval-entry-padding", "vfio-ap migration spec 3.2", |s| padding(s, true))
            .covers(&["l-padding-ignored"]),
        Case::new("code/write-einval-order", "vfio-ap migration spec 5.1", |s| shape(s, &[(5, 0x33), (4, 0x33)]))
            .covers(&["x-nonrectangular-queue-list"]),
        Case::new("code/write-einval-duplicate", "vfio-ap migration spec 5.1", |s| shape(s, &[(4, 0x33), (4, 0x33)]))
            .covers(&["x-nonrectangular-queue-list"]),
        Case::new("code/write-enodev-not-bound", "vfio-ap migration spec 5.2", not_bound),
        Case::new("code/write-enodev-no-such-queue", "vfio-ap migration spec 5.2", no_such_queue),
        Case::new("code/write-enodev-tapq-01", "vfio-ap migration spec 5.3", |s| {
            tapq(s, ResponseCode::Q_NOT_AVAIL, "ENODEV", &[])
        })
        .needs(&[Capability::Hardware]),
        Case::new("code/write-eio-tapq", "vfio-ap migration spec 5.3", |s| tapq(s, ResponseCode(8), "EIO", &[]))
            .covers(&["async-error-check-inverted"])
            .needs(&[Capability::Hardware]),
        Case::new("code/write-enodev-control-domain", "vfio-ap migration spec 3.3", control_domain),
        Case::new("code/write-efault-incompatible", "vfio-ap migration spec 5.4", incompatible),
        Case::new("code/eaddrnotavail", "vfio-ap migration spec 6", reserved)
            .without_migration()
            .needs(&[Capability::Sysfs]),
        Case::new("code/eaddrinuse", "vfio-ap migration spec 6", in_use),
        Case::new("code/enodev-above-maximum", "vfio-ap migration spec 6", above_maximum)
            .without_migration()
            .needs(&[Capability::Sysfs]),
        Case::new("code/ecanceled", "vfio-ap migration spec 6.4", filtered)
            .needs(&[Capability::Hardware, Capability::Sysfs])
            .covers(&["x-filter-report-ignores-new-adapters", "l-silent-filtering"]),
        Case::new("code/refusal-latches", "vfio-ap migration spec 4.3", latch)
            .covers(&["short-header-write-starts-validation"]),
    ]
}

fn espipe(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    let bytes = side.full()?;
    let reading = side.open_stream(STOP_COPY)?;
    script.expect("pread", side.read_at(reading, 16)?, "ESPIPE", &[])?;
    let all = side.read_all(reading, 1 << 20)?;
    script.require("stream after a pread", all == bytes, "the whole stream", format!("{} bytes", all.len()))?;
    let side = script.destination()?;
    let writing = side.open_stream(RESUMING)?;
    script.expect("pwrite", side.write_at(writing, &bytes)?, "ESPIPE", &[])?;
    script.expect("plain write after it", side.write(writing, &bytes)?, &bytes.len().to_string(), &[])
}

fn ebadf(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    let reading = side.open_stream(STOP_COPY)?;
    script.expect("write to the stream of stop-copy", side.write(reading, b"x")?, "EBADF", &[])?;
    let side = script.destination()?;
    let writing = side.open_stream(RESUMING)?;
    script.expect("read from the stream of resuming", side.read(writing, 16)?, "EBADF", &[])
}

fn closed(script: &Script<'_>, state: DeviceState) -> Result<(), Stop> {
    let side = script.source()?;
    let bytes = side.full()?;
    let stream = side.open_stream(state)?;
    script.expect("close of the device", side.close_device()?, "ok", &[])?;
    if state == RESUMING {
        expect_stale(script, "write", side.write(stream, &bytes)?, "ENODEV")?;
    } else {
        expect_stale(script, "read", side.read(stream, 16)?, "ENODEV")?;
    }
    script.expect("close of the stream", side.close(stream)?, "ok", &[])
}

fn removed(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    let stream = side.open_stream(STOP_COPY)?;
    script.expect("close of the device", side.close_device()?, "ok", &[])?;
    // A driver may let the removal wait for the stream: then it is refused here and done below.
    script.expect("removal with a stream open", side.mdev(A, "remove", "1")?, "ok", &["EBUSY"])?;
    expect_stale(script, "read", side.read(stream, 16)?, "ENODEV")?;
    script.expect("close of the stream", side.close(stream)?, "ok", &[])?;
    side.mdev(A, "remove", "1")?;
    script.expect("the device is gone", side.read_sysfs("/sys/devices/vfio_ap/matrix/a/matrix")?, "ENOENT", &[])?;
    let assigned = side.mdev(C, "assign_adapter", "4")?;
    side.must(assigned, "assigning adapter 04 to another device")?;
    let assigned = side.mdev(C, "assign_domain", "0x3a")?;
    script.expect("assigning a queue of the removed device", assigned, "ok", &[])
}

fn read_efault(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    let bytes = side.full()?;
    let stream = side.open_stream(STOP_COPY)?;
    script.expect("read into an unmapped page", side.read_faulting(stream, 32, 16)?, "EFAULT", &[])?;
    script.expect("read of no bytes", side.read(stream, 0)?, "end", &[])?;
    let seen = side.read_all(stream, 1 << 20)?;
    script.require("the stream afterwards", seen == bytes, "all of it", format!("{} bytes", seen.len()))
}

fn write_fault(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    let side = script.destination()?;
    let stream = side.open_stream(RESUMING)?;
    side.write(stream, &bytes[..8])?;
    script.expect("write from an unmapped page", side.write_faulting(stream, &bytes[8..], 4)?, "EIO", &["EFAULT"])?;
    side.expect_guest("guest after the fault", &matrix(&[], &[], &[]))
}

fn too_long(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    let side = script.destination()?;
    let stream = side.open_stream(RESUMING)?;
    let first = side.write(stream, &bytes[..bytes.len() - 16])?;
    side.must(first, "write of all but the last queue")?;
    let last = [&bytes[bytes.len() - 16..], &[0]].concat();
    script.expect("write of one byte too many", side.write(stream, &last)?, "EIO", &["EINVAL"])?;
    side.expect_guest("guest afterwards", &matrix(&[], &[], &[]))
}

fn after_complete(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    let side = script.destination()?;
    let (stream, answer) = offer(&side, &bytes)?;
    script.expect("write of the whole stream", answer, &bytes.len().to_string(), &[])?;
    for _ in 0..2 {
        script.expect("one more byte", side.write(stream, &[0])?, "EIO", &["EFAULT", "EINVAL", "ENXIO"])?;
    }
    side.expect_guest("guest afterwards", &matrix_a())
}

fn count_above_limit(script: &Script<'_>) -> Result<(), Stop> {
    for split in [0, 1, 8] {
        let side = script.destination()?;
        let format = side.format()?;
        let mut bytes = stream(format, &[], Mask256::EMPTY);
        let at = if format == StreamFormat::Vfap { 8 } else { 0 };
        bytes[at..at + 4].copy_from_slice(&65_537u32.to_be_bytes());
        if format == StreamFormat::Posted {
            bytes[8..16].copy_from_slice(&format.stream_size(65_537).to_be_bytes());
        }
        let stream = side.open_stream(RESUMING)?;
        let answer = write_pieces(&side, stream, &[&bytes[..split], &bytes[split..]][usize::from(split == 0)..])?;
        script.expect(&format!("a count of 65,537, header split at {split}"), answer, "EINVAL", &[])?;
    }
    Ok(())
}

fn padding(script: &Script<'_>, of_entry: bool) -> Result<(), Stop> {
    let side = script.destination()?;
    let mut bytes = stream_like(script)?;
    let format = side.format()?;
    let header_padding = if format == StreamFormat::Vfap { 12 } else { 4 };
    let at = if of_entry { bytes.len() - 1 } else { header_padding };
    bytes[at] = 1;
    let (_, answer) = offer(&side, &bytes)?;
    let done = bytes.len().to_string();
    script.expect(&format!("byte {at}, reserved, is not zero"), answer, "EINVAL", &[&done])
}

fn shape(script: &Script<'_>, queues: &[(u8, u8)]) -> Result<(), Stop> {
    let queues: Vec<_> = queues.iter().map(|(a, d)| Apqn::new(*a, *d)).collect();
    let bytes = handmade(script, &queues, Mask256::EMPTY)?;
    let (_, answer) = offer(&script.destination()?, &bytes)?;
    script.expect("a list that is not strictly ascending", answer, "EINVAL", &[])
}

fn not_bound(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    let setup = HostSetup { unbound: vec![Apqn::new(4, 0x33)], ..HostSetup::destination() };
    let side = script.host("destination", &setup)?;
    let (_, answer) = offer(&side, &bytes)?;
    script.expect("a queue that is not bound", answer, "ENODEV", &[])?;
    side.expect_guest("guest afterwards", &matrix(&[], &[], &[]))
}

fn no_such_queue(script: &Script<'_>) -> Result<(), Stop> {
    for apqn in [Apqn::new(8, 0x33), Apqn::new(4, 0x44), Apqn::new(255, 255)] {
        let side = script.destination()?;
        let (_, answer) = offer(&side, &handmade(script, &[apqn], Mask256::EMPTY)?)?;
        script.expect(&format!("queue {apqn}, which the host has not"), answer, "ENODEV", &[])?;
    }
    Ok(())
}

fn tapq(script: &Script<'_>, response: ResponseCode, right: &str, accepted: &[&str]) -> Result<(), Stop> {
    let bytes = full(script)?;
    let side = script.destination()?;
    let answer = QueueAnswer { response, asynchronous: false, hw_info: None };
    let call = format!("TAPQ of 04.0033 := rc {:02x}", response.0);
    side.host_call(&call, side.host.set_queue_answer(Apqn::new(4, 0x33), Some(answer)))?;
    let (_, answer) = offer(&side, &bytes)?;
    script.expect("write of the whole stream", answer, right, accepted)?;
    side.expect_guest("guest afterwards", &matrix(&[], &[], &[]))
}

fn control_domain(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.destination()?;
    if side.format()? == StreamFormat::Posted {
        return Err(Stop::Skip("the device's stream has no control domains".to_owned()));
    }
    let (_, answer) = offer(&side, &handmade(script, &[Apqn::new(4, 0x33)], mask(&[0x33, 0x45]))?)?;
    script.expect("a control domain that the host has not", answer, "ENODEV", &["EINVAL"])?;
    side.expect_guest("guest afterwards", &matrix(&[], &[], &[]))
}

fn incompatible(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.destination()?;
    let accelerator = HwInfo(0xeb80_0000_0e00_0000);
    let (_, answer) = offer(&side, &stream(side.format()?, &[(Apqn::new(4, 0x33), accelerator)], Mask256::EMPTY))?;
    script.expect("an accelerator against a coprocessor", answer, "EFAULT", &["EINVAL"])?;
    side.expect_guest("guest afterwards", &matrix(&[], &[], &[]))
}

fn reserved(script: &Script<'_>) -> Result<(), Stop> {
    let setup = HostSetup { reserved: (mask(&[7]), mask(&[0x33])), ..HostSetup::source() };
    let side = script.host("source", &setup)?;
    let refused = side.ap_config(&matrix(&[4, 7], &[0x33], &[]))?;
    script.expect("a queue of the default drivers", refused, "EADDRNOTAVAIL", &[])?;
    side.expect_guest("guest afterwards", &matrix_a())?;
    side.expect_resets(&[(4, 0x33, 0), (4, 0x3a, 0), (5, 0x33, 0), (7, 0x33, 0)])
}

fn in_use(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.destination()?;
    let (_, answer) = offer(&side, &handmade(script, &[Apqn::new(6, 0x33)], Mask256::EMPTY)?)?;
    script.expect("a queue of another device", answer, "EADDRINUSE", &[])?;
    side.expect_guest("guest afterwards", &matrix(&[], &[], &[]))?;
    side.expect_resets(&[(6, 0x33, 0), (6, 0x3a, 0)])
}

fn above_maximum(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.host("source", &HostSetup { max_domain: 0x60, ..HostSetup::source() })?;
    for (what, candidate) in
        [("domain", matrix(&[4], &[0x61], &[])), ("control domain", matrix(&[4], &[0x33], &[0x61]))]
    {
        script.expect(&format!("a {what} above the maximum"), side.ap_config(&candidate)?, "ENODEV", &[])?;
    }
    side.expect_guest("guest afterwards", &matrix_a())
}

/// A queue whose last reset failed filters its adapter, which a migrated configuration must not be.
fn filtered(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    let side = script.host("destination", &HostSetup::destination().assigned(matrix(&[4], &[0x33], &[])))?;
    let apqn = Apqn::new(4, 0x33);
    side.host_call("resets of 04.0033 fail", side.host.fail_resets(apqn, true))?;
    let answer = side.mdev(A, "unassign_adapter", "4")?;
    side.must(answer, "removing adapter 04")?;
    side.host_call("resets of 04.0033 succeed", side.host.fail_resets(apqn, false))?;
    let (_, answer) = offer(&side, &bytes)?;
    if answer.is_done() {
        return side.expect_guest("what the guest has after a migration that succeeded", &matrix_a());
    }
    script.expect("a configuration that would be filtered", answer, "ECANCELED", &["ENODEV", "EINVAL"])?;
    side.expect_guest("guest afterwards", &matrix(&[], &[0x33], &[]))
}

fn latch(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.destination()?;
    let mut bytes = stream_like(script)?;
    let header = bytes.len() - 4 * QueueEntry::SIZE;
    // An older type is expected than the card has: byte 4 of GR2.
    bytes[header + 4] = 0x0f;
    let (stream, answer) = offer(&side, &bytes)?;
    script.expect("write of an incompatible stream", answer, "EFAULT", &["EINVAL"])?;
    let again = side.write(stream, &[0])?;
    script.expect("write after it", again, "EFAULT", &["EIO", "EINVAL", "ENXIO"])?;
    side.expect_guest("guest afterwards", &matrix(&[], &[], &[]))
}
