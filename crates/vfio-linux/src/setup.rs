// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Linux prepared as a case wants its host: file systems, who has which queue, mediated devices with their guests.

use std::collections::BTreeMap;
use std::fmt;

use ap_arch::{Apqi, Mask256, Matrix};
use vfio_mig::conformance::{HostSetup, NoHost};
use vfio_mig::{DeviceError, Errno};

use crate::mdev::Mdev;
use crate::names::uuid_of;
use crate::uapi::feature;
use crate::vm::Vm;
use crate::{Driver, Linux, attach, uapi};

const BUS: &str = "/sys/bus/ap";

/// What there must be of file systems.
const MOUNTS: [(&str, &str, &str); 3] = [
    ("/proc/self", "proc", "/proc"),
    ("/sys/bus", "sysfs", "/sys"),
    ("/sys/kernel/debug/s390dbf", "debugfs", "/sys/kernel/debug"),
];

/// A step that the host did not take.
pub(crate) fn failed(what: impl fmt::Display) -> impl FnOnce(DeviceError) -> NoHost {
    move |error| NoHost::Broken(format!("the host could not be prepared: {what}: {error}"))
}

/// Mounts what a machine that runs nothing else has not mounted.
pub(crate) fn mount(linux: &Linux) -> Result<(), NoHost> {
    for (there, kind, folder) in MOUNTS {
        if linux.open(there, 0).and_then(|fd| linux.close(fd)).is_err() {
            linux.mount(kind, folder).map_err(failed(format_args!("mounting {folder}")))?;
        }
    }
    Ok(())
}

/// The masks of the bus as they were.
#[derive(Clone)]
pub(crate) struct BusMasks {
    apmask: String,
    aqmask: String,
}

impl BusMasks {
    pub(crate) fn read(linux: &Linux) -> Result<Self, NoHost> {
        Ok(Self { apmask: attribute(linux, "apmask")?, aqmask: attribute(linux, "aqmask")? })
    }

    pub(crate) fn write(&self, linux: &Linux) -> Result<(), DeviceError> {
        linux.write_file(&format!("{BUS}/apmask"), &self.apmask)?;
        linux.write_file(&format!("{BUS}/aqmask"), &self.aqmask)
    }
}

fn text(linux: &Linux, path: &str) -> Result<String, DeviceError> {
    linux.read_file(path).map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

fn attribute(linux: &Linux, name: &str) -> Result<String, NoHost> {
    let path = format!("{BUS}/{name}");
    text(linux, &path).map_err(|error| match error.errno() {
        Some(Errno::ENOENT) => NoHost::Unfit(format!("this Linux has no {path}: no AP bus, or a kernel without it")),
        _ => failed(path)(error),
    })
}

/// Finds the machine's queues and gives all to vfio_ap but those that are reserved or unbound.
pub(crate) fn bind_queues(linux: &Linux, setup: &HostSetup) -> Result<(), NoHost> {
    let write = |path: String, value: &str| linux.write_file(&path, value).map_err(failed(path));
    // The kernel scans by itself, but later.
    write(format!("{BUS}/scans"), "1")?;
    check_hardware(linux, setup)?;
    write(format!("{BUS}/apmask"), &setup.reserved.0.to_string())?;
    write(format!("{BUS}/aqmask"), &setup.reserved.1.to_string())?;
    if !all_are_bound(&attribute(linux, "bindings")?) {
        probe_queues(linux, &setup.host)?;
    }
    for apqn in &setup.unbound {
        write(format!("{BUS}/drivers/vfio_ap/unbind"), &apqn.to_string())?;
    }
    Ok(())
}

/// Whether as many queues have a driver as there are: `12/12 (complete)`. The word stays when new queues come.
fn all_are_bound(bindings: &str) -> bool {
    let counts = bindings.split_whitespace().next().and_then(|counts| counts.split_once('/'));
    counts.is_some_and(|(bound, all)| bound == all)
}

/// Some kernels leave a queue alone that had no driver before the masks changed.
fn probe_queues(linux: &Linux, host: &Matrix) -> Result<(), NoHost> {
    for apqn in host.queues() {
        match linux.read_link(&format!("{BUS}/devices/{apqn}/driver")) {
            Ok(_) => continue,
            Err(error) if error.errno() == Some(Errno::ENOENT) => {}
            Err(error) => return Err(failed(format_args!("the driver of {apqn}"))(error)),
        }
        // Whether it has a driver then is the case's to see: its driver may not be there.
        linux.write_file(&format!("{BUS}/drivers_probe"), &apqn.to_string()).map_err(failed("drivers_probe"))?;
    }
    Ok(())
}

/// A case knows what its host has; another one would make it see what is not there.
fn check_hardware(linux: &Linux, setup: &HostSetup) -> Result<(), NoHost> {
    let Matrix { adapters, domains, control_domains } = setup.host;
    let masks = [
        ("ap_adapter_mask", "adapters", adapters),
        ("ap_usage_domain_mask", "domains", domains),
        ("ap_control_domain_mask", "control domains", control_domains),
    ];
    for (name, what, wanted) in masks {
        let has = attribute(linux, name)?;
        if has != wanted.to_string() {
            return Err(NoHost::Unfit(format!("the case wants {what} {wanted:?} and no others; the host has {has}")));
        }
    }
    let limit: u8 = attribute(linux, "ap_max_domain_id")?.parse().unwrap_or(u8::MAX);
    if limit != setup.max_domain {
        let (limit, wanted) = (Apqi(limit), Apqi(setup.max_domain));
        return Err(NoHost::Unfit(format!(
            "the case wants {wanted} as the highest domain number, the host has {limit}"
        )));
    }
    Ok(())
}

/// Makes the mediated devices, each open with a guest of its own. What is made is there also if not all can be made.
pub(crate) fn make_mdevs(
    linux: &Linux,
    driver: Driver,
    setup: &HostSetup,
    mdevs: &mut BTreeMap<String, Mdev>,
) -> Result<(), NoHost> {
    for mdev in &setup.mdevs {
        let uuid = uuid_of(&mdev.name);
        let what = || format!("mediated device {}", mdev.name);
        linux.write_file(&driver.create(), &uuid).map_err(failed(what()))?;
        let folder = driver.folder(&uuid);
        let assigned = if driver.is_of_ap() { assign(linux, &folder, &mdev.matrix) } else { Ok(()) };
        match assigned.and_then(|()| open_with_guest(linux, &folder)) {
            Ok(made) => mdevs.insert(mdev.name.clone(), made),
            Err(error) => {
                // Why it cannot be opened is what counts.
                let _ = remove(linux, &folder);
                return Err(failed(what())(error));
            }
        };
    }
    Ok(())
}

/// Removes a mediated device.
pub(crate) fn remove(linux: &Linux, folder: &str) -> Result<(), DeviceError> {
    linux.write_file(&format!("{folder}/remove"), "1")
}

fn open_with_guest(linux: &Linux, folder: &str) -> Result<Mdev, DeviceError> {
    // Its thread stays the VM's: the trace is called after it.
    let vm = Vm::new(linux, linux.take_thread())?;
    match attach::open(linux, folder, &vm) {
        Ok(attached) => Ok(Mdev::new(folder.to_owned(), vm, Some(attached))),
        Err(error) => {
            // Why there is no device is what counts.
            let _ = vm.close(linux);
            Err(error)
        }
    }
}

fn assign(linux: &Linux, folder: &str, matrix: &Matrix) -> Result<(), DeviceError> {
    let Matrix { adapters, domains, control_domains } = matrix;
    let kinds: [(&str, &Mask256); 3] =
        [("adapter", adapters), ("domain", domains), ("control_domain", control_domains)];
    for (kind, mask) in kinds {
        for number in mask.iter() {
            linux.write_file(&format!("{folder}/assign_{kind}"), &format!("{number:#x}"))?;
        }
    }
    Ok(())
}

/// Whether the device of a host migrates: a driver without migration does not know the question.
pub(crate) fn migrates(linux: &Linux, mdev: &Mdev) -> Result<bool, NoHost> {
    let Some(file) = mdev.attached().as_ref().map(|attached| attached.device) else { return Ok(false) };
    match linux.control_with(file, uapi::VFIO_DEVICE_FEATURE, &feature::migration()) {
        Ok(_) => Ok(true),
        Err(DeviceError::Refused { errno: Errno::ENOTTY, .. }) => Ok(false),
        Err(error) => Err(failed("VFIO_DEVICE_FEATURE_MIGRATION")(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::all_are_bound;

    #[test]
    fn a_queue_without_a_driver_shows_in_the_numbers_alone() {
        assert!(all_are_bound("12/12 (complete)"));
        for bindings in ["11/12 (complete)", "11/12", "", "12"] {
            assert!(!all_are_bound(bindings), "{bindings}");
        }
    }
}
