// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attributes of the drivers of queues.

use vfio_mig::{DeviceError, Errno};

use super::attribute::{Access, Attribute, access};
use super::{ap_card, card, queue};
use crate::Host;
use crate::bus::Driver;

const DRIVER: &[Attribute<Driver>] = &[Attribute::wo("bind", bind), Attribute::wo("unbind", unbind)];

/// The driver of cards. It keeps every card: Linux does not survive that a queue is bound whose card has no driver.
const CARD_DRIVER: &[Attribute<()>] = &[
    Attribute::wo("bind", |host, (), value| card_driver(host, value, (Errno::EBUSY, "has its driver"))),
    Attribute::wo("unbind", |host, (), value| card_driver(host, value, (Errno::EOPNOTSUPP, "keeps its driver here"))),
];

/// `path` being what follows the folder of the drivers.
pub(super) fn attribute(host: &Host, path: &str, full: &str, how: Access<'_>) -> Option<Result<String, DeviceError>> {
    let (driver, name) = path.split_once('/')?;
    if driver == ap_card::DRIVER {
        return access(CARD_DRIVER, name, full, host, (), how);
    }
    let driver = host.context.tables.lock().bus.driver_of_name(driver)?;
    of_driver(host, driver, name, full, how)
}

/// An attribute of this driver.
pub(super) fn of_driver(
    host: &Host,
    driver: Driver,
    name: &str,
    full: &str,
    how: Access<'_>,
) -> Option<Result<String, DeviceError>> {
    access(DRIVER, name, full, host, driver, how)
}

/// What a driver of cards answers, with what it answers for a card.
fn card_driver(host: &Host, value: &str, answer: (Errno, &str)) -> Result<(), DeviceError> {
    let matrix = host.context.hardware.configuration().matrix;
    let (errno, reason) = card(&matrix, value).map_or((Errno::ENODEV, "is no card"), |_| answer);
    Err(DeviceError::refused(errno, format!("{} {reason}", value.trim_end())))
}

fn bind(host: &Host, driver: Driver, value: &str) -> Result<(), DeviceError> {
    let matrix = host.context.hardware.configuration().matrix;
    let refused = |errno, reason: &str| DeviceError::refused(errno, format!("queue {} {reason}", value.trim_end()));
    let apqn =
        queue(&matrix, value).ok_or_else(|| refused(Errno::ENODEV, "does not exist, expected one as 05.0033"))?;
    let mut tables = host.context.tables.lock();
    tables.bus.bind(apqn, driver).map_err(|errno| match errno {
        Errno::EBUSY => refused(errno, "has a driver: unbind it first"),
        _ => refused(errno, "is to be another driver's by masks and override"),
    })?;
    host.context.settle(&mut tables);
    Ok(())
}

/// Takes a queue from its driver; a guest that has it loses its adapter.
fn unbind(host: &Host, driver: Driver, value: &str) -> Result<(), DeviceError> {
    let matrix = host.context.hardware.configuration().matrix;
    let mut tables = host.context.tables.lock();
    let bound = queue(&matrix, value).filter(|apqn| tables.bus.driver(*apqn) == Some(driver));
    let Some(apqn) = bound else {
        let reason = format!("queue {} is not bound to {}", value.trim_end(), driver.name());
        return Err(DeviceError::refused(Errno::ENODEV, reason));
    };
    tables.bus.unbind(apqn);
    host.context.settle(&mut tables);
    Ok(())
}
