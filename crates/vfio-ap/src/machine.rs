// SPDX-License-Identifier: MIT OR Apache-2.0
//! What happens to the hardware from outside, and what scripted guests do with it.

use std::sync::Arc;

use ap_arch::{Apid, Apqi, Apqn, ResponseCode};
use ap_machine::{AdapterSpec, AdapterState, TopologyError};
use vfio_mig::{DeviceError, Errno};

use crate::Host;
use crate::control::{GuestInstruction, GuestState};

impl Host {
    /// Configures, deconfigures or checkstops an adapter. Guests keep it: its queues say what is wrong.
    pub(crate) fn adapter_state(&self, adapter: &str, state: AdapterState) -> Result<(), DeviceError> {
        self.machine.set_adapter_state(number(adapter)?, state).map_err(refused)
    }

    /// Puts a card in; guests to which it is assigned get it.
    pub(crate) fn plug(&self, adapter: &str, card: &AdapterSpec) -> Result<(), DeviceError> {
        self.machine.plug(number(adapter)?, card).map_err(refused)?;
        self.context.refilter(&mut self.context.tables.lock());
        Ok(())
    }

    /// Takes a card out; guests lose it.
    pub(crate) fn unplug(&self, adapter: &str) -> Result<(), DeviceError> {
        self.machine.unplug(number(adapter)?).map_err(refused)?;
        self.context.refilter(&mut self.context.tables.lock());
        Ok(())
    }

    /// Puts a domain in; guests to which it is assigned get it.
    pub(crate) fn plug_domain(&self, domain: &str, control_only: bool) -> Result<(), DeviceError> {
        self.machine.plug_domain(domain_number(domain)?, control_only).map_err(refused)?;
        self.context.refilter(&mut self.context.tables.lock());
        Ok(())
    }

    /// Takes a domain out; guests lose it.
    pub(crate) fn unplug_domain(&self, domain: &str, control_only: bool) -> Result<(), DeviceError> {
        self.machine.unplug_domain(domain_number(domain)?, control_only).map_err(refused)?;
        self.context.refilter(&mut self.context.tables.lock());
        Ok(())
    }

    pub(crate) fn checkstop(&self, apqn: Apqn, on: bool) -> Result<(), DeviceError> {
        self.machine.set_checkstopped(apqn, on).map_err(refused)
    }

    pub(crate) fn change_master_keys(&self, apqn: Apqn) -> Result<(), DeviceError> {
        self.machine.change_master_keys(apqn).map_err(refused)
    }

    pub(crate) fn busy(&self, apqn: Apqn, busy: bool) -> Result<(), DeviceError> {
        self.machine.set_busy(apqn, busy).map_err(refused)
    }

    pub(crate) fn queue_error(&self, apqn: Apqn, response: ResponseCode) -> Result<(), DeviceError> {
        self.machine.set_async_error(apqn, response).map_err(refused)
    }

    /// Executes one AP instruction as the guest of a device.
    pub(crate) fn guest_execute(&self, mdev: &str, what: &GuestInstruction) -> Result<GuestState, DeviceError> {
        let device = self.find(Some(mdev))?;
        let guest = Arc::clone(self.guests.lock().entry(mdev.to_owned()).or_default());
        let state = guest.lock().execute(device.door(), what)?;
        Ok(state)
    }

    /// Reads the memory of a device's scripted guest.
    pub(crate) fn guest_memory(&self, mdev: &str, address: u64, length: u32) -> Result<Vec<u8>, DeviceError> {
        let device = self.find(Some(mdev))?;
        let guest = Arc::clone(self.guests.lock().entry(mdev.to_owned()).or_default());
        let bytes = guest.lock().read(device.door(), address, length as usize)?;
        Ok(bytes)
    }
}

fn domain_number(domain: &str) -> Result<Apqi, DeviceError> {
    domain.parse().map_err(|error| DeviceError::refused(Errno::EINVAL, format!("domain `{domain}`: {error}")))
}

fn number(adapter: &str) -> Result<Apid, DeviceError> {
    adapter.parse().map_err(|error| DeviceError::refused(Errno::EINVAL, format!("adapter `{adapter}`: {error}")))
}

fn refused(error: TopologyError) -> DeviceError {
    let errno = match error {
        TopologyError::AlreadyPlugged(_) => Errno::EEXIST,
        TopologyError::NoAdapter(_) | TopologyError::NoQueue(_) => Errno::ENODEV,
        _ => Errno::EINVAL,
    };
    DeviceError::refused(errno, error.to_string())
}
