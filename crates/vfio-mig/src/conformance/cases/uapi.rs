// SPDX-License-Identifier: MIT OR Apache-2.0
//! The findings that show at the VFIO uAPI, each with the test that must catch it.

use ap_arch::stream::{StreamFormat, StreamHeader};
use ap_arch::{Apqn, HwInfo, Mask256, Matrix, ResponseCode};

use super::super::fixture::{A, HostSetup, MdevSetup, matrix, matrix_a, stream};
use super::super::side::entries_of;
use super::{
    Answer, CCA8, Case, RESUMING, RUNNING, STOP, STOP_COPY, Script, Side, Stop, expect_stale, full, offer, write_pieces,
};
use crate::{Capability, Errno, QueueAnswer};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("uapi/length-field", "vfio-ap migration spec 3.2", length_field).covers(&["config-sz-never-set"]),
        Case::new("uapi/length-field-zero-is-refused", "vfio-ap migration spec 3.2", length_field_zero)
            .covers(&["config-sz-never-set", "redundant-size-fields-disagree"]),
        Case::new("uapi/stable-while-read", "vfio-ap migration spec 4.2", stable)
            .covers(&["stream-regenerated-per-read"])
            .needs(&[Capability::Sysfs, Capability::Hardware]),
        Case::new("uapi/golden-header", "vfio-ap migration spec 3.1", golden).covers(&["size-t-in-wire-struct"]),
        Case::new("uapi/contradicting-sizes", "vfio-ap migration spec 3.2", contradicting)
            .covers(&["redundant-size-fields-disagree"]),
        Case::new("uapi/short-first-write", "vfio-ap migration spec 4.3", short_first_write)
            .covers(&["short-header-write-starts-validation"]),
        Case::new("uapi/any-split", "vfio-ap migration spec 4.3", any_split)
            .covers(&["partial-write-not-persisted", "short-header-write-starts-validation"]),
        Case::new("uapi/any-read-size", "vfio-ap migration spec 4.2", any_read_size),
        Case::new("uapi/plain-calls", "vfio-ap migration spec 4.1", plain_calls)
            .covers(&["plain-write-refused-with-espipe"]),
        Case::new("uapi/large-matrix", "vfio-ap migration spec 3.4", large).covers(&["large-contiguous-allocation"]),
        Case::new("uapi/reset-ends-reading", "vfio-ap migration spec 2.6", reset_reading)
            .covers(&["reset-leaves-stale-streams"]),
        Case::new("uapi/reset-ends-writing", "vfio-ap migration spec 2.6", reset_writing)
            .covers(&["reset-leaves-stale-streams"]),
        Case::new("uapi/reset-then-new-session", "vfio-ap migration spec 2.6", reset_new_session)
            .covers(&["reset-leaves-stale-streams", "l-header-buffer-survives"]),
        Case::new("uapi/reset-zeroizes", "vfio-ap migration spec 2.6", reset_zeroizes)
            .without_migration()
            .needs(&[Capability::ResetCounters]),
        Case::new("uapi/failed-arc", "vfio-ap migration spec 2.4", failed_arc)
            .covers(&["failed-arc-keeps-valid-state"]),
        Case::new("uapi/refusals-are-not-a-flood", "vfio-ap migration spec 2.7", flood)
            .covers(&["unratelimited-se-refusal-log"])
            .needs(&[Capability::Log, Capability::SecureExecution]),
        Case::new("uapi/stateless-to-native", "vfio-ap migration spec 5.4", stateless_to_native)
            .covers(&["facility-word-equality-defeats-class-rule"])
            .needs(&[Capability::Hardware]),
        Case::new("uapi/removing-an-adapter", "vfio-ap migration spec 6.1", removing)
            .without_migration()
            .covers(&["null-mdev-in-queue-collection"])
            .needs(&[Capability::Sysfs, Capability::ResetCounters]),
        Case::new("uapi/replacing-an-adapter", "vfio-ap migration spec 6.1", replacing)
            .covers(&["null-mdev-in-queue-collection"])
            .needs(&[Capability::ResetCounters]),
        Case::new("uapi/asynchronous-error", "vfio-ap migration spec 5.3", asynchronous)
            .covers(&["async-error-check-inverted"])
            .needs(&[Capability::Hardware]),
    ]
}

/// A source that emits format 0, and its stream.
fn format_0<'s>(script: &'s Script<'s>) -> Result<(Side<'s>, Vec<u8>), Stop> {
    let side = script.host("source", &HostSetup::source().with_format_0())?;
    let bytes = side.full()?;
    let first = bytes.first_chunk().map_or(0, |word| u32::from_be_bytes(*word));
    if first == ap_arch::stream::MAGIC {
        return Err(Stop::Skip("the device's stream has no length field".to_owned()));
    }
    Ok((side, bytes))
}

fn length_field(script: &Script<'_>) -> Result<(), Stop> {
    let (side, bytes) = format_0(script)?;
    let field = bytes.get(8..16).and_then(|field| field.try_into().ok()).map_or(0, u64::from_be_bytes);
    script.expect("length field of the header", field, &bytes.len().to_string(), &[])?;
    script.expect("data size", side.size()?, &bytes.len().to_string(), &[])
}

fn length_field_zero(script: &Script<'_>) -> Result<(), Stop> {
    let (_, mut bytes) = format_0(script)?;
    if bytes.len() != 80 {
        return Err(Stop::Skip("the header is not the documented one".to_owned()));
    }
    bytes[8..16].fill(0);
    let side = script.host("destination", &HostSetup::destination().with_format_0())?;
    let (_, answer) = offer(&side, &bytes)?;
    script.expect("a length field of zero", answer, "EINVAL", &[])?;
    side.expect_guest("guest afterwards", &Matrix::EMPTY)
}

fn stable(script: &Script<'_>) -> Result<(), Stop> {
    type Change = fn(&Side<'_>) -> Result<(), Stop>;
    let replace: Change = |side| {
        side.mdev(A, "unassign_adapter", "5")?;
        side.mdev(A, "assign_adapter", "7").map(|_| ())
    };
    let unbind: Change = |side| side.sysfs("/sys/bus/ap/drivers/vfio_ap/unbind", "04.0033").map(|_| ());
    let word: Change = |side| {
        let other = Some(HwInfo(0xf380_0000_0d00_0000));
        let answer = QueueAnswer { response: ResponseCode::NORMAL, asynchronous: false, hw_info: other };
        side.host_call("GR2 of 05.003a changes", side.host.set_queue_answer(Apqn::new(5, 0x3a), Some(answer)))
    };
    for change in [replace, unbind, word] {
        let side = script.source()?;
        let before = side.full()?;
        let stream = side.open_stream(STOP_COPY)?;
        let answer = side.read(stream, 32)?;
        let mut seen = side.must(answer, "first read")?;
        change(&side)?;
        seen.extend(side.read_all(stream, 16)?);
        let whole = seen == before;
        script.require("the rest, after a change", whole, "the stream of before the change", "another one")?;
    }
    Ok(())
}

fn golden(script: &Script<'_>) -> Result<(), Stop> {
    for setup in [HostSetup::source(), HostSetup::source().with_format_0()] {
        let side = script.host("source", &setup)?;
        let bytes = side.full()?;
        let format = super::super::side::format_of(&bytes)?;
        let (size, control_domains) = (format.stream_size(4), matrix_a().control_domains);
        script.expect("length of the stream", bytes.len(), &size.to_string(), &[])?;
        let expected = StreamHeader::new(format, 4, control_domains).to_bytes();
        let shown = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        // The length field and the control domains have cases of their own.
        let fixed = if format == StreamFormat::Posted { 8 } else { 16 };
        script.expect("beginning of the header", shown(&bytes[..fixed]), &shown(&expected[..fixed]), &[])?;
        let queues: Vec<String> = entries_of(&bytes).iter().map(|(apqn, _)| apqn.to_string()).collect();
        script.expect("queues", queues.join(" "), "04.0033 04.003a 05.0033 05.003a", &[])?;
    }
    Ok(())
}

fn contradicting(script: &Script<'_>) -> Result<(), Stop> {
    format_0(script)?;
    for (queues, declared_size) in [(4, 64), (65_536, 32), (1, u64::MAX), (1, 0), (4, 96)] {
        let side = script.host("destination", &HostSetup::destination().with_format_0())?;
        let header = StreamHeader::Posted { queues, declared_size }.to_bytes();
        let (stream, answer) = offer(&side, &header)?;
        script.expect(&format!("a header of {queues} queues and {declared_size} bytes"), answer, "EINVAL", &[])?;
        let again = side.write(stream, &[0; 16])?;
        script.require("write after it", !again.is_done(), "an error", again)?;
    }
    Ok(())
}

fn short_first_write(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    for cut in 1..16 {
        let side = script.destination()?;
        let stream = side.open_stream(RESUMING)?;
        let first = side.write(stream, &bytes[..cut])?;
        script.expect(&format!("first write of {cut} bytes"), first, &cut.to_string(), &[])?;
        side.expect_guest("guest after it", &Matrix::EMPTY)?;
        let rest = side.write(stream, &bytes[cut..])?;
        // That later writes work at all is another finding.
        script.expect("the rest", rest, &(bytes.len() - cut).to_string(), &["EFAULT"])?;
    }
    Ok(())
}

fn any_split(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    let whole = bytes.len().to_string();
    for split in (1..bytes.len()).step_by(9).chain([16, 47, 48, 49, bytes.len() - 1]) {
        let side = script.destination()?;
        let stream = side.open_stream(RESUMING)?;
        let answer = write_pieces(&side, stream, &[&bytes[..split], &bytes[split..]])?;
        script.expect(&format!("two writes, split at {split}"), answer, &whole, &[])?;
    }
    let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
    let side = script.destination()?;
    let stream = side.open_stream(RESUMING)?;
    script.expect("one byte at a time", write_pieces(&side, stream, &pieces)?, &whole, &[])?;
    script.expect("request of stop", side.set(STOP)?, "ok", &[])?;
    side.expect_guest("guest afterwards", &matrix_a())
}

fn any_read_size(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    let bytes = side.full()?;
    for size in [1, 3, 16, 48, bytes.len() - 1, bytes.len(), bytes.len() + 1] {
        let stream = side.open_stream(STOP_COPY)?;
        script.expect("read of no bytes", side.read(stream, 0)?, "end", &[])?;
        let seen = side.read_all(stream, size)?;
        script.require(&format!("reads of {size}"), seen == bytes, "the stream", format!("{} bytes", seen.len()))?;
        script.expect("read at the end", side.read(stream, 16)?, "end", &[])?;
        side.reach(STOP)?;
    }
    Ok(())
}

fn plain_calls(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    let stream = side.open_stream(STOP_COPY)?;
    let answer = side.read(stream, 1 << 20)?;
    script.require("plain read", answer.is_done(), "success", &answer)?;
    let bytes = answer.done().unwrap_or_default();
    let side = script.destination()?;
    let (_, answer) = offer(&side, &bytes)?;
    let refused = answer == Answer::Refused(Errno::ESPIPE);
    script.require("plain write", !refused, "no ESPIPE", answer)
}

fn large(script: &Script<'_>) -> Result<(), Stop> {
    let domains: Vec<u8> = (0..=255).collect();
    let adapters: Vec<u8> = (0..20).collect();
    let host = matrix(&adapters, &domains, &[]);
    let setup =
        |matrix| HostSetup { host, mdevs: vec![MdevSetup { name: A.to_owned(), matrix }], ..HostSetup::source() };
    let source = script.host("source", &setup(host))?;
    script.expect("a snapshot of 5,120 queues", source.set(STOP_COPY)?, "ok, stream", &[])?;
    source.reach(RUNNING)?;
    let bytes = source.full()?;
    let format = super::super::side::format_of(&bytes)?;
    let size = format.stream_size(5_120).to_string();
    script.expect("length of a stream of 5,120 queues", bytes.len(), &size, &[])?;
    let destination = script.host("destination", &setup(Matrix::EMPTY))?;
    let (_, answer) = offer(&destination, &bytes)?;
    script.expect("write of it", answer, &size, &[])
}

fn reset_reading(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    let stream = side.open_stream(STOP_COPY)?;
    script.expect("reset", side.reset()?, "ok", &[])?;
    script.expect("state afterwards", side.state()?, "running", &[])?;
    expect_stale(script, "read", side.read(stream, 16)?, "EINVAL")
}

fn reset_writing(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    let half = bytes.len() / 2;
    let side = script.destination()?;
    let stream = side.open_stream(RESUMING)?;
    side.write(stream, &bytes[..half])?;
    script.expect("reset", side.reset()?, "ok", &[])?;
    expect_stale(script, "write", side.write(stream, &bytes[half..])?, "ENXIO")?;
    side.expect_guest("guest afterwards", &Matrix::EMPTY)
}

fn reset_new_session(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    let side = script.destination()?;
    let old = side.open_stream(RESUMING)?;
    side.write(old, &bytes[..bytes.len() / 2])?;
    script.expect("reset", side.reset()?, "ok", &[])?;
    let new = side.open_stream(RESUMING)?;
    side.close(old)?;
    script.expect("write of the whole stream", side.write(new, &bytes)?, &bytes.len().to_string(), &[])?;
    script.expect("request of running", side.set(RUNNING)?, "ok", &[])?;
    side.expect_guest("guest afterwards", &matrix_a())
}

fn reset_zeroizes(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    script.expect("reset", side.reset()?, "ok", &[])?;
    side.expect_resets(&[(4, 0x33, 1), (4, 0x3a, 1), (5, 0x33, 1), (5, 0x3a, 1), (6, 0x33, 0), (7, 0x33, 0)])?;
    side.expect_guest("guest afterwards", &matrix_a())
}

fn failed_arc(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    let half = bytes.len() / 2;
    let side = script.destination()?;
    let stream = side.open_stream(RESUMING)?;
    side.write(stream, &bytes[..half])?;
    let answer = side.set(STOP)?;
    if answer.is_done() {
        return Err(Stop::Skip("this device accepts an incomplete resume, which is another finding".to_owned()));
    }
    // Either the error state, or the state of before with all further progress refused.
    let state = side.state()?;
    script.expect("state after a failed resume", &state, "error", &["resuming"])?;
    let rest = side.write(stream, &bytes[half..])?;
    script.require("write of the rest", !rest.is_done(), "an error", rest)?;
    let answer = side.set(RUNNING)?;
    script.require("request of running", !answer.is_done(), "EINVAL", answer)?;
    script.expect("reset", side.reset()?, "ok", &[])?;
    script.expect("state after the reset", side.state()?, "running", &[])
}

fn flood(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    side.host_call("Secure Execution on", side.host.set_secure_execution(true, false))?;
    for _ in 0..100 {
        let answer = side.set(STOP)?;
        script.expect("request of stop", answer, "EPERM", &["ENOTTY"])?;
    }
    let lines = side.errors()?.iter().filter(|line| line.contains("Secure Execution")).count();
    script.require("lines after 100 refusals", lines <= 10, "at most 10", lines)?;
    side.host_call("Secure Execution off", side.host.set_secure_execution(false, false))?;
    script.expect("state afterwards", side.state()?, "running", &[])
}

fn stateless_to_native(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.destination()?;
    let format = side.format()?;
    let apqn = Apqn::new(4, 0x33);
    let native = QueueAnswer { response: ResponseCode::NORMAL, asynchronous: false, hw_info: Some(CCA8) };
    side.host_call("TAPQ of 04.0033 := native", side.host.set_queue_answer(apqn, Some(native)))?;
    let bytes = stream(format, &[(apqn, HwInfo(0xf340_0000_0e00_0000))], Mask256::EMPTY);
    let (_, answer) = offer(&side, &bytes)?;
    script.expect("a stateless queue to a native one", answer, &bytes.len().to_string(), &[])
}

fn removing(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    let answer = side.ap_config(&matrix(&[4], &[0x33, 0x3a], &[0x33]))?;
    script.expect("removal of adapter 05", answer, "ok", &[])?;
    side.expect_resets(&[(4, 0x33, 0), (4, 0x3a, 0), (5, 0x33, 1), (5, 0x3a, 1)])
}

fn replacing(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    let side = script.host("destination", &HostSetup::destination().assigned(matrix(&[7], &[0x33], &[])))?;
    let (_, answer) = offer(&side, &bytes)?;
    script.expect("migration onto a device that has adapter 07", answer, &bytes.len().to_string(), &[])?;
    side.expect_resets(&[(7, 0x33, 1), (7, 0x3a, 0), (4, 0x33, 0)])
}

fn asynchronous(script: &Script<'_>) -> Result<(), Stop> {
    let apqn = Apqn::new(4, 0x33);
    for (asynchronous, accepted) in [(true, true), (false, false)] {
        let answer = QueueAnswer { response: ResponseCode(8), asynchronous, hw_info: None };
        let call = format!("TAPQ of {apqn} := rc 08, asynchronous {asynchronous}");
        let bytes = full(script)?;
        let target = script.destination()?;
        target.host_call(&call, target.host.set_queue_answer(apqn, Some(answer)))?;
        let (_, written) = offer(&target, &bytes)?;
        let expected = if accepted { bytes.len().to_string() } else { "EIO".to_owned() };
        script.expect("write of the whole stream", written, &expected, &[])?;
        let source = script.source()?;
        source.host_call(&call, source.host.set_queue_answer(apqn, Some(answer)))?;
        let opened = source.set(STOP_COPY)?;
        let first = match opened.done().flatten() {
            Some(stream) => source.read(stream, 16)?.is_done(),
            None => false,
        };
        let shown = |done: bool| if done { "a snapshot" } else { "an error" };
        script.expect("the source", shown(first), shown(accepted), &[])?;
    }
    Ok(())
}
