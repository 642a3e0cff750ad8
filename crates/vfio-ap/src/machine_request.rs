// SPDX-License-Identifier: MIT OR Apache-2.0
//! What happens to a machine from outside, by the requests of the control protocol: whoever owns a machine carries
//! them out, whatever driver is above it.

use ap_arch::{Apid, Apqi, ResponseCode};
use ap_machine::{AdapterState, Machine, TopologyError};
use vfio_mig::{DeviceError, Errno};

use crate::control::Request;

/// Carries a request out that is about the hardware alone; `None` for any other.
#[must_use]
pub fn change_machine(machine: &Machine, request: &Request) -> Option<Result<(), DeviceError>> {
    let state = |adapter: &str, state| changed(machine.set_adapter_state(number(adapter)?, state));
    Some(match request {
        Request::AdapterConfigure { adapter } => state(adapter, AdapterState::Configured),
        Request::AdapterDeconfigure { adapter } => state(adapter, AdapterState::Deconfigured),
        Request::AdapterCheckstop { adapter } => state(adapter, AdapterState::Checkstopped),
        Request::AdapterPlug { adapter, card } => number(adapter).and_then(|apid| changed(machine.plug(apid, card))),
        Request::AdapterUnplug { adapter } => number(adapter).and_then(|apid| changed(machine.unplug(apid))),
        Request::DomainPlug { domain, control_only } => {
            domain_number(domain).and_then(|apqi| changed(machine.plug_domain(apqi, *control_only)))
        }
        Request::DomainUnplug { domain, control_only } => {
            domain_number(domain).and_then(|apqi| changed(machine.unplug_domain(apqi, *control_only)))
        }
        Request::QueueCheckstop { queue, on } => changed(machine.set_checkstopped(queue.0, *on)),
        Request::MasterKeyChange { queue } => changed(machine.change_master_keys(queue.0)),
        Request::QueueBusy { queue, busy } => changed(machine.set_busy(queue.0, *busy)),
        Request::QueueError { queue, response } => changed(machine.set_async_error(queue.0, ResponseCode(*response))),
        _ => return None,
    })
}

fn changed(result: Result<(), TopologyError>) -> Result<(), DeviceError> {
    result.map_err(|error| {
        let errno = match error {
            TopologyError::AlreadyPlugged(_) => Errno::EEXIST,
            TopologyError::NoAdapter(_) | TopologyError::NoQueue(_) => Errno::ENODEV,
            _ => Errno::EINVAL,
        };
        DeviceError::refused(errno, error.to_string())
    })
}

fn number(adapter: &str) -> Result<Apid, DeviceError> {
    adapter.parse().map_err(|error| DeviceError::refused(Errno::EINVAL, format!("adapter `{adapter}`: {error}")))
}

fn domain_number(domain: &str) -> Result<Apqi, DeviceError> {
    domain.parse().map_err(|error| DeviceError::refused(Errno::EINVAL, format!("domain `{domain}`: {error}")))
}
