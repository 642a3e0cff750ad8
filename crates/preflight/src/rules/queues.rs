// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of one queue: whether it is there, whose it is, whether it works.

use std::collections::BTreeMap;

use ap_arch::{Apqn, HwInfo};

use super::hosts::{not_known, shown};
use super::{Evidence, Outcome};
use crate::fix::Fix;
use crate::host::{Fact, Host, Queue, Unknown};
use crate::message;
use crate::pair::Pair;
use crate::parse::Register;
use crate::reserve::VFIO_AP;

fn presence(host: &Host, apqn: Apqn) -> String {
    shown(&host.queue(apqn), |queue| if queue.is_some() { "there" } else { "no such queue" }.to_owned())
}

pub(super) fn on_source(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    let evidence = || Evidence::new(presence(pair.source, apqn), "-");
    match pair.source.queue(apqn) {
        Ok(Some(_)) => Outcome::Holds,
        Ok(None) => evidence()
            .log([message::queue_gone(pair.source_mdev, apqn)])
            .fix([Fix::advice("the guest has a queue that its host has lost: bring the adapter back first")])
            .violated(),
        Err(_) => evidence().unknown(),
    }
}

pub(super) fn on_destination(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    let evidence = || Evidence::new(presence(pair.source, apqn), presence(pair.destination, apqn));
    match pair.destination.queue(apqn) {
        Ok(Some(_)) => Outcome::Holds,
        Ok(None) => evidence()
            .log([message::not_available(pair.destination_mdev, apqn)])
            .fix([Fix::advice(
                "assign adapter and domain to the destination's LPAR (HMC), or use other ones for the guest",
            )])
            .violated(),
        Err(_) => evidence().unknown(),
    }
}

/// Whether the masks leave a queue to the host's own drivers: both numbers are in them. Of a queue that vfio_ap does
/// not have, an override changes nothing about that: it exists only beside masks that have every number.
fn reserved(host: &Host, apqn: Apqn) -> Fact<bool> {
    match (&host.apmask, &host.aqmask) {
        (Ok(adapters), _) if !adapters.contains(apqn.apid.0) => Ok(false),
        (_, Ok(domains)) if !domains.contains(apqn.apqi.0) => Ok(false),
        (Ok(_), Ok(_)) => Ok(true),
        (Err(unknown), _) | (_, Err(unknown)) => Err(unknown.clone()),
    }
}

/// What gives a queue to vfio_ap, once that is loaded.
fn steps(pair: &Pair<'_>, apqn: Apqn) -> Vec<Fix> {
    match pair.reservation() {
        Ok(way) => way.steps(pair.destination, apqn),
        Err(_) => vec![Fix::advice("`kaput collect` shows what is not known of the destination's masks and queues")],
    }
}

pub(super) fn released(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    let (source, host) = (pair.source, pair.destination);
    if matches!(host.queue(apqn), Ok(None)) {
        return Outcome::NotAsked;
    }
    // Of what vfio_ap has, another rule says whether it was given to it.
    if host.driver(apqn) == Ok(Some(VFIO_AP)) {
        return Outcome::Holds;
    }
    let show = |fact: &Fact<bool>| shown(fact, |on| if *on { "reserved" } else { "released" }.to_owned());
    let seen = match (reserved(host, apqn), host.driver(apqn)) {
        // Beside masks that leave everything to the host an override may have given the queue to vfio_ap.
        (Ok(true), Err(unknown)) if host.has_overrides() != Ok(false) && host.masks_are_full() != Ok(false) => {
            Err(unknown)
        }
        (reserved, _) => reserved,
    };
    let evidence = || {
        let of = |host, fact: &Fact<bool>| format!("{}; {}", bound_to(host, apqn), show(fact));
        Evidence::new(bound_to(source, apqn), of(host, &seen))
    };
    match seen {
        Ok(false) => Outcome::Holds,
        Ok(true) => {
            evidence().log([message::not_available(pair.destination_mdev, apqn)]).fix(steps(pair, apqn)).violated()
        }
        Err(_) => evidence().unknown(),
    }
}

/// A queue that vfio_ap has may not be its any more: its override was cleared, and it was not bound anew.
pub(super) fn given(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    let host = pair.destination;
    let queue = match (host.queue(apqn), host.driver(apqn)) {
        (Ok(Some(queue)), Ok(Some(VFIO_AP))) => queue,
        _ => return Outcome::NotAsked,
    };
    let evidence = |seen: &str| Evidence::new("the guest's", format!("vfio_ap has it, {seen}"));
    match (queue.has_override, &queue.driver_override, reserved(host, apqn)) {
        // Where there are no overrides, no driver has what the masks do not leave to it.
        (false, ..) | (_, Ok(Some(_)), _) | (_, _, Ok(false)) => Outcome::Holds,
        (_, Ok(None), Ok(true)) => {
            let fix = Fix::Override { queue: apqn, from: Some(VFIO_AP.to_owned()) };
            evidence("without an override, and the masks leave it to the host's own drivers").fix([fix]).violated()
        }
        (_, Err(unknown), _) => evidence(&not_known(unknown)).unknown(),
        (_, _, Err(unknown)) => evidence(&not_known(&unknown)).unknown(),
    }
}

fn bound_to(host: &Host, apqn: Apqn) -> String {
    shown(&host.driver(apqn), |driver| driver.unwrap_or("no driver").to_owned())
}

pub(super) fn bound(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    let host = pair.destination;
    if matches!(host.queue(apqn), Ok(None)) || reserved(host, apqn) == Ok(true) {
        return Outcome::NotAsked;
    }
    let evidence = || Evidence::new(bound_to(pair.source, apqn), bound_to(host, apqn));
    match host.driver(apqn) {
        Ok(Some("vfio_ap")) => Outcome::Holds,
        Ok(_) => {
            evidence().log([message::not_available(pair.destination_mdev, apqn)]).fix(steps(pair, apqn)).violated()
        }
        Err(_) => evidence().unknown(),
    }
}

pub(super) fn not_shared(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    let evidence = |seen: &str| Evidence::new("the guest's", seen);
    let mdevs = match &pair.destination.mdevs {
        Ok(mdevs) => mdevs,
        Err(unknown) => return evidence(&not_known(unknown)).unknown(),
    };
    let others = || mdevs.iter().filter(|(name, _)| *name != pair.destination_mdev);
    let mut unknown = None;
    for (name, other) in others() {
        match &other.assigned {
            Ok(matrix) if matrix.contains(apqn) => {
                return evidence(&format!("assigned to {name}"))
                    .log([message::already_assigned(pair.destination_mdev, apqn, name)])
                    .fix([Fix::Unassign { mdev: name.clone(), adapter: apqn.apid, is_free: other.in_use == Ok(false) }])
                    .violated();
            }
            Ok(_) => {}
            Err(reason) => unknown = Some(format!("{}, device {name}", not_known(reason))),
        }
    }
    unknown.map_or(Outcome::Holds, |seen| evidence(&seen).unknown())
}

fn limit(number: u8, limit: &Fact<u8>) -> Outcome {
    let shown = shown(limit, |limit| format!("highest {limit:02x}"));
    match limit {
        Ok(limit) if number <= *limit => Outcome::Holds,
        Ok(_) => Evidence::new(format!("{number:02x}"), shown)
            .fix([Fix::advice("use lower numbers for this guest: this machine has no such")])
            .violated(),
        Err(_) => Evidence::new(format!("{number:02x}"), shown).unknown(),
    }
}

pub(super) fn adapter_limit(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    // A queue that exists is not above the maximum.
    if matches!(pair.destination.queue(apqn), Ok(Some(_))) {
        return Outcome::Holds;
    }
    limit(apqn.apid.0, &pair.destination.max_adapter)
}

pub(super) fn domain_limit(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    if matches!(pair.destination.queue(apqn), Ok(Some(_))) {
        return Outcome::Holds;
    }
    limit(apqn.apqi.0, &pair.destination.max_domain)
}

pub(super) fn highest_domain(number: u8, host: &Host) -> Outcome {
    limit(number, &host.max_domain)
}

/// A state of a queue, asked of the queue and then of its card.
fn state(
    host: &Host,
    apqn: Apqn,
    of: fn(&Queue) -> &Fact<bool>,
    of_card: fn(&crate::host::Card) -> &Fact<bool>,
) -> Option<Fact<bool>> {
    let queue = match host.queue(apqn) {
        Ok(None) => return None,
        Ok(Some(queue)) => of(queue).clone(),
        Err(unknown) => Err(unknown),
    };
    Some(queue.or_else(|unknown| match host.card(apqn.apid) {
        Ok(Some(card)) => of_card(card).clone(),
        _ => Err(unknown),
    }))
}

pub(super) fn configured(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    let name = |fact: &Fact<bool>| shown(fact, |on| if *on { "configured" } else { "deconfigured" }.to_owned());
    let of = |host| state(host, apqn, |queue| &queue.configured, |card| &card.configured);
    let Some(seen) = of(pair.destination) else { return Outcome::NotAsked };
    let evidence = || Evidence::new(of(pair.source).map_or("-".to_owned(), |fact| name(&fact)), name(&seen));
    match seen {
        Ok(true) => Outcome::Holds,
        Ok(false) => evidence()
            .log([message::does_not_work(pair.destination_mdev, apqn, "deconfigured")])
            .fix([Fix::Configure(apqn.apid)])
            .violated(),
        Err(_) => evidence().unknown(),
    }
}

pub(super) fn not_checkstopped(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    let name = |fact: &Fact<bool>| shown(fact, |on| if *on { "checkstopped" } else { "working" }.to_owned());
    let of = |host| state(host, apqn, |queue| &queue.checkstopped, |card| &card.checkstopped);
    let Some(seen) = of(pair.destination) else { return Outcome::NotAsked };
    let evidence = || Evidence::new(of(pair.source).map_or("-".to_owned(), |fact| name(&fact)), name(&seen));
    match seen {
        Ok(false) => Outcome::Holds,
        Ok(true) => evidence()
            .log([message::does_not_work(pair.destination_mdev, apqn, "checkstopped")])
            .fix([Fix::advice("deconfigure and configure the adapter on the HMC, or replace the card")])
            .violated(),
        Err(_) => evidence().unknown(),
    }
}

/// The registers of a queue's card, and whether they were read before vfio_ap got the queue.
fn registers(host: &Host, apqn: Apqn) -> (Fact<&BTreeMap<String, Register>>, &'static str) {
    let registers = host.queue(apqn).and_then(|queue| {
        let queue = queue.ok_or(Unknown("no such queue".into()))?;
        let registers = queue.master_keys.as_ref().map_err(Unknown::clone)?;
        if registers.is_empty() { Err(Unknown("mkvps names no registers".into())) } else { Ok(registers) }
    });
    let kept = registers.is_ok() && host.driver(apqn) == Ok(Some(VFIO_AP));
    (registers, if kept { " (read before vfio_ap got the queue)" } else { "" })
}

/// How the registers of one kind on both hosts compare.
#[derive(Default)]
struct Compared {
    different: Vec<String>,
    unknown: Vec<String>,
}

fn compare(
    source: &BTreeMap<String, Register>,
    destination: &BTreeMap<String, Register>,
    of: impl Fn(&str) -> bool,
) -> Compared {
    let mut compared = Compared::default();
    let only_there = destination.keys().filter(|name| !source.contains_key(*name));
    for name in source.keys().chain(only_there).filter(|name| of(name)) {
        match (source.get(name), destination.get(name)) {
            (Some(Register::Unknown) | None, _) | (_, Some(Register::Unknown) | None) => {
                compared.unknown.push(name.clone());
            }
            (a, b) if a == b => {}
            _ => compared.different.push(name.clone()),
        }
    }
    compared
}

fn is_current(name: &str) -> bool {
    name.ends_with(" CUR")
}

fn show_registers(registers: &Fact<&BTreeMap<String, Register>>, names: &[String], kept: &str) -> String {
    let one = |registers: &BTreeMap<String, Register>, name: &String| {
        registers.get(name).map_or_else(|| format!("{name} not named"), |register| format!("{name} {register}"))
    };
    let all = shown(registers, |registers| match names {
        [] => "no current key named".to_owned(),
        _ => names.iter().map(|name| one(registers, name)).collect::<Vec<_>>().join(", "),
    });
    all + kept
}

fn is_coprocessor(host: &Host, apqn: Apqn) -> bool {
    [HwInfo::CCA, HwInfo::EP11].map(|bit| host.bit(apqn, bit)).contains(&Ok(true))
}

pub(super) fn master_keys(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    if !is_coprocessor(pair.source, apqn) || !is_coprocessor(pair.destination, apqn) {
        return Outcome::NotAsked;
    }
    let ((source, kept), (destination, kept_there)) = (registers(pair.source, apqn), registers(pair.destination, apqn));
    let evidence = |names: &[String]| {
        let (a, b) = (show_registers(&source, names, kept), show_registers(&destination, names, kept_there));
        Evidence::new(a, b)
    };
    let by_hand = Fix::advice("compare the verification patterns from the guest, or on the HMC, before you migrate");
    let (Ok(a), Ok(b)) = (&source, &destination) else {
        let names: Vec<String> =
            [&source, &destination].into_iter().flatten().flat_map(|keys| keys.keys().cloned()).collect();
        let current: Vec<String> = names.into_iter().filter(|name| is_current(name)).collect();
        return evidence(&current).fix([by_hand]).unknown();
    };
    let Compared { different, unknown } = compare(a, b, is_current);
    if !different.is_empty() {
        let set = Fix::advice("set the same master keys on both hosts, by TKE for example");
        return evidence(&different).fix([set]).violated();
    }
    let named = a.keys().chain(b.keys()).any(|name| is_current(name));
    if !unknown.is_empty() || !named {
        return evidence(&unknown).fix([by_hand]).unknown();
    }
    Outcome::Holds
}

/// New keys that are not in force yet, and old ones.
pub(super) fn other_registers(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    let ((source, kept), (destination, kept_there)) = (registers(pair.source, apqn), registers(pair.destination, apqn));
    let (Ok(a), Ok(b)) = (&source, &destination) else { return Outcome::NotAsked };
    let Compared { different, .. } = compare(a, b, |name| !is_current(name));
    if different.is_empty() {
        return Outcome::Holds;
    }
    Evidence::new(show_registers(&source, &different, kept), show_registers(&destination, &different, kept_there))
        .fix([Fix::advice("a change of master keys is under way on one side: finish it in the same way on both hosts")])
        .violated()
}

pub(super) fn masks_decide(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    let queue = match pair.destination.queue(apqn) {
        Ok(Some(queue)) => queue,
        Ok(None) => return Outcome::NotAsked,
        Err(unknown) => return Evidence::new("-", not_known(&unknown)).unknown(),
    };
    match &queue.driver_override {
        Ok(None) => Outcome::Holds,
        Ok(Some(driver)) => Evidence::new("-", format!("driver_override {driver}"))
            .fix([Fix::advice("as long as an override is set, apmask and aqmask cannot be changed on this host")])
            .violated(),
        Err(unknown) => Evidence::new("-", not_known(unknown)).unknown(),
    }
}
