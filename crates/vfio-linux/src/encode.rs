// SPDX-License-Identifier: MIT OR Apache-2.0
//! A verb as a system call, and its result as the verb's answer.

use vfio_mig::{Answered, DeviceError, Errno, StreamId, Verb};

use crate::uapi::{self, feature};
use crate::{Fd, SystemCalls, number};

/// A call whose arguments stand in the memory there.
pub(crate) struct Encoded {
    pub(crate) number: u64,
    pub(crate) arguments: [u64; 6],
    /// Where the buffer or the structure is.
    at: u64,
}

/// Bytes of memory that a verb's call needs.
pub(crate) fn size_of(verb: &Verb) -> usize {
    match verb {
        Verb::SetState(_) | Verb::State | Verb::DataSize => feature::SIZE,
        Verb::Read(_, length) => *length,
        Verb::Write(_, bytes) => bytes.len(),
        Verb::Close(_) | Verb::Reset | Verb::CloseDevice => 0,
    }
}

impl Encoded {
    /// The call of a verb, `fd` being the device's file, with memory at an address. Of what it copies from there only
    /// so many bytes are put there.
    pub(crate) fn new(
        calls: &dyn SystemCalls,
        verb: &Verb,
        fd: Option<Fd>,
        at: u64,
        there: usize,
    ) -> Result<Self, DeviceError> {
        let device = || fd.map(|fd| u64::from(fd.0)).ok_or(Errno::EBADF);
        let feature = |structure: Vec<u8>| -> Result<_, DeviceError> {
            calls.poke(at, &structure)?;
            Ok((number::IOCTL, [device()?, uapi::VFIO_DEVICE_FEATURE, at, 0, 0, 0]))
        };
        let (number, arguments) = match verb {
            Verb::SetState(state) => feature(feature::set_state(*state))?,
            Verb::State => feature(feature::get_state())?,
            Verb::DataSize => feature(feature::data_size())?,
            Verb::Reset => (number::IOCTL, [device()?, uapi::VFIO_DEVICE_RESET, 0, 0, 0, 0]),
            Verb::CloseDevice => (number::CLOSE, [device()?, 0, 0, 0, 0, 0]),
            Verb::Close(stream) => (number::CLOSE, [stream_file(*stream)?.0.into(), 0, 0, 0, 0, 0]),
            Verb::Read(stream, length) => (number::READ, [stream_file(*stream)?.0.into(), at, *length as u64, 0, 0, 0]),
            Verb::Write(stream, bytes) => {
                calls.poke(at, &bytes[..there.min(bytes.len())])?;
                (number::WRITE, [stream_file(*stream)?.0.into(), at, bytes.len() as u64, 0, 0, 0])
            }
        };
        Ok(Self { number, arguments, at })
    }

    /// What the call's result says.
    pub(crate) fn answered(
        &self,
        calls: &dyn SystemCalls,
        verb: &Verb,
        result: Result<u64, DeviceError>,
    ) -> Result<Answered, DeviceError> {
        let value = usize::try_from(result?).unwrap_or(usize::MAX);
        let structure = || calls.peek(self.at, feature::SIZE);
        Ok(match verb {
            Verb::SetState(_) => {
                let stream = u64::try_from(feature::stream_of(&structure()?)).ok();
                Answered::Stream(stream.map(StreamId))
            }
            Verb::State => Answered::State(feature::state_of(&structure()?)),
            Verb::DataSize => Answered::Size(feature::size_of(&structure()?)),
            Verb::Read(_, length) if value > *length => {
                return Err(DeviceError::Transport(format!("a read of {length} bytes returned {value}")));
            }
            Verb::Read(..) => Answered::Bytes(calls.peek(self.at, value)?),
            Verb::Write(..) => Answered::Written(value),
            Verb::Close(_) | Verb::Reset | Verb::CloseDevice => Answered::Done,
        })
    }
}

/// The file of a stream.
pub(crate) fn stream_file(stream: StreamId) -> Result<Fd, DeviceError> {
    u32::try_from(stream.0).map(Fd).map_err(|_| Errno::EBADF.into())
}
