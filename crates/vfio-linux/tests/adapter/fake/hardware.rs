// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the machine's owner can do: the model's own hardware.

use std::collections::BTreeMap;
use std::sync::Arc;

use ap_arch::{Apid, Apqn, Matrix};
use serde::de::DeserializeOwned;
use vfio_ap::control::{Counters, DataReply, GuestInstruction, GuestState, Hex64, QueueName, Request};
use vfio_linux::{Hardware, uuid_of};
use vfio_mig::{AdapterFault, Capabilities, Capability, DeviceError, GuestCall, GuestReply, QueueAnswer};

use super::FakeKernel;

pub(super) struct FakeHardware(pub(super) Arc<FakeKernel>);

impl FakeHardware {
    fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, DeviceError> {
        self.0.state().model.ask(request).map_err(Into::into)
    }

    fn order(&self, request: Request) -> Result<(), DeviceError> {
        self.0.state().model.order(request).map(|_| ()).map_err(Into::into)
    }
}

impl Hardware for FakeHardware {
    fn capabilities(&self) -> Capabilities {
        let all = [
            Capability::ResetCounters,
            Capability::Hardware,
            Capability::Guests,
            Capability::SecureExecution,
            Capability::Poison,
        ];
        all.into_iter().collect()
    }

    fn reset_counts(&self) -> Result<BTreeMap<Apqn, u64>, DeviceError> {
        let counters: Counters = self.ask(Request::QueryCounters {})?;
        Ok(counters.resets.into_iter().map(|(name, count)| (name.parse().expect("a queue"), count)).collect())
    }

    fn adapter(&self, adapter: Apid, fault: AdapterFault) -> Result<(), DeviceError> {
        let adapter = adapter.to_string();
        self.order(match fault {
            AdapterFault::Configure => Request::AdapterConfigure { adapter },
            AdapterFault::Deconfigure => Request::AdapterDeconfigure { adapter },
            AdapterFault::Checkstop => Request::AdapterCheckstop { adapter },
        })
    }

    fn set_queue_answer(&self, apqn: Apqn, answer: Option<QueueAnswer>) -> Result<(), DeviceError> {
        self.order(Request::QueueAnswer {
            queue: QueueName(apqn),
            response: answer.map(|answer| answer.response.0),
            asynchronous: answer.is_some_and(|answer| answer.asynchronous),
            hw_info: answer.and_then(|answer| answer.hw_info).map(|info| Hex64(info.0)),
        })
    }

    fn fail_resets(&self, apqn: Apqn, fail: bool) -> Result<(), DeviceError> {
        self.order(Request::QueueResetFails { queue: QueueName(apqn), on: fail })
    }

    fn pass_time(&self, nanoseconds: u64) -> Result<(), DeviceError> {
        self.order(Request::TimePass { nanoseconds })
    }

    fn set_poison(&self, poison: &Matrix) -> Result<(), DeviceError> {
        let Matrix { adapters, domains, control_domains } = *poison;
        self.order(Request::PoisonSet { adapters, domains, control_domains })
    }

    fn set_secure_execution(&self, host: bool, guest: bool) -> Result<(), DeviceError> {
        self.order(Request::SecureExecution { host, guest })
    }

    /// The model's guest has its masks already: those that came by the trace must be the same.
    fn give(&self, mdev: &str, masks: &Matrix) -> Result<(), DeviceError> {
        let has = self.0.state().model.guest(&uuid_of(mdev));
        if has == *masks { Ok(()) } else { Err(DeviceError::Transport(format!("{masks:?} given, {has:?} there"))) }
    }

    fn guest_memory(&self, mdev: &str, address: u64, length: u32) -> Result<Vec<u8>, DeviceError> {
        let request = Request::GuestMemory { mdev: uuid_of(mdev), address: Hex64(address), length };
        self.ask(request).map(|reply: DataReply| reply.data.0)
    }

    fn guest_execute(&self, mdev: &str, call: &GuestCall) -> Result<GuestReply, DeviceError> {
        let request = Request::GuestExecute { mdev: uuid_of(mdev), instruction: GuestInstruction::of(call) };
        self.ask(request).map(|state: GuestState| state.reply_to(call))
    }
}
