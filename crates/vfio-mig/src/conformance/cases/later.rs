// SPDX-License-Identifier: MIT OR Apache-2.0
//! Defects seen in the code after the posted series. Cases of a second session are their own: each first session is
//! complete, so that they do not depend on other findings.

use ap_arch::{Apqn, Mask256, Matrix};

use super::super::fixture::{A, matrix, matrix_a};
use super::super::side::entries_of;
use super::{Case, RESUMING, RUNNING, STOP, STOP_COPY, Script, Stop, full, handmade, offer};
use crate::Capability;

pub(super) fn cases() -> Vec<Case> {
    let source = "vfio-ap migration spec 4";
    vec![
        Case::new("later/first-write-too-long", source, overflow).covers(&["l-first-body-write-overflows"]).dangerous(),
        Case::new("later/second-snapshot", source, second_snapshot)
            .covers(&["l-snapshot-survives-session"])
            .needs(&[Capability::Sysfs]),
        Case::new("later/session-after-reset", source, after_reset).covers(&["l-header-buffer-survives"]),
        Case::new("later/second-session-larger", source, |s| second_session(s, 1, 4))
            .covers(&["l-old-header-rules-new-session", "stream-usable-after-leaving-state"]),
        Case::new("later/second-session-smaller", source, |s| second_session(s, 4, 1))
            .covers(&["l-old-header-rules-new-session", "stream-usable-after-leaving-state"]),
        Case::new("later/read-fault-loses-nothing", source, read_fault)
            .covers(&["l-position-advanced-before-copy"])
            .needs(&[Capability::UserFaults]),
        Case::new("later/write-fault-leaves-no-hole", source, write_fault)
            .covers(&["l-position-advanced-before-copy"])
            .needs(&[Capability::UserFaults]),
    ]
}

fn overflow(script: &Script<'_>) -> Result<(), Stop> {
    let mut bytes = full(script)?;
    bytes.extend([0; 64]);
    let side = script.destination()?;
    let (_, answer) = offer(&side, &bytes)?;
    script.expect("64 bytes too many in the only write", answer, "EIO", &["EINVAL"])?;
    side.expect_guest("guest afterwards", &Matrix::EMPTY)
}

fn second_snapshot(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    side.full()?;
    let answer = side.mdev(A, "unassign_adapter", "5")?;
    side.must(answer, "removal of adapter 05")?;
    let bytes = side.full()?;
    let queues: Vec<String> = entries_of(&bytes).iter().map(|(apqn, _)| apqn.to_string()).collect();
    script.expect("queues of the second session", queues.join(" "), "04.0033 04.003a", &[])
}

fn after_reset(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    let side = script.destination()?;
    let stream = side.open_stream(RESUMING)?;
    side.write(stream, &bytes[..bytes.len() - 1])?;
    let answer = side.reset()?;
    side.must(answer, "reset")?;
    let (_, answer) = offer(&side, &bytes)?;
    script.expect("write of the whole stream", answer, &bytes.len().to_string(), &[])?;
    side.expect_guest("guest afterwards", &matrix_a())
}

/// Two complete sessions with this many queues.
fn second_session(script: &Script<'_>, first: usize, second: usize) -> Result<(), Stop> {
    let queues: Vec<Apqn> = matrix_a().queues().collect();
    let (first, second_bytes) =
        (handmade(script, &queues[..first], Mask256::EMPTY)?, handmade(script, &queues[..second], Mask256::EMPTY)?);
    let side = script.destination()?;
    let (_, answer) = offer(&side, &first)?;
    side.must(answer, "the first session")?;
    side.reach(RUNNING)?;
    let (_, answer) = offer(&side, &second_bytes)?;
    script.expect("second session", answer, &second_bytes.len().to_string(), &[])?;
    script.expect("request of running", side.set(RUNNING)?, "ok", &[])?;
    let expected = if second == 1 { matrix(&[4], &[0x33], &[]) } else { matrix(&[4, 5], &[0x33, 0x3a], &[]) };
    side.expect_guest("guest afterwards", &expected)
}

fn read_fault(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    let bytes = side.full()?;
    let stream = side.open_stream(STOP_COPY)?;
    side.read_faulting(stream, 40, 8)?;
    let seen = side.read_all(stream, 1 << 20)?;
    script.require("the stream after a fault", seen == bytes, "all of it", format!("{} bytes", seen.len()))
}

fn write_fault(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    let side = script.destination()?;
    let stream = side.open_stream(RESUMING)?;
    let first = side.write(stream, &bytes[..48])?;
    side.must(first, "write of 48 bytes")?;
    side.write_faulting(stream, &bytes[48..64], 0)?;
    let rest = side.write(stream, &bytes[64..])?;
    let what = "a stream with a hole";
    script.require(what, side.qci_is_empty()?, "not applied", &rest)?;
    let answer = side.set(STOP)?;
    script.require(what, !answer.is_done() || !rest.is_done(), "an error", answer)
}
