// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the tests of the lab work with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ap_machine::Topology;
use kaput::hosts::qemu;
use kaput::lab::cache;
use kaput::lab::kept::Kept;
use kaput::lab::lpar::{From, Lpar, LparError};
use kaput::lab::machines::LabMachines;
use kaput::lab::owner::Owner;
use kaput::lab::parts::Parts;
use kaput::lab::prepared::LabFactory;
use vfio_linux::{Agent, Driver, Linux};

use crate::support::named;

/// A folder for LPARs, and what they are made from.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    parts: Parts,
    kept: Kept,
    place: PathBuf,
    agent: PathBuf,
}

impl Bench {
    /// # Panics
    /// Where a tool that `cargo xtask test` names is not there.
    pub(crate) fn new(kernel: &Path, agent: &Path) -> Self {
        let named = named().emulator;
        let (qemu, plugin) = (named.qemu.expect("named"), named.plugin.expect("named"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let machine = runtime.block_on(qemu::machine_type(&qemu)).expect("a QEMU");
        let folder = tempfile::tempdir().expect("a folder");
        let parts = Parts::new((qemu, machine, plugin), kernel, agent, folder.path()).expect("parts");
        let place = cache::folder().expect("a cache").join("kept");
        let kept = Kept::new(parts.clone(), place.clone()).expect("a cache");
        Self { folder, parts, kept, place, agent: agent.to_owned() }
    }

    /// A folder of one test's.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, String> {
        let folder = self.folder.path().join(name);
        std::fs::create_dir(&folder).map_err(|error| error.to_string())?;
        Ok(folder)
    }

    pub(crate) fn kernel(&self) -> &Path {
        &self.parts.kernel
    }

    pub(crate) fn agent(&self) -> &Path {
        &self.agent
    }

    /// Kept LPARs for a host of a run.
    pub(crate) fn kept(&self) -> Result<Arc<Kept>, String> {
        Kept::new(self.parts(), self.place.clone()).map(Arc::new).map_err(|error| error.to_string())
    }

    pub(crate) fn parts(&self) -> Parts {
        self.parts.clone()
    }

    /// A driver in LPARs, for the cases of the suite.
    pub(crate) fn factory(&self, name: &str, driver: Driver) -> Result<LabFactory, String> {
        let kept = Kept::new(self.parts(), self.place.clone()).map_err(|error| error.to_string())?;
        let machines = LabMachines::new(kept, self.folder(name)?).map_err(|error| error.to_string())?;
        Ok(LabFactory::new(machines.with_driver(driver)))
    }

    /// A fresh LPAR on this hardware.
    pub(crate) fn lpar(&self, hardware: &str, folder: &Path) -> Result<Lpar, String> {
        let topology = hardware.parse::<Topology>().map_err(|error| format!("{hardware}: {error}"))?;
        let owner = Owner::new(&topology).map_err(|error| error.to_string())?;
        self.kept.lpar(&owner, folder, "lpar").map_err(|error| error.to_string())
    }

    /// LPARs with one CPU: for calls that come one after the other they are quicker, because no CPU wakes another.
    pub(crate) fn with_one_cpu(&self) -> Result<Kept, String> {
        let parts = Parts { cpus: 1, ..self.parts() };
        Kept::new(parts, self.place.clone()).map_err(|error| error.to_string())
    }
}

/// The number of the system call.
const EXIT_GROUP: u64 = 248;
/// The first of the agent's threads that no host uses.
pub(crate) const BESIDE: u32 = 40;
/// How long a call of such a thread may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Ends the kernel of an LPAR: Linux panics when its process 1 ends.
pub(crate) fn panic(agent: Arc<Agent>) {
    _ = Linux::beside(agent, PATIENCE, BESIDE).call(EXIT_GROUP, [1, 0, 0, 0, 0, 0]);
}

/// An LPAR from its kernel on.
pub(crate) fn boot(parts: &Parts, folder: &Path) -> Result<Lpar, LparError> {
    Lpar::start(parts, &Owner::new(&Topology::default())?, From::Kernel, folder, "booted")
}
