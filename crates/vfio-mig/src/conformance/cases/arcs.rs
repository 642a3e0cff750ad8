// SPDX-License-Identifier: MIT OR Apache-2.0
//! States and arcs. vfio-ap migration spec 2.

use super::super::fixture::matrix_a;
use super::{Answer, Case, DeviceState, RESUMING, RUNNING, STOP, STOP_COPY, Script, Stop, full, offer};
use crate::Capability;

const SOURCE: &str = "vfio-ap migration spec 2.2";

pub(super) fn cases() -> Vec<Case> {
    let states = [STOP, RUNNING, STOP_COPY, RESUMING];
    let pairs = states.into_iter().flat_map(|from| states.map(|to| (from, to)));
    let mut cases: Vec<Case> = pairs.map(|(from, to)| arc(from, to)).collect();
    cases.extend([
        Case::new("arc/no-such-state", SOURCE, no_such_state),
        Case::new("arc/error-is-left-by-reset-only", "vfio-ap migration spec 2.2, 2.4", error_state)
            .covers(&["l-state-request-in-error-succeeds"]),
        Case::new("arc/before-open", "vfio-ap migration spec 2.3", before_open).needs(&[Capability::LifeCycle]),
        Case::new("arc/failed-snapshot-leaves-stop", "vfio-ap migration spec 2.4", failed_snapshot)
            .covers(&["async-error-check-inverted"])
            .needs(&[Capability::Hardware]),
        Case::new("arc/data-size", "vfio-ap migration spec 3.4", data_size).needs(&[Capability::Sysfs]),
        Case::new("arc/cancelled-migration-keeps-everything", "vfio-ap migration spec 10", cancelled),
    ]);
    cases
}

/// One request of the table, from a device that is in `from`.
fn arc(from: DeviceState, to: DeviceState) -> Case {
    Case::new(format!("arc/{from}-to-{to}"), SOURCE, move |script| {
        let side = if from == RESUMING { script.destination()? } else { script.source()? };
        if from == RESUMING {
            let bytes = full(script)?;
            let (_, answer) = offer(&side, &bytes)?;
            side.must(answer, "write of a complete stream")?;
        } else {
            side.reach(from)?;
        }
        let opens = from != to && (to == STOP_COPY || to == RESUMING);
        let expected = if opens { "ok, stream" } else { "ok" };
        script.expect(&format!("request of {to} in {from}"), side.set(to)?, expected, &[])?;
        script.expect("state afterwards", side.state()?, &to.to_string(), &[])?;
        if to == RESUMING {
            side.reset()?;
        }
        Ok(())
    })
}

fn no_such_state(script: &Script<'_>) -> Result<(), Stop> {
    for from in [RUNNING, STOP] {
        let side = script.source()?;
        side.reach(from)?;
        for target in [0, 5, 6, 7, 8, 0xffff_ffff] {
            let target = DeviceState(target);
            script.expect(&format!("request of state {target}"), side.set(target)?, "EINVAL", &[])?;
            script.expect("state afterwards", side.state()?, &from.to_string(), &[])?;
        }
    }
    Ok(())
}

fn error_state(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    let side = script.destination()?;
    let (_, answer) = offer(&side, &bytes[..bytes.len() / 2])?;
    side.must(answer, "write of half a stream")?;
    side.set(STOP)?;
    if side.state()? != Answer::Done(DeviceState::ERROR) {
        return Err(Stop::Skip("this device has no way into the error state".to_owned()));
    }
    for target in [0, 1, 2, 3, 4, 5, 99] {
        let target = DeviceState(target);
        script.expect(&format!("request of state {target} in error"), side.set(target)?, "EINVAL", &[])?;
    }
    script.expect("reset", side.reset()?, "ok", &[])?;
    script.expect("state afterwards", side.state()?, "running", &[])
}

fn before_open(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    script.expect("close of the device", side.close_device()?, "ok", &[])?;
    // Where VFIO itself stands before the driver, nobody gets that far.
    script.expect("request of running", side.set(RUNNING)?, "ok", &["EINVAL"])?;
    for target in [STOP, STOP_COPY, RESUMING] {
        script.expect(&format!("request of {target}"), side.set(target)?, "ENODEV", &["EINVAL"])?;
    }
    script.expect("state", side.state()?, "running", &["EINVAL"])?;
    script.expect("opening again", side.open_device()?, "ok", &[])
}

fn failed_snapshot(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    let apqn = ap_arch::Apqn::new(5, 0x33);
    let broken = crate::QueueAnswer { response: ap_arch::ResponseCode(8), asynchronous: false, hw_info: None };
    side.host_call("TAPQ of 05.0033 := rc 08", side.host.set_queue_answer(apqn, Some(broken)))?;
    match side.set(STOP_COPY)? {
        Answer::Done(Some(stream)) => {
            script.note("the snapshot is taken by the first read");
            script.expect("first read", side.read(stream, 16)?, "EIO", &["EINVAL"])?;
        }
        answer => {
            script.expect("request of stop-copy", answer, "EIO", &["EINVAL"])?;
            script.expect("state afterwards", side.state()?, "stop", &["running"])?;
        }
    }
    script.expect("request of running", side.set(RUNNING)?, "ok", &[])
}

fn data_size(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    let format = side.format()?;
    let expected = |queues| format.stream_size(queues).to_string();
    for state in [RUNNING, STOP, STOP_COPY] {
        side.reach(state)?;
        script.expect(&format!("data size in {state}"), side.size()?, &expected(4), &[])?;
    }
    side.mdev(super::super::fixture::A, "unassign_adapter", "5")?;
    script.expect("data size of the snapshot after a change", side.size()?, &expected(4), &[&expected(2)])?;
    side.reach(RUNNING)?;
    script.expect("data size after the change", side.size()?, &expected(2), &[])
}

fn cancelled(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    let stream = side.open_stream(STOP_COPY)?;
    side.read(stream, 20)?;
    side.reach(STOP)?;
    side.reach(RUNNING)?;
    let again = side.open_stream(STOP_COPY)?;
    let bytes = side.read_all(again, 7)?;
    side.reach(RUNNING)?;
    let queues: Vec<_> = super::super::side::entries_of(&bytes).iter().map(|(apqn, _)| apqn.to_string()).collect();
    let expected: Vec<_> = matrix_a().queues().map(|apqn| apqn.to_string()).collect();
    script.expect("queues of the second stream", queues.join(" "), &expected.join(" "), &[])
}
