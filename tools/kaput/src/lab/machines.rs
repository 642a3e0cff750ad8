// SPDX-License-Identifier: MIT OR Apache-2.0
//! LPARs for the cases of the conformance suite: a fresh one for each host of each case, on hardware as the case wants
//! it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ap_machine::Topology;
use vfio_ap::model::ModelFactory;
use vfio_linux::{Driver, Linux, Machine, Machines, stack_is_filled};
use vfio_mig::DeviceError;
use vfio_mig::conformance::{HostSetup, NoHost};

use super::hardware::LabHardware;
use super::kept::Kept;
use super::lpar::LparError;
use super::owner::Owner;

/// The most queues that Linux's bus finds in a time worth waiting for: it asks for each, under emulation.
pub(crate) const MOST_QUEUES: usize = 4096;
/// How long a look at what the kernel has may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// LPARs of one kernel.
pub struct LabMachines {
    name: String,
    stack_is_filled: bool,
    kept: Kept,
    /// Their files, as long as they are there.
    folder: PathBuf,
    count: AtomicU32,
    /// How long each took from the wish to its agent's answer.
    took: Mutex<Vec<Duration>>,
    driver: Driver,
}

/// What the cases cannot do without, and the option that gives it to a kernel.
const NEEDED: [(&str, &str); 6] = [
    ("/sys/bus/ap", "CONFIG_AP"),
    ("/dev/kvm", "CONFIG_KVM"),
    ("/dev/vfio", "CONFIG_VFIO"),
    ("/sys/bus/mdev", "CONFIG_VFIO_MDEV"),
    ("/sys/devices/vfio_ap/matrix", "CONFIG_VFIO_AP"),
    ("/sys/kernel/debug/s390dbf", "CONFIG_DEBUG_FS"),
];
/// The file systems that show it.
const MOUNTS: [(&str, &str, &str); 3] = [
    ("proc", "/proc", "CONFIG_PROC_FS"),
    ("sysfs", "/sys", "CONFIG_SYSFS"),
    ("debugfs", "/sys/kernel/debug", "CONFIG_DEBUG_FS"),
];

impl LabMachines {
    /// Those that come out of `kept`; their files stand in `folder`. One is looked at: its kernel must have what the
    /// cases need.
    ///
    /// # Errors
    /// [`LparError`].
    pub fn new(kept: Kept, folder: PathBuf) -> Result<Self, LparError> {
        let lpar = kept.lpar(&Owner::new(&Topology::default())?, &folder, "0")?;
        let linux = Linux::new(lpar.agent(), PATIENCE);
        for (kind, path, option) in MOUNTS {
            linux.mount(kind, path).map_err(|error| lacks(&error, option, path))?;
        }
        for (path, option) in NEEDED {
            linux
                .list(path)
                .or_else(|_| linux.open(path, 0).map(|_| Vec::new()))
                .map_err(|error| lacks(&error, option, path))?;
        }
        let version = linux.read_file("/proc/version").map_err(|error| LparError::Unseen(error.to_string()))?;
        let version = String::from_utf8_lossy(&version);
        // `Linux version 7.3.4 (kaput@lab) ...`
        let version = version.split_whitespace().nth(2).unwrap_or("of an unknown version");
        let name = format!("Linux {version}, in an emulated LPAR");
        let stack_is_filled = stack_is_filled(&linux).map_err(|error| LparError::Unseen(error.to_string()))?;
        let (count, took, driver) = (AtomicU32::new(1), Mutex::default(), Driver::VFIO_AP);
        Ok(Self { name, stack_is_filled, kept, folder, count, took, driver })
    }

    /// The same with another driver of that kernel judged.
    #[must_use]
    pub fn with_driver(self, driver: Driver) -> Self {
        Self { driver, ..self }
    }

    /// A machine with the hardware that is wanted, fresh or from a file that [`LabHardware::keep`] made, and who owns
    /// that hardware.
    pub(super) fn from(&self, setup: &HostSetup, file: Option<&Path>) -> Result<(Machine, Arc<LabHardware>), NoHost> {
        let queues = setup.host.queue_count();
        if queues > MOST_QUEUES {
            let reason = format!("an LPAR of {queues} queues takes too long, because Linux asks for each of them");
            return Err(NoHost::Unfit(reason));
        }
        if setup.interruption {
            let reason = "a guest's AQIC does not reach the driver, because no vCPU runs in the LPAR";
            return Err(NoHost::Unfit(reason.to_owned()));
        }
        // The model's host of that description has the hardware that is wanted.
        let wanted = HostSetup { format: None, ..setup.clone() };
        let model = ModelFactory::corrected().config(&wanted).map_err(NoHost::Unfit)?;
        let name = self.count.fetch_add(1, Ordering::Relaxed).to_string();
        let owner = Owner::new(&model.topology).map_err(broken)?;
        let begin = Instant::now();
        let lpar = match file {
            Some(file) => self.kept.lpar_of(file, &owner, &self.folder, &name),
            None => self.kept.lpar(&owner, &self.folder, &name),
        };
        let lpar = lpar.map_err(broken)?;
        self.took.lock().unwrap_or_else(PoisonError::into_inner).push(begin.elapsed());
        let agent = lpar.agent();
        let hardware = Arc::new(LabHardware::new(lpar).with_filled_stack(self.stack_is_filled));
        let machine = Machine::expendable(agent, Arc::clone(&hardware) as _).with_driver(self.driver);
        Ok((machine, hardware))
    }

    /// A path for a file of an LPAR that is prepared; no other has it.
    pub(super) fn place(&self, number: usize) -> PathBuf {
        self.folder.join(format!("prepared-{number}"))
    }

    /// How many LPARs there were.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// How long the median LPAR of a case took from the wish to its agent's answer; `None` before the first.
    #[must_use]
    pub fn median(&self) -> Option<Duration> {
        let mut took = self.took.lock().unwrap_or_else(PoisonError::into_inner).clone();
        took.sort_unstable();
        took.get(took.len() / 2).copied()
    }
}

impl Machines for LabMachines {
    fn name(&self) -> String {
        format!("{} of {}", self.driver.name, self.name)
    }

    fn machine(&self, setup: &HostSetup) -> Result<Machine, NoHost> {
        self.from(setup, None).map(|(machine, _)| machine)
    }
}

/// A kernel that answers lacks something; of one that does not, nothing is known.
fn lacks(error: &DeviceError, option: &'static str, path: &'static str) -> LparError {
    match error.errno() {
        Some(_) => LparError::Lacks { option, path },
        None => LparError::Unseen(error.to_string()),
    }
}

fn broken(error: impl std::fmt::Display) -> NoHost {
    NoHost::Broken(error.to_string())
}
