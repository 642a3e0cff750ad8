// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cases, by subject.

mod arcs;
mod beyond;
mod codes;
mod guest;
mod later;
mod messages;
mod uapi;
mod vectors;

use super::case::Case;
use super::fixture::{CCA8, matrix_a, stream};
use super::script::{Answer, Script, Side, Stop};
use crate::{DeviceState, StreamId};

const STOP: DeviceState = DeviceState::STOP;
const RUNNING: DeviceState = DeviceState::RUNNING;
const STOP_COPY: DeviceState = DeviceState::STOP_COPY;
const RESUMING: DeviceState = DeviceState::RESUMING;

/// What a read or write of a session that is over may answer, besides what is specified.
const STALE: &[&str] = &["EINVAL", "ENXIO", "ENODEV"];

/// All cases; their names are unique.
#[must_use]
pub fn all() -> Vec<Case> {
    let groups = [
        arcs::cases(),
        codes::cases(),
        vectors::cases(),
        messages::cases(),
        guest::cases(),
        uapi::cases(),
        beyond::cases(),
        later::cases(),
    ];
    groups.into_iter().flatten().collect()
}

/// A's stream from a fresh source, in the device's own format.
fn full(script: &Script<'_>) -> Result<Vec<u8>, Stop> {
    script.source()?.full()
}

/// A stream with A's queues, in the format of the device under test.
fn stream_like(side: &Side<'_>) -> Result<Vec<u8>, Stop> {
    let queues: Vec<_> = matrix_a().queues().map(|apqn| (apqn, CCA8)).collect();
    Ok(stream(side.format()?, &queues, matrix_a().control_domains))
}

/// A stream of RESUMING on a device, and what the only write of it answers.
fn offer(side: &Side<'_>, bytes: &[u8]) -> Result<(StreamId, Answer<usize>), Stop> {
    let stream = side.open_stream(RESUMING)?;
    let answer = side.write(stream, bytes)?;
    Ok((stream, answer))
}

/// Writes in pieces; the answer of the first piece that is refused, else the sum.
fn write_pieces(side: &Side<'_>, stream: StreamId, pieces: &[&[u8]]) -> Result<Answer<usize>, Stop> {
    let mut sum = 0;
    for piece in pieces {
        match side.write(stream, piece)? {
            Answer::Done(written) => sum += written,
            refused => return Ok(refused),
        }
    }
    Ok(Answer::Done(sum))
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_cases_have_one_name() {
        let cases = super::all();
        let names: std::collections::BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), cases.len());
    }
}
