// SPDX-License-Identifier: MIT OR Apache-2.0
//! The driver's model as an administrator's bus.

use std::rc::Rc;
use std::sync::Arc;

use ap_arch::Mask256;
use ap_machine::Topology;
use vfio_ap::{Host, HostConfig};
use vfio_mig::DeviceError;

use crate::watch::{BUS, DRIVERS};
use crate::{Administrator, Kernel, Outcome, Seen, State, Step, Watch};

const ROOT: &str = "/sys/bus/ap";

/// A host of the model, as a kernel of some version has it.
pub struct Model {
    config: HostConfig,
    host: Arc<Host>,
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
            ..HostConfig::default()
        };
        config.mdev.uuid = "none".to_owned();
        kernel.apply(&mut config);
        let host = Host::new(config.clone()).map_err(|error| error.to_string())?;
        Ok(Self { config, host })
    }

    fn carry_out_one(&self, step: &Step) -> Outcome {
        match step {
            Step::Write { path, value } => match self.host.sysfs_write(&format!("{ROOT}/{path}"), value) {
                Ok(()) => Outcome::Done,
                Err(error) => error.errno().map_or(Outcome::NotChanged, Outcome::Refused),
            },
            Step::Hardware(request) => {
                let line = serde_json::to_string(request).unwrap_or_default();
                let answer: serde_json::Value =
                    serde_json::from_str(&self.host.control_line(&line)).unwrap_or_default();
                if answer.get("return").is_some() { Outcome::Done } else { Outcome::NotChanged }
            }
        }
    }

    fn state(&self, watch: &Watch) -> State {
        let list = |folder: &str| self.host.sysfs_list(&format!("{ROOT}/{folder}")).unwrap_or_default();
        let mut state = State::default();
        state.put(DRIVERS.to_owned(), list("drivers"));
        for thing in list("devices").into_iter().chain([BUS.to_owned()]) {
            let folder = if thing == BUS { ROOT.to_owned() } else { format!("{ROOT}/devices/{thing}") };
            let read = |name: &&str| match self.host.sysfs_read(&format!("{folder}/{name}")) {
                Ok(text) => text.strip_suffix('\n').unwrap_or(&text).to_owned(),
                Err(error) => unreadable(&error),
            };
            let values = watch.of(&thing).iter().map(read).collect();
            state.put(thing, values);
        }
        state
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
        self.host = Host::new(self.config.clone()).map_err(|error| error.to_string())?;
        Ok(())
    }
}
