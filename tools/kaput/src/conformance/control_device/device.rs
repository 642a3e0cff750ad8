// SPDX-License-Identifier: MIT OR Apache-2.0
//! The migration verbs, by requests.

use vfio_ap::control::{DataReply, HexBytes, Request, SetStateReply, SizeReply, StateReply, WriteReply};
use vfio_mig::{Capabilities, Capability, DeviceError, DeviceState, MigrationDevice, StreamId};

use super::connection::Link;

pub(super) struct RemoteDevice<'a> {
    pub(super) link: &'a Link,
    pub(super) mdev: String,
}

impl RemoteDevice<'_> {
    fn mdev(&self) -> Option<String> {
        Some(self.mdev.clone())
    }

    fn do_read(
        &self,
        stream: StreamId,
        length: usize,
        offset: Option<u64>,
        valid: Option<usize>,
    ) -> Result<Vec<u8>, DeviceError> {
        let fault_at = valid.map(|valid| valid as u64);
        let request = Request::MigrationRead { stream, length: length as u64, offset, fault_at };
        self.link.call(request).map(|reply: DataReply| reply.data.0)
    }

    fn do_write(
        &self,
        stream: StreamId,
        data: &[u8],
        offset: Option<u64>,
        valid: Option<usize>,
    ) -> Result<usize, DeviceError> {
        let (data, fault_at) = (HexBytes(data.to_vec()), valid.map(|valid| valid as u64));
        let reply: WriteReply = self.link.call(Request::MigrationWrite { stream, data, offset, fault_at })?;
        Ok(usize::try_from(reply.written).unwrap_or(usize::MAX))
    }
}

impl MigrationDevice for RemoteDevice<'_> {
    fn capabilities(&self) -> Capabilities {
        let not_offered = [Capability::GuestMasks, Capability::TwoAtOnce, Capability::ParkedCalls];
        not_offered.into_iter().fold(Capabilities::all(), Capabilities::without)
    }

    fn set_state(&self, state: DeviceState) -> Result<Option<StreamId>, DeviceError> {
        let request = Request::MigrationSetState { state, mdev: self.mdev() };
        self.link.call(request).map(|reply: SetStateReply| reply.stream)
    }

    fn state(&self) -> Result<DeviceState, DeviceError> {
        self.link.call(Request::MigrationGetState { mdev: self.mdev() }).map(|reply: StateReply| reply.state)
    }

    fn data_size(&self) -> Result<u64, DeviceError> {
        self.link.call(Request::MigrationDataSize { mdev: self.mdev() }).map(|reply: SizeReply| reply.size)
    }

    fn read(&self, stream: StreamId, length: usize) -> Result<Vec<u8>, DeviceError> {
        self.do_read(stream, length, None, None)
    }

    fn write(&self, stream: StreamId, data: &[u8]) -> Result<usize, DeviceError> {
        self.do_write(stream, data, None, None)
    }

    fn close(&self, stream: StreamId) -> Result<(), DeviceError> {
        self.link.order(Request::MigrationClose { stream })
    }

    fn reset(&self) -> Result<(), DeviceError> {
        self.link.order(Request::DeviceReset { mdev: self.mdev() })
    }

    fn read_at(&self, stream: StreamId, offset: u64, length: usize) -> Result<Vec<u8>, DeviceError> {
        self.do_read(stream, length, Some(offset), None)
    }

    fn write_at(&self, stream: StreamId, offset: u64, data: &[u8]) -> Result<usize, DeviceError> {
        self.do_write(stream, data, Some(offset), None)
    }

    fn read_faulting(&self, stream: StreamId, length: usize, valid: usize) -> Result<Vec<u8>, DeviceError> {
        self.do_read(stream, length, None, Some(valid))
    }

    fn write_faulting(&self, stream: StreamId, data: &[u8], valid: usize) -> Result<usize, DeviceError> {
        self.do_write(stream, data, None, Some(valid))
    }

    fn open(&self) -> Result<(), DeviceError> {
        self.link.order(Request::DeviceOpen { mdev: self.mdev(), guest: None })
    }

    fn close_device(&self) -> Result<(), DeviceError> {
        self.link.order(Request::DeviceClose { mdev: self.mdev() })
    }
}
