// SPDX-License-Identifier: MIT OR Apache-2.0
//! The requests of the control protocol, answered by a real driver: the device by the verbs of its uAPI, the host by
//! its sysfs and its log, the hardware by its owner.

use std::cell::RefCell;

use ap_arch::{HwInfo, ResponseCode};
use serde::Serialize;
use serde_json::Value;
use vfio_ap::change_machine;
use vfio_ap::control::{
    DataReply, Empty, HexBytes, HostReply, LogReply, MAX_READ, MdevReply, PROTOCOL_VERSION, Request, SetStateReply,
    SizeReply, StateReply, ValueReply, WriteReply,
};
use vfio_linux::{Hardware as _, LinuxHost};
use vfio_mig::{DeviceError, DeviceState, Errno, HostControl, MigrationDevice, QueueAnswer, StreamId};

use super::hardware::LabHardware;
use crate::protocol::control::ControlError;

/// Whom requests are for.
pub(super) struct Answering<'a> {
    pub(super) host: &'a LinuxHost,
    pub(super) hardware: &'a LabHardware,
    /// The host's name.
    pub(super) name: &'a str,
    /// The mediated device of the guest in a QEMU of its own.
    pub(super) guest: &'a str,
    /// All devices, that one first.
    pub(super) mdevs: &'a [String],
    pub(super) streams: &'a Streams,
}

/// The streams of the devices, by the order in which they were opened, the first is 1: as the model counts them. The
/// LPAR gives a file number again once it is free.
#[derive(Default)]
pub(super) struct Streams(RefCell<Vec<Option<StreamId>>>);

impl Streams {
    fn opened(&self, stream: StreamId) -> StreamId {
        let mut streams = self.0.borrow_mut();
        streams.push(Some(stream));
        StreamId(streams.len() as u64)
    }

    fn find(&self, number: StreamId) -> Result<StreamId, DeviceError> {
        let found = place(number).and_then(|place| *self.0.borrow().get(place)?);
        found.ok_or_else(|| DeviceError::refused(Errno::EBADF, format!("no stream {} is open", number.0)))
    }

    fn closed(&self, number: StreamId) {
        let mut streams = self.0.borrow_mut();
        if let Some(stream) = place(number).and_then(|place| streams.get_mut(place)) {
            *stream = None;
        }
    }

    /// The device is another one's from now on.
    pub(super) fn forget(&self) {
        self.0.borrow_mut().clear();
    }
}

fn place(number: StreamId) -> Option<usize> {
    usize::try_from(number.0).ok()?.checked_sub(1)
}

/// Has the AP bus look at what there is; returns when it has.
pub(super) const SCANS: &str = "/sys/bus/ap/scans";

/// Whether a request is one that the model alone answers: a driver has no such switch, and nobody sees such a thing of
/// it.
pub(super) const fn is_the_models(request: &Request) -> bool {
    matches!(
        request,
        Request::MemoryShortage { .. }
            | Request::SecureExecution { .. }
            | Request::PoisonSet { .. }
            | Request::DefectSet { .. }
            | Request::QueryDefects {}
            | Request::QueryQueues {}
            | Request::QueryTrace { .. }
            | Request::QueryCounters {}
            | Request::HostCreate { .. }
            | Request::TimePass { .. }
            | Request::DeviceOpen { guest: Some(_), .. }
    )
}

impl Answering<'_> {
    /// Answers one request.
    pub(super) fn answer(&self, request: Request) -> Result<Value, ControlError> {
        if is_the_models(&request) {
            return Err(ControlError::Refused("a real driver has no such request".to_owned()));
        }
        self.carry_out(request).map_err(|error| match error {
            DeviceError::Refused { errno, detail } => ControlError::Errno { errno, desc: detail },
            DeviceError::Transport(reason) | DeviceError::Hung(reason) => ControlError::Lpar(reason),
        })
    }

    fn device(&self, mdev: Option<&str>) -> Box<dyn MigrationDevice + '_> {
        self.host.device(mdev.unwrap_or(self.guest))
    }

    fn carry_out(&self, request: Request) -> Result<Value, DeviceError> {
        let device = |mdev: Option<String>| self.device(mdev.as_deref());
        match request {
            Request::MigrationSetState { state, mdev } => {
                let device = device(mdev);
                let stream = device.set_state(state)?.map(|stream| self.streams.opened(stream));
                reply(SetStateReply { state: device.state()?, stream })
            }
            Request::MigrationGetState { mdev } => reply(StateReply { state: device(mdev).state()? }),
            Request::MigrationDataSize { mdev } => reply(SizeReply { size: device(mdev).data_size()? }),
            Request::MigrationRead { stream, length, offset, fault_at } => {
                let length = usize::try_from(length).unwrap_or(MAX_READ).min(MAX_READ);
                let (device, stream) = (device(None), self.streams.find(stream)?);
                let data = match (offset, fault_at) {
                    (Some(offset), _) => device.read_at(stream, offset, length)?,
                    (None, Some(valid)) => device.read_faulting(stream, length, bytes(valid))?,
                    (None, None) => device.read(stream, length)?,
                };
                reply(DataReply { data: HexBytes(data) })
            }
            Request::MigrationWrite { stream, data: HexBytes(data), offset, fault_at } => {
                let (device, stream) = (device(None), self.streams.find(stream)?);
                let written = match (offset, fault_at) {
                    (Some(offset), _) => device.write_at(stream, offset, &data)?,
                    (None, Some(valid)) => device.write_faulting(stream, &data, bytes(valid))?,
                    (None, None) => device.write(stream, &data)?,
                };
                reply(WriteReply { written: written as u64 })
            }
            Request::MigrationClose { stream } => {
                device(None).close(self.streams.find(stream)?)?;
                self.streams.closed(stream);
                reply(Empty {})
            }
            Request::DeviceReset { mdev } => done(device(mdev).reset()),
            Request::DeviceOpen { mdev, .. } => done(device(mdev).open()),
            Request::DeviceClose { mdev } => done(device(mdev).close_device()),
            Request::SysfsRead { path } => reply(ValueReply { value: self.host.sysfs_read(&path)? }),
            Request::SysfsWrite { path, value } => done(self.host.sysfs_write(&path, &value)),
            Request::QueueAnswer { queue, response, asynchronous, hw_info } => {
                let answer = response.map(|code| QueueAnswer {
                    response: ResponseCode(code),
                    asynchronous,
                    hw_info: hw_info.map(|info| HwInfo(info.0)),
                });
                done(self.hardware.set_queue_answer(queue.0, answer))
            }
            Request::QueueResetFails { queue, on } => done(self.hardware.fail_resets(queue.0, on)),
            Request::QueryHost {} => reply(self.describe()?),
            Request::QueryLog { since } => {
                let lines = self.host.log(0)?;
                let next = lines.len() as u64;
                reply(LogReply {
                    lines: lines.into_iter().filter(|line| line.number >= since).collect(),
                    next,
                    lost: 0,
                })
            }
            Request::GuestMemory { mdev, address, length } => {
                let data = self.host.guest_memory(&mdev, address.0, length)?;
                reply(DataReply { data: HexBytes(data) })
            }
            Request::GuestExecute { mdev, instruction } => {
                self.hardware.give(&mdev, &self.host.guest_masks(&mdev)?)?;
                reply(self.hardware.execute(&mdev, &instruction)?)
            }
            request => self.change_machine(&request),
        }
    }

    /// There are no events by which the machine tells the kernel that it has changed, so the bus is made to look.
    fn change_machine(&self, request: &Request) -> Result<Value, DeviceError> {
        let unknown = || Err(DeviceError::Transport("a request that nobody carries out".to_owned()));
        change_machine(self.hardware.machine(), request).unwrap_or_else(unknown)?;
        done(self.host.sysfs_write(SCANS, "1"))
    }

    fn describe(&self) -> Result<HostReply, DeviceError> {
        let describe = |uuid: &String| {
            let guest = self.host.guest_masks(uuid)?;
            let config = self.host.sysfs_read(&format!("/sys/devices/vfio_ap/matrix/{uuid}/ap_config"))?;
            let mut masks = config.trim_end().split(',').map(str::to_owned);
            let mut mask = || masks.next().unwrap_or_default();
            // A driver that does not migrate has no state but one.
            let state = self.device(Some(uuid)).state().unwrap_or(DeviceState::RUNNING);
            Ok(MdevReply {
                uuid: uuid.clone(),
                open: self.host.is_open(uuid),
                state,
                adapters: mask(),
                domains: mask(),
                control_domains: mask(),
                guest_adapters: guest.adapters.to_string(),
                guest_domains: guest.domains.to_string(),
                guest_control_domains: guest.control_domains.to_string(),
            })
        };
        let mdevs = self.mdevs.iter().map(describe).collect::<Result<_, DeviceError>>()?;
        Ok(HostReply { name: self.name.to_owned(), version: PROTOCOL_VERSION, mdevs, defects: Vec::new() })
    }
}

fn bytes(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn done(result: Result<(), DeviceError>) -> Result<Value, DeviceError> {
    result.and_then(|()| reply(Empty {}))
}

fn reply(answer: impl Serialize) -> Result<Value, DeviceError> {
    serde_json::to_value(answer).map_err(|error| DeviceError::Transport(error.to_string()))
}
