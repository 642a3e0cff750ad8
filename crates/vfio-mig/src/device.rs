// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verbs of the VFIO migration uAPI on one device.

use crate::{Answered, Capabilities, Capability, DeviceError, DeviceState, Parked, StreamId, Verb};

/// One device with the VFIO migration uAPI. Methods take `&self`: the uAPI may be used from several threads at once.
pub trait MigrationDevice {
    /// What can be asked of this device.
    fn capabilities(&self) -> Capabilities;

    /// Requests a state; the stream comes with STOP_COPY and RESUMING. vfio-ap migration spec 2.2.
    ///
    /// # Errors
    /// Those of vfio-ap migration spec 2.2 to 2.4 and 2.7; the state afterwards is what [`Self::state`] says.
    fn set_state(&self, state: DeviceState) -> Result<Option<StreamId>, DeviceError>;

    /// The present state. vfio-ap migration spec 2.3.
    ///
    /// # Errors
    /// None by the specification; a device without migration answers ENOTTY.
    fn state(&self) -> Result<DeviceState, DeviceError>;

    /// How many bytes a stream has, or would have. vfio-ap migration spec 3.4.
    ///
    /// # Errors
    /// None by the specification; a device without migration answers ENOTTY.
    fn data_size(&self) -> Result<u64, DeviceError>;

    /// Reads up to `length` bytes; an empty answer is the end. vfio-ap migration spec 4.2.
    ///
    /// # Errors
    /// Those of vfio-ap migration spec 4.4.
    fn read(&self, stream: StreamId, length: usize) -> Result<Vec<u8>, DeviceError>;

    /// Writes; returns how many bytes were taken. vfio-ap migration spec 4.3.
    ///
    /// # Errors
    /// Those of vfio-ap migration spec 4.4.
    fn write(&self, stream: StreamId, data: &[u8]) -> Result<usize, DeviceError>;

    /// Closes a stream, whatever its state.
    ///
    /// # Errors
    /// EBADF if there is no such stream.
    fn close(&self, stream: StreamId) -> Result<(), DeviceError>;

    /// VFIO_DEVICE_RESET. vfio-ap migration spec 2.6.
    ///
    /// # Errors
    /// That of the queue whose reset failed; then the migration state is as before.
    fn reset(&self) -> Result<(), DeviceError>;

    /// A read with an explicit offset. Needs [`Capability::PositionedIo`](crate::Capability::PositionedIo).
    ///
    /// # Errors
    /// ESPIPE from a stream.
    fn read_at(&self, stream: StreamId, offset: u64, length: usize) -> Result<Vec<u8>, DeviceError>;

    /// A write with an explicit offset. Needs [`Capability::PositionedIo`](crate::Capability::PositionedIo).
    ///
    /// # Errors
    /// ESPIPE from a stream.
    fn write_at(&self, stream: StreamId, offset: u64, data: &[u8]) -> Result<usize, DeviceError>;

    /// A read into a buffer that is mapped only up to `valid` bytes. Needs
    /// [`Capability::UserFaults`](crate::Capability::UserFaults).
    ///
    /// # Errors
    /// Those of [`Self::read`], and EFAULT for the fault.
    fn read_faulting(&self, stream: StreamId, length: usize, valid: usize) -> Result<Vec<u8>, DeviceError>;

    /// A write from a buffer that is mapped only up to `valid` bytes. Needs
    /// [`Capability::UserFaults`](crate::Capability::UserFaults).
    ///
    /// # Errors
    /// Those of [`Self::write`], and EIO for the fault.
    fn write_faulting(&self, stream: StreamId, data: &[u8], valid: usize) -> Result<usize, DeviceError>;

    /// Opens the device with its guest attached. Needs [`Capability::LifeCycle`](crate::Capability::LifeCycle).
    ///
    /// # Errors
    /// Those of vfio-ap migration spec 2.8.
    fn open(&self) -> Result<(), DeviceError>;

    /// Closes the device; open streams stay open and answer ENODEV. Needs
    /// [`Capability::LifeCycle`](crate::Capability::LifeCycle).
    ///
    /// # Errors
    /// ENODEV if it is not open.
    fn close_device(&self) -> Result<(), DeviceError>;

    /// Verbs that begin at the same moment, each on a thread of its own; the answer of each, in their order. Needs
    /// [`Capability::TwoAtOnce`](crate::Capability::TwoAtOnce).
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn together(&self, _verbs: &[Verb]) -> Result<Vec<Result<Answered, DeviceError>>, DeviceError> {
        Err(Capability::TwoAtOnce.lacking())
    }

    /// A verb that begins and is not waited for. Needs [`Capability::ParkedCalls`](crate::Capability::ParkedCalls).
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn begin(&self, _verb: &Verb) -> Result<Box<dyn Parked + '_>, DeviceError> {
        Err(Capability::ParkedCalls.lacking())
    }

    /// A read or write that waits where the driver copies byte `at` of the user's buffer, because that memory is not
    /// there yet. Needs [`Capability::ParkedCalls`](crate::Capability::ParkedCalls).
    ///
    /// # Errors
    /// [`DeviceError::Transport`], also for verbs that copy nothing.
    fn park(&self, _verb: &Verb, _at: usize) -> Result<Box<dyn Parked + '_>, DeviceError> {
        Err(Capability::ParkedCalls.lacking())
    }

    /// Carries a verb out that is data.
    ///
    /// # Errors
    /// Those of the verb.
    fn carry_out(&self, verb: &Verb) -> Result<Answered, DeviceError> {
        match verb {
            Verb::SetState(state) => self.set_state(*state).map(Answered::Stream),
            Verb::State => self.state().map(Answered::State),
            Verb::DataSize => self.data_size().map(Answered::Size),
            Verb::Read(stream, length) => self.read(*stream, *length).map(Answered::Bytes),
            Verb::Write(stream, bytes) => self.write(*stream, bytes).map(Answered::Written),
            Verb::Close(stream) => self.close(*stream).map(|()| Answered::Done),
            Verb::Reset => self.reset().map(|()| Answered::Done),
            Verb::CloseDevice => self.close_device().map(|()| Answered::Done),
        }
    }
}
