// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cases, by subject.

mod arcs;
mod beyond;
mod codes;
mod guest;
mod later;
mod messages;
pub mod races;
mod uapi;
mod vectors;

use ap_arch::{Apqn, HwInfo, Mask256};

use super::answer::{Answer, Show};
use super::case::Case;
use super::fixture::{CCA8, matrix_a, stream};
use super::record::Stop;
use super::script::Script;
use super::side::{Side, entries_of};
use crate::{DeviceState, StreamId};

const STOP: DeviceState = DeviceState::STOP;
const RUNNING: DeviceState = DeviceState::RUNNING;
const STOP_COPY: DeviceState = DeviceState::STOP_COPY;
const RESUMING: DeviceState = DeviceState::RESUMING;

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
        races::cases(),
    ];
    groups.into_iter().flatten().collect()
}

/// A's stream from a fresh source, in the device's own format.
fn full(script: &Script<'_>) -> Result<Vec<u8>, Stop> {
    script.source()?.full()
}

/// Hardware information as the device under test reads it: a stream made of it does not show what it does not read.
fn own_info(script: &Script<'_>) -> Result<HwInfo, Stop> {
    let bytes = full(script)?;
    Ok(entries_of(&bytes).first().map_or(CCA8, |(_, info)| *info))
}

/// A stream made by hand, in the format and with the hardware information of the device under test.
fn handmade(script: &Script<'_>, queues: &[Apqn], control_domains: Mask256) -> Result<Vec<u8>, Stop> {
    let info = own_info(script)?;
    let format = script.source()?.format()?;
    let queues: Vec<_> = queues.iter().map(|apqn| (*apqn, info)).collect();
    Ok(stream(format, &queues, control_domains))
}

/// A stream with A's queues, made by hand.
fn stream_like(script: &Script<'_>) -> Result<Vec<u8>, Stop> {
    handmade(script, &matrix_a().queues().collect::<Vec<_>>(), matrix_a().control_domains)
}

/// A read or write of a session that is over: what is specified, or any other error, but never success.
fn expect_stale<T: Show>(script: &Script<'_>, what: &str, answer: Answer<T>, right: &str) -> Result<(), Stop> {
    let seen = answer.to_string();
    let accepted = if answer.is_done() { [right] } else { [seen.as_str()] };
    script.expect(what, answer, right, &accepted)
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
