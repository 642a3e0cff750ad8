// SPDX-License-Identifier: MIT OR Apache-2.0
//! One host, as the plugin and a test hold it.

use std::sync::Arc;

use ap_machine::{Configuration, Machine, TopologyError};

use crate::HostConfig;
use crate::control::{CLASS_UNSUPPORTED, Greeting, Reply, RequestFrame};

/// Why a host cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The configuration is not what [`HostConfig`] says.
    #[error("host configuration: {0}")]
    Json(#[from] serde_json::Error),
    /// The hardware is impossible.
    #[error("host configuration, topology: {0}")]
    Topology(#[from] TopologyError),
}

/// One host: its hardware, its bindings, its mediated devices.
pub struct Host {
    config: HostConfig,
    guest: Arc<Configuration>,
}

impl Host {
    /// Sets a host up; the device of QEMU's guest is open and RUNNING.
    ///
    /// # Errors
    /// What is wrong in the configuration, and where.
    pub fn new(config: HostConfig) -> Result<Arc<Self>, HostError> {
        let machine = Machine::new(&config.topology)?;
        let guest = Configuration::guest(&machine);
        guest.set_apcb(config.mdev.matrix());
        Ok(Arc::new(Self { config, guest }))
    }

    /// The door for the vCPUs of QEMU's guest. No lock of this crate is behind it.
    #[must_use]
    pub fn guest(&self) -> &Arc<Configuration> {
        &self.guest
    }

    /// A vCPU runs again: a stopped device goes back to RUNNING before the guest's first instruction. Cheap when there
    /// is nothing to do.
    pub fn vcpu_resumed(&self) {}

    /// A vCPU went idle, or QEMU stopped it.
    pub fn vcpu_idle(&self) {}

    /// Answers one request of the control protocol. Never panics, whatever the line holds.
    #[must_use]
    pub fn control_line(&self, line: &str) -> String {
        match RequestFrame::from_line(line) {
            Ok(frame) => Reply::failure(CLASS_UNSUPPORTED, "not there yet").with_id(frame.id).to_line(),
            Err(reply) => reply.to_line(),
        }
    }

    /// The first line on a new connection.
    #[must_use]
    pub fn greeting(&self) -> String {
        serde_json::to_string(&Greeting::of(&self.config.name)).unwrap_or_default()
    }
}
