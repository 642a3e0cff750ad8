// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random sequences of the uAPI's verbs against a state machine small enough to be read: what it says of state, error
//! and data must be what the device does.

use proptest::prelude::*;
use vfio_mig::{DeviceState, Errno, StreamId};

use crate::tests::fixture::*;

/// The tables of vfio-ap migration spec 2.2 to 2.4 and 4, for one device that is open.
#[derive(Debug)]
struct Reference {
    state: DeviceState,
    /// Position in the stream of STOP_COPY.
    read: usize,
    /// Position in the stream of RESUMING, or the error that latched.
    written: Result<usize, Errno>,
    length: usize,
}

#[derive(Clone, Debug)]
enum Verb {
    Set(u32),
    Read(usize),
    /// The next this many bytes of a good stream.
    Write(usize),
    Reset,
    VcpuResumed,
    /// On the stream of a session that is over.
    StaleRead,
    StaleWrite,
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        6 => (0u32..8).prop_map(Verb::Set),
        3 => (0usize..150).prop_map(Verb::Read),
        4 => prop_oneof![Just(112usize), 0usize..150].prop_map(Verb::Write),
        1 => Just(Verb::Reset),
        1 => Just(Verb::VcpuResumed),
        1 => Just(Verb::StaleRead),
        1 => Just(Verb::StaleWrite),
    ]
}

impl Reference {
    fn new(length: usize) -> Self {
        Self { state: DeviceState::RUNNING, read: 0, written: Ok(0), length }
    }

    /// Whether a stream is opened.
    fn set(&mut self, target: DeviceState) -> Result<bool, Errno> {
        let known = (1..=4).contains(&target.0);
        if !known || self.state == DeviceState::ERROR {
            return Err(Errno::EINVAL);
        }
        if target == self.state {
            return Ok(false);
        }
        if self.state == DeviceState::RESUMING {
            let complete = self.written.and_then(|n| if n == self.length { Ok(()) } else { Err(Errno::EINVAL) });
            if let Err(errno) = complete {
                self.state = DeviceState::ERROR;
                return Err(errno);
            }
        }
        self.state = target;
        (self.read, self.written) = (0, Ok(0));
        Ok(target == DeviceState::STOP_COPY || target == DeviceState::RESUMING)
    }

    fn read(&mut self, count: usize) -> usize {
        let piece = count.min(self.length - self.read);
        self.read += piece;
        piece
    }

    fn write(&mut self, count: usize) -> Result<usize, Errno> {
        let position = self.written?;
        if position + count > self.length {
            self.written = Err(Errno::EIO);
            return Err(Errno::EIO);
        }
        self.written = Ok(position + count);
        Ok(count)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_sequence_of_verbs_goes_as_the_tables_say(verbs in proptest::collection::vec(verb(), 1..40)) {
        let host = host();
        let full = host.full();
        let mut reference = Reference::new(full.len());
        let (mut reading, mut writing): (Option<StreamId>, Option<StreamId>) = (None, None);
        let (mut old_reading, mut old_writing): (Option<StreamId>, Option<StreamId>) = (None, None);
        for verb in verbs {
            match verb {
                Verb::Set(target) => {
                    let expected = reference.set(DeviceState(target));
                    let seen = host.go(DeviceState(target));
                    prop_assert_eq!(seen.map(|stream| stream.is_some()), expected, "{:?}", verb);
                    if reference.state != DeviceState::STOP_COPY { old_reading = reading.take().or(old_reading) }
                    if reference.state != DeviceState::RESUMING { old_writing = writing.take().or(old_writing) }
                    if let Ok(Some(stream)) = seen {
                        if reference.state == DeviceState::STOP_COPY {
                            reading = Some(stream)
                        } else {
                            writing = Some(stream)
                        }
                    }
                }
                Verb::Read(count) => if let Some(stream) = reading {
                    let at = reference.read;
                    let piece = reference.read(count);
                    prop_assert_eq!(host.r(stream, count).unwrap(), &full[at..at + piece]);
                },
                Verb::Write(count) => if let Some(stream) = writing {
                    let at = reference.written.unwrap_or_default();
                    let mut bytes = full[at..].to_vec();
                    bytes.resize(count, 0);
                    prop_assert_eq!(host.w(stream, &bytes), reference.write(count));
                },
                Verb::Reset => {
                    prop_assert_eq!(host.device_reset(), Ok(()));
                    reference = Reference::new(full.len());
                    old_reading = reading.take().or(old_reading);
                    old_writing = writing.take().or(old_writing);
                }
                Verb::VcpuResumed => {
                    host.vcpu_resumed();
                    if [DeviceState::STOP, DeviceState::STOP_COPY].contains(&reference.state) {
                        reference.state = DeviceState::RUNNING;
                        old_reading = reading.take().or(old_reading);
                    }
                }
                Verb::StaleRead => if let Some(stream) = old_reading {
                    prop_assert_eq!(host.r(stream, 16), Err(Errno::EINVAL));
                },
                Verb::StaleWrite => if let Some(stream) = old_writing {
                    prop_assert_eq!(host.w(stream, &full), Err(Errno::ENXIO));
                },
            }
            prop_assert_eq!(host.now(), reference.state);
            prop_assert_eq!(host.guest_of(A), matrix_a());
        }
    }
}
