// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ten findings that a guest can see, each with the test that must catch it.

use ap_arch::stream::StreamFormat;
use ap_arch::{Apqn, FunctionCode, Gr0, HwInfo, Mask256, Matrix, QueueStatus, ResponseCode};

use super::super::fixture::{A, B, C, HostSetup, mask, matrix, matrix_a, stream};
use super::super::side::text_of;
use super::{CCA8, Case, RESUMING, RUNNING, STOP, STOP_COPY, Script, Side, Stop, expect_stale, full, handmade, offer};
use crate::{Capability, GuestCall};

/// Notification byte of an armed queue.
const NIB: u64 = 0x2000;
/// AQIC, GR1: enable, with interruption subclass 6.
const ENABLE: u64 = 1 << 47 | 6;

pub(super) fn cases() -> Vec<Case> {
    const GUEST: &[Capability] = &[Capability::Guests];
    const RESETS: &[Capability] = &[Capability::Guests, Capability::Sysfs, Capability::ResetCounters];
    vec![
        Case::new("guest/control-domains", "vfio-ap migration spec 3.3", control_domains)
            .covers(&["control-domains-dropped"])
            .needs(GUEST),
        Case::new("guest/matrix-from-zero", "vfio-ap migration spec 4.3", matrix_from_zero)
            .covers(&["guest-matrix-uninitialised"])
            .needs(&[Capability::Guests, Capability::Poison]),
        Case::new("guest/bystander-keeps-its-queues", "vfio-ap migration spec 6.3", bystander)
            .covers(&["queues-linked-before-validation"])
            .needs(&[Capability::Guests, Capability::Sysfs]),
        Case::new("guest/removed-domain-is-reset", "vfio-ap migration spec 6.1", removed_domain)
            .without_migration()
            .covers(&["domain-only-removal-skips-reset"])
            .needs(RESETS),
        Case::new("guest/migration-resets-what-was-there", "vfio-ap migration spec 6.1", replaced_assignment)
            .covers(&["domain-only-removal-skips-reset"])
            .needs(&[Capability::ResetCounters]),
        Case::new("guest/removed-adapter-and-domain-are-reset", "vfio-ap migration spec 6.1", adapter_and_domain)
            .without_migration()
            .covers(&["wrong-list-reset-for-domains", "x-intersection-queues-not-reset"])
            .needs(RESETS),
        Case::new("guest/other-adapters-are-not-reset", "vfio-ap migration spec 6.1", uninvolved)
            .without_migration()
            .covers(&["reset-bitmap-uninitialised", "null-mdev-in-queue-collection"])
            .needs(&[Capability::Guests, Capability::Sysfs, Capability::ResetCounters, Capability::Poison]),
        Case::new("guest/bind-state", "vfio-ap migration spec 5.4", bind_state)
            .covers(&["bind-state-check-bypassed"])
            .needs(&[Capability::Hardware]),
        Case::new("guest/memory-is-still-in-stop", "vfio-ap migration spec 2.5", still_in_stop)
            .covers(&["stop-does-not-quiesce-queues"])
            .needs(&[Capability::Guests, Capability::Hardware]),
        Case::new("guest/incomplete-resume", "vfio-ap migration spec 4.3", incomplete)
            .covers(&["incomplete-resume-accepted"]),
        Case::new("guest/stale-read", "vfio-ap migration spec 4.1", stale_read)
            .covers(&["stream-usable-after-leaving-state"]),
        Case::new("guest/stale-write", "vfio-ap migration spec 4.1", stale_write)
            .covers(&["stream-usable-after-leaving-state", "failed-arc-keeps-valid-state"])
            .needs(GUEST),
        Case::new("guest/sees-the-same-after-migration", "vfio-ap migration spec 10", same_after).needs(GUEST),
    ]
}

fn migrate(script: &Script<'_>, bytes: &[u8], setup: &HostSetup) -> Result<(), Stop> {
    let side = script.host("destination", setup)?;
    let (_, answer) = offer(&side, bytes)?;
    script.expect("write of the whole stream", answer, &bytes.len().to_string(), &[])?;
    side.reach(RUNNING)
}

fn control_domains(script: &Script<'_>) -> Result<(), Stop> {
    let source = script.source()?;
    let before = source.qci(A)?;
    let bytes = source.full()?;
    if source.format()? == StreamFormat::Vfap {
        let carried = Mask256::from_bytes(&std::array::from_fn(|i| bytes[16 + i]));
        script.expect(
            "control domains in the stream",
            format!("{carried:?}"),
            &format!("{:?}", before.control_domains),
            &[],
        )?;
    }
    let side = script.destination()?;
    let (_, answer) = offer(&side, &bytes)?;
    script.expect("write of the whole stream", answer, &bytes.len().to_string(), &[])?;
    side.reach(RUNNING)?;
    script.expect("QCI after against before", text_of(&side.qci(A)?), &text_of(&before), &[])
}

fn matrix_from_zero(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    for poison in [matrix(&[7], &[], &[0x55]), matrix(&[6], &[], &[])] {
        let side = script.destination()?;
        side.poison(&poison)?;
        let (_, answer) = offer(&side, &bytes)?;
        script.expect("write of the whole stream", answer, &bytes.len().to_string(), &[])?;
        side.reach(RUNNING)?;
        side.expect_guest("QCI after the migration", &matrix_a())?;
        let (status, _) = side.tapq(A, Apqn::new(7, 0x33))?;
        script.expect("TAPQ of 07.0033", status.response(), "01 (queue not available)", &[])?;
    }
    Ok(())
}

fn aqic(side: &Side<'_>, mdev: &str, apqn: Apqn, gr1: u64) -> Result<ResponseCode, Stop> {
    let gr0 = Gr0::pqap(FunctionCode::AQIC, apqn).0;
    let reply = side.guest(mdev, &GuestCall::Pqap { gr0, gr1, gr2: NIB })?;
    Ok(QueueStatus::from_gr1(reply.gr1).response())
}

fn send(side: &Side<'_>, mdev: &str, apqn: Apqn) -> Result<(), Stop> {
    let reply = side.guest(mdev, &GuestCall::Nqap { apqn, psmid: 0x1234, message: vec![0; 64] })?;
    let response = QueueStatus::from_gr1(reply.gr1).response();
    side.record.expect(&format!("NQAP to {apqn}"), response, "00 (normal)", &[])
}

fn bystander(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.host("source", &HostSetup::source().with_interruption())?;
    let (first, second) = (Apqn::new(6, 0x33), Apqn::new(6, 0x3a));
    script.expect("AQIC of the bystander", aqic(&side, B, first, ENABLE)?, "00 (normal)", &[])?;
    let greedy = matrix(&[4, 5, 6], &[0x33, 0x3a], &[]);
    script.expect("A asks for adapter 06", side.ap_config(&greedy)?, "EADDRINUSE", &[])?;
    let (_, answer) = offer(&side, &handmade(script, &[first], Mask256::EMPTY)?)?;
    script.expect("a stream that names 06.0033", answer, "EADDRINUSE", &[])?;
    side.reset()?;
    for (apqn, gr1, what) in [(first, 0, "disables"), (first, ENABLE, "enables"), (second, ENABLE, "enables")] {
        let response = aqic(&side, B, apqn, gr1)?;
        script.expect(&format!("the bystander {what} interruption of {apqn}"), response, "00 (normal)", &[])?;
    }
    send(&side, B, first)
}

/// The next owner of a queue must find it empty.
fn expect_clean(side: &Side<'_>, mdev: &str, apqn: Apqn) -> Result<(), Stop> {
    let (status, _) = side.tapq(mdev, apqn)?;
    side.record.expect(&format!("TAPQ of {apqn} by its next owner"), status, "E---- rc 00 (normal)", &[])?;
    let reply = side.guest(mdev, &GuestCall::Dqap { apqn, length: 4096 })?;
    let response = QueueStatus::from_gr1(reply.gr1).response();
    side.record.expect(&format!("DQAP of {apqn} by its next owner"), response, "10 (queue full)", &[])
}

/// Assigns one queue to the device that has nothing.
fn give_to_c(side: &Side<'_>, apqn: Apqn) -> Result<(), Stop> {
    let answer = side.mdev(C, "assign_domain", &apqn.apqi.0.to_string())?;
    side.must(answer, "assigning the domain")?;
    let answer = side.mdev(C, "assign_adapter", &apqn.apid.0.to_string())?;
    side.must(answer, "assigning the adapter")
}

fn removed_domain(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    let apqn = Apqn::new(4, 0x3a);
    send(&side, A, apqn)?;
    let answer = side.ap_config(&matrix(&[4, 5], &[0x33], &[0x33]))?;
    script.expect("removal of domain 003a", answer, "ok", &[])?;
    give_to_c(&side, apqn)?;
    expect_clean(&side, C, apqn)?;
    side.expect_resets(&[(4, 0x33, 0), (4, 0x3a, 1), (5, 0x33, 0), (5, 0x3a, 1)])
}

fn replaced_assignment(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = handmade(script, &[Apqn::new(4, 0x33)], Mask256::EMPTY)?;
    let side = script.host("destination", &HostSetup::destination().assigned(matrix(&[4], &[0x33, 0x3a], &[])))?;
    let (_, answer) = offer(&side, &bytes)?;
    script.expect("a stream without domain 003a", answer, &bytes.len().to_string(), &[])?;
    side.expect_resets(&[(4, 0x33, 0), (4, 0x3a, 1), (5, 0x3a, 0)])
}

fn adapter_and_domain(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    send(&side, A, Apqn::new(4, 0x3a))?;
    send(&side, A, Apqn::new(5, 0x33))?;
    let answer = side.ap_config(&matrix(&[4], &[0x33], &[]))?;
    script.expect("removal of adapter 05 and domain 003a", answer, "ok", &[])?;
    side.expect_resets(&[(4, 0x33, 0), (4, 0x3a, 1), (5, 0x33, 1), (5, 0x3a, 1)])?;
    give_to_c(&side, Apqn::new(4, 0x3a))?;
    expect_clean(&side, C, Apqn::new(4, 0x3a))
}

fn uninvolved(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    side.poison(&matrix(&[6], &[], &[]))?;
    let apqn = Apqn::new(6, 0x33);
    send(&side, B, apqn)?;
    side.host_call("time passes", side.host.pass_time(1_000_000))?;
    let answer = side.ap_config(&matrix(&[4], &[0x33, 0x3a], &[]))?;
    script.expect("removal of adapter 05 from A", answer, "ok", &[])?;
    let (status, _) = side.tapq(B, apqn)?;
    script.expect("TAPQ of the bystander", status, "-R--- rc 00 (normal)", &[])?;
    side.expect_resets(&[(5, 0x33, 1), (5, 0x3a, 1), (4, 0x33, 0), (6, 0x33, 0), (6, 0x3a, 0)])
}

fn bind_state(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.destination()?;
    let format = side.format()?;
    let bound = HwInfo(0xf380_4000_0e00_0000);
    let apqn = Apqn::new(4, 0x33);
    let answer = crate::QueueAnswer { response: ResponseCode::NORMAL, asynchronous: false, hw_info: Some(bound) };
    side.host_call("04.0033 is bound, not associated", side.host.set_queue_answer(apqn, Some(answer)))?;
    let (_, answer) = offer(&side, &stream(format, &[(apqn, bound)], Mask256::EMPTY))?;
    script.expect("a queue that is not usable on either side", answer, "EFAULT", &["EINVAL"])
}

fn still_in_stop(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.host("source", &HostSetup::source().with_interruption())?;
    let apqn = Apqn::new(4, 0x33);
    let byte = |when: &str, expected: &str| {
        let memory = side.host.guest_memory(A, NIB, 1).map_err(|error| Stop::Broken(error.to_string()))?;
        script.expect(&format!("notification byte {when}"), format!("{memory:02x?}"), expected, &[])
    };
    script.expect("AQIC", aqic(&side, A, apqn, ENABLE)?, "00 (normal)", &[])?;
    send(&side, A, apqn)?;
    side.reach(STOP)?;
    byte("in stop", "[00]")?;
    side.host_call("the request is done", side.host.pass_time(1_000_000))?;
    byte("in stop, after a request was done", "[00]")?;
    side.reach(STOP_COPY)?;
    side.host_call("time passes", side.host.pass_time(1_000_000))?;
    byte("in stop-copy", "[00]")?;
    side.reach(RUNNING)?;
    byte("in running again", "[01]")?;
    let (status, _) = side.tapq(A, apqn)?;
    script.expect("TAPQ", status, "-R--I rc 00 (normal)", &[])
}

fn incomplete(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    for cut in [0, 1, 15, 16, 17, bytes.len() / 2, bytes.len() - 1] {
        let side = script.destination()?;
        let stream = side.open_stream(RESUMING)?;
        if cut > 0 {
            side.write(stream, &bytes[..cut])?;
        }
        let answer = side.set(STOP)?;
        let what = format!("request of stop after {cut} of {} bytes", bytes.len());
        script.require(&what, !answer.is_done(), "EINVAL", &answer)?;
        script.expect(&what, answer, "EINVAL", &["EFAULT", "EIO", "ENODEV", "ENXIO"])?;
        script.expect("state afterwards", side.state()?, "error", &["resuming"])?;
        script.expect("reset", side.reset()?, "ok", &[])?;
        script.expect("state after the reset", side.state()?, "running", &[])?;
    }
    Ok(())
}

fn stale_read(script: &Script<'_>) -> Result<(), Stop> {
    for next in [STOP, RUNNING] {
        let side = script.source()?;
        let stream = side.open_stream(STOP_COPY)?;
        side.read(stream, 16)?;
        side.reach(next)?;
        expect_stale(script, &format!("read in {next}"), side.read(stream, 16)?, "EINVAL")?;
    }
    Ok(())
}

fn stale_write(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    let half = bytes.len() / 2;
    let side = script.destination()?;
    let stream = side.open_stream(RESUMING)?;
    side.write(stream, &bytes[..half])?;
    side.set(STOP)?;
    expect_stale(script, "write after a failed resume", side.write(stream, &bytes[half..])?, "ENXIO")?;
    side.reset()?;
    side.expect_guest("guest afterwards", &Matrix::EMPTY)?;
    // A late write must not reach a running guest.
    let side = script.destination()?;
    let stream = side.open_stream(RESUMING)?;
    side.set(RUNNING)?;
    expect_stale(script, "write after leaving resuming", side.write(stream, &bytes)?, "ENXIO")?;
    side.expect_guest("running guest afterwards", &Matrix::EMPTY)?;
    let side = script.destination()?;
    let (stream, answer) = offer(&side, &bytes)?;
    side.must(answer, "write of the whole stream")?;
    side.reach(RUNNING)?;
    expect_stale(script, "write after a complete session", side.write(stream, &[0])?, "ENXIO")
}

fn same_after(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    let setup = HostSetup::destination().with_interruption().assigned(matrix(&[7], &[0x33], &[0x55]));
    let side = script.host("destination", &setup)?;
    let (_, answer) = offer(&side, &bytes)?;
    script.expect("write of the whole stream", answer, &bytes.len().to_string(), &[])?;
    side.reach(RUNNING)?;
    let seen = side.qci(A)?;
    let expected = Matrix { control_domains: mask(&[0x33, 0x3a, 0x44]), ..matrix_a() };
    script.expect("QCI", text_of(&seen), &text_of(&expected), &[])?;
    for apqn in setup.host.queues() {
        let (status, info) = side.tapq(A, apqn)?;
        let inside = matrix_a().contains(apqn);
        let expected = if inside { "E---- rc 00 (normal)" } else { "----- rc 01 (queue not available)" };
        script.expect(&format!("TAPQ of {apqn}"), status, expected, &[])?;
        script.require("its facilities", !inside || info.facilities() == CCA8.facilities(), "f3800000", info)?;
        if inside {
            script.expect("AQIC", aqic(&side, A, apqn, ENABLE)?, "00 (normal)", &[])?;
        }
    }
    migrate(script, &bytes, &HostSetup::destination())
}
