// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attributes of a card.

use ap_arch::{Apid, Apqn, ResponseCode};
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
    Attribute::rw("config", |host, card| line(u8::from(is_configured(&test(host, card)))), set_config),
    Attribute::ro("chkstop", |host, card| line(u8::from(is_checkstopped(&test(host, card))))),
];

/// TAPQ of the first queue of a card.
fn test(host: &Host, card: Apid) -> Tested {
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

pub(super) fn is_configured(tested: &Tested) -> bool {
    tested.status.response() != ResponseCode::DECONFIGURED
}

pub(super) fn is_checkstopped(tested: &Tested) -> bool {
    tested.status.response() == ResponseCode::CHECKSTOPPED
}
