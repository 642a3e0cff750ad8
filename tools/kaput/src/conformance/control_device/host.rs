// SPDX-License-Identifier: MIT OR Apache-2.0
//! The host around the device, by requests.

use std::collections::BTreeMap;

use ap_arch::{Apid, Apqn, Matrix};
use vfio_ap::control::{
    Counters, DataReply, GuestInstruction, GuestState, Hex64, LogReply, QueueName, Request, ValueReply,
};
use vfio_ap::model::imitated;
use vfio_mig::{
    AdapterFault, Capabilities, Capability, Complaint, DeviceError, GuestCall, GuestReply, HostControl, LogLine,
    MigrationDevice, QueueAnswer,
};

use super::connection::Link;
use super::device::RemoteDevice;

/// Answers that a log is read in, many times what the model needs for all that it keeps.
const MOST_ANSWERS: usize = 1000;

/// One host in the other process.
pub(super) struct RemoteHost(pub(super) Link);

impl HostControl for RemoteHost {
    fn capabilities(&self) -> Capabilities {
        Capabilities::all().without(Capability::GuestMasks)
    }

    fn device(&self, mdev: &str) -> Box<dyn MigrationDevice + '_> {
        Box::new(RemoteDevice { link: &self.0, mdev: mdev.to_owned() })
    }

    fn sysfs_read(&self, path: &str) -> Result<String, DeviceError> {
        self.0.call(Request::SysfsRead { path: path.to_owned() }).map(|reply: ValueReply| reply.value)
    }

    fn sysfs_write(&self, path: &str, value: &str) -> Result<(), DeviceError> {
        self.0.order(Request::SysfsWrite { path: path.to_owned(), value: value.to_owned() })
    }

    fn log(&self, since: u64) -> Result<Vec<LogLine>, DeviceError> {
        let (mut since, mut lines) = (since, Vec::new());
        for _ in 0..MOST_ANSWERS {
            let reply: LogReply = self.0.call(Request::QueryLog { since })?;
            if reply.lines.is_empty() || reply.next <= since {
                return Ok(lines);
            }
            lines.extend(reply.lines);
            since = reply.next;
        }
        Err(DeviceError::Transport("the driver's log does not end".to_owned()))
    }

    fn complaints(&self) -> Result<Vec<Complaint>, DeviceError> {
        self.log(0).map(imitated)
    }

    fn reset_counts(&self) -> Result<BTreeMap<Apqn, u64>, DeviceError> {
        let counters: Counters = self.0.call(Request::QueryCounters {})?;
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
        self.0.call(request).map(|reply: DataReply| reply.data.0)
    }

    fn guest_execute(&self, mdev: &str, call: &GuestCall) -> Result<GuestReply, DeviceError> {
        let request = Request::GuestExecute { mdev: mdev.to_owned(), instruction: GuestInstruction::of(call) };
        self.0.call(request).map(|state: GuestState| state.reply_to(call))
    }

    fn set_secure_execution(&self, host: bool, guest: bool) -> Result<(), DeviceError> {
        self.0.order(Request::SecureExecution { host, guest })
    }
}
