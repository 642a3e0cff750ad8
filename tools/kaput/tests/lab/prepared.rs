// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hosts that come back as they were prepared: a case must not notice whether its host is the first or a copy.

use std::sync::Arc;

use ap_arch::{Apid, Apqn};
use kaput::lab::hardware::LabHardware;
use vfio_linux::{Driver, LinuxHost, Machine};
use vfio_mig::conformance::{A, B, DeviceFactory, HostSetup};
use vfio_mig::{AdapterFault, DeviceError, GuestCall, HostControl};

use crate::bench::{Bench, panic};

/// Of the kernel, what a case sees.
const FILES: [&str; 4] = [
    "/sys/bus/ap/bindings",
    "/sys/bus/ap/apmask",
    "/sys/devices/vfio_ap/matrix/a/matrix",
    "/sys/devices/vfio_ap/matrix/b/guest_matrix",
];

/// TAPQ of queue 04.0033.
const TAPQ: GuestCall = GuestCall::Pqap { gr0: 0x0433, gr1: 0, gr2: 0 };

/// What is seen of a host, in words.
fn look(host: &dyn HostControl) -> Result<Vec<String>, DeviceError> {
    let mut seen = vec![format!("{:?}", host.capabilities()), format!("{:?}", host.reset_counts()?)];
    for file in FILES {
        seen.push(host.sysfs_read(file)?);
    }
    for name in [A, B] {
        seen.push(format!("{:?}", host.guest_masks(name)?));
        seen.push(format!("{:?}", host.guest_execute(name, &TAPQ)?));
        seen.push(format!("{:?}", host.device(name).open().map_err(|error| error.errno())));
    }
    seen.push(format!("{:?}", host.complaints()?.len()));
    Ok(seen)
}

/// What can be done to one is done, and the next does not know of it.
fn spoil(host: &dyn HostControl) -> Result<(), DeviceError> {
    host.device(A).reset()?;
    host.device(B).close_device()?;
    host.sysfs_write("/sys/devices/vfio_ap/matrix/b/remove", "1")?;
    host.sysfs_write("/sys/bus/ap/drivers/vfio_ap/unbind", "04.0033")?;
    host.adapter(Apid(5), AdapterFault::Deconfigure)?;
    host.pass_time(1_000_000_000)?;
    let resets = host.reset_counts()?;
    let queue = Apqn::new(4, 0x33);
    if resets.contains_key(&queue) { Ok(()) } else { Err(DeviceError::Transport(format!("no reset: {resets:?}"))) }
}

pub(crate) fn says_why_it_ended(bench: &Bench) -> Result<(), String> {
    let words = |error: DeviceError| error.to_string();
    let lpar = bench.lpar("05=cex8a/33", &bench.folder("ended")?)?;
    let agent = lpar.agent();
    let machine = Machine::expendable(Arc::clone(&agent) as _, Arc::new(LabHardware::new(lpar)));
    let host = LinuxHost::with_guests(machine, &[]).map_err(|error| error.to_string())?;
    if !host.complaints().map_err(words)?.is_empty() {
        return Err("a kernel that goes on has complained".to_owned());
    }
    panic(agent);
    let complaints = host.complaints().map_err(words)?;
    match &complaints[..] {
        [panic] if panic.what.starts_with("Kernel panic - not syncing: Attempted to kill init!") => Ok(()),
        others => Err(format!("{others:?}")),
    }
}

pub(crate) fn comes_back(bench: &Bench) -> Result<(), String> {
    let words = |error: DeviceError| error.to_string();
    let factory = bench.factory("prepared", Driver::VFIO_AP)?;
    let setup = HostSetup::source();
    let mut first = None;
    for number in 0..4 {
        let host = factory.host(&setup).map_err(|error| error.to_string())?;
        let seen = look(&*host).map_err(words)?;
        let first = first.get_or_insert_with(|| seen.clone());
        if *first != seen {
            return Err(format!("host {number} is another: {seen:#?}, where the first was {first:#?}"));
        }
        spoil(&*host).map_err(words)?;
    }
    let copies = factory.copies();
    if copies == 3 { Ok(()) } else { Err(format!("{copies} of 4 hosts were copies, and all but the first should be")) }
}
