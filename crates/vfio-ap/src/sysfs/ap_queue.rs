// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attributes of a queue: its own, and those that the driver adds that has it.

use ap_arch::Apqn;
use vfio_mig::{DeviceError, Errno};

use super::ap_card::{self, is_checkstopped, is_configured, works};
use super::attribute::{Access, Attribute, access, line, switch};
use super::invalid;
use crate::Host;
use crate::bus::Driver;
use crate::hardware::Tested;

/// The longest name of a driver: what is shown has a newline after it, and fills a page at most.
const LONGEST_OVERRIDE: usize = 4096 - 2;

const QUEUE: &[Attribute<Apqn>] = &[
    Attribute::ro("ap_functions", |host, apqn| line(format_args!("0x{:08X}", test(host, apqn).info.facilities()))),
    Attribute::ro("config", |host, apqn| line(u8::from(is_configured(&test(host, apqn))))),
    Attribute::ro("chkstop", |host, apqn| line(u8::from(is_checkstopped(&test(host, apqn))))),
    Attribute::rw("driver_override", show_override, set_override),
];

/// Those of a queue that vfio_ap has.
const OF_VFIO_AP: &[Attribute<Apqn>] = &[Attribute::ro("status", |host, apqn| line(status(host, apqn)))];

/// Those of a queue that the host's own driver has.
const OF_CEX4QUEUE: &[Attribute<Apqn>] =
    &[Attribute::rw("online", |host, apqn| line(u8::from(is_online(host, apqn))), set_online)];

/// The name of the driver, where sysfs has a link to it; and the driver's attributes by that link.
const DRIVER: &str = "driver";

pub(super) fn attribute(
    host: &Host,
    apqn: Apqn,
    name: &str,
    path: &str,
    how: Access<'_>,
) -> Option<Result<String, DeviceError>> {
    if let Some(answer) = access(QUEUE, name, path, host, apqn, how) {
        return Some(answer);
    }
    let driver = host.context.tables.lock().bus.driver(apqn)?;
    match (name.strip_prefix(DRIVER), how) {
        (Some(""), Access::Read) => return Some(line(driver.name())),
        (Some(rest), _) => return super::ap_driver::of_driver(host, driver, rest.strip_prefix('/')?, path, how),
        (None, _) => {}
    }
    let table = match driver {
        Driver::VfioAp => OF_VFIO_AP,
        Driver::Cex4Queue => OF_CEX4QUEUE,
    };
    access(table, name, path, host, apqn, how)
}

fn test(host: &Host, apqn: Apqn) -> Tested {
    host.context.hardware.tapq(apqn, true)
}

/// Unset it is an empty line.
fn show_override(host: &Host, apqn: Apqn) -> Result<String, DeviceError> {
    line(host.context.tables.lock().bus.driver_override(apqn).unwrap_or_default())
}

/// Chooses a driver by name, or with an empty line none. The queue keeps the driver that it has; a driver need not
/// exist. Refused while the masks are not as the kernel starts with.
fn set_override(host: &Host, apqn: Apqn, value: &str) -> Result<(), DeviceError> {
    let mut tables = host.context.tables.lock();
    if tables.bus.masks_are_in_use() {
        let reason = "apmask or aqmask is in use; masks and overrides exclude each other";
        return Err(DeviceError::refused(Errno::EINVAL, reason));
    }
    if value.len() > LONGEST_OVERRIDE {
        return Err(invalid(value, "the name of a driver, less than a page"));
    }
    let name = value.split('\n').next().filter(|name| !name.is_empty());
    tables.bus.set_override(apqn, name);
    Ok(())
}

/// Whose a queue of vfio_ap is.
fn status(host: &Host, apqn: Apqn) -> &'static str {
    let tables = host.context.tables.lock();
    match tables.mdevs.values().find(|present| present.matrix.contains(apqn)) {
        Some(owner) if owner.attached.is_some() && owner.shadow.contains(apqn) => "in use",
        Some(_) => "assigned",
        None => "unassigned",
    }
}

fn is_online(host: &Host, apqn: Apqn) -> bool {
    works(&test(host, apqn)) && host.context.tables.lock().bus.is_online(apqn)
}

fn set_online(host: &Host, apqn: Apqn, value: &str) -> Result<(), DeviceError> {
    let on = switch(value)?;
    if on && !(works(&test(host, apqn)) && works(&ap_card::test(host, apqn.apid))) {
        return Err(DeviceError::refused(Errno::ENODEV, format!("queue {apqn} is deconfigured or checkstopped")));
    }
    let mut tables = host.context.tables.lock();
    if on && !tables.bus.card_is_online(apqn.apid) {
        return Err(DeviceError::refused(Errno::EINVAL, format!("card {} is offline", apqn.apid)));
    }
    tables.bus.set_online(apqn, on);
    Ok(())
}
