// SPDX-License-Identifier: MIT OR Apache-2.0
//! What executes a guest: the emulated machine, which is QEMU's own CPU with the plugin, or KVM with the real driver,
//! or whatever libvirt is asked for. Only the first has a plugin to talk to: else the driver's state goes with QEMU's
//! migration, and what cannot be seen is not asked.

use crate::hosts::cpu_model::Kvm;
use crate::libvirt::daemon::Libvirt;

/// What executes guests.
#[derive(Clone, Debug, Default)]
pub enum Engine {
    /// QEMU with the plugin.
    #[default]
    Emulated,
    /// QEMU with KVM and vfio-ap.
    Kvm(Kvm),
    /// libvirt, with either.
    Libvirt(Libvirt),
}

impl Engine {
    /// Whether the plugin stands for cards and driver, and can be asked.
    #[must_use]
    pub const fn is_emulated(&self) -> bool {
        matches!(self, Self::Emulated)
    }
}
