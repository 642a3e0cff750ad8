// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the owner of an LPAR's hardware can do that no kernel can: count resets, take adapters away, answer otherwise,
//! and be the guests, whose masks are those that the LPAR's KVM was given.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ap_arch::{Apid, Apqn, Matrix};
use ap_machine::{AdapterState, Configuration, Facilities, Machine, QueueSnapshot};
use vfio_ap::ScriptedGuest;
use vfio_ap::control::{GuestInstruction, GuestState};
use vfio_linux::{Agent, Hardware};
use vfio_mig::{AdapterFault, Capabilities, Capability, DeviceError, Errno, GuestCall, GuestReply, QueueAnswer};

use super::lpar::{Lpar, LparError};

/// What a guest is shown. Its AQIC would not reach the driver, because no vCPU runs in the LPAR: it has none.
const OF_GUESTS: Facilities = Facilities { apqci: true, apft: true, apqi: false, sie: false };

/// The hardware under one LPAR, which lives as long as this.
pub struct LabHardware {
    lpar: Lpar,
    /// What its guests are shown.
    facilities: Facilities,
    guests: Mutex<BTreeMap<String, Guest>>,
    stack_is_filled: bool,
}

struct Guest {
    door: Arc<Configuration>,
    script: ScriptedGuest,
}

impl LabHardware {
    /// That of this LPAR, for cases.
    #[must_use]
    pub fn new(lpar: Lpar) -> Self {
        Self::showing(lpar, OF_GUESTS)
    }

    /// That of this LPAR, with guests that are shown these facilities, but what none can have.
    #[must_use]
    pub fn showing(lpar: Lpar, facilities: Facilities) -> Self {
        let facilities = Facilities { apqi: false, sie: false, ..facilities };
        Self { lpar, facilities, guests: Mutex::default(), stack_is_filled: false }
    }

    /// Whether the compiler of the kernel fills what a driver reads before it writes it.
    #[must_use]
    pub const fn with_filled_stack(mut self, is_filled: bool) -> Self {
        self.stack_is_filled = is_filled;
        self
    }

    /// Keeps the LPAR in a file, from which others like it go on, on hardware that nobody has used. Itself it
    /// ends.
    ///
    /// # Errors
    /// QEMU's; or that its hardware is not as at first.
    pub fn keep(&self, file: &Path) -> Result<(), LparError> {
        let is_used = |queue: &&QueueSnapshot| queue.messages > 0 || queue.interruption.is_some();
        if let Some(QueueSnapshot { queue, .. }) = self.machine().snapshot().queues.iter().find(is_used) {
            return Err(LparError::Keep(format!("queue {queue} of its hardware is in use")));
        }
        self.lpar.keep(file)
    }

    /// What guests are shown.
    #[must_use]
    pub const fn facilities(&self) -> Facilities {
        self.facilities
    }

    /// The hardware.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.lpar.owner.machine
    }

    /// Who makes system calls in the LPAR.
    #[must_use]
    pub fn agent(&self) -> Arc<Agent> {
        self.lpar.agent()
    }

    /// A new guest for a device, which has nothing yet.
    #[must_use]
    pub fn new_guest(&self, mdev: &str) -> Arc<Configuration> {
        self.guests().remove(mdev);
        self.as_guest(mdev, |guest| Arc::clone(&guest.door))
    }

    /// Executes an instruction as the guest of a device.
    ///
    /// # Errors
    /// As [`ScriptedGuest::execute`].
    pub fn execute(&self, mdev: &str, instruction: &GuestInstruction) -> Result<GuestState, DeviceError> {
        self.as_guest(mdev, |guest| guest.script.execute(&guest.door, instruction))
    }

    fn guests(&self) -> MutexGuard<'_, BTreeMap<String, Guest>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something as the guest of a device.
    fn as_guest<T>(&self, mdev: &str, act: impl FnOnce(&mut Guest) -> T) -> T {
        let mut guests = self.guests();
        let new = || Guest {
            door: Configuration::guest_with(&self.lpar.owner.machine, self.facilities),
            script: ScriptedGuest::default(),
        };
        act(guests.entry(mdev.to_owned()).or_insert_with(new))
    }
}

impl Hardware for LabHardware {
    fn capabilities(&self) -> Capabilities {
        let poison = self.stack_is_filled.then_some(Capability::Poison);
        let always = [Capability::ResetCounters, Capability::Hardware, Capability::Guests];
        always.into_iter().chain(poison).collect()
    }

    fn last_words(&self) -> Vec<String> {
        self.lpar.process().last_words()
    }

    fn reset_counts(&self) -> Result<BTreeMap<Apqn, u64>, DeviceError> {
        // The AP bus resets by RAPQ, the driver by ZAPQ.
        let queues = self.lpar.owner.machine.snapshot().queues.into_iter();
        let counted = queues.filter(|queue| queue.counters.zeroizes > 0);
        Ok(counted.filter_map(|queue| Some((queue.queue.parse().ok()?, queue.counters.zeroizes))).collect())
    }

    fn adapter(&self, adapter: Apid, fault: AdapterFault) -> Result<(), DeviceError> {
        let state = match fault {
            AdapterFault::Configure => AdapterState::Configured,
            AdapterFault::Deconfigure => AdapterState::Deconfigured,
            AdapterFault::Checkstop => AdapterState::Checkstopped,
        };
        let changed = self.lpar.owner.machine.set_adapter_state(adapter, state);
        changed.map_err(|error| DeviceError::refused(Errno::ENODEV, error.to_string()))
    }

    fn set_queue_answer(&self, apqn: Apqn, answer: Option<QueueAnswer>) -> Result<(), DeviceError> {
        self.lpar.owner.door.answer(apqn, answer);
        Ok(())
    }

    fn fail_resets(&self, apqn: Apqn, fail: bool) -> Result<(), DeviceError> {
        self.lpar.owner.door.fail_resets(apqn, fail);
        Ok(())
    }

    fn pass_time(&self, nanoseconds: u64) -> Result<(), DeviceError> {
        let clock = self.lpar.owner.clock.as_ref();
        clock.ok_or_else(|| DeviceError::Transport("time passes by itself here".to_owned()))?.advance(nanoseconds);
        self.lpar.owner.machine.run_due();
        Ok(())
    }

    fn set_poison(&self, _poison: &Matrix) -> Result<(), DeviceError> {
        // It is the compiler's pattern, which has nearly all bits.
        Ok(())
    }

    fn give(&self, mdev: &str, masks: &Matrix) -> Result<(), DeviceError> {
        self.as_guest(mdev, |guest| guest.door.set_apcb(*masks));
        Ok(())
    }

    fn guest_memory(&self, mdev: &str, address: u64, length: u32) -> Result<Vec<u8>, DeviceError> {
        self.as_guest(mdev, |guest| guest.script.read(&guest.door, address, length as usize))
    }

    fn guest_execute(&self, mdev: &str, call: &GuestCall) -> Result<GuestReply, DeviceError> {
        Ok(self.execute(mdev, &GuestInstruction::of(call))?.reply_to(call))
    }
}
