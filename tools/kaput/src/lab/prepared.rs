// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hosts that were prepared once and are kept until the end: a case or a sequence that wants the same host as another
//! gets a copy of that one's LPAR, with its mediated devices open. Preparing a host takes several times
//! as long as coming back.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vfio_linux::{LinuxHost, Machines};
use vfio_mig::HostControl;
use vfio_mig::conformance::{DeviceFactory, HostSetup, NoHost};

use super::machines::LabMachines;

/// How many are kept: each takes as much of the disk as its LPAR has storage in use.
const MOST: usize = 16;

/// The real driver as a device under test, in LPARs.
pub struct LabFactory {
    /// Where the LPARs come from.
    pub machines: LabMachines,
    wanted: Mutex<Vec<(HostSetup, Wanted)>>,
    copies: AtomicU32,
}

/// What has become of a host that is wanted.
enum Wanted {
    /// It was wanted once.
    Once,
    /// Somebody prepares one to be kept, or it cannot be kept: a fresh one serves.
    Fresh,
    /// It is kept.
    Kept(Arc<Prepared>),
}

/// A host that stands still in a file.
struct Prepared {
    host: LinuxHost,
    file: PathBuf,
}

impl Drop for Prepared {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.file);
    }
}

impl LabFactory {
    /// Of these LPARs.
    #[must_use]
    pub fn new(machines: LabMachines) -> Self {
        Self { machines, wanted: Mutex::default(), copies: AtomicU32::new(0) }
    }

    /// How many hosts were copies of prepared ones.
    #[must_use]
    pub fn copies(&self) -> u32 {
        self.copies.load(Ordering::Relaxed)
    }

    fn wanted(&self) -> MutexGuard<'_, Vec<(HostSetup, Wanted)>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kept one; if this is the moment to keep one, its number: when it is wanted a second time.
    fn kept(&self, setup: &HostSetup) -> (Option<Arc<Prepared>>, Option<usize>) {
        let mut all = self.wanted();
        let Some(at) = all.iter().position(|(known, _)| known == setup) else {
            all.push((setup.clone(), Wanted::Once));
            return (None, None);
        };
        let kept = all.iter().filter(|(_, wanted)| matches!(wanted, Wanted::Kept(_))).count();
        match &mut all[at].1 {
            Wanted::Kept(prepared) => (Some(Arc::clone(prepared)), None),
            wanted @ Wanted::Once if kept < MOST => {
                *wanted = Wanted::Fresh;
                (None, Some(at))
            }
            Wanted::Once | Wanted::Fresh => (None, None),
        }
    }

    /// Prepares a host and keeps it, if it can be kept.
    fn keep(&self, setup: &HostSetup, at: usize) -> Result<Option<Arc<Prepared>>, NoHost> {
        let (machine, hardware) = self.machines.from(setup, None)?;
        let host = LinuxHost::new(machine, setup)?;
        let file = self.machines.place(at);
        if hardware.keep(&file).is_err() {
            return Ok(None);
        }
        let prepared = Arc::new(Prepared { host, file });
        self.wanted()[at].1 = Wanted::Kept(Arc::clone(&prepared));
        Ok(Some(prepared))
    }
}

impl DeviceFactory for LabFactory {
    fn name(&self) -> String {
        self.machines.name()
    }

    fn host(&self, setup: &HostSetup) -> Result<Box<dyn HostControl>, NoHost> {
        let prepared = match self.kept(setup) {
            (None, Some(at)) => self.keep(setup, at)?,
            (prepared, _) => prepared,
        };
        Ok(Box::new(match prepared {
            Some(prepared) => {
                let (machine, _) = self.machines.from(setup, Some(&prepared.file))?;
                self.copies.fetch_add(1, Ordering::Relaxed);
                prepared.host.copy_on(machine)?
            }
            None => LinuxHost::new(self.machines.machine(setup)?, setup)?,
        }))
    }
}
