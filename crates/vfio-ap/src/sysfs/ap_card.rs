// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attributes of a card.

use ap_arch::{Apid, Apqn, HwInfo, ResponseCode};
use vfio_mig::{DeviceError, Errno};

use super::attribute::{Attribute, line, switch};
use crate::Host;
use crate::hardware::Tested;

/// Bits of the function word that a card shows: bind state and what follows are a queue's own. `TAPQ_CARD_HWINFO_MASK`.
const SHOWN: u32 = 0xffff_0000;

pub(super) const CARD: &[Attribute<Apid>] = &[
    Attribute::ro("ap_functions", |host, card| {
        line(format_args!("0x{:08X}", test(host, card).info.facilities() & SHOWN))
    }),
    Attribute::ro("hwtype", |host, card| line(test(host, card).info.ap_type().0)),
    Attribute::ro("raw_hwtype", |host, card| line(test(host, card).info.ap_type().0)),
    Attribute::ro("type", |host, card| line(kind(test(host, card).info))),
    Attribute::ro("depth", |host, card| line(test(host, card).info.depth())),
    Attribute::ro("driver", |_, _| line(DRIVER)),
    Attribute::rw("online", |host, card| line(u8::from(is_online(host, card))), set_online),
    Attribute::rw("config", |host, card| line(u8::from(is_configured(&test(host, card)))), set_config),
    Attribute::ro("chkstop", |host, card| line(u8::from(is_checkstopped(&test(host, card))))),
];

/// The driver that every card has.
pub(super) const DRIVER: &str = "cex4card";

/// The name of its driver's for a card, `CEX8C`.
fn kind(info: HwInfo) -> String {
    let generation = info.ap_type().0.saturating_sub(6);
    info.mode().map_or_else(|| format!("CEX{generation}"), |mode| format!("CEX{generation}{}", mode.letter()))
}

/// TAPQ of the first queue of a card.
pub(super) fn test(host: &Host, card: Apid) -> Tested {
    let hardware = &host.context.hardware;
    let domain = hardware.configuration().matrix.domains.iter().next().unwrap_or_default();
    hardware.tapq(Apqn::new(card.0, domain), true)
}

/// To configure a card is for SCLP, which this machine does not have; to write what it is, for nobody.
fn set_config(host: &Host, card: Apid, value: &str) -> Result<(), DeviceError> {
    if switch(value)? == is_configured(&test(host, card)) {
        return Ok(());
    }
    Err(DeviceError::refused(Errno::EOPNOTSUPP, "SCLP does not configure adapters here"))
}

fn is_online(host: &Host, card: Apid) -> bool {
    works(&test(host, card)) && host.context.tables.lock().bus.card_is_online(card)
}

fn set_online(host: &Host, card: Apid, value: &str) -> Result<(), DeviceError> {
    let on = switch(value)?;
    if on && !works(&test(host, card)) {
        return Err(DeviceError::refused(Errno::ENODEV, format!("card {card} is deconfigured or checkstopped")));
    }
    host.context.tables.lock().bus.set_card_online(card, on);
    Ok(())
}

/// Whether it is neither deconfigured nor checkstopped.
pub(super) fn works(tested: &Tested) -> bool {
    is_configured(tested) && !is_checkstopped(tested)
}

pub(super) fn is_configured(tested: &Tested) -> bool {
    tested.status.response() != ResponseCode::DECONFIGURED
}

pub(super) fn is_checkstopped(tested: &Tested) -> bool {
    tested.status.response() == ResponseCode::CHECKSTOPPED
}
