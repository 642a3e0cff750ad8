// SPDX-License-Identifier: MIT OR Apache-2.0
//! A host and its devices under test, by the requests of this protocol: the traits of `vfio-mig`, whoever answers. A
//! connection to another process does, and so does the model in this one.

use std::collections::BTreeMap;

use ap_arch::{Apid, Apqn, Matrix};
use serde::de::DeserializeOwned;
use vfio_mig::{
    AdapterFault, Answered, Capabilities, Capability, Complaint, DeviceError, DeviceState, GuestCall, GuestReply,
    HostControl, LogLine, MigrationDevice, Parked, QueueAnswer, StreamId, Verb,
};

use super::{
    Counters, DataReply, Empty, GuestInstruction, GuestState, Hex64, HexBytes, LogReply, QueueName, Request,
    SetStateReply, SizeReply, StateReply, ValueReply, WriteReply,
};

/// Whoever answers requests.
pub trait Ask {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The host's refusal, or that it cannot be asked.
    fn ask<T: DeserializeOwned + 'static>(&self, request: Request) -> Result<T, DeviceError>;

    /// Asks for something that has no answer but success.
    ///
    /// # Errors
    /// As [`Self::ask`].
    fn order(&self, request: Request) -> Result<(), DeviceError> {
        self.ask(request).map(|Empty {}| ())
    }

    /// What can be asked: all that there are requests for.
    fn capabilities(&self) -> Capabilities {
        let by_other_ways = [
            Capability::GuestMasks,
            Capability::TwoAtOnce,
            Capability::ParkedCalls,
            Capability::Checkers,
            Capability::FailingAllocations,
            Capability::Allocations,
        ];
        by_other_ways.into_iter().fold(Capabilities::all(), Capabilities::without)
    }

    /// [`HostControl::guest_masks`].
    ///
    /// # Errors
    /// As there.
    fn guest_masks(&self, _mdev: &str) -> Result<Matrix, DeviceError> {
        Err(Capability::GuestMasks.lacking())
    }

    /// [`MigrationDevice::together`] of a device.
    ///
    /// # Errors
    /// As there.
    fn together(&self, _mdev: &str, _verbs: &[Verb]) -> Result<Vec<Result<Answered, DeviceError>>, DeviceError> {
        Err(Capability::TwoAtOnce.lacking())
    }

    /// [`MigrationDevice::park`] at the beginning of the buffer, or [`MigrationDevice::begin`].
    ///
    /// # Errors
    /// As there.
    fn park(&self, _mdev: &str, _verb: &Verb, _in_copy: bool) -> Result<Box<dyn Parked + '_>, DeviceError> {
        Err(Capability::ParkedCalls.lacking())
    }
}

/// How the lines begin that say what a real kernel would have suffered.
const IMITATED: &str = "BUG: ";

/// Answers that a log is read in, many times what the model needs for all that it keeps.
const MOST_ANSWERS: usize = 1000;

/// A host that is asked by requests.
pub struct ControlHost<A>(pub A);

impl<A: Ask> HostControl for ControlHost<A> {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn device(&self, mdev: &str) -> Box<dyn MigrationDevice + '_> {
        Box::new(ControlDevice::new(&self.0, mdev))
    }

    fn sysfs_read(&self, path: &str) -> Result<String, DeviceError> {
        self.0.ask(Request::SysfsRead { path: path.to_owned() }).map(|reply: ValueReply| reply.value)
    }

    fn sysfs_write(&self, path: &str, value: &str) -> Result<(), DeviceError> {
        self.0.order(Request::SysfsWrite { path: path.to_owned(), value: value.to_owned() })
    }

    fn log(&self, since: u64) -> Result<Vec<LogLine>, DeviceError> {
        let (mut since, mut lines) = (since, Vec::new());
        for _ in 0..MOST_ANSWERS {
            let reply: LogReply = self.0.ask(Request::QueryLog { since })?;
            if reply.lines.is_empty() || reply.next <= since {
                return Ok(lines);
            }
            lines.extend(reply.lines);
            since = reply.next;
        }
        Err(DeviceError::Transport("the driver's log does not end".to_owned()))
    }

    /// What would have wrecked a kernel, and is only imitated.
    fn complaints(&self) -> Result<Vec<Complaint>, DeviceError> {
        let imitated = self.log(0)?.into_iter().filter(|line| line.text.starts_with(IMITATED));
        Ok(imitated.map(|line| Complaint { report: vec![line.text.clone()], what: line.text }).collect())
    }

    fn guest_masks(&self, mdev: &str) -> Result<Matrix, DeviceError> {
        self.0.guest_masks(mdev)
    }

    fn reset_counts(&self) -> Result<BTreeMap<Apqn, u64>, DeviceError> {
        let counters: Counters = self.0.ask(Request::QueryCounters {})?;
        let queue = |(name, count): (String, u64)| {
            let apqn = name.parse().map_err(|_| DeviceError::Transport(format!("`{name}` is no queue")))?;
            Ok((apqn, count))
        };
        counters.resets.into_iter().map(queue).collect()
    }

    fn adapter(&self, adapter: Apid, fault: AdapterFault) -> Result<(), DeviceError> {
        let adapter = adapter.to_string();
        self.0.order(match fault {
            AdapterFault::Configure => Request::AdapterConfigure { adapter },
            AdapterFault::Deconfigure => Request::AdapterDeconfigure { adapter },
            AdapterFault::Checkstop => Request::AdapterCheckstop { adapter },
        })
    }

    fn set_queue_answer(&self, apqn: Apqn, answer: Option<QueueAnswer>) -> Result<(), DeviceError> {
        self.0.order(Request::QueueAnswer {
            queue: QueueName(apqn),
            response: answer.map(|answer| answer.response.0),
            asynchronous: answer.is_some_and(|answer| answer.asynchronous),
            hw_info: answer.and_then(|answer| answer.hw_info).map(|info| Hex64(info.0)),
        })
    }

    fn fail_resets(&self, apqn: Apqn, fail: bool) -> Result<(), DeviceError> {
        self.0.order(Request::QueueResetFails { queue: QueueName(apqn), on: fail })
    }

    fn pass_time(&self, nanoseconds: u64) -> Result<(), DeviceError> {
        self.0.order(Request::TimePass { nanoseconds })
    }

    fn set_poison(&self, poison: &Matrix) -> Result<(), DeviceError> {
        let Matrix { adapters, domains, control_domains } = *poison;
        self.0.order(Request::PoisonSet { adapters, domains, control_domains })
    }

    fn guest_memory(&self, mdev: &str, address: u64, length: u32) -> Result<Vec<u8>, DeviceError> {
        let request = Request::GuestMemory { mdev: mdev.to_owned(), address: Hex64(address), length };
        self.0.ask(request).map(|reply: DataReply| reply.data.0)
    }

    fn guest_execute(&self, mdev: &str, call: &GuestCall) -> Result<GuestReply, DeviceError> {
        let request = Request::GuestExecute { mdev: mdev.to_owned(), instruction: GuestInstruction::of(call) };
        self.0.ask(request).map(|state: GuestState| state.reply_to(call))
    }

    fn set_secure_execution(&self, host: bool, guest: bool) -> Result<(), DeviceError> {
        self.0.order(Request::SecureExecution { host, guest })
    }
}

/// Explicit offset, and how many bytes of the buffer are mapped.
type Io = (Option<u64>, Option<u64>);

/// One mediated device of such a host.
pub(crate) struct ControlDevice<'a, A> {
    host: &'a A,
    mdev: String,
}

impl<'a, A: Ask> ControlDevice<'a, A> {
    pub(crate) fn new(host: &'a A, mdev: &str) -> Self {
        Self { host, mdev: mdev.to_owned() }
    }

    fn mdev(&self) -> Option<String> {
        Some(self.mdev.clone())
    }

    fn read_as(&self, stream: StreamId, length: usize, how: Io) -> Result<Vec<u8>, DeviceError> {
        let request = Request::MigrationRead { stream, length: length as u64, offset: how.0, fault_at: how.1 };
        self.host.ask(request).map(|reply: DataReply| reply.data.0)
    }

    fn write_as(&self, stream: StreamId, data: &[u8], how: Io) -> Result<usize, DeviceError> {
        let data = HexBytes(data.to_vec());
        let request = Request::MigrationWrite { stream, data, offset: how.0, fault_at: how.1 };
        self.host.ask(request).map(|reply: WriteReply| usize::try_from(reply.written).unwrap_or(usize::MAX))
    }
}

impl<A: Ask> MigrationDevice for ControlDevice<'_, A> {
    fn capabilities(&self) -> Capabilities {
        self.host.capabilities()
    }

    fn set_state(&self, state: DeviceState) -> Result<Option<StreamId>, DeviceError> {
        let request = Request::MigrationSetState { state, mdev: self.mdev() };
        self.host.ask(request).map(|reply: SetStateReply| reply.stream)
    }

    fn state(&self) -> Result<DeviceState, DeviceError> {
        self.host.ask(Request::MigrationGetState { mdev: self.mdev() }).map(|reply: StateReply| reply.state)
    }

    fn data_size(&self) -> Result<u64, DeviceError> {
        self.host.ask(Request::MigrationDataSize { mdev: self.mdev() }).map(|reply: SizeReply| reply.size)
    }

    fn read(&self, stream: StreamId, length: usize) -> Result<Vec<u8>, DeviceError> {
        self.read_as(stream, length, (None, None))
    }

    fn write(&self, stream: StreamId, data: &[u8]) -> Result<usize, DeviceError> {
        self.write_as(stream, data, (None, None))
    }

    fn read_at(&self, stream: StreamId, offset: u64, length: usize) -> Result<Vec<u8>, DeviceError> {
        self.read_as(stream, length, (Some(offset), None))
    }

    fn write_at(&self, stream: StreamId, offset: u64, data: &[u8]) -> Result<usize, DeviceError> {
        self.write_as(stream, data, (Some(offset), None))
    }

    fn read_faulting(&self, stream: StreamId, length: usize, valid: usize) -> Result<Vec<u8>, DeviceError> {
        self.read_as(stream, length, (None, Some(valid as u64)))
    }

    fn write_faulting(&self, stream: StreamId, data: &[u8], valid: usize) -> Result<usize, DeviceError> {
        self.write_as(stream, data, (None, Some(valid as u64)))
    }

    fn close(&self, stream: StreamId) -> Result<(), DeviceError> {
        self.host.order(Request::MigrationClose { stream })
    }

    fn reset(&self) -> Result<(), DeviceError> {
        self.host.order(Request::DeviceReset { mdev: self.mdev() })
    }

    fn open(&self) -> Result<(), DeviceError> {
        self.host.order(Request::DeviceOpen { mdev: self.mdev(), guest: None })
    }

    fn close_device(&self) -> Result<(), DeviceError> {
        self.host.order(Request::DeviceClose { mdev: self.mdev() })
    }

    fn together(&self, verbs: &[Verb]) -> Result<Vec<Result<Answered, DeviceError>>, DeviceError> {
        self.host.together(&self.mdev, verbs)
    }

    fn begin(&self, verb: &Verb) -> Result<Box<dyn Parked + '_>, DeviceError> {
        self.host.park(&self.mdev, verb, false)
    }

    fn park(&self, verb: &Verb, _at: usize) -> Result<Box<dyn Parked + '_>, DeviceError> {
        self.host.park(&self.mdev, verb, true)
    }
}
