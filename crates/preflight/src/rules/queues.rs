// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of one queue: whether it is there, whose it is, whether it works.

use ap_arch::{Apqn, HwInfo, Mask256};

use super::hosts::{not_known, shown};
use super::{Evidence, Outcome};
use crate::host::{Fact, Host, Queue, Unknown};
use crate::mend::Mend;
use crate::message;
use crate::pair::Pair;

fn presence(host: &Host, apqn: Apqn) -> String {
    shown(&host.queue(apqn), |queue| if queue.is_some() { "there" } else { "no such queue" }.to_owned())
}

pub(super) fn on_source(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    let evidence = || Evidence::new(presence(pair.source, apqn), "-");
    match pair.source.queue(apqn) {
        Ok(Some(_)) => Outcome::Holds,
        Ok(None) => evidence()
            .log([message::queue_gone(pair.source_mdev, apqn)])
            .mend(Mend::Advice("the guest has a queue that its host has lost: bring the adapter back first"))
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
            .mend(Mend::Advice(
                "assign adapter and domain to the destination's LPAR (HMC), or use other ones for the guest",
            ))
            .violated(),
        Err(_) => evidence().unknown(),
    }
}

/// Whether the destination reserves a queue for its own drivers: both numbers in the masks, or an override says so.
/// Overrides exist only beside masks as the kernel starts with, with every bit on.
fn reserved(host: &Host, apqn: Apqn) -> Fact<bool> {
    let chosen = match host.queue(apqn) {
        Ok(queue) => queue.map_or(Ok(None), |queue| queue.driver_override.clone()),
        Err(unknown) => Err(unknown),
    };
    if let Ok(Some(driver)) = chosen {
        return Ok(driver != "vfio_ap");
    }
    match (&host.apmask, &host.aqmask) {
        (Ok(adapters), _) if !adapters.contains(apqn.apid.0) => Ok(false),
        (_, Ok(domains)) if !domains.contains(apqn.apqi.0) => Ok(false),
        (Ok(adapters), Ok(domains)) => match chosen {
            Err(unknown) if (*adapters, *domains) == (Mask256::FULL, Mask256::FULL) => Err(unknown),
            _ => Ok(true),
        },
        (Err(unknown), _) | (_, Err(unknown)) => Err(unknown.clone()),
    }
}

/// How a queue is taken from the default drivers: by the masks, unless an override is in force somewhere.
fn release(host: &Host, apqn: Apqn) -> Mend {
    let overridden = |queue: &Queue| matches!(queue.driver_override, Ok(Some(_)));
    match host.queues.as_ref() {
        Ok(queues) if queues.values().any(overridden) => Mend::Override(apqn),
        _ => Mend::Release(apqn.apid),
    }
}

pub(super) fn released(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    let (source, host) = (pair.source, pair.destination);
    if matches!(host.queue(apqn), Ok(None)) {
        return Outcome::NotAsked;
    }
    // What vfio_ap has, nobody reserves.
    if host.driver(apqn) == Ok(Some("vfio_ap")) {
        return Outcome::Holds;
    }
    let show = |fact: &Fact<bool>| shown(fact, |on| if *on { "reserved" } else { "released" }.to_owned());
    let seen = reserved(host, apqn);
    let evidence = || Evidence::new(show(&reserved(source, apqn)), show(&seen));
    match seen {
        Ok(false) => Outcome::Holds,
        Ok(true) => {
            evidence().log([message::not_available(pair.destination_mdev, apqn)]).mend(release(host, apqn)).violated()
        }
        Err(_) => evidence().unknown(),
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
        Ok(_) => evidence()
            .log([message::not_available(pair.destination_mdev, apqn)])
            .mend(if host.features == Ok(None) { Mend::LoadDriver } else { Mend::Bind(apqn) })
            .violated(),
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
                    .log([message::already_assigned(apqn, name)])
                    .mend(Mend::Unassign(name.clone(), apqn.apid))
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
            .mend(Mend::Advice("use lower numbers for this guest: this machine has no such"))
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
            .mend(Mend::Configure(apqn.apid))
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
            .mend(Mend::Advice("deconfigure and configure the adapter on the HMC, or replace the card"))
            .violated(),
        Err(_) => evidence().unknown(),
    }
}

/// The master keys in force, by name of the register.
type Keys = Vec<(String, String)>;

fn keys(host: &Host, apqn: Apqn) -> Fact<Keys> {
    let queue = host.queue(apqn)?.ok_or(Unknown("no such queue".into()))?;
    let keys = queue.master_keys.as_ref().map_err(Unknown::clone)?;
    if keys.is_empty() {
        return Err(Unknown("mkvps names no keys".into()));
    }
    let valid = |(name, key): (&String, &Option<String>)| Some((name.clone(), key.clone()?));
    keys.iter().map(valid).collect::<Option<_>>().ok_or(Unknown("mkvps: - -".into()))
}

pub(super) fn master_keys(pair: &Pair<'_>, apqn: Apqn) -> Outcome {
    let coprocessor = |host: &Host| [HwInfo::CCA, HwInfo::EP11].map(|bit| host.bit(apqn, bit)).contains(&Ok(true));
    if !coprocessor(pair.source) || !coprocessor(pair.destination) {
        return Outcome::NotAsked;
    }
    let (source, destination) = (keys(pair.source, apqn), keys(pair.destination, apqn));
    let show = |fact: &Fact<Keys>| {
        shown(fact, |keys| keys.iter().map(|(name, key)| format!("{name} {key}")).collect::<Vec<_>>().join(", "))
    };
    let evidence = Evidence::new(show(&source), show(&destination));
    match (source, destination) {
        (Ok(a), Ok(b)) if a == b => Outcome::Holds,
        (Ok(_), Ok(_)) => {
            evidence.mend(Mend::Advice("set the same master keys on both hosts, by TKE for example")).violated()
        }
        _ => {
            let advice = "compare the verification patterns from the guest, or on the HMC, before you migrate";
            evidence.mend(Mend::Advice(advice)).unknown()
        }
    }
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
            .mend(Mend::Advice("as long as an override is set, apmask and aqmask cannot be changed on this host"))
            .violated(),
        Err(unknown) => Evidence::new("-", not_known(unknown)).unknown(),
    }
}
