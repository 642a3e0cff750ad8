// SPDX-License-Identifier: MIT OR Apache-2.0
//! The driver's model as an administrator's bus.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use ap_arch::{Mask256, Matrix};
use ap_machine::Topology;
use serde::de::DeserializeOwned;
use serde_json::Value;
use vfio_ap::control::{HostReply, LogReply, Reply, Request};
use vfio_ap::{Host, HostConfig};
use vfio_mig::{DeviceError, Errno, LogLevel};

use crate::step::Verb;
use crate::watch::{BUS, DRIVER, DRIVERS, GUEST, LOG, RESETS, masks};
use crate::{Administrator, Kernel, Outcome, Seen, State, Step, Watch};

const ROOT: &str = "/sys/bus/ap";
const MATRIX: &str = "/sys/devices/vfio_ap/matrix";

/// The device that every host of the model begins with, and that is removed at once.
const UNUSED: &str = "unused";

/// What VFIO_DEVICE_GET_INFO says of a device of vfio_ap: that it is one and can be reset; no region; interruptions for
/// a request to be released and for a change of the configuration. `vfio_ap_mdev_get_device_info` of Linux 7.3.
const INFO: [u32; 3] = [0x21, 0, 2];

/// A host of the model, as a kernel of some version has it.
pub struct Model {
    config: HostConfig,
    host: Arc<Host>,
    /// The guest of each device that is open.
    open: BTreeMap<String, String>,
    /// The first line of the log that nobody has seen.
    log: u64,
}

impl Model {
    /// A host with this hardware, all of it the host's own; with vfio_ap loaded or without.
    ///
    /// # Errors
    /// What is wrong with the hardware.
    pub fn new(kernel: Kernel, topology: Topology, with_vfio_ap: bool) -> Result<Self, String> {
        let mut config = HostConfig {
            topology,
            default_adapters: Mask256::FULL,
            default_domains: Mask256::FULL,
            without_vfio_ap: !with_vfio_ap,
            without_migration: true,
            ..HostConfig::default()
        };
        config.mdev.uuid = UNUSED.to_owned();
        kernel.apply(&mut config);
        let host = host(&config)?;
        Ok(Self { config, host, open: BTreeMap::new(), log: 0 })
    }

    /// Asks the host something; what it answers, or why it does not.
    fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, DeviceError> {
        let line = serde_json::to_string(request).unwrap_or_default();
        let wrong = |error: serde_json::Error| DeviceError::Transport(error.to_string());
        let reply: Reply = serde_json::from_str(&self.host.control_line(&line)).map_err(wrong)?;
        match reply.error {
            Some(error) => Err(error.into()),
            None => serde_json::from_value(reply.value.unwrap_or_default()).map_err(wrong),
        }
    }

    fn device(&mut self, mdev: &str, verb: &Verb) -> Outcome {
        let device = Some(mdev.to_owned());
        let is_open = self.open.contains_key(mdev);
        let asked = match verb {
            Verb::Open { .. } if !self.mdevs().iter().any(|name| name == mdev) => Err(Errno::ENOENT.into()),
            Verb::Open { guest } => {
                let opened = self.ask(&Request::DeviceOpen { mdev: device, guest: Some(guest.clone()) });
                opened.inspect(|_: &Value| _ = self.open.insert(mdev.to_owned(), guest.clone()))
            }
            Verb::Close if !is_open => return Outcome::NotChanged,
            Verb::Close => {
                self.open.remove(mdev);
                self.ask(&Request::DeviceClose { mdev: device })
            }
            // VFIO itself stands before a driver whose device is not open.
            _ if !is_open => Err(Errno::EINVAL.into()),
            Verb::Info => return Outcome::Info(INFO),
            Verb::Reset => self.ask(&Request::DeviceReset { mdev: device }),
            Verb::State => self.ask(&Request::MigrationGetState { mdev: device }),
        };
        outcome(asked.map(drop))
    }

    /// Has every queue without a driver probed, before the masks are written: the first of [`crate::CHOICES`].
    fn probe_all(&self) {
        let devices = self.host.sysfs_list(&format!("{ROOT}/devices")).unwrap_or_default();
        for queue in devices.iter().filter(|name| name.contains('.')) {
            if self.host.sysfs_read(&format!("{ROOT}/devices/{queue}/driver")).is_err() {
                // One that nobody is to have stays without.
                _ = self.host.sysfs_write(&format!("{ROOT}/drivers_probe"), queue);
            }
        }
    }

    fn mdevs(&self) -> Vec<String> {
        self.host.sysfs_list(MATRIX).unwrap_or_default()
    }

    fn carry_out_one(&mut self, step: &Step) -> Outcome {
        if let Some(mdev) = step.removes().filter(|mdev| self.open.contains_key(*mdev)) {
            self.device(mdev, &Verb::Close);
        }
        if step.is_about_masks() && !self.config.without_vfio_ap {
            self.probe_all();
        }
        match step {
            Step::Write { path, value } => outcome(self.host.sysfs_write(&Step::absolute(path), value)),
            Step::Hardware(request) => match self.ask::<Value>(request) {
                Ok(_) => Outcome::Done,
                Err(_) => Outcome::NotChanged,
            },
            Step::Device { mdev, verb } => self.device(mdev, verb),
        }
    }

    fn state(&mut self, watch: &Watch) -> State {
        let mut state = self.state_of_bus(watch);
        if watch.mdev.is_empty() {
            return state;
        }
        let read = |folder: &str, names: &[&str]| {
            let read = |name: &&str| self.read(&format!("{folder}/{name}"));
            names.iter().map(read).collect::<Vec<_>>()
        };
        state.put(DRIVER.to_owned(), read(MATRIX, &watch.driver));
        for mdev in self.mdevs() {
            let values = read(&format!("{MATRIX}/{mdev}"), &watch.mdev);
            state.put(mdev, values);
        }
        let described: Option<HostReply> = self.ask(&Request::QueryHost {}).ok();
        for guest in &watch.guests {
            let mdev = self.open.iter().find(|(_, served)| served == guest).map(|(mdev, _)| mdev);
            let device = described.iter().flat_map(|host| &host.mdevs).find(|device| Some(&device.uuid) == mdev);
            let masks = device.map_or_else(
                || masks(&Matrix::EMPTY),
                |it| format!("{},{},{}", it.guest_adapters, it.guest_domains, it.guest_control_domains),
            );
            state.put(format!("{GUEST}{guest}"), vec![masks]);
        }
        let queues = self.host.machine().snapshot().queues.into_iter();
        let zeroized = queues.filter(|queue| queue.counters.zeroizes > 0);
        let counts = zeroized.map(|queue| format!("{} {}", queue.queue, queue.counters.zeroizes)).collect();
        state.put(RESETS.to_owned(), counts);
        let log: Option<LogReply> = self.ask(&Request::QueryLog { since: self.log }).ok();
        let lines = log.map_or_else(Vec::new, |log| log.lines);
        self.log = lines.last().map_or(self.log, |line| line.number + 1);
        let loud = lines.into_iter().filter(|line| line.level <= LogLevel::Warning);
        state.put(LOG.to_owned(), loud.map(|line| line.text).collect());
        state
    }

    fn read(&self, path: &str) -> String {
        match self.host.sysfs_read(path) {
            Ok(text) => text.strip_suffix('\n').unwrap_or(&text).to_owned(),
            Err(error) => unreadable(&error),
        }
    }

    fn state_of_bus(&self, watch: &Watch) -> State {
        let list = |folder: &str| self.host.sysfs_list(&format!("{ROOT}/{folder}")).unwrap_or_default();
        let mut state = State::default();
        state.put(DRIVERS.to_owned(), list("drivers"));
        for thing in list("devices").into_iter().chain([BUS.to_owned()]) {
            let folder = if thing == BUS { ROOT.to_owned() } else { format!("{ROOT}/devices/{thing}") };
            let values = watch.of(&thing).iter().map(|name| self.read(&format!("{folder}/{name}"))).collect();
            state.put(thing, values);
        }
        state
    }
}

/// A host of the model that has no mediated device.
fn host(config: &HostConfig) -> Result<Arc<Host>, String> {
    let host = Host::new(config.clone()).map_err(|error| error.to_string())?;
    // There is always one in the beginning, and it is open.
    let close = Request::DeviceClose { mdev: Some(UNUSED.to_owned()) };
    let closed = host.control_line(&serde_json::to_string(&close).unwrap_or_default());
    let removed = host.sysfs_write(&format!("{MATRIX}/{UNUSED}/remove"), "1");
    removed.map_err(|error| format!("{closed}: {error}"))?;
    Ok(host)
}

fn outcome(answer: Result<(), DeviceError>) -> Outcome {
    match answer {
        Ok(()) => Outcome::Done,
        Err(error) => error.errno().map_or(Outcome::NotChanged, Outcome::Refused),
    }
}

fn unreadable(error: &DeviceError) -> String {
    error.errno().map_or_else(|| error.to_string(), |errno| format!("!{}", errno.0))
}

impl Administrator for Model {
    fn carry_out(&mut self, watch: &Watch, steps: &[Step]) -> Result<Vec<Seen>, String> {
        let mut last = Rc::<State>::default();
        let see = |step: &Step| {
            let outcome = self.carry_out_one(step);
            let state = self.state(watch);
            if state != *last {
                last = Rc::new(state);
            }
            Seen { outcome, state: Rc::clone(&last) }
        };
        Ok(steps.iter().map(see).collect())
    }

    fn restart(&mut self) -> Result<(), String> {
        self.host = host(&self.config)?;
        (self.open, self.log) = (BTreeMap::new(), 0);
        Ok(())
    }
}
