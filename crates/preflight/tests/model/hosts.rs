// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random pairs of hosts: a guest's host, and a copy of it with a few differences.

use std::collections::BTreeMap;
use std::sync::Arc;

use ap_arch::{Apid, Apqn, HwInfo, Mask256, Matrix};
use ap_machine::{AdapterSpec, AdapterState, CardKind, Topology};
use preflight::{Attribute, Tree};
use proptest::prelude::*;
use vfio_ap::{Host, HostConfig, MdevConfig};

pub(crate) const MDEV: &str = "guest";
const OTHER: &str = "other";
pub(crate) const ADAPTERS: [u8; 3] = [4, 5, 6];
const DOMAINS: [u8; 2] = [0x33, 0x3a];
const CONTROL: [u8; 3] = [0x33, 0x3a, 0x44];
pub(crate) const KINDS: [&str; 4] = ["cex8c", "cex8a", "cex7c", "cex8p"];

/// One host's hardware.
#[derive(Clone, Debug)]
pub(crate) struct Hardware {
    cards: BTreeMap<u8, Card>,
    domains: Mask256,
    control: Mask256,
    binding: bool,
    secure: bool,
}

#[derive(Clone, Debug)]
struct Card {
    kind: usize,
    /// Bits of the function word that differ from what the kind has.
    flips: u32,
    state: AdapterState,
}

/// How the destination differs from the source.
#[derive(Clone, Debug)]
enum Change {
    DropCard(usize),
    Kind(usize, usize),
    Flip(usize, u32),
    Stateless(usize),
    State(usize, AdapterState),
    DropDomain(usize),
    DropControl(usize),
    Unbind(usize, usize),
    Reserve(Mask256, Mask256),
    Override(usize, usize, Overridden),
    Other(usize),
    Secure,
    Binding,
    Assign(Mask256),
}

/// How one queue differs from the others, all of which vfio_ap has by their overrides.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Overridden {
    /// It is another driver's by its override.
    Other,
    /// Its override was written, and nothing else was done.
    WrittenOnly,
    /// Its override was cleared, and nothing else was done.
    Cleared,
    /// It lost its driver.
    Unbound,
}

/// What is withheld from preflight: on which side, and which files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Withheld {
    side: usize,
    file: &'static str,
}

const FILES: [&str; 11] = [
    "apmask",
    "aqmask",
    "ap_control_domain_mask",
    "hwtype",
    "ap_functions",
    "prot_virt_guest",
    "guest_matrix",
    "ap_config",
    "bus/ap/devices",
    "drivers/vfio_ap",
    "driver_override",
];

#[derive(Clone, Debug)]
pub(crate) struct Case {
    hardware: Hardware,
    assigned: Matrix,
    /// Queues that are bound to no driver on the source.
    unbound: Vec<Apqn>,
    source_secure: bool,
    /// Whether queues have a function word of their own: kernels from 6.5 or so.
    queue_words: bool,
    changes: Vec<Change>,
    pub(crate) withheld: Vec<Withheld>,
}

pub(crate) fn subset(of: &'static [u8]) -> impl Strategy<Value = Mask256> + Clone {
    proptest::collection::vec(any::<bool>(), of.len())
        .prop_map(move |on| of.iter().zip(on).filter_map(|(n, on)| on.then_some(*n)).collect())
}

fn mostly(of: &'static [u8]) -> impl Strategy<Value = Mask256> + Clone {
    prop_oneof![3 => Just(of.iter().copied().collect::<Mask256>()), 2 => subset(of)]
}

fn state() -> impl Strategy<Value = AdapterState> + Clone {
    prop_oneof![
        1 => Just(AdapterState::Configured),
        1 => Just(AdapterState::Deconfigured),
        1 => Just(AdapterState::Checkstopped)
    ]
}

fn card() -> impl Strategy<Value = Card> {
    let state = prop_oneof![12 => Just(AdapterState::Configured), 1 => state()];
    let flips = prop_oneof![6 => Just(0), 1 => (0u32..8).prop_map(|bit| 1 << (31 - bit)), 1 => Just(STATELESS)];
    (0..KINDS.len(), flips, state).prop_map(|(kind, flips, state)| Card { kind, flips, state })
}

/// Turns a native card into one with stateless functions only.
const STATELESS: u32 = ((HwInfo::NATIVE | HwInfo::STATELESS) >> 32) as u32;

fn hardware() -> impl Strategy<Value = Hardware> {
    let cards = proptest::collection::btree_map(proptest::sample::select(&ADAPTERS[..]), card(), 1..4);
    let rarely = || prop_oneof![40 => Just(false), 1 => Just(true)];
    (cards, mostly(&DOMAINS), mostly(&CONTROL), rarely(), rarely())
        .prop_map(|(cards, domains, control, binding, secure)| Hardware { cards, domains, control, binding, secure })
}

fn overridden() -> impl Strategy<Value = Overridden> {
    use Overridden::{Cleared, Other, Unbound, WrittenOnly};
    proptest::sample::select(&[Other, WrittenOnly, Cleared, Unbound][..])
}

fn change() -> impl Strategy<Value = Change> {
    let (a, d) = (0..ADAPTERS.len(), 0..DOMAINS.len());
    prop_oneof![
        2 => a.clone().prop_map(Change::DropCard),
        2 => (a.clone(), 0..KINDS.len()).prop_map(|(i, kind)| Change::Kind(i, kind)),
        4 => (a.clone(), 0u32..8).prop_map(|(i, bit)| Change::Flip(i, bit)),
        2 => a.clone().prop_map(Change::Stateless),
        2 => (a.clone(), state()).prop_map(|(i, state)| Change::State(i, state)),
        2 => d.clone().prop_map(Change::DropDomain),
        2 => (0..CONTROL.len()).prop_map(Change::DropControl),
        2 => (a.clone(), d.clone()).prop_map(|(i, j)| Change::Unbind(i, j)),
        2 => (mostly(&ADAPTERS), subset(&DOMAINS)).prop_map(|(a, d)| Change::Reserve(a, d)),
        4 => (a.clone(), d, overridden()).prop_map(|(i, j, how)| Change::Override(i, j, how)),
        2 => a.prop_map(Change::Other),
        2 => Just(Change::Secure),
        2 => Just(Change::Binding),
        2 => subset(&ADAPTERS).prop_map(Change::Assign),
    ]
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let withheld = (0..2usize, proptest::sample::select(&FILES[..])).prop_map(|(side, file)| Withheld { side, file });
    let withheld = prop_oneof![3 => Just(Vec::new()), 1 => proptest::collection::vec(withheld, 1..3)];
    let unbound = prop_oneof![
        8 => Just(Vec::new()),
        1 => (proptest::sample::select(&ADAPTERS[..]), proptest::sample::select(&DOMAINS[..]))
            .prop_map(|(a, d)| vec![Apqn::new(a, d)])
    ];
    let changes = proptest::collection::vec(change(), 0..3);
    let assigned = (mostly(&ADAPTERS), mostly(&DOMAINS), mostly(&CONTROL))
        .prop_map(|(adapters, domains, control_domains)| Matrix { adapters, domains, control_domains });
    let rarely = prop_oneof![40 => Just(false), 1 => Just(true)];
    (hardware(), assigned, unbound, rarely, any::<bool>(), changes, withheld).prop_map(
        |(hardware, assigned, unbound, source_secure, queue_words, changes, withheld)| Case {
            hardware,
            assigned,
            unbound,
            source_secure,
            queue_words,
            changes,
            withheld,
        },
    )
}

fn config(hardware: &Hardware) -> HostConfig {
    let adapters = hardware.cards.iter().map(|(adapter, card)| {
        let kind: CardKind = KINDS[card.kind].parse().expect("a kind");
        let word = (kind.facilities() >> 32) as u32 ^ card.flips;
        let spec = AdapterSpec { facilities: Some(word), state: card.state, ..AdapterSpec::new(kind) };
        (Apid(*adapter), spec)
    });
    let topology = Topology {
        adapters: adapters.collect(),
        domains: hardware.domains,
        control_domains: Some(hardware.control),
        apsb: hardware.binding,
        ..Topology::default()
    };
    HostConfig { topology, host_is_secure: hardware.secure, ..HostConfig::default() }
}

fn mdev(uuid: &str, matrix: Matrix) -> MdevConfig {
    let Matrix { adapters, domains, control_domains } = matrix;
    MdevConfig { uuid: uuid.to_owned(), adapters, domains, control_domains, open: false }
}

/// Gives a queue to vfio_ap by its override, but for what differs; nothing happens where there is no such queue.
pub(crate) fn give(host: &Host, queue: Apqn, how: Option<Overridden>) {
    let folder = format!("/sys/bus/ap/devices/{queue}");
    let put = |path: &str, value: &str| _ = host.sysfs_write(path, value);
    let choose = |driver| put(&format!("{folder}/driver_override"), driver);
    let unbind = || put(&format!("{folder}/driver/unbind"), &queue.to_string());
    choose(if matches!(how, Some(Overridden::Other)) { "cex4queue" } else { "vfio_ap" });
    if matches!(how, Some(Overridden::Other | Overridden::WrittenOnly)) {
        return;
    }
    unbind();
    if !matches!(how, Some(Overridden::Unbound)) {
        put("/sys/bus/ap/drivers_probe", &queue.to_string());
    }
    if matches!(how, Some(Overridden::Cleared)) {
        // As `echo` does it: a write of no bytes does nothing.
        choose("\n");
    }
}

impl Case {
    pub(crate) fn source(&self) -> Option<Arc<Host>> {
        let mut config = config(&Hardware { secure: self.source_secure, ..self.hardware.clone() });
        config.mdev = mdev(MDEV, self.assigned);
        config.unbound = self.unbound.iter().map(|apqn| vfio_ap::control::QueueName(*apqn)).collect();
        Host::new(config).ok()
    }

    pub(crate) fn destination(&self) -> Option<Arc<Host>> {
        let mut hardware = Hardware { secure: false, ..self.hardware.clone() };
        let mut held = Matrix::EMPTY;
        let (mut unbound, mut other, mut reserved, mut overridden) = (Vec::new(), Mask256::EMPTY, None, None);
        for change in &self.changes {
            let mut card = |i: usize, change: &dyn Fn(&mut Card)| {
                if let Some(card) = hardware.cards.get_mut(&ADAPTERS[i]) {
                    change(card);
                }
            };
            match change {
                Change::DropCard(i) => _ = hardware.cards.remove(&ADAPTERS[*i]),
                Change::Kind(i, kind) => card(*i, &|card| card.kind = *kind),
                Change::Flip(i, bit) => card(*i, &|card| card.flips ^= 1 << (31 - bit)),
                Change::Stateless(i) => card(*i, &|card| card.flips ^= STATELESS),
                Change::State(i, state) => card(*i, &|card| card.state = *state),
                Change::DropDomain(j) => hardware.domains.remove(DOMAINS[*j]),
                Change::DropControl(j) => hardware.control.remove(CONTROL[*j]),
                Change::Unbind(i, j) => unbound.push(Apqn::new(ADAPTERS[*i], DOMAINS[*j])),
                Change::Reserve(adapters, domains) => reserved = Some((*adapters, *domains)),
                Change::Override(i, j, how) => overridden = Some((Apqn::new(ADAPTERS[*i], DOMAINS[*j]), *how)),
                Change::Other(i) => other.insert(ADAPTERS[*i]),
                Change::Secure => hardware.secure = true,
                Change::Binding => hardware.binding = !hardware.binding,
                Change::Assign(adapters) => held = Matrix { adapters: *adapters, ..self.assigned },
            }
        }
        let mut config = config(&hardware);
        config.mdev = mdev(MDEV, held);
        config.unbound = unbound.into_iter().map(vfio_ap::control::QueueName).collect();
        if !other.is_empty() {
            config.others.push(mdev(OTHER, Matrix { adapters: other, ..self.assigned }));
        }
        if overridden.is_some() {
            (config.default_adapters, config.default_domains) = (Mask256::FULL, Mask256::FULL);
        } else if let Some((adapters, domains)) = reserved {
            (config.default_adapters, config.default_domains) = (adapters, domains);
        }
        let host = Host::new(config).ok()?;
        if let Some((apqn, how)) = overridden {
            self.assigned.queues().for_each(|queue| give(&host, queue, (queue == apqn).then_some(how)));
        }
        Some(host)
    }

    pub(crate) fn tree(&self, host: &Arc<Host>, side: usize) -> ModelTree {
        let on_side = self.withheld.iter().filter(|withheld| withheld.side == side);
        let mut withheld: Vec<&'static str> = on_side.map(|withheld| withheld.file).collect();
        // Only a queue's own word shows a bind state, and only Secure Execution guests have any. The model lets a host
        // have one without being one, so whoever does not see the word must not see this either.
        let binding = self.hardware.binding || self.changes.iter().any(|change| matches!(change, Change::Binding));
        if binding && !withheld.is_empty() {
            withheld.push("prot_virt_guest");
        }
        ModelTree { host: Arc::clone(host), withheld, queue_words: self.queue_words || binding }
    }
}

/// The model's sysfs, with some files withheld.
pub(crate) struct ModelTree {
    host: Arc<Host>,
    withheld: Vec<&'static str>,
    queue_words: bool,
}

impl ModelTree {
    /// All of it.
    pub(crate) fn whole(host: &Arc<Host>) -> Self {
        Self { host: Arc::clone(host), withheld: Vec::new(), queue_words: true }
    }

    fn withholds(&self, path: &str) -> bool {
        self.withheld.iter().any(|file| path.ends_with(file) || *file == "ap_config" && path.ends_with("other/matrix"))
    }
}

impl Tree for ModelTree {
    fn list(&self, folder: &str) -> Result<Vec<String>, Attribute> {
        if self.withholds(folder) {
            return Err(Attribute::unreadable("withheld"));
        }
        let mut names = self.host.sysfs_list(&format!("/{folder}")).map_err(|_| Attribute::MISSING)?;
        names.sort_unstable();
        Ok(names)
    }

    fn read(&self, file: &str) -> Attribute {
        let word_of_queue = file.ends_with("/ap_functions") && !file.contains("/card");
        match file {
            _ if self.withholds(file) => Attribute::unreadable("withheld"),
            _ if word_of_queue && !self.queue_words => Attribute::MISSING,
            "proc/sys/kernel/osrelease" => Attribute::from_bytes(b"6.18.0\n"),
            _ => match self.host.sysfs_read(&format!("/{file}")) {
                Ok(text) => Attribute::from_bytes(text.as_bytes()),
                Err(_) => Attribute::MISSING,
            },
        }
    }
}
