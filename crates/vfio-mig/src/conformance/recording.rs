// SPDX-License-Identifier: MIT OR Apache-2.0
//! A case that a driver fails, as a sequence of calls on its device A: what a program is made from that does the same.
//! Only the host counts on which the case was decided. What comes before it made the stream, which is the device's own.

use ap_arch::Matrix;

use super::fixture::HostSetup;
use crate::sequence::{Act, Action, Sequence, Step};
use crate::{DeviceState, StreamId};

/// Where the attributes of device A are.
const FOLDER: &str = "/sys/devices/vfio_ap/matrix/a/";

/// What a case did until it was decided.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Its calls. Those that only read the device's stream to have it are left out.
    pub sequence: Sequence,
    /// What the device has assigned before.
    pub assigned: Matrix,
    /// What it did besides, and no sequence can.
    pub outside: Vec<String>,
    /// What the last of the calls answered, as records of cases say it.
    pub answer: String,
    /// What was asked.
    pub asked: String,
    /// What should have been seen.
    pub expected: String,
    /// What was seen.
    pub seen: String,
}

/// Makes a recording of what a case does.
pub(super) struct Recorder {
    /// The device's own stream, with what the case wrote into it.
    bytes: Vec<u8>,
    stream: Option<StreamId>,
    written: usize,
    recording: Recording,
}

impl Recorder {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, stream: None, written: 0, recording: Recording::default() }
    }

    /// A fresh host: what was done to others does not count for it.
    pub(super) fn host(&mut self, setup: &HostSetup) {
        let assigned = setup.mdevs.first().map(|mdev| mdev.matrix).unwrap_or_default();
        let usual = HostSetup { format: setup.format, ..HostSetup::source() }.assigned(assigned);
        self.recording = Recording { assigned, ..Recording::default() };
        if *setup != usual {
            self.outside("a host of another kind");
        }
    }

    pub(super) fn outside(&mut self, what: &str) {
        self.recording.outside.push(what.to_owned());
    }

    fn step(&mut self, action: Action) {
        self.recording.sequence.0.push(Step { device: None, action });
    }

    pub(super) fn act(&mut self, act: Act) {
        self.step(Action::Plain(act));
    }

    /// An attribute was written, by its path on the host.
    pub(super) fn echo(&mut self, value: &str, path: &str) {
        let path = path.strip_prefix(FOLDER).map_or_else(|| path.to_owned(), |attribute| format!("@/{attribute}"));
        self.act(Act::Echo { value: value.to_owned(), path });
    }

    /// A call of the stream that came last; sequences know no other.
    pub(super) fn of_stream(&mut self, stream: StreamId, act: Act) {
        if self.stream == Some(stream) { self.act(act) } else { self.outside("a call of an older stream") }
    }

    pub(super) fn write(&mut self, stream: StreamId, data: &[u8]) {
        let (from, to) = (self.written, self.written + data.len());
        if self.bytes.len() < to {
            self.bytes.resize(to, 0);
        }
        let differs = |at: &usize| self.bytes[from + at] != data[*at];
        let (first, last) = ((0..data.len()).find(differs), (0..data.len()).rfind(differs));
        if let (Some(first), Some(last)) = (first, last) {
            let other = &data[first..=last];
            self.bytes[from + first..=from + last].copy_from_slice(other);
            self.step(Action::Patch(from + first, other.to_vec()));
        }
        self.written = to;
        self.of_stream(stream, Act::Write(Some(from..to)));
    }

    /// What the last call answered.
    pub(super) fn answer(&mut self, answer: &str) {
        answer.clone_into(&mut self.recording.answer);
    }

    /// A stream came with a state.
    pub(super) const fn opened(&mut self, stream: StreamId) {
        (self.stream, self.written) = (Some(stream), 0);
    }

    pub(super) fn finish(mut self) -> Recording {
        without_looks(&mut self.recording.sequence.0);
        self.recording
    }
}

/// Takes out what only reads a stream to know it: from RUNNING and back.
fn without_looks(steps: &mut Vec<Step>) {
    let is = |step: &Step, act: &Act| matches!(&step.action, Action::Plain(done) if done == act);
    let mut at = 0;
    while at < steps.len() {
        let reads =
            steps[at + 1..].iter().take_while(|step| matches!(step.action, Action::Plain(Act::Read(_)))).count();
        let end = at + 1 + reads;
        let is_look = is(&steps[at], &Act::Set(DeviceState::STOP_COPY))
            && steps.get(end).is_some_and(|step| is(step, &Act::Close))
            && steps.get(end + 1).is_some_and(|step| is(step, &Act::Set(DeviceState::RUNNING)));
        if is_look {
            steps.drain(at..end + 2);
        } else {
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::matrix_a;
    use super::*;

    fn recorder() -> Recorder {
        let mut recorder = Recorder::new((0..80).collect());
        recorder.host(&HostSetup::destination());
        recorder
    }

    #[test]
    fn what_is_written_is_the_streams_own_and_what_differs_from_it() {
        let mut recorder = recorder();
        recorder.act(Act::Set(DeviceState::RESUMING));
        recorder.opened(StreamId(7));
        recorder.write(StreamId(7), &[0, 1, 2]);
        recorder.write(StreamId(7), &[3, 0xff, 5]);
        recorder.write(StreamId(6), &[6]);
        let recording = recorder.finish();
        assert_eq!(recording.sequence.to_string(), "set resuming\nwrite 0..3\npatch 4: ff\nwrite 3..6\n");
        assert_eq!(recording.outside, ["a call of an older stream"]);
        assert_eq!(recording.assigned, Matrix::EMPTY);
    }

    #[test]
    fn a_look_at_the_stream_and_what_was_done_to_other_hosts_are_left_out() {
        let mut recorder = recorder();
        recorder.act(Act::Reset);
        recorder.host(&HostSetup::source());
        let look = [Act::Set(DeviceState::STOP_COPY), Act::Read(9), Act::Close, Act::Set(DeviceState::RUNNING)];
        look.into_iter().for_each(|act| recorder.act(act));
        recorder.echo("5", "/sys/devices/vfio_ap/matrix/a/unassign_adapter");
        let recording = recorder.finish();
        assert_eq!(recording.sequence.to_string(), "echo 5 > @/unassign_adapter\n");
        assert_eq!((recording.assigned, recording.outside.len()), (matrix_a(), 0));
    }

    #[test]
    fn a_host_of_another_kind_is_named() {
        let mut recorder = recorder();
        recorder.host(&HostSetup { max_domain: 0x60, ..HostSetup::source() });
        assert_eq!(recorder.finish().outside, ["a host of another kind"]);
    }
}
