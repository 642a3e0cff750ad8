// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attributes of the AP bus itself, and the way to those of its cards, queues and drivers.

use ap_arch::{Apid, Mask256, Matrix, QciBlock};
use vfio_mig::{DeviceError, Errno, LogLevel};

use super::attribute::{Access, Attribute, access, line};
use super::{AP_BUS, ap_card, ap_driver, ap_queue, card, mask, no_such, queue};
use crate::Host;
use crate::message;

const BUS: &[Attribute<()>] = &[
    Attribute::rw("apmask", |host, ()| line(masks(host).0), |host, (), value| set_mask(host, Which::Adapters, value)),
    Attribute::rw("aqmask", |host, ()| line(masks(host).1), |host, (), value| set_mask(host, Which::Domains, value)),
    Attribute::ro("ap_control_domain_mask", |host, ()| by_qci(host, |qci| qci.control_domains)),
    Attribute::ro("ap_adapter_mask", |host, ()| by_qci(host, |qci| qci.adapters)),
    Attribute::ro("ap_usage_domain_mask", |host, ()| by_qci(host, |qci| qci.domains)),
    Attribute::ro("ap_max_adapter_id", |host, ()| line(host.context.hardware.configuration().limits.0)),
    Attribute::ro("ap_max_domain_id", |host, ()| line(host.context.hardware.configuration().limits.1)),
    Attribute::ro("bindings", |host, ()| bindings(host)),
    Attribute::ro("features", |host, ()| features(host)),
    Attribute::wo("drivers_probe", |host, (), value| probe(host, value)),
    Attribute::wo("scans", |host, (), _| {
        host.context.scan(&mut host.context.tables.lock());
        Ok(())
    }),
];

/// Reads or writes an attribute of the bus, `path` being what follows the folder of the bus.
///
/// # Errors
/// ENOENT for one that is not there, and what it answers.
pub(super) fn attribute(host: &Host, path: &str, how: Access<'_>) -> Result<String, DeviceError> {
    let full = format!("{AP_BUS}{path}");
    let missing = || no_such(&full);
    let matrix = host.context.hardware.configuration().matrix;
    let answer = match path.split_once('/') {
        None => access(BUS, path, &full, host, (), how),
        Some(("drivers", rest)) => ap_driver::attribute(host, rest, &full, how),
        Some(("devices", rest)) => {
            let (device, name) = rest.split_once('/').ok_or_else(missing)?;
            match card(&matrix, device) {
                Some(card) => access(ap_card::CARD, name, &full, host, card, how),
                None => {
                    let apqn = queue(&matrix, device).ok_or_else(missing)?;
                    ap_queue::attribute(host, apqn, name, &full, how)
                }
            }
        }
        Some(_) => None,
    };
    answer.unwrap_or_else(|| Err(missing()))
}

/// The names of devices and drivers, and of what a driver has.
///
/// # Errors
/// ENOENT for a folder that is not there.
pub(super) fn list(host: &Host, path: &str) -> Result<Vec<String>, DeviceError> {
    let matrix = host.context.hardware.configuration().matrix;
    let adapters = if matrix.domains.is_empty() { Mask256::EMPTY } else { matrix.adapters };
    let cards = adapters.iter().map(|apid| format!("card{}", Apid(apid)));
    let tables = host.context.tables.lock();
    match path {
        "devices" => Ok(matrix.queues().map(|apqn| apqn.to_string()).chain(cards).collect()),
        "drivers" => {
            let queues = tables.bus.drivers().map(|driver| driver.name());
            Ok([ap_card::DRIVER].into_iter().chain(queues).map(str::to_owned).collect())
        }
        "drivers/cex4card" => Ok(cards.collect()),
        _ => {
            let driver = path.strip_prefix("drivers/").and_then(|name| tables.bus.driver_of_name(name));
            let driver = driver.ok_or_else(|| no_such(&format!("{AP_BUS}{path}")))?;
            Ok(matrix.queues().filter(|q| tables.bus.of(driver).contains(*q)).map(|q| q.to_string()).collect())
        }
    }
}

fn masks(host: &Host) -> (Mask256, Mask256) {
    host.context.tables.lock().bus.masks()
}

fn by_qci(host: &Host, of: fn(Matrix) -> Mask256) -> Result<String, DeviceError> {
    let hardware = &host.context.hardware;
    match hardware.qci() {
        Some(qci) => line(of(qci.matrix)),
        None => line("not supported"),
    }
}

fn features(host: &Host) -> Result<String, DeviceError> {
    let Some(qci) = host.context.hardware.qci() else { return line("-") };
    let flags = [
        (QciBlock::APSC, "APSC"),
        (QciBlock::APXA, "APXA"),
        (QciBlock::QACT, "QACT"),
        (QciBlock::RC8A, "RC8A"),
        (QciBlock::APSB, "APSB"),
    ];
    line(flags.into_iter().filter(|(flag, _)| qci.has(*flag)).map(|(_, name)| name).collect::<Vec<_>>().join(" "))
}

fn bindings(host: &Host) -> Result<String, DeviceError> {
    let matrix = host.context.hardware.configuration().matrix;
    let tables = host.context.tables.lock();
    let bound = matrix.queues().filter(|apqn| tables.bus.driver(*apqn).is_some()).count();
    let all = matrix.queue_count();
    line(format_args!("{bound}/{all}{}", if bound == all { " (complete)" } else { "" }))
}

/// Looks for a driver of a device that has none.
fn probe(host: &Host, value: &str) -> Result<(), DeviceError> {
    let matrix = host.context.hardware.configuration().matrix;
    if card(&matrix, value).is_some() {
        return Ok(());
    }
    let no_device = || {
        let reason = format!("there is no device {}, such as 05.0033", value.trim_end());
        DeviceError::refused(Errno::ENODEV, reason)
    };
    let apqn = queue(&matrix, value).ok_or_else(no_device)?;
    let mut tables = host.context.tables.lock();
    tables.bus.probe(apqn);
    host.context.settle(&mut tables);
    Ok(())
}

#[derive(Clone, Copy)]
enum Which {
    Adapters,
    Domains,
}

/// `apmask` or `aqmask`. Refused while an override is set; and if a number is new in it that a mediated device has
/// together with any number of the other kind, whether the other mask has that or not: `__verify_card_reservations`.
fn set_mask(host: &Host, which: Which, value: &str) -> Result<(), DeviceError> {
    let mut tables = host.context.tables.lock();
    if tables.bus.overrides_are_in_use() {
        let reason = "a queue has a driver_override; masks and overrides exclude each other";
        return Err(DeviceError::refused(Errno::EINVAL, reason));
    }
    let (adapters, domains) = tables.bus.masks();
    let before = if let Which::Adapters = which { adapters } else { domains };
    let wanted = mask::parse(value, before)?;
    if wanted == before {
        return Ok(());
    }
    let new = wanted.difference(before);
    let (taken, masks) = match which {
        Which::Adapters => ((new, Mask256::FULL), (wanted, domains)),
        Which::Domains => ((Mask256::FULL, new), (adapters, wanted)),
    };
    let taken = Matrix { adapters: taken.0, domains: taken.1, control_domains: Mask256::EMPTY };
    for (owner, present) in tables.newest_first() {
        let in_use = present.matrix.intersection(&taken);
        let Some(first) = in_use.queues().next() else { continue };
        for apqn in in_use.queues() {
            host.context.log.push(LogLevel::Warning, message::in_use_by_mdev(owner, apqn));
        }
        return Err(DeviceError::refused(
            Errno::EBUSY,
            format!("queue {first} is assigned to mediated device {owner}"),
        ));
    }
    tables.bus.set_masks(masks.0, masks.1);
    host.context.settle(&mut tables);
    Ok(())
}
