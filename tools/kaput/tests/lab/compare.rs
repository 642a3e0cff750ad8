// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real driver against its model, step by step: the AP bus, vfio_ap, mediated devices and their guests. What is
//! done and compared is decided by `bus-conformance`; here is how an LPAR is asked.
//!
//! By hand with more: `KAPUT_BUS_SEEDS=1-10 KAPUT_BUS_STEPS=500 cargo xtask test lab`; each seed has an LPAR of its
//! own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use ap_arch::{Apqi, Matrix};
use ap_machine::{Machine as Hardware, Topology};
use bus_conformance::{
    Administrator, BUS, DRIVER, DRIVERS, GUEST, Kernel, LOG, Model, Outcome, Plan, RESETS, Seen, State, Step, Universe,
    Verb, Watch, masks,
};
use kaput::lab::hardware::LabHardware;
use kaput::lab::kept::Kept;
use kaput::lab::owner::Owner;
use vfio_ap::change_machine;
use vfio_ap::control::Request;
use vfio_linux::{LinuxHost, Look, Machine};
use vfio_mig::{DeviceError, HostControl, LogLevel};

use crate::bench::Bench;

/// The hardware at the beginning: a control domain more than domains, and numbers that are above its maximum.
const HARDWARE: &str = "04=cex8c,05=cex8a,06=cex7p/33,3a/33,3a,44";
const HIGHEST_DOMAIN: Apqi = Apqi(0x5f);

/// The mediated devices.
const MDEVS: [&str; 3] = ["a", "b", "c"];

/// Steps in CI.
const STEPS: usize = 500;

/// After so many steps everything is looked at.
const WHOLE: usize = 10;

/// What is seen of a link that is not there.
const NO_DRIVER: &str = "!2";

/// Where the driver warns that the close of a device found a queue that does not work: one of
/// [`bus_conformance::CHOICES`].
const LEFT_OUT: &str = "vfio_ap_irq_disable";

const ROOT: &str = "/sys/bus/ap";
const MATRIX: &str = "/sys/devices/vfio_ap/matrix";

pub(crate) fn with_the_model(bench: &Bench) -> Result<(), String> {
    let topology: Topology = HARDWARE.parse().map_err(|error| format!("{HARDWARE}: {error}"))?;
    let topology = Topology { max_domain: HIGHEST_DOMAIN, ..topology };
    let mut lab = Lab::new(bench, topology.clone())?;
    // `Linux version 7.3.4 (kaput@lab) ...`
    let version = lab.host.sysfs_read("/proc/version").map_err(|error| format!("/proc/version: {error}"))?;
    let kernel = version.split_whitespace().nth(2).and_then(Kernel::from_release);
    let kernel = kernel.ok_or_else(|| format!("{version} is no version"))?;
    let mut model = Model::new(kernel, topology.clone(), true)?;
    let universe = Universe { topology, kernel, hardware: true, mdevs: MDEVS.to_vec() };
    let watch = kernel.watch().with_vfio_ap(&MDEVS);
    Plan::from_environment(STEPS)?.carry_out(kernel, &universe, &watch, &mut lab, &mut model)
}

/// The administrator of an LPAR.
struct Lab {
    kept: Kept,
    topology: Topology,
    folder: PathBuf,
    /// How many LPARs there were.
    count: u32,
    host: LinuxHost,
    hardware: Arc<Hardware>,
    /// The guest of each device that is open.
    open: BTreeMap<String, String>,
    /// How often it was looked at.
    looks: usize,
    /// The first line of the log that nobody has seen.
    log: u64,
    complaints: usize,
    last: Rc<State>,
}

impl Lab {
    fn new(bench: &Bench, topology: Topology) -> Result<Self, String> {
        let (folder, kept) = (bench.folder("compare")?, bench.with_one_cpu()?);
        let (host, hardware) = host(&kept, &topology, &folder.join("0"))?;
        let (open, last) = (BTreeMap::new(), Rc::default());
        Ok(Self { kept, topology, folder, count: 1, host, hardware, open, looks: 0, log: 0, complaints: 0, last })
    }
}

/// A fresh LPAR with its hardware.
fn host(kept: &Kept, topology: &Topology, folder: &Path) -> Result<(LinuxHost, Arc<Hardware>), String> {
    fs::create_dir(folder).map_err(|error| error.to_string())?;
    let owner = Owner::new(topology).map_err(|error| error.to_string())?;
    let lpar = kept.lpar(&owner, folder, "lpar").map_err(|error| error.to_string())?;
    let (agent, hardware) = (lpar.agent(), Arc::clone(&owner.machine));
    let machine = Machine::expendable(agent, Arc::new(LabHardware::new(lpar)));
    let host = LinuxHost::with_guests(machine, &MDEVS).map_err(|error| format!("{error:?}"))?;
    // The bus looks for changes by itself too, but not while it is compared. It was kept without any hardware.
    for (name, value) in [("config_time", "120"), ("scans", "1")] {
        host.sysfs_write(&Step::absolute(name), value).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok((host, hardware))
}

impl Lab {
    fn carry_out_one(&mut self, step: &Step) -> Result<Outcome, String> {
        if let Some(mdev) = step.removes().filter(|mdev| self.open.contains_key(*mdev)) {
            self.ask(mdev, &Verb::Close)?;
        }
        if step.is_about_masks() {
            self.probe_all()?;
        }
        match step {
            Step::Write { path, value } => outcome(self.host.sysfs_write(&Step::absolute(path), value)),
            Step::Device { mdev, verb } => self.ask(mdev, verb),
            Step::Hardware(request) => {
                let outcome = self.change(request)?;
                for _ in 0..Step::SCANS {
                    self.host.sysfs_write(&Step::absolute("scans"), "1").map_err(|error| format!("scans: {error}"))?;
                }
                Ok(outcome)
            }
        }
    }

    fn ask(&mut self, mdev: &str, verb: &Verb) -> Result<Outcome, String> {
        let device = self.host.device(mdev);
        match verb {
            Verb::Open { guest } => {
                let opened = outcome(self.host.open_for(mdev, guest))?;
                if opened == Outcome::Done {
                    self.open.insert(mdev.to_owned(), guest.clone());
                }
                Ok(opened)
            }
            Verb::Close if self.open.remove(mdev).is_none() => Ok(Outcome::NotChanged),
            Verb::Close => outcome(device.close_device()),
            Verb::Reset => outcome(device.reset()),
            Verb::State => outcome(device.state().map(drop)),
            Verb::Info => match self.host.info(mdev) {
                Ok(info) => Ok(Outcome::Info(info)),
                Err(error) => outcome(Err(error)),
            },
        }
    }

    fn change(&self, request: &Request) -> Result<Outcome, String> {
        match change_machine(&self.hardware, request) {
            Some(Ok(())) => Ok(Outcome::Done),
            Some(Err(_)) => Ok(Outcome::NotChanged),
            None => Err(format!("nobody does this to an LPAR's hardware: {request:?}")),
        }
    }

    /// Has every queue probed that had no driver at the last look: what a change of the masks does with it is not
    /// determined.
    fn probe_all(&self) -> Result<(), String> {
        let unbound = self.last.0.iter().filter(|(thing, values)| thing.contains('.') && values[0] == NO_DRIVER);
        for (queue, _) in unbound {
            let probed = self.host.sysfs_write(&Step::absolute("drivers_probe"), queue);
            probed.map_err(|error| format!("drivers_probe: {error}"))?;
        }
        Ok(())
    }

    /// What is seen. What only a scan of the bus changes is looked at after scans, and now and then.
    fn state(&self, watch: &Watch, is_whole: bool) -> Result<State, DeviceError> {
        let folder = |name: &str| Look::Folder(format!("{ROOT}/{name}"));
        let mut folders = vec![Look::Folder(MATRIX.to_owned())];
        if is_whole {
            folders.extend([folder("devices"), folder("drivers")]);
        }
        let mut lists = self.host.look(&folders)?.into_iter().map(Result::unwrap_or_default);
        let mut list = || lists.next().map(|list| list.lines().map(str::to_owned).collect::<Vec<_>>());
        let found = list().unwrap_or_default();
        let mut state = State::default();
        let is_device = |name: &&String| name.contains('.') || name.starts_with("card");
        let devices = list().unwrap_or_else(|| self.last.0.keys().filter(is_device).cloned().collect());
        let drivers = list().or_else(|| self.last.0.get(DRIVERS).cloned());
        state.put(DRIVERS.to_owned(), drivers.unwrap_or_default());
        let mdevs = MDEVS.iter().filter(|mdev| found.iter().any(|name| name == **mdev));
        let things = [(BUS.to_owned(), ROOT.to_owned()), (DRIVER.to_owned(), MATRIX.to_owned())].into_iter();
        let things = things.chain(devices.into_iter().map(|name| (name.clone(), format!("{ROOT}/devices/{name}"))));
        let things = things.chain(mdevs.map(|name| ((*name).to_owned(), format!("{MATRIX}/{name}"))));
        self.look_at(watch, &things.collect::<Vec<_>>(), is_whole, &mut state)?;
        Ok(state)
    }

    /// Looks at things in their folders.
    fn look_at(
        &self,
        watch: &Watch,
        things: &[(String, String)],
        is_whole: bool,
        state: &mut State,
    ) -> Result<(), DeviceError> {
        let before = |thing: &str, index: usize| self.last.0.get(thing).and_then(|values| values.get(index)).cloned();
        let (mut looks, mut values) = (Vec::new(), Vec::new());
        for (thing, folder) in things {
            let known = |(index, name): (usize, &&str)| {
                let known = before(thing, index).filter(|_| !is_whole && Watch::is_still(name));
                if known.is_none() {
                    looks.push(match *name {
                        "driver" => Look::Link(format!("{folder}/driver")),
                        name => Look::File(format!("{folder}/{name}")),
                    });
                }
                known
            };
            values.push(watch.of(thing).iter().enumerate().map(known).collect::<Vec<_>>());
        }
        let mut seen = self.host.look(&looks)?.into_iter().map(|value| match value {
            Ok(text) => text.strip_suffix('\n').unwrap_or(&text).to_owned(),
            Err(errno) => format!("!{}", errno.0),
        });
        for ((thing, _), values) in things.iter().zip(values) {
            let values = values.into_iter().map(|known| known.or_else(|| seen.next()).unwrap_or_default());
            state.put(thing.clone(), values.collect());
        }
        Ok(())
    }

    /// What KVM was told; a guest that no device serves, and served none before the step, has nothing.
    fn look_at_guests(
        &self,
        watch: &Watch,
        before: &BTreeMap<String, String>,
        state: &mut State,
    ) -> Result<(), DeviceError> {
        for guest in &watch.guests {
            let is_served = before.values().chain(self.open.values()).any(|served| served == guest);
            let given = if is_served { self.host.guest_masks(guest)? } else { Matrix::EMPTY };
            state.put(format!("{GUEST}{guest}"), vec![masks(&given)]);
        }
        Ok(())
    }

    /// What the driver logs as a warning or worse, and what the kernel finds wrong with itself, since the last look.
    fn log(&mut self) -> Result<Vec<String>, DeviceError> {
        let lines = self.host.log(self.log)?;
        self.log = lines.last().map_or(self.log, |line| line.number + 1);
        let loud = lines.into_iter().filter(|line| line.level <= LogLevel::Warning).map(|line| line.text);
        let complaints = self.host.complaints()?;
        let new = complaints.get(self.complaints..).unwrap_or_default().iter().map(|complaint| complaint.what.clone());
        let all = loud.chain(new).filter(|line| !line.contains(LEFT_OUT)).collect();
        self.complaints = complaints.len();
        Ok(all)
    }
}

fn outcome(answer: Result<(), DeviceError>) -> Result<Outcome, String> {
    match answer {
        Ok(()) => Ok(Outcome::Done),
        Err(error) => error.errno().map(Outcome::Refused).ok_or_else(|| error.to_string()),
    }
}

impl Administrator for Lab {
    fn carry_out(&mut self, watch: &Watch, steps: &[Step]) -> Result<Vec<Seen>, String> {
        let mut seen = Vec::with_capacity(steps.len());
        for step in steps {
            let before = self.open.clone();
            let outcome = self.carry_out_one(step).map_err(|error| format!("{step}: {error}"))?;
            let is_whole = step.scans() || self.looks.is_multiple_of(WHOLE);
            self.looks += 1;
            let mut look = || {
                let mut state = self.state(watch, is_whole)?;
                self.look_at_guests(watch, &before, &mut state)?;
                let counts = self.host.reset_counts()?.into_iter().map(|(queue, count)| format!("{queue} {count}"));
                state.put(RESETS.to_owned(), counts.collect());
                state.put(LOG.to_owned(), self.log()?);
                Ok::<_, DeviceError>(state)
            };
            let state = look().map_err(|error| format!("after {step}: {error}"))?;
            if state != *self.last {
                self.last = Rc::new(state);
            }
            seen.push(Seen { outcome, state: Rc::clone(&self.last) });
        }
        Ok(seen)
    }

    /// Takes another LPAR.
    fn restart(&mut self) -> Result<(), String> {
        let folder = self.folder.join(self.count.to_string());
        self.count += 1;
        (self.host, self.hardware) = host(&self.kept, &self.topology, &folder)?;
        (self.log, self.complaints, self.looks) = (0, 0, 0);
        (self.open, self.last) = (BTreeMap::new(), Rc::default());
        Ok(())
    }
}
