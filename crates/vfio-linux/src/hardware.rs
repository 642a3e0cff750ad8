// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a machine's owner can do that no kernel can: where the hardware is emulated its owner does it, on a mainframe
//! there is none.

use std::collections::BTreeMap;

use ap_arch::{Apid, Apqn, Matrix};
#[cfg(doc)]
use vfio_mig::HostControl;
use vfio_mig::{AdapterFault, Capabilities, Capability, DeviceError, GuestCall, GuestReply, QueueAnswer};

/// The hardware under a Linux, and guests that do what they are told. Mediated devices are named as in the cases. What
/// is not said otherwise is as in [`HostControl`]; what a capability is missing for is refused.
pub trait Hardware: Send + Sync {
    /// What can be done, of: reset counters, the hardware's answers, guests, Secure Execution, poison.
    fn capabilities(&self) -> Capabilities;

    /// What a kernel that has ended said at last on its console, from the first line of its trouble on; nothing of one
    /// that goes on, or whose console is not seen.
    fn last_words(&self) -> Vec<String> {
        Vec::new()
    }

    /// How often each queue was zeroized since the machine exists; [`HostControl::reset_counts`] counts from its host
    /// on.
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn reset_counts(&self) -> Result<BTreeMap<Apqn, u64>, DeviceError> {
        Err(Capability::ResetCounters.lacking())
    }

    /// See [`HostControl::adapter`].
    ///
    /// # Errors
    /// ENODEV if the machine has no such adapter.
    fn adapter(&self, _adapter: Apid, _fault: AdapterFault) -> Result<(), DeviceError> {
        Err(Capability::Hardware.lacking())
    }

    /// See [`HostControl::set_queue_answer`].
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn set_queue_answer(&self, _apqn: Apqn, _answer: Option<QueueAnswer>) -> Result<(), DeviceError> {
        Err(Capability::Hardware.lacking())
    }

    /// See [`HostControl::fail_resets`].
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn fail_resets(&self, _apqn: Apqn, _fail: bool) -> Result<(), DeviceError> {
        Err(Capability::Hardware.lacking())
    }

    /// See [`HostControl::pass_time`].
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn pass_time(&self, _nanoseconds: u64) -> Result<(), DeviceError> {
        Err(Capability::Hardware.lacking())
    }

    /// See [`HostControl::set_poison`].
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn set_poison(&self, _poison: &Matrix) -> Result<(), DeviceError> {
        Err(Capability::Poison.lacking())
    }

    /// See [`HostControl::set_secure_execution`].
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn set_secure_execution(&self, _host: bool, _guest: bool) -> Result<(), DeviceError> {
        Err(Capability::SecureExecution.lacking())
    }

    /// The guest of this mediated device has these masks from now on: KVM was told so. It is said before each
    /// instruction of the guest, and each look at its memory.
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn give(&self, _mdev: &str, _masks: &Matrix) -> Result<(), DeviceError> {
        Err(Capability::Guests.lacking())
    }

    /// See [`HostControl::guest_memory`].
    ///
    /// # Errors
    /// EFAULT for addresses that the guest has not.
    fn guest_memory(&self, _mdev: &str, _address: u64, _length: u32) -> Result<Vec<u8>, DeviceError> {
        Err(Capability::Guests.lacking())
    }

    /// See [`HostControl::guest_execute`].
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn guest_execute(&self, _mdev: &str, _call: &GuestCall) -> Result<GuestReply, DeviceError> {
        Err(Capability::Guests.lacking())
    }
}

/// A machine that nobody owns here.
pub(crate) struct Unowned;

impl Hardware for Unowned {
    fn capabilities(&self) -> Capabilities {
        Capabilities::NONE
    }
}
