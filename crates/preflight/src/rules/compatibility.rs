// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of one pair of queues: is the destination's hardware a continuation of the source's? vfio-ap migration spec
//! 5.4.

use ap_arch::{ApType, Apqn, BindState, HwInfo};

use super::hosts::shown;
use super::{Evidence, Outcome};
use crate::fix::Fix;
use crate::host::{Fact, Host, Unknown};
use crate::message;
use crate::pair::Pair;

pub(crate) const OTHER_CARD: Fix =
    Fix::advice("no command changes a card: use an adapter that fits, or set the card's mode on the HMC");

pub(crate) const UNBIND: Fix = Fix::advice("unbind the queue from the Secure Execution guest that has it");

/// One of the bits that must be the same on both sides.
pub(super) fn facility<const BIT: u64>(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    if pair.has_no_card(apqn) {
        return Outcome::NotAsked;
    }
    let show = |fact: &Fact<bool>| shown(fact, |on| if *on { "installed" } else { "not installed" }.to_owned());
    let (source, destination) = (pair.source.bit(apqn, BIT), pair.destination.bit(apqn, BIT));
    let evidence = || Evidence::new(show(&source), show(&destination));
    match (&source, &destination) {
        (Ok(a), Ok(b)) if a == b => Outcome::Holds,
        (Ok(on), Ok(_)) => {
            evidence().log(message::facility(pair.destination_mdev, apqn, BIT, *on)).fix([OTHER_CARD]).violated()
        }
        _ => evidence().unknown(),
    }
}

fn type_of(host: &Host, apqn: Apqn) -> Fact<ApType> {
    match host.card(apqn.apid)? {
        Some(card) => card.ap_type.clone(),
        None => Err(Unknown("there is no such card".into())),
    }
}

fn show_type(fact: &Fact<ApType>) -> String {
    shown(fact, |ap_type| format!("{:02x} ({})", ap_type.0, ap_type.name().unwrap_or("a newer card than CEX8")))
}

pub(super) fn ap_type(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    if pair.has_no_card(apqn) {
        return Outcome::NotAsked;
    }
    let (source, destination) = (type_of(pair.source, apqn), type_of(pair.destination, apqn));
    let evidence = || Evidence::new(show_type(&source), show_type(&destination));
    match (&source, &destination) {
        (Ok(a), Ok(b)) if a <= b => Outcome::Holds,
        (Ok(a), Ok(b)) => {
            evidence().log([message::ap_type(pair.destination_mdev, a.0, b.0)]).fix([OTHER_CARD]).violated()
        }
        _ => evidence().unknown(),
    }
}

pub(super) fn class(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    if pair.has_no_card(apqn) {
        return Outcome::NotAsked;
    }
    let show = |fact: &Fact<bool>| shown(fact, |on| if *on { "native" } else { "stateless only" }.to_owned());
    let native = |host: &Host| host.bit(apqn, HwInfo::NATIVE);
    let (source, destination) = (native(pair.source), native(pair.destination));
    let evidence = || Evidence::new(show(&source), show(&destination));
    match (&source, &destination) {
        (Ok(false), _) | (_, Ok(true)) => Outcome::Holds,
        (Ok(true), Ok(false)) => {
            evidence().log(message::class(pair.destination_mdev, apqn)).fix([OTHER_CARD]).violated()
        }
        _ => evidence().unknown(),
    }
}

fn bind_state(pair: &Pair<'_>, apqn: Apqn, of: &Host) -> Outcome {
    if pair.has_no_card(apqn) {
        return Outcome::NotAsked;
    }
    let seen = of.bind_state(apqn);
    if seen == Ok(0) {
        return Outcome::Holds;
    }
    let show = |fact: &Fact<u8>| shown(fact, |bs| format!("{bs} ({})", BindState(*bs).name().unwrap_or_default()));
    let (source, destination) = (pair.source.bind_state(apqn), pair.destination.bind_state(apqn));
    let evidence = Evidence::new(show(&source), show(&destination));
    if seen.is_err() {
        return evidence.unknown();
    }
    let log = match (source, destination) {
        (Ok(a), Ok(b)) => vec![message::bind_state(pair.destination_mdev, apqn, a, b)],
        _ => Vec::new(),
    };
    evidence.log(log).fix([UNBIND]).violated()
}

pub(super) fn source_bind_state(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    bind_state(pair, apqn, pair.source)
}

pub(super) fn destination_bind_state(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    bind_state(pair, apqn, pair.destination)
}

pub(super) fn way_back(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    if pair.has_no_card(apqn) {
        return Outcome::NotAsked;
    }
    let card = |host: &Host| (type_of(host, apqn), host.bit(apqn, HwInfo::NATIVE));
    let (source, destination) = (card(pair.source), card(pair.destination));
    let show = |(ap_type, native): &(Fact<ApType>, Fact<bool>)| {
        format!("{}{}", show_type(ap_type), if *native == Ok(false) { ", stateless only" } else { "" })
    };
    let evidence = || Evidence::new(show(&source), show(&destination));
    match (&source, &destination) {
        ((Ok(a), Ok(native)), (Ok(b), Ok(back))) if b <= a && (*native || !back) => Outcome::Holds,
        ((Ok(_), Ok(_)), (Ok(_), Ok(_))) => evidence()
            .fix([Fix::advice("the guest cannot return to its source; keep another host of the new kind")])
            .violated(),
        _ => evidence().unknown(),
    }
}
