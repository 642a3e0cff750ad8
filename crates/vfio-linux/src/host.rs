// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Linux with vfio_ap as a host of the cases.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ap_arch::{Apid, Apqn, Matrix};
use vfio_mig::conformance::{HostSetup, NoHost};
use vfio_mig::{
    AdapterFault, Capabilities, Capability, Complaint, DeviceError, Errno, GuestCall, GuestReply, HostControl, LogLine,
    MigrationDevice, QueueAnswer,
};

use crate::checkers::Checkers;
use crate::device::LinuxDevice;
use crate::kmsg::Kmsg;
use crate::look::Looker;
use crate::machine::Ownership;
use crate::mdev::Mdev;
use crate::names::{Names, uuid_of};
use crate::setup::{BusMasks, failed};
use crate::vm::Vm;
use crate::{Driver, Hardware, Linux, Look, Machine, device, park, setup};

/// How long a call of the preparation may take: a kernel with checkers looks for queues for some seconds, and nobody
/// judges that.
const PREPARATION: Duration = Duration::from_secs(60);

/// A host of the cases.
pub struct LinuxHost {
    linux: Linux,
    hardware: Arc<dyn Hardware>,
    ownership: Ownership,
    driver: Driver,
    names: Names,
    /// Those of the last look.
    files: Mutex<Looker>,
    mdevs: BTreeMap<String, Mdev>,
    log: Mutex<Kmsg>,
    checkers: Checkers,
    /// The counts when the host was ready.
    resets_before: BTreeMap<Apqn, u64>,
    masks_before: BusMasks,
    /// What every device of it can be asked.
    of_devices: Capabilities,
    shows_guest_masks: bool,
}

impl LinuxHost {
    /// Prepares a machine as a case wants its host.
    ///
    /// # Errors
    /// Why it cannot be that host, or which step went wrong.
    pub fn new(machine: Machine, setup: &HostSetup) -> Result<Self, NoHost> {
        // From here on what is there is taken down again, also if not all of it is made.
        let patience = machine.patience;
        let preparing = Machine { patience: patience.max(PREPARATION), ..machine };
        let mut host = Self::bare(preparing, setup.mdevs.iter().map(|mdev| &*mdev.name))?;
        if host.driver.is_of_ap() {
            setup::bind_queues(&host.linux, setup)?;
        }
        setup::make_mdevs(&host.linux, host.driver, setup, &mut host.mdevs)?;
        let mut migrates = false;
        if let Some(first) = host.mdevs.values().next() {
            migrates = setup::migrates(&host.linux, first)?;
            host.shows_guest_masks = first.vm.is_traced(&host.linux);
        }
        let parks = park::is_possible(&host.linux).map_err(failed("userfaultfd"))?;
        host.of_devices = device::capabilities(migrates, parks);
        if host.hardware.capabilities().has(Capability::ResetCounters) {
            host.resets_before = host.hardware.reset_counts().map_err(failed("the machine's counters"))?;
        }
        host.linux.set_patience(patience);
        Ok(host)
    }

    /// The same host on another machine, on which the Linux of this one goes on from where it was kept: with all that
    /// it has open. Nothing was asked of it meanwhile.
    ///
    /// # Errors
    /// [`NoHost::Broken`]: the machine's counters cannot be read.
    pub fn copy_on(&self, machine: Machine) -> Result<Self, NoHost> {
        let Machine { calls, hardware, ownership, patience: _, driver } = machine;
        let mut resets_before = BTreeMap::new();
        if hardware.capabilities().has(Capability::ResetCounters) {
            resets_before = hardware.reset_counts().map_err(failed("the machine's counters"))?;
        }
        Ok(Self {
            linux: self.linux.copy_on(calls),
            hardware,
            ownership,
            driver,
            names: self.names.clone(),
            files: Mutex::new(self.files.lock().unwrap_or_else(PoisonError::into_inner).clone()),
            mdevs: self.mdevs.iter().map(|(name, mdev)| (name.clone(), mdev.copy())).collect(),
            log: Mutex::new(self.log().clone()),
            checkers: self.checkers.clone(),
            resets_before,
            masks_before: self.masks_before.clone(),
            of_devices: self.of_devices,
            shows_guest_masks: self.shows_guest_masks,
        })
    }

    /// Whether a device is open, and so has a guest.
    #[must_use]
    pub fn is_open(&self, mdev: &str) -> bool {
        self.mdevs.get(mdev).is_some_and(|mdev| mdev.attached().is_some())
    }

    /// A machine as it is, with a guest for each of these names: whoever has it makes mediated devices of these names,
    /// opens and removes them, as an administrator does.
    ///
    /// # Errors
    /// Which step went wrong.
    pub fn with_guests(machine: Machine, names: &[&str]) -> Result<Self, NoHost> {
        let mut host = Self::bare(machine, names.iter().copied())?;
        for name in names {
            let vm = Vm::new(&host.linux, host.linux.take_thread()).map_err(failed(name))?;
            host.mdevs.insert((*name).to_owned(), Mdev::new(host.driver.folder(&uuid_of(name)), vm, None));
            host.shows_guest_masks = vm.is_traced(&host.linux);
        }
        Ok(host)
    }

    fn bare<'a>(machine: Machine, names: impl Iterator<Item = &'a str>) -> Result<Self, NoHost> {
        let Machine { calls, hardware, ownership, patience, driver } = machine;
        let linux = Linux::new(calls, patience);
        if ownership == Ownership::Expendable {
            setup::mount(&linux)?;
        }
        let masks_before = BusMasks::read(&linux)?;
        let log = Mutex::new(Kmsg::open(&linux, driver.name).map_err(failed("the kernel's log"))?);
        let expendable = ownership == Ownership::Expendable;
        let checkers = Checkers::find(&linux, expendable).map_err(failed("the kernel's checkers"))?;
        Ok(Self {
            linux,
            hardware,
            ownership,
            driver,
            names: Names::new(names),
            files: Mutex::default(),
            mdevs: BTreeMap::new(),
            log,
            checkers,
            resets_before: BTreeMap::new(),
            masks_before,
            of_devices: Capabilities::NONE,
            shows_guest_masks: false,
        })
    }

    /// What is seen of many files, at one look.
    ///
    /// # Errors
    /// Those of the connection; the kernel's are what is seen.
    pub fn look(&self, looks: &[Look]) -> Result<Vec<Result<String, Errno>>, DeviceError> {
        let looks: Vec<Look> = looks.iter().map(|look| look.with_path(|path| self.names.path(path))).collect();
        let seen = self.files.lock().unwrap_or_else(PoisonError::into_inner).look(&self.linux, &looks)?;
        Ok(seen.into_iter().map(|seen| seen.map(|text| self.names.text(&text))).collect())
    }

    /// Opens a device for the guest of another.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open_for(&self, mdev: &str, guest: &str) -> Result<(), DeviceError> {
        self.linux_device(mdev).open_for(&self.mdev(guest)?.vm)
    }

    /// What VFIO_DEVICE_GET_INFO says of a device: flags, and how many regions and interruptions there are.
    ///
    /// # Errors
    /// The kernel's.
    pub fn info(&self, mdev: &str) -> Result<[u32; 3], DeviceError> {
        self.linux_device(mdev).info()
    }

    fn linux_device(&self, mdev: &str) -> LinuxDevice<'_> {
        LinuxDevice { linux: &self.linux, mdev: self.mdevs.get(mdev), capabilities: self.of_devices }
    }

    fn log(&self) -> MutexGuard<'_, Kmsg> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mdev(&self, name: &str) -> Result<&Mdev, DeviceError> {
        self.mdevs.get(name).ok_or_else(|| Errno::ENODEV.into())
    }

    /// The hardware's guest of a device gets what KVM was told.
    fn give(&self, mdev: &str) -> Result<(), DeviceError> {
        self.hardware.give(mdev, &self.guest_masks(mdev)?)
    }

    /// Takes down what was made, as far as it goes.
    fn take_down(&mut self) {
        for mdev in std::mem::take(&mut self.mdevs).values() {
            // A device that a case removed is not there any more.
            let _ = mdev.close(&self.linux);
            let _ = setup::remove(&self.linux, &mdev.folder);
        }
        let _ = self.log().close(&self.linux);
        let _ = self.masks_before.write(&self.linux);
    }
}

impl Drop for LinuxHost {
    fn drop(&mut self) {
        if self.ownership == Ownership::Borrowed {
            self.take_down();
        }
    }
}

impl HostControl for LinuxHost {
    fn capabilities(&self) -> Capabilities {
        let expendable = (self.ownership == Ownership::Expendable).then_some(Capability::Expendable);
        let guest_masks = self.shows_guest_masks.then_some(Capability::GuestMasks);
        let own = [Capability::Sysfs, Capability::Log].into_iter().chain(expendable).chain(guest_masks);
        let own = own.chain(self.checkers.capabilities()).collect();
        let hardware = self.hardware.capabilities();
        // Guests have what KVM was told, so somebody must know it.
        let hardware = if self.shows_guest_masks { hardware } else { hardware.without(Capability::Guests) };
        hardware.and(own)
    }

    fn device(&self, mdev: &str) -> Box<dyn MigrationDevice + '_> {
        Box::new(self.linux_device(mdev))
    }

    fn sysfs_read(&self, path: &str) -> Result<String, DeviceError> {
        let bytes = self.linux.read_file(&self.names.path(path))?;
        Ok(self.names.text(&String::from_utf8_lossy(&bytes)))
    }

    fn sysfs_write(&self, path: &str, value: &str) -> Result<(), DeviceError> {
        self.linux.write_file(&self.names.path(path), &self.names.value(value))
    }

    fn log(&self, since: u64) -> Result<Vec<LogLine>, DeviceError> {
        let mut log = self.log();
        let lines = log.lines(&self.linux, &self.names)?;
        Ok(lines.iter().filter(|line| line.number >= since).cloned().collect())
    }

    fn complaints(&self) -> Result<Vec<Complaint>, DeviceError> {
        let mut log = self.log();
        match log.complaints(&self.linux, &self.names) {
            Err(error @ DeviceError::Transport(_)) => {
                // It may have ended by its own decision.
                let words = self.hardware.last_words();
                let complaints = log.last(&words, &self.names);
                if words.is_empty() { Err(error) } else { Ok(complaints.to_vec()) }
            }
            complaints => Ok(complaints?.to_vec()),
        }
    }

    fn allocations(&self) -> Result<BTreeMap<String, u64>, DeviceError> {
        self.checkers.allocations(&self.linux)
    }

    fn fail_allocation(&self, number: u32) -> Result<bool, DeviceError> {
        self.checkers.fail_allocation(&self.linux, number)
    }

    fn guest_masks(&self, mdev: &str) -> Result<Matrix, DeviceError> {
        self.mdev(mdev)?.masks(&self.linux)
    }

    fn reset_counts(&self) -> Result<BTreeMap<Apqn, u64>, DeviceError> {
        let before = |apqn: &Apqn| self.resets_before.get(apqn).copied().unwrap_or_default();
        let counts = self.hardware.reset_counts()?.into_iter();
        let since = counts.map(|(apqn, count)| (apqn, count.saturating_sub(before(&apqn))));
        Ok(since.filter(|(_, count)| *count > 0).collect())
    }

    fn adapter(&self, adapter: Apid, fault: AdapterFault) -> Result<(), DeviceError> {
        self.hardware.adapter(adapter, fault)
    }

    fn set_queue_answer(&self, apqn: Apqn, answer: Option<QueueAnswer>) -> Result<(), DeviceError> {
        self.hardware.set_queue_answer(apqn, answer)
    }

    fn fail_resets(&self, apqn: Apqn, fail: bool) -> Result<(), DeviceError> {
        self.hardware.fail_resets(apqn, fail)
    }

    fn pass_time(&self, nanoseconds: u64) -> Result<(), DeviceError> {
        self.hardware.pass_time(nanoseconds)
    }

    fn set_poison(&self, poison: &Matrix) -> Result<(), DeviceError> {
        self.hardware.set_poison(poison)
    }

    fn guest_memory(&self, mdev: &str, address: u64, length: u32) -> Result<Vec<u8>, DeviceError> {
        self.give(mdev)?;
        self.hardware.guest_memory(mdev, address, length)
    }

    fn guest_execute(&self, mdev: &str, call: &GuestCall) -> Result<GuestReply, DeviceError> {
        self.give(mdev)?;
        self.hardware.guest_execute(mdev, call)
    }

    fn set_secure_execution(&self, host: bool, guest: bool) -> Result<(), DeviceError> {
        self.hardware.set_secure_execution(host, guest)
    }
}
