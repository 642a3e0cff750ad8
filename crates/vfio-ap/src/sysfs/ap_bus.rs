// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attributes of the AP bus, its cards, queues and drivers.

use ap_arch::{Apid, Apqn, Mask256, Matrix, ResponseCode};
use vfio_mig::{DeviceError, Errno, LogLevel};

use super::{AP_BUS, invalid, mask, no_access, no_such};
use crate::Host;
use crate::bus::{Bus, Driver};
use crate::context::Tables;
use crate::hardware::Tested;
use crate::message;
use crate::queue_set::QueueSet;

pub(super) fn read(host: &Host, path: &str) -> Result<String, DeviceError> {
    let hardware = &host.context.hardware;
    let line = |text: &dyn std::fmt::Display| Ok(format!("{text}\n"));
    match path {
        "apmask" => return line(&host.context.tables.lock().bus.default_adapters),
        "aqmask" => return line(&host.context.tables.lock().bus.default_domains),
        "ap_control_domain_mask" => return line(&hardware.configuration().matrix.control_domains),
        "ap_adapter_mask" => return line(&hardware.configuration().matrix.adapters),
        "ap_usage_domain_mask" => return line(&hardware.configuration().matrix.domains),
        "ap_max_adapter_id" => return line(&hardware.configuration().limits.0),
        "ap_max_domain_id" => return line(&hardware.configuration().limits.1),
        _ => {}
    }
    let missing = || no_such(&format!("{AP_BUS}{path}"));
    let (device, attribute) =
        path.strip_prefix("devices/").and_then(|rest| rest.split_once('/')).ok_or_else(missing)?;
    let matrix = hardware.configuration().matrix;
    if let Some(card) = device.strip_prefix("card") {
        let tested = card_test(host, &matrix, card).ok_or_else(missing)?;
        return match attribute {
            "ap_functions" => line(&format_args!("0x{:08X}", tested.info.facilities() & 0xffff_0000)),
            "hwtype" | "raw_hwtype" => line(&tested.info.ap_type().0),
            "config" => line(&u8::from(is_configured(&tested))),
            "chkstop" => line(&u8::from(is_checkstopped(&tested))),
            _ => Err(missing()),
        };
    }
    let apqn = queue(&matrix, device).ok_or_else(missing)?;
    let tables = host.context.tables.lock();
    let bound = tables.bus.driver(apqn, &matrix);
    match attribute {
        "driver" => line(&bound.map_or("", Driver::name)),
        "driver_override" => line(&tables.bus.overrides.get(&apqn).copied().map_or("(null)", Driver::name)),
        "ap_functions" => line(&format_args!("0x{:08X}", hardware.tapq(apqn, true).info.facilities())),
        "config" => line(&u8::from(is_configured(&hardware.tapq(apqn, true)))),
        "chkstop" => line(&u8::from(is_checkstopped(&hardware.tapq(apqn, true)))),
        "status" if bound == Some(Driver::VfioAp) => line(&status(&tables, apqn)),
        _ => Err(missing()),
    }
}

/// TAPQ of the first queue of a card; the card's own word has no bind state.
fn card_test(host: &Host, matrix: &Matrix, card: &str) -> Option<Tested> {
    let apid = card.parse::<Apid>().ok().filter(|apid| matrix.adapters.contains(apid.0))?;
    let domain = matrix.domains.iter().next()?;
    Some(host.context.hardware.tapq(Apqn::new(apid.0, domain), true))
}

fn is_configured(tested: &Tested) -> bool {
    tested.status.response() != ResponseCode::DECONFIGURED
}

fn is_checkstopped(tested: &Tested) -> bool {
    tested.status.response() == ResponseCode::CHECKSTOPPED
}

/// Whose a queue of vfio_ap is.
fn status(tables: &Tables, apqn: Apqn) -> &'static str {
    match tables.mdevs.values().find(|present| present.matrix.contains(apqn)) {
        Some(owner) if owner.attached.is_some() && owner.shadow.contains(apqn) => "in use",
        Some(_) => "assigned",
        None => "unassigned",
    }
}

/// The names of devices and drivers, and of the queues that a driver has.
pub(super) fn list(host: &Host, path: &str) -> Result<Vec<String>, DeviceError> {
    let matrix = host.context.hardware.configuration().matrix;
    let tables = host.context.tables.lock();
    let of = |driver| matrix.queues().filter(move |apqn| tables.bus.driver(*apqn, &matrix) == Some(driver));
    let names = |queues: &mut dyn Iterator<Item = Apqn>| queues.map(|apqn| apqn.to_string()).collect::<Vec<_>>();
    match path {
        // A card of a host without domains has no queue to ask, and is not found.
        "devices" => {
            let cards = if matrix.domains.is_empty() { Mask256::EMPTY } else { matrix.adapters };
            let cards = cards.iter().map(|n| format!("card{}", Apid(n)));
            Ok(names(&mut matrix.queues()).into_iter().chain(cards).collect())
        }
        "drivers" => Ok([Driver::Default, Driver::VfioAp].map(|driver| driver.name().to_owned()).into()),
        "drivers/default" => Ok(names(&mut of(Driver::Default))),
        "drivers/vfio_ap" => Ok(names(&mut of(Driver::VfioAp))),
        _ => Err(no_such(&format!("{AP_BUS}{path}"))),
    }
}

fn queue(matrix: &Matrix, name: &str) -> Option<Apqn> {
    name.parse().ok().filter(|apqn| matrix.contains(*apqn))
}

pub(super) fn write(host: &Host, path: &str, value: &str) -> Result<(), DeviceError> {
    let full = format!("{AP_BUS}{path}");
    match path {
        "apmask" => return set_masks(host, |bus| &mut bus.default_adapters, value),
        "aqmask" => return set_masks(host, |bus| &mut bus.default_domains, value),
        "drivers/vfio_ap/bind" => return bind(host, value, true),
        "drivers/vfio_ap/unbind" => return bind(host, value, false),
        _ => {}
    }
    let target = path.strip_prefix("devices/").and_then(|rest| rest.strip_suffix("/driver_override"));
    let matrix = host.context.hardware.configuration().matrix;
    match target.and_then(|name| queue(&matrix, name)) {
        Some(apqn) => set_override(host, apqn, value),
        None if read(host, path).is_ok() => Err(no_access(&full, "written")),
        None => Err(no_such(&full)),
    }
}

/// `apmask` or `aqmask`; refused while a queue has a driver override, and for queues in use by a mediated device.
fn set_masks(host: &Host, of: fn(&mut Bus) -> &mut Mask256, value: &str) -> Result<(), DeviceError> {
    let mut tables = host.context.tables.lock();
    if !tables.bus.overrides.is_empty() {
        let reason = "a queue has a driver_override; masks and overrides exclude each other";
        return Err(DeviceError::refused(Errno::EINVAL, reason));
    }
    let present = *of(&mut tables.bus);
    let wanted = mask::parse(value, present)?;
    *of(&mut tables.bus) = wanted;
    let reserved = tables.bus.reserved();
    if let Some((apqn, owner)) = in_use(&tables, &reserved) {
        *of(&mut tables.bus) = present;
        host.context.log.push(LogLevel::Error, message::already_assigned(apqn, &owner));
        return Err(DeviceError::refused(Errno::EBUSY, format!("queue {apqn} is assigned to mediated device {owner}")));
    }
    host.context.refilter(&mut tables);
    Ok(())
}

fn in_use(tables: &Tables, queues: &QueueSet) -> Option<(Apqn, String)> {
    tables.mdevs.iter().find_map(|(name, present)| {
        let taken = QueueSet::product(&present.matrix).intersection(queues).first()?;
        Some((taken, name.clone()))
    })
}

/// One queue's driver, chosen by name; refused while the masks are not as the kernel starts with (everything reserved).
fn set_override(host: &Host, apqn: Apqn, value: &str) -> Result<(), DeviceError> {
    let mut tables = host.context.tables.lock();
    if (tables.bus.default_adapters, tables.bus.default_domains) != (Mask256::FULL, Mask256::FULL) {
        let reason = "apmask or aqmask is in use; masks and overrides exclude each other";
        return Err(DeviceError::refused(Errno::EINVAL, reason));
    }
    let driver = match value {
        "" => None,
        "vfio_ap" => Some(Driver::VfioAp),
        "default" => Some(Driver::Default),
        _ => return Err(invalid(value, "vfio_ap, default or nothing")),
    };
    let becomes_default = driver != Some(Driver::VfioAp);
    if becomes_default && let Some((_, owner)) = in_use(&tables, &QueueSet::from_iter([apqn])) {
        return Err(DeviceError::refused(Errno::EBUSY, format!("queue {apqn} is assigned to mediated device {owner}")));
    }
    match driver {
        Some(driver) => tables.bus.overrides.insert(apqn, driver),
        None => tables.bus.overrides.remove(&apqn),
    };
    host.context.refilter(&mut tables);
    Ok(())
}

/// Binds a queue to vfio_ap or takes it away; a guest that has it loses its adapter.
fn bind(host: &Host, value: &str, on: bool) -> Result<(), DeviceError> {
    let matrix = host.context.hardware.configuration().matrix;
    let refused = |reason: &str| DeviceError::refused(Errno::ENODEV, format!("queue {value} {reason}"));
    let apqn = queue(&matrix, value).ok_or_else(|| refused("does not exist, expected one such as 05.0033"))?;
    let mut tables = host.context.tables.lock();
    let bound = tables.bus.driver(apqn, &matrix);
    if on {
        if tables.bus.reserved().contains(apqn) {
            return Err(refused("is reserved for the default drivers"));
        }
        tables.bus.unbound.remove(apqn);
    } else if bound == Some(Driver::VfioAp) {
        tables.bus.unbound.insert(apqn);
    } else {
        return Err(refused("is not bound to vfio_ap"));
    }
    host.context.refilter(&mut tables);
    Ok(())
}
