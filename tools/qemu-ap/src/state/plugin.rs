// SPDX-License-Identifier: GPL-2.0-or-later
//! Everything the callbacks share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use vfio_ap::Host;

use super::interruptions::Interruptions;
use super::owner::Owner;
use super::service_call::ServiceCall;
use crate::cpu::vcpu::Vcpus;

/// The plugin in this QEMU.
pub(crate) struct Plugin {
    pub(crate) host: Arc<Host>,
    pub(crate) vcpus: Vcpus,
    /// Who executes the instructions, where the machine is not in this process.
    pub(crate) owner: Option<Owner>,
    /// `None` where the guest has no AP-queue interruption facility, or another process owns the machine, whose
    /// notifications do not come here: then nothing watches for interruptions at all.
    pub(crate) interruptions: Option<Interruptions>,
    /// Whether the guest has executed an AP instruction since its last reset.
    pub(crate) used: AtomicBool,
    /// Where the guest is an LPAR: what SCLP was asked, until the answer has been seen.
    pub(crate) service_call: Option<ServiceCall>,
}

impl Plugin {
    pub(crate) fn new(host: Arc<Host>, owner: Option<Owner>, max_vcpus: usize) -> Self {
        let shown = host.guest().facilities();
        let interruptions = (shown.apqi && owner.is_none()).then(Interruptions::new);
        let service_call = shown.sie.then(ServiceCall::default);
        let (vcpus, used) = (Vcpus::new(max_vcpus), AtomicBool::new(false));
        Self { host, vcpus, owner, interruptions, used, service_call }
    }
}
