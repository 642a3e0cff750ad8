// SPDX-License-Identifier: MIT OR Apache-2.0
//! One host as the rules see it: the texts of a snapshot, read. What a host did not say is [`Unknown`], with the
//! reason, and so is what it said in a form that this program does not know: one odd file hides nothing else. Only
//! names that go into commands are refused if they are odd.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ap_arch::{ApType, Apid, Apqn, HwInfo, Mask256, Matrix};

use crate::attribute::Attribute;
use crate::collect::QEMU;
use crate::parse::{self, Listed, Register};
use crate::snapshot::{Attributes, Section, Snapshot};
use crate::text::is_device_name;

/// Why a value is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown(pub Cow<'static, str>);

/// A value, or why it is not known.
pub type Fact<T> = Result<T, Unknown>;

/// A name that is not what the section of a snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {text:?}: expected {expected}")]
pub struct Malformed {
    /// Where in the snapshot.
    pub place: String,
    /// What stands there; shortened.
    pub text: String,
    /// What is allowed.
    pub expected: &'static str,
}

/// One host.
#[derive(Clone, Debug)]
pub struct Host {
    /// `uname -r`.
    pub kernel: Fact<String>,
    /// Whether its kernel is a Secure Execution guest.
    pub secure: Fact<bool>,
    /// Whether TAPQ reports facility bits: STFLE bit 15.
    pub reports_facilities: Fact<bool>,
    /// `apmask`: adapters of the default drivers.
    pub apmask: Fact<Mask256>,
    /// `aqmask`: domains of the default drivers.
    pub aqmask: Fact<Mask256>,
    /// Control domains of the host.
    pub control_domains: Fact<Mask256>,
    /// The highest adapter number that can exist.
    pub max_adapter: Fact<u8>,
    /// The highest domain number that can exist.
    pub max_domain: Fact<u8>,
    /// The driver vfio_ap.
    pub vfio_ap: Fact<VfioAp>,
    /// Whether the kernel has the module, or has it built in.
    pub has_module: Fact<bool>,
    /// Driver of every bound queue.
    pub drivers: Fact<BTreeMap<Apqn, String>>,
    /// The cards.
    pub cards: Fact<BTreeMap<Apid, Card>>,
    /// The queues.
    pub queues: Fact<BTreeMap<Apqn, Queue>>,
    /// The mediated devices.
    pub mdevs: Fact<BTreeMap<String, Mdev>>,
    /// QEMU's reasons not to migrate; `None` if QEMU was not asked.
    pub blocked: Option<Fact<Vec<String>>>,
    /// The QEMU that the host has; `None` if it has none, or was not asked.
    pub qemu: Option<Qemu>,
    /// Whether KubeVirt runs guests on it.
    pub has_kubevirt: bool,
}

/// A QEMU with a vfio-ap device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qemu {
    /// What it calls itself.
    pub version: String,
    /// Whether its vfio-ap device can migrate: it has the option that other VFIO devices have for it, or a state.
    pub can_migrate: bool,
}

impl Qemu {
    fn read(text: &str) -> Option<Self> {
        let (version, rest) = text.split_once('\n')?;
        let has = |line: &str| rest.lines().any(|other| other == line);
        let can_migrate = has("option enable-migration") || has("state");
        has("option sysfsdev").then(|| Self { version: version.to_owned(), can_migrate })
    }
}

/// What a host says of its driver vfio_ap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VfioAp {
    /// It is not loaded: neither its device nor its driver is there.
    NotLoaded,
    /// It is loaded and has no `features`: kernels before Linux 6.12, none of which migrates.
    Older,
    /// The words of its `features`.
    Features(Vec<String>),
}

/// One card.
#[derive(Clone, Debug)]
pub struct Card {
    /// The type that TAPQ reports.
    pub ap_type: Fact<ApType>,
    /// Bits 0 to 31 of GR2, with bits 16 to 31 masked by the kernel, and bit 7 too by older ones.
    pub functions: Fact<u32>,
    /// Whether it is configured.
    pub configured: Fact<bool>,
    /// Whether it is checkstopped.
    pub checkstopped: Fact<bool>,
}

/// One queue.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Whether it is configured.
    pub configured: Fact<bool>,
    /// Whether it is checkstopped.
    pub checkstopped: Fact<bool>,
    /// The driver chosen for this queue alone, if one was.
    pub driver_override: Fact<Option<String>>,
    /// Whether the kernel has overrides for queues: Linux 6.19 and newer.
    pub has_override: bool,
    /// Whether the host's own driver may use the queue, where it has it.
    pub online: Fact<bool>,
    /// Bits 0 to 31 of GR2 as TAPQ answers, nothing masked.
    pub functions: Fact<u32>,
    /// The registers of master keys, by name: `AES CUR`.
    pub master_keys: Fact<BTreeMap<String, Register>>,
}

/// One mediated device.
#[derive(Clone, Debug)]
pub struct Mdev {
    /// What the administrator assigned.
    pub assigned: Fact<Matrix>,
    /// What a guest really has, but for control domains that the host lacks.
    pub guest: Fact<Matrix>,
    /// Whether the list of the guest's queues is their product, as it must be.
    pub is_product: Fact<bool>,
    /// Whether a guest is running with it.
    pub in_use: Fact<bool>,
}

/// Which kernels do not show bit 7: the series that were alive when it was unmasked show it since then.
const MASKED_SLCF: &str = "a card's ap_functions may lack bit 7: kernels before 6.17 mask it, but for 6.12.42, \
    6.15.10, 6.16.1 and later ones";

impl Card {
    /// A function bit, `bit` being a mask in GR2. Bit 7 may have been masked by the kernel.
    fn bit(&self, bit: u64, kernel_shows_slcf: bool) -> Fact<bool> {
        let on = HwInfo(u64::from(self.functions.clone()?) << 32).has(bit);
        if bit == HwInfo::SLCF && !on && !kernel_shows_slcf {
            return Err(Unknown(MASKED_SLCF.into()));
        }
        Ok(on)
    }
}

impl Host {
    /// Reads a snapshot.
    ///
    /// # Errors
    /// The first name that is not of its section's form.
    pub fn new(snapshot: &Snapshot) -> Result<Self, Malformed> {
        let Snapshot { host, bus, .. } = snapshot;
        let facilities = fact(host, "facilities", facility_list);
        // These names go into commands, so they are looked at more strictly than other texts.
        if let Some((name, _)) = snapshot.mdevs.entries().find(|(name, _)| !is_device_name(name)) {
            return Err(malformed("mdevs".to_owned(), name, "the UUID of a mediated device"));
        }
        Ok(Self {
            kernel: fact(host, "osrelease", |text| {
                if text.is_empty() { Err("a kernel's release") } else { Ok(text.to_owned()) }
            }),
            secure: secure(fact(host, "prot_virt_guest", parse::switch), host, &facilities),
            reports_facilities: facilities.map(|list| list.contains(&15)),
            apmask: fact(bus, "apmask", parse::mask),
            aqmask: fact(bus, "aqmask", parse::mask),
            control_domains: match bus.get("ap_control_domain_mask") {
                Some(Attribute::Text(text)) if text == "not supported" => {
                    Err(Unknown("the machine does not report its control domains".into()))
                }
                _ => fact(bus, "ap_control_domain_mask", parse::mask),
            },
            max_adapter: fact(bus, "ap_max_adapter_id", parse::number),
            max_domain: fact(bus, "ap_max_domain_id", parse::number),
            vfio_ap: vfio_ap(snapshot),
            has_module: fact(host, "vfio_ap-module", |text| match text {
                "module" | "built in" => Ok(true),
                "none" => Ok(false),
                _ => Err("module, built in or none"),
            }),
            drivers: drivers(&snapshot.drivers)?,
            cards: section(&snapshot.cards, "cards", "a card number, such as 05", card)?,
            queues: section(&snapshot.queues, "queues", "a queue, such as 05.0033", queue)?,
            mdevs: section(&snapshot.mdevs, "mdevs", "a UUID", mdev)?,
            blocked: snapshot
                .qemu
                .as_ref()
                .map(|files| fact(files, "blocked-reasons", |text| Ok(text.lines().map(str::to_owned).collect()))),
            qemu: host.get(QEMU).and_then(|attribute| match attribute {
                Attribute::Text(text) => Qemu::read(text),
                Attribute::Unreadable(_) => None,
            }),
            has_kubevirt: host.contains_key("kubevirt"),
        })
    }

    /// Whether the masks are as the kernel starts with: every queue is the host's own but for overrides.
    pub fn masks_are_full(&self) -> Fact<bool> {
        let full = |mask: &Fact<Mask256>| mask.clone().map(|mask| mask == Mask256::FULL);
        match (full(&self.apmask), full(&self.aqmask)) {
            // One that is not full decides, whatever the other is.
            (Ok(false), _) | (_, Ok(false)) => Ok(false),
            (adapters, domains) => Ok(adapters? && domains?),
        }
    }

    /// Whether the kernel has `driver_override` for queues.
    pub fn has_overrides(&self) -> Fact<bool> {
        Ok(self.queues.as_ref().map_err(Unknown::clone)?.values().any(|queue| queue.has_override))
    }

    /// The driver of a queue; `None` if it is bound to none or is not there.
    pub fn driver(&self, apqn: Apqn) -> Fact<Option<&str>> {
        let drivers = self.drivers.as_ref().map_err(Unknown::clone)?;
        Ok(drivers.get(&apqn).map(String::as_str))
    }

    /// The card of this number; `None` if it is not there.
    pub fn card(&self, apid: Apid) -> Fact<Option<&Card>> {
        Ok(self.cards.as_ref().map_err(Unknown::clone)?.get(&apid))
    }

    /// The queue of this name; `None` if it is not there.
    pub fn queue(&self, apqn: Apqn) -> Fact<Option<&Queue>> {
        Ok(self.queues.as_ref().map_err(Unknown::clone)?.get(&apqn))
    }

    /// A function bit of a queue, `bit` being a mask in GR2: as the queue says, else as its card says.
    pub fn bit(&self, apqn: Apqn, bit: u64) -> Fact<bool> {
        if let Ok(Some(Queue { functions: Ok(word), .. })) = self.queue(apqn) {
            return Ok(HwInfo(u64::from(*word) << 32).has(bit));
        }
        match self.card(apqn.apid)? {
            Some(card) => card.bit(bit, self.shows_slcf()),
            None => Err(Unknown("there is no such card".into())),
        }
    }

    /// Bind and associate state, 0 to 3; 0 on a host that is no Secure Execution guest. A card does not show it.
    pub fn bind_state(&self, apqn: Apqn) -> Fact<u8> {
        if let Ok(Some(Queue { functions: Ok(word), .. })) = self.queue(apqn) {
            return Ok(HwInfo(u64::from(*word) << 32).bind_state().0);
        }
        match &self.secure {
            Ok(false) => Ok(0),
            _ => Err(Unknown(
                "a card's ap_functions has no bind state, and this host may be under Secure Execution".into(),
            )),
        }
    }

    /// Whether the function words of this host's cards show bit 7: known of new kernels, and where one card shows it.
    fn shows_slcf(&self) -> bool {
        let new = self.kernel.as_ref().is_ok_and(|release| version(release).is_some_and(shows_slcf));
        let slcf =
            |card: &Card| card.functions.as_ref().is_ok_and(|word| HwInfo(u64::from(*word) << 32).has(HwInfo::SLCF));
        new || self.cards.as_ref().is_ok_and(|cards| cards.values().any(slcf))
    }
}

/// The numbers of `6.12.107+deb13-s390x`.
fn version(release: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let (major, minor) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    let patch = numbers.next().and_then(|patch| patch.parse().ok()).unwrap_or_default();
    Some((major, minor, patch))
}

/// Whether a kernel of this version shows bit 7 of a card's function word.
fn shows_slcf(version: (u32, u32, u32)) -> bool {
    match version {
        (6, 12, patch) => patch >= 42,
        (6, 15, patch) => patch >= 10,
        (6, 16, patch) => patch >= 1,
        _ => version >= (6, 17, 0),
    }
}

/// Whether the driver is there is known by its device, by its folder among the drivers, or by a device of its.
fn vfio_ap(snapshot: &Snapshot) -> Fact<VfioAp> {
    match snapshot.vfio_ap.get("features") {
        Some(attribute) if attribute.is_missing() => {
            let loaded = snapshot.drivers.entries().any(|(name, _)| name == "vfio_ap")
                || snapshot.mdevs.entries().next().is_some();
            match snapshot.drivers.reason() {
                _ if loaded => Ok(VfioAp::Older),
                None => Ok(VfioAp::NotLoaded),
                Some(reason) => Err(Unknown(format!("drivers: {reason}").into())),
            }
        }
        _ => fact(&snapshot.vfio_ap, "features", |text| {
            Ok(VfioAp::Features(text.split_whitespace().map(str::to_owned).collect()))
        }),
    }
}

/// Without the Ultravisor's facility, 158, there is no `prot_virt_guest` and no Secure Execution.
fn secure(said: Fact<bool>, host: &Attributes, facilities: &Fact<Vec<u32>>) -> Fact<bool> {
    let missing = host.get("prot_virt_guest").is_some_and(Attribute::is_missing);
    match facilities {
        Ok(list) if missing && !list.contains(&158) => Ok(false),
        _ => said,
    }
}

fn facility_list(text: &str) -> Result<Vec<u32>, &'static str> {
    text.split_whitespace().map(|number| number.parse().map_err(|_| "facility numbers, such as 0 1 12")).collect()
}

fn drivers(section: &Section<Vec<String>>) -> Result<Fact<BTreeMap<Apqn, String>>, Malformed> {
    if let Some(reason) = section.reason() {
        return Ok(Err(Unknown(reason.to_owned().into())));
    }
    let mut drivers = BTreeMap::new();
    for (name, queues) in section.entries() {
        for queue in queues {
            let wrong = |_| malformed(format!("drivers.{name}"), queue, "a queue, such as 05.0033");
            drivers.insert(queue.parse().map_err(wrong)?, name.clone());
        }
    }
    Ok(Ok(drivers))
}

fn section<K: Ord + std::str::FromStr, T>(
    section: &Section<Attributes>,
    name: &str,
    expected: &'static str,
    read: fn(&Attributes) -> T,
) -> Result<Fact<BTreeMap<K, T>>, Malformed> {
    if let Some(reason) = section.reason() {
        return Ok(Err(Unknown(reason.to_owned().into())));
    }
    let mut entries = BTreeMap::new();
    for (key, files) in section.entries() {
        let parsed = key.parse().map_err(|_| malformed(name.to_owned(), key, expected))?;
        entries.insert(parsed, read(files));
    }
    Ok(Ok(entries))
}

fn card(files: &Attributes) -> Card {
    // hwtype is the newest type that this kernel knows; raw_hwtype is what the machine said.
    let raw = fact(files, "raw_hwtype", parse::number);
    Card {
        ap_type: raw.or_else(|_| fact(files, "hwtype", parse::number)).map(ApType),
        functions: fact(files, "ap_functions", parse::functions),
        configured: fact(files, "config", parse::switch),
        checkstopped: fact(files, "chkstop", parse::switch),
    }
}

fn queue(files: &Attributes) -> Queue {
    let chosen = files.get("driver_override");
    Queue {
        configured: fact(files, "config", parse::switch),
        checkstopped: fact(files, "chkstop", parse::switch),
        has_override: chosen.is_some_and(|attribute| !attribute.is_missing()),
        driver_override: match chosen {
            // A kernel without this file has no overrides.
            Some(attribute) if attribute.is_missing() => Ok(None),
            // Unset it is an empty line; older snapshots of the model have a null pointer.
            _ => fact(files, "driver_override", |text| {
                Ok(Some(text.to_owned()).filter(|text| !matches!(text.as_str(), "" | "(null)")))
            }),
        },
        online: fact(files, "online", parse::switch),
        functions: fact(files, "ap_functions", parse::functions),
        master_keys: fact(files, "mkvps", |text| Ok(parse::master_keys(text))),
    }
}

fn mdev(files: &Attributes) -> Mdev {
    let control_domains = fact(files, "control_domains", parse::domain_list);
    let listed = |name| fact(files, name, parse::queue_list);
    let matrix = |name: &str, listed: &Fact<Listed>| match (listed, &control_domains) {
        (Ok(Listed::Product(adapters, domains) | Listed::Holes(adapters, domains)), Ok(control_domains)) => {
            Ok(Matrix { adapters: *adapters, domains: *domains, control_domains: *control_domains })
        }
        (Ok(Listed::Cut), _) => Err(Unknown(format!("{name} is not whole: the kernel cuts it after one page").into())),
        (Err(unknown), _) | (_, Err(unknown)) => Err(unknown.clone()),
    };
    let (assigned, guest) = (listed("matrix"), listed("guest_matrix"));
    Mdev {
        assigned: fact(files, "ap_config", parse::ap_config).or_else(|_| matrix("matrix", &assigned)),
        guest: matrix("guest_matrix", &guest),
        is_product: guest.map(|listed| matches!(listed, Listed::Product(..))),
        in_use: fact(files, "status", |text| match text {
            "in use" => Ok(true),
            "assigned" | "unassigned" => Ok(false),
            _ => Err("in use, assigned or unassigned"),
        }),
    }
}

/// What a file says; a text of another form is unknown, and stands in the reason.
fn fact<T>(files: &Attributes, name: &str, parse: impl FnOnce(&str) -> Result<T, &'static str>) -> Fact<T> {
    match files.get(name) {
        None => Err(Unknown(format!("{name}: not in the snapshot").into())),
        Some(Attribute::Unreadable(reason)) => Err(Unknown(format!("{name}: {reason}").into())),
        Some(Attribute::Text(text)) => parse(text).map_err(|expected| {
            let shown: String = text.chars().take(80).collect();
            Unknown(format!("{name} says {shown:?}, expected {expected}").into())
        }),
    }
}

fn malformed(place: String, text: &str, expected: &'static str) -> Malformed {
    Malformed { place: crate::text::plain(&place), text: text.chars().take(80).collect(), expected }
}
