// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random fleets of the model: a few hosts with few adapters and domains, so that guests get in each other's way.

use std::collections::BTreeMap;
use std::sync::Arc;

use ap_arch::{Apid, Apqn, Mask256, Matrix};
use ap_machine::{AdapterSpec, Topology};
use proptest::prelude::*;
use serde_json::json;
use vfio_ap::control::QueueName;
use vfio_ap::{Host, HostConfig};

use super::super::hosts::{ADAPTERS, KINDS, subset};
use super::super::migration::ask;

const DOMAINS: [u8; 3] = [0x33, 0x3a, 0x44];

/// Names of devices; a name on two hosts is a guest and its place, or two guests that happen to be called the same.
const NAMES: [&str; 7] = ["g0", "g1", "g2", "g3", "g4", "g5", "g6"];

/// The device that every host of the model has; it has no queue.
const IDLE: &str = "idle";

/// One host.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    cards: BTreeMap<u8, usize>,
    domains: Mask256,
    way: Way,
    devices: Vec<Device>,
    offline: Vec<Apqn>,
    unbound: Vec<Apqn>,
}

/// How queues are given to vfio_ap.
#[derive(Clone, Debug)]
enum Way {
    /// It has all.
    All,
    /// These adapters are in `apmask`, but for those of guests, and these domains in `aqmask`.
    Masks(Mask256, Mask256),
    /// The masks have everything, and these queues and those of guests an override.
    Overrides(Vec<Apqn>),
}

#[derive(Clone, Debug)]
struct Device {
    name: usize,
    adapters: Mask256,
    domains: Mask256,
    has_guest: bool,
}

/// A device as it came to be.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) name: &'static str,
    pub(crate) matrix: Matrix,
    pub(crate) has_guest: bool,
}

fn queues(count: usize) -> impl Strategy<Value = Vec<Apqn>> {
    let queue = (proptest::sample::select(&ADAPTERS[..]), proptest::sample::select(&DOMAINS[..]));
    proptest::collection::vec(queue.prop_map(|(adapter, domain)| Apqn::new(adapter, domain)), 0..count)
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![
        3 => Just(Way::All),
        2 => (subset(&ADAPTERS), subset(&DOMAINS)).prop_map(|(adapters, domains)| Way::Masks(adapters, domains)),
        2 => queues(6).prop_map(Way::Overrides),
    ]
}

/// One number, or any.
fn few(of: &'static [u8]) -> impl Strategy<Value = Mask256> {
    prop_oneof![3 => proptest::sample::select(of).prop_map(|number| [number].into_iter().collect()), 1 => subset(of)]
}

fn devices() -> impl Strategy<Value = Vec<Device>> {
    let has_guest = prop_oneof![2 => Just(true), 1 => Just(false)];
    let device = (0..NAMES.len(), few(&ADAPTERS), few(&DOMAINS), has_guest)
        .prop_map(|(name, adapters, domains, has_guest)| Device { name, adapters, domains, has_guest });
    proptest::collection::vec(device, 0..10)
}

fn host() -> impl Strategy<Value = Described> {
    let kind = prop_oneof![8 => Just(0), 1 => 0..KINDS.len()];
    let cards = proptest::collection::btree_map(proptest::sample::select(&ADAPTERS[..]), kind, 2..4);
    let domains = prop_oneof![3 => Just(DOMAINS.into_iter().collect()), 1 => subset(&DOMAINS)];
    let unbound = prop_oneof![3 => Just(Vec::new()), 1 => queues(3)];
    (cards, domains, way(), devices(), queues(6), unbound).prop_map(
        |(cards, domains, way, devices, offline, unbound)| Described { cards, domains, way, devices, offline, unbound },
    )
}

/// At most four hosts with four guests each.
pub(crate) fn fleet() -> impl Strategy<Value = Vec<Described>> {
    proptest::collection::vec(host(), 2..5)
}

impl Described {
    fn topology(&self) -> Topology {
        let card =
            |(adapter, kind): (&u8, &usize)| (Apid(*adapter), AdapterSpec::new(KINDS[*kind].parse().expect("a kind")));
        Topology {
            adapters: self.cards.iter().map(card).collect(),
            domains: self.domains,
            control_domains: Some(self.domains),
            ..Topology::default()
        }
    }

    /// The devices that fit beside each other, at most four guests of them.
    fn wanted(&self) -> Vec<Made> {
        let adapters: Mask256 = self.cards.keys().copied().collect();
        let mut made: Vec<Made> = Vec::new();
        for device in &self.devices {
            let (adapters, domains) =
                (device.adapters.intersection(adapters), device.domains.intersection(self.domains));
            let matrix = Matrix { adapters, domains, control_domains: Mask256::EMPTY };
            let name = NAMES[device.name];
            let shares = |other: &Made| other.name == name || other.matrix.queues().any(|queue| matrix.contains(queue));
            let guests = made.iter().filter(|made| made.has_guest).count();
            let is_empty = matrix.queue_count() == 0;
            if !made.iter().any(shares) && !(device.has_guest && (is_empty || guests == 4)) {
                made.push(Made { name, matrix, has_guest: device.has_guest });
            }
        }
        made
    }

    /// A host with nothing but this hardware, all of it vfio_ap's.
    pub(crate) fn bare(&self) -> Arc<Host> {
        let mut config = HostConfig { topology: self.topology(), ..HostConfig::default() };
        config.mdev.uuid = IDLE.to_owned();
        Host::new(config).expect("a host")
    }

    /// The host, and the devices that it has besides the idle one.
    pub(crate) fn build(&self) -> (Arc<Host>, Vec<Made>) {
        let mut devices = self.wanted();
        let of_guests = |queue: &Apqn| devices.iter().any(|made| made.has_guest && made.matrix.contains(*queue));
        let mut config = HostConfig { topology: self.topology(), ..HostConfig::default() };
        config.mdev.uuid = IDLE.to_owned();
        config.unbound = self.unbound.iter().filter(|queue| !of_guests(queue)).map(|queue| QueueName(*queue)).collect();
        match &self.way {
            Way::All => {}
            Way::Masks(adapters, domains) => {
                let guests = devices.iter().filter(|made| made.has_guest);
                let theirs = guests.fold(Mask256::EMPTY, |all, made| all.union(made.matrix.adapters));
                (config.default_adapters, config.default_domains) = (adapters.difference(theirs), *domains);
            }
            Way::Overrides(_) => (config.default_adapters, config.default_domains) = (Mask256::FULL, Mask256::FULL),
        }
        let host = Host::new(config).expect("a host");
        if let Way::Overrides(given) = &self.way {
            let guests = devices.iter().filter(|made| made.has_guest).flat_map(|made| made.matrix.queues());
            guests.chain(given.iter().copied()).for_each(|queue| super::super::hosts::give(&host, queue, None));
        }
        for queue in &self.offline {
            _ = host.sysfs_write(&format!("/sys/bus/ap/devices/{queue}/online"), "0");
        }
        for Made { name, matrix, has_guest } in &mut devices {
            host.sysfs_write("/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create", name)
                .expect("a new device");
            let config = format!("{},{},{}", matrix.adapters, matrix.domains, matrix.control_domains);
            let assigned = host.sysfs_write(&format!("/sys/devices/vfio_ap/matrix/{name}/ap_config"), &config);
            match assigned {
                Ok(()) if *has_guest => open(&host, name),
                Ok(()) => {}
                Err(error) if *has_guest => panic!("{name}: {error}"),
                // A place cannot have what is the host's own.
                Err(_) => *matrix = Matrix::EMPTY,
            }
        }
        (host, devices)
    }
}

/// A guest starts with a device.
pub(crate) fn open(host: &Host, name: &str) {
    ask(host, "device-open", json!({"mdev": name})).expect("a closed device");
}
