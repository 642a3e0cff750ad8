// SPDX-License-Identifier: MIT OR Apache-2.0
//! One mediated device by the verbs of the uAPI.

use vfio_mig::{
    Answered, Capabilities, Capability, DeviceError, DeviceState, Errno, MigrationDevice, Parked, StreamId, Verb,
};

use crate::block::u32_at;
use crate::encode::{Encoded, size_of, stream_file};
use crate::mdev::Mdev;
use crate::memory::{Edge, PAGE};
use crate::park::ParkedCall;
use crate::vm::Vm;
use crate::{Fd, Linux, attach, number, uapi};

/// What every real device can be asked.
const ALWAYS: [Capability; 4] =
    [Capability::PositionedIo, Capability::UserFaults, Capability::LifeCycle, Capability::TwoAtOnce];

pub(crate) struct LinuxDevice<'h> {
    pub(crate) linux: &'h Linux,
    /// `None`: there is no such device.
    pub(crate) mdev: Option<&'h Mdev>,
    pub(crate) capabilities: Capabilities,
}

/// What the devices of a host can be asked, whose driver migrates or not, and whose kernel tells of faults or not.
pub(crate) fn capabilities(migrates: bool, parks: bool) -> Capabilities {
    let migrates = migrates.then_some(Capability::Migration);
    let parks = parks.then_some(Capability::ParkedCalls);
    ALWAYS.into_iter().chain(migrates).chain(parks).collect()
}

/// The device's file for one call.
struct File {
    fd: Fd,
    /// It was opened for this call only.
    is_passing: bool,
}

impl LinuxDevice<'_> {
    fn mdev(&self) -> Result<&Mdev, DeviceError> {
        self.mdev.ok_or_else(|| Errno::ENODEV.into())
    }

    fn note(&self, verb: &Verb, answer: &Result<Answered, DeviceError>) {
        if let Some(mdev) = self.mdev {
            mdev.note(verb, answer);
        }
    }

    /// The device's file. Of a device that is not open it is one that is bound to nothing, which is as far as anybody
    /// gets: VFIO itself answers then.
    fn file(&self) -> Result<File, DeviceError> {
        let mdev = self.mdev()?;
        if let Some(attached) = &*mdev.attached() {
            return Ok(File { fd: attached.device, is_passing: false });
        }
        let linux = self.linux;
        let path = attach::device_file(linux, &mdev.folder).map_err(|_| {
            DeviceError::refused(Errno::EINVAL, "without a file of the device nobody gets to the driver")
        })?;
        linux.open(&path, number::O_RDWR).map(|fd| File { fd, is_passing: true })
    }

    /// Makes the call of a verb with its buffer at an address, of which only so many bytes are there.
    fn encode(&self, verb: &Verb, fd: Option<Fd>, at: u64, there: usize) -> Result<Encoded, DeviceError> {
        Encoded::new(&*self.linux.calls, verb, fd, at, there)
    }

    /// Opens the device with this VM attached.
    pub(crate) fn open_for(&self, vm: &Vm) -> Result<(), DeviceError> {
        let mdev = self.mdev()?;
        let mut attached = mdev.attached();
        if attached.is_some() {
            return Err(Errno::EBUSY.into());
        }
        *attached = Some(attach::open(self.linux, &mdev.folder, vm)?);
        Ok(())
    }

    /// What VFIO_DEVICE_GET_INFO says: flags, and how many regions and interruptions there are.
    pub(crate) fn info(&self) -> Result<[u32; 3], DeviceError> {
        let file = self.file()?;
        let info = self.linux.control_with(file.fd, uapi::VFIO_DEVICE_GET_INFO, &uapi::device_info());
        if file.is_passing {
            self.linux.close(file.fd)?;
        }
        info.map(|info| [4, 8, 12].map(|at| u32_at(&info, at)))
    }

    fn ask(&self, verb: &Verb) -> Result<Answered, DeviceError> {
        let linux = self.linux;
        let file = if is_of_stream(verb) { None } else { Some(self.file()?) };
        let answer = {
            let mut scratch = linux.scratch();
            let place = scratch.room(&*linux.calls, size_of(verb))?;
            let encoded = self.encode(verb, file.as_ref().map(|file| file.fd), place.buffer, usize::MAX)?;
            let result = linux.call(encoded.number, encoded.arguments);
            encoded.answered(&*linux.calls, verb, result)
        };
        if let Some(File { fd, is_passing: true }) = file {
            linux.close(fd)?;
        }
        self.note(verb, &answer);
        answer
    }

    /// A read or write whose buffer is there only up to `there` bytes.
    fn ask_faulting(&self, verb: &Verb, there: usize) -> Result<Answered, DeviceError> {
        let linux = self.linux;
        let place = Edge::new(&*linux.calls, there, size_of(verb))?;
        let behind = usize::try_from(place.edge - place.region).unwrap_or(0);
        linux.unmap(place.edge, place.length - behind)?;
        let encoded = self.encode(verb, None, place.buffer, there)?;
        let result = linux.call(encoded.number, encoded.arguments);
        let answer = encoded.answered(&*linux.calls, verb, result);
        if behind > 0 {
            linux.unmap(place.region, behind)?;
        }
        answer
    }
}

fn is_of_stream(verb: &Verb) -> bool {
    matches!(verb, Verb::Read(..) | Verb::Write(..) | Verb::Close(_))
}

/// An answer of another kind than the verb has.
fn unexpected<T>(_: Answered) -> Result<T, DeviceError> {
    Err(DeviceError::Transport("an answer to another verb".to_owned()))
}

impl MigrationDevice for LinuxDevice<'_> {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn set_state(&self, state: DeviceState) -> Result<Option<StreamId>, DeviceError> {
        match self.ask(&Verb::SetState(state))? {
            Answered::Stream(stream) => Ok(stream),
            other => unexpected(other),
        }
    }

    fn state(&self) -> Result<DeviceState, DeviceError> {
        match self.ask(&Verb::State)? {
            Answered::State(state) => Ok(state),
            other => unexpected(other),
        }
    }

    fn data_size(&self) -> Result<u64, DeviceError> {
        match self.ask(&Verb::DataSize)? {
            Answered::Size(size) => Ok(size),
            other => unexpected(other),
        }
    }

    fn read(&self, stream: StreamId, length: usize) -> Result<Vec<u8>, DeviceError> {
        match self.ask(&Verb::Read(stream, length))? {
            Answered::Bytes(bytes) => Ok(bytes),
            other => unexpected(other),
        }
    }

    fn write(&self, stream: StreamId, data: &[u8]) -> Result<usize, DeviceError> {
        match self.ask(&Verb::Write(stream, data.to_vec()))? {
            Answered::Written(count) => Ok(count),
            other => unexpected(other),
        }
    }

    fn close(&self, stream: StreamId) -> Result<(), DeviceError> {
        self.ask(&Verb::Close(stream)).map(drop)
    }

    fn reset(&self) -> Result<(), DeviceError> {
        self.ask(&Verb::Reset).map(drop)
    }

    fn read_at(&self, stream: StreamId, offset: u64, length: usize) -> Result<Vec<u8>, DeviceError> {
        self.linux.read_at(stream_file(stream)?, offset, length)
    }

    fn write_at(&self, stream: StreamId, offset: u64, data: &[u8]) -> Result<usize, DeviceError> {
        self.linux.write_at(stream_file(stream)?, offset, data)
    }

    fn read_faulting(&self, stream: StreamId, length: usize, valid: usize) -> Result<Vec<u8>, DeviceError> {
        match self.ask_faulting(&Verb::Read(stream, length), valid)? {
            Answered::Bytes(bytes) => Ok(bytes),
            other => unexpected(other),
        }
    }

    fn write_faulting(&self, stream: StreamId, data: &[u8], valid: usize) -> Result<usize, DeviceError> {
        match self.ask_faulting(&Verb::Write(stream, data.to_vec()), valid)? {
            Answered::Written(count) => Ok(count),
            other => unexpected(other),
        }
    }

    fn open(&self) -> Result<(), DeviceError> {
        self.open_for(&self.mdev()?.vm)
    }

    fn close_device(&self) -> Result<(), DeviceError> {
        let mdev = self.mdev()?;
        let attached = mdev.attached().take().ok_or(Errno::ENODEV)?;
        attached.close(self.linux)
    }

    fn together(&self, verbs: &[Verb]) -> Result<Vec<Result<Answered, DeviceError>>, DeviceError> {
        let linux = self.linux;
        let file = self.file()?;
        // Of a device that is closed meanwhile, what belongs to it is closed before and after.
        let closes = verbs.contains(&Verb::CloseDevice);
        if closes && file.is_passing {
            linux.close(file.fd)?;
            return Err(Errno::ENODEV.into());
        }
        let closing = if closes { self.mdev()?.attached().take() } else { None };
        if let Some(attached) = &closing {
            attached.leave(linux)?;
        }
        let rooms: Vec<usize> = verbs.iter().map(|verb| size_of(verb).max(1).next_multiple_of(PAGE)).collect();
        let region = linux.calls.map(rooms.iter().sum())?;
        let (mut calls, mut at) = (Vec::new(), region);
        for (verb, room) in verbs.iter().zip(&rooms) {
            let thread = linux.take_thread();
            let encoded = self.encode(verb, Some(file.fd), at, usize::MAX)?;
            linux.calls.call(thread, encoded.number, encoded.arguments)?;
            calls.push((thread, verb, encoded));
            at += *room as u64;
        }
        linux.calls.start(&calls.iter().map(|(thread, ..)| *thread).collect::<Vec<_>>())?;
        let mut answers = Vec::new();
        for (thread, verb, encoded) in calls {
            let result = linux.finish(thread, encoded.number);
            if result.is_ok() {
                linux.give_thread(thread);
            }
            let result = result.and_then(crate::linux::returned);
            let answer = encoded.answered(&*linux.calls, verb, result);
            self.note(verb, &answer);
            answers.push(answer);
        }
        if let Some(attached) = closing {
            attached.close_others(linux)?;
        } else if file.is_passing {
            linux.close(file.fd)?;
        }
        let is_hung = |answer: &Result<_, _>| matches!(answer, Err(DeviceError::Hung(_)));
        if !answers.iter().any(is_hung) {
            linux.unmap(region, rooms.iter().sum())?;
        }
        Ok(answers)
    }

    fn begin(&self, verb: &Verb) -> Result<Box<dyn Parked + '_>, DeviceError> {
        if *verb == Verb::CloseDevice {
            let reason = "a device is closed together with what belongs to it, so nothing can be done meanwhile";
            return Err(DeviceError::refused(Errno::EINVAL, reason));
        }
        let file = if is_of_stream(verb) { None } else { Some(self.file()?) };
        if let Some(File { fd, is_passing: true }) = file {
            self.linux.close(fd)?;
            return Err(Errno::ENODEV.into());
        }
        Ok(Box::new(ParkedCall::begin(self.linux, verb, file.map(|file| file.fd))?))
    }

    fn park(&self, verb: &Verb, at: usize) -> Result<Box<dyn Parked + '_>, DeviceError> {
        Ok(Box::new(ParkedCall::new(self.linux, verb, at)?))
    }
}
