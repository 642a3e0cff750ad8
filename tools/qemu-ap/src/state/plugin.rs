// SPDX-License-Identifier: GPL-2.0-or-later
//! Everything the callbacks share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use vfio_ap::Host;

use super::interruptions::Interruptions;
use super::owner::Owner;
use crate::cpu::vcpu::Vcpus;

/// The plugin in this QEMU.
pub(crate) struct Plugin {
    pub(crate) host: Arc<Host>,
    pub(crate) vcpus: Vcpus,
    /// Who executes the instructions, where the machine is not in this process.
    pub(crate) owner: Option<Owner>,
    /// `None` where the guest has no AP-queue interruption facility: then nothing watches for interruptions at all.
    pub(crate) interruptions: Option<Interruptions>,
    /// Whether the guest has executed an AP instruction since its last reset.
    pub(crate) used: AtomicBool,
}

impl Plugin {
    pub(crate) fn new(host: Arc<Host>, owner: Option<Owner>, max_vcpus: usize) -> Self {
        let interruptions = host.guest().facilities().apqi.then(Interruptions::new);
        Self { host, vcpus: Vcpus::new(max_vcpus), owner, interruptions, used: AtomicBool::new(false) }
    }
}
