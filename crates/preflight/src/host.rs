// SPDX-License-Identifier: MIT OR Apache-2.0
//! One host as the rules see it: the texts of a snapshot, read. What a host did not say is [`Unknown`], with the reason;
//! what it said in a form that no kernel prints is an error.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ap_arch::{ApType, Apid, Apqn, HwInfo, Mask256, Matrix};

use crate::attribute::Attribute;
use crate::parse::{self, Listed};
use crate::snapshot::{Attributes, Section, Snapshot};
use crate::text::is_device_name;

/// Why a value is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown(pub Cow<'static, str>);

/// A value, or why it is not known.
pub type Fact<T> = Result<T, Unknown>;

/// A text that is not what the file of this name holds.
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
    /// The words of vfio_ap's `features`; `None` if the driver is not there.
    pub features: Fact<Option<Vec<String>>>,
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
}

/// One card.
#[derive(Clone, Debug)]
pub struct Card {
    /// The type that TAPQ reports.
    pub ap_type: Fact<ApType>,
    /// Bits 0 to 31 of GR2, with bits 16 to 31 masked by the kernel, and bit 7 too before Linux 6.17.
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
    /// Bits 0 to 31 of GR2 as TAPQ answers, nothing masked.
    pub functions: Fact<u32>,
    /// Verification patterns of the master keys in force; `None` where the card gave none.
    pub master_keys: Fact<BTreeMap<String, Option<String>>>,
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

impl Card {
    /// A function bit, `bit` being a mask in GR2. Bit 7 may have been masked by the kernel.
    fn bit(&self, bit: u64, kernel_shows_slcf: bool) -> Fact<bool> {
        let on = HwInfo(u64::from(self.functions.clone()?) << 32).has(bit);
        if bit == HwInfo::SLCF && !on && !kernel_shows_slcf {
            return Err(Unknown("a card's ap_functions may lack bit 7: kernels before 6.17 mask it".into()));
        }
        Ok(on)
    }
}

impl Host {
    /// Reads a snapshot.
    ///
    /// # Errors
    /// The first text that is not of its file's form.
    pub fn new(snapshot: &Snapshot) -> Result<Self, Malformed> {
        let Snapshot { host, bus, vfio_ap, .. } = snapshot;
        let kernel = fact(host, "host", "osrelease", |text| Ok(text.to_owned()))?;
        let facilities = fact(host, "host", "facilities", facility_list)?;
        // These names go into commands, so they are looked at more strictly than other texts.
        if let Some((name, _)) = snapshot.mdevs.entries().find(|(name, _)| !is_device_name(name)) {
            return Err(malformed("mdevs".to_owned(), name, "the UUID of a mediated device"));
        }
        let at_most = |name| fact(bus, "bus", name, parse::number);
        let mask = |name| fact(bus, "bus", name, parse::mask);
        Ok(Self {
            kernel,
            secure: secure(fact(host, "host", "prot_virt_guest", parse::switch)?, host, &facilities),
            reports_facilities: facilities.map(|list| list.contains(&15)),
            apmask: mask("apmask")?,
            aqmask: mask("aqmask")?,
            control_domains: match bus.get("ap_control_domain_mask") {
                Some(Attribute::Text(text)) if text == "not supported" => {
                    Err(Unknown("the machine does not report its control domains".into()))
                }
                _ => mask("ap_control_domain_mask")?,
            },
            max_adapter: at_most("ap_max_adapter_id")?,
            max_domain: at_most("ap_max_domain_id")?,
            features: match vfio_ap.get("features") {
                Some(attribute) if attribute.is_missing() => Ok(None),
                _ => fact(vfio_ap, "vfio-ap", "features", |text| {
                    Ok(Some(text.split_whitespace().map(str::to_owned).collect()))
                })?,
            },
            drivers: drivers(&snapshot.drivers)?,
            cards: section(&snapshot.cards, "cards", "a card number, such as 05", card)?,
            queues: section(&snapshot.queues, "queues", "a queue, such as 05.0033", queue)?,
            mdevs: section(&snapshot.mdevs, "mdevs", "a UUID", mdev)?,
            blocked: match &snapshot.qemu {
                None => None,
                Some(files) => {
                    Some(fact(files, "qemu", "blocked-reasons", |text| Ok(text.lines().map(str::to_owned).collect()))?)
                }
            },
        })
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
        let new = self.kernel.as_ref().is_ok_and(|release| version(release) >= Some((6, 17)));
        let slcf =
            |card: &Card| card.functions.as_ref().is_ok_and(|word| HwInfo(u64::from(*word) << 32).has(HwInfo::SLCF));
        new || self.cards.as_ref().is_ok_and(|cards| cards.values().any(slcf))
    }
}

/// Major and minor number of `6.12.107+deb13-s390x`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
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
    read: fn(&Attributes, &str) -> Result<T, Malformed>,
) -> Result<Fact<BTreeMap<K, T>>, Malformed> {
    if let Some(reason) = section.reason() {
        return Ok(Err(Unknown(reason.to_owned().into())));
    }
    let mut entries = BTreeMap::new();
    for (key, files) in section.entries() {
        let place = format!("{name}.{key}");
        let parsed = key.parse().map_err(|_| malformed(name.to_owned(), key, expected))?;
        entries.insert(parsed, read(files, &place)?);
    }
    Ok(Ok(entries))
}

fn card(files: &Attributes, place: &str) -> Result<Card, Malformed> {
    // hwtype is the newest type that this kernel knows; raw_hwtype is what the machine said.
    let raw = fact(files, place, "raw_hwtype", parse::number)?;
    let shown = fact(files, place, "hwtype", parse::number)?;
    Ok(Card {
        ap_type: raw.or(shown).map(ApType),
        functions: fact(files, place, "ap_functions", parse::functions)?,
        configured: fact(files, place, "config", parse::switch)?,
        checkstopped: fact(files, place, "chkstop", parse::switch)?,
    })
}

fn queue(files: &Attributes, place: &str) -> Result<Queue, Malformed> {
    Ok(Queue {
        configured: fact(files, place, "config", parse::switch)?,
        checkstopped: fact(files, place, "chkstop", parse::switch)?,
        driver_override: match files.get("driver_override") {
            // A kernel without this file has no overrides.
            Some(attribute) if attribute.is_missing() => Ok(None),
            _ => fact(files, place, "driver_override", |text| {
                Ok(Some(text.to_owned()).filter(|text| !matches!(text.as_str(), "" | "(null)")))
            })?,
        },
        functions: fact(files, place, "ap_functions", parse::functions)?,
        master_keys: fact(files, place, "mkvps", |text| Ok(parse::master_keys(text)))?,
    })
}

fn mdev(files: &Attributes, place: &str) -> Result<Mdev, Malformed> {
    let control_domains = fact(files, place, "control_domains", parse::domain_list)?;
    let listed = |name| fact(files, place, name, parse::queue_list);
    let matrix = |name: &str, listed: &Fact<Listed>| match (listed, &control_domains) {
        (Ok(Listed::Product(adapters, domains) | Listed::Holes(adapters, domains)), Ok(control_domains)) => {
            Ok(Matrix { adapters: *adapters, domains: *domains, control_domains: *control_domains })
        }
        (Ok(Listed::Cut), _) => Err(Unknown(format!("{name} is not whole: the kernel cuts it after one page").into())),
        (Err(unknown), _) | (_, Err(unknown)) => Err(unknown.clone()),
    };
    let (assigned, guest) = (listed("matrix")?, listed("guest_matrix")?);
    Ok(Mdev {
        assigned: fact(files, place, "ap_config", parse::ap_config)?.or_else(|_| matrix("matrix", &assigned)),
        guest: matrix("guest_matrix", &guest),
        is_product: guest.map(|listed| matches!(listed, Listed::Product(..))),
        in_use: fact(files, place, "status", |text| match text {
            "in use" => Ok(true),
            "assigned" | "unassigned" => Ok(false),
            _ => Err("in use, assigned or unassigned"),
        })?,
    })
}

fn fact<T>(
    files: &Attributes,
    place: &str,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, &'static str>,
) -> Result<Fact<T>, Malformed> {
    match files.get(name) {
        None => Ok(Err(Unknown("not in the snapshot".into()))),
        Some(Attribute::Unreadable(reason)) => Ok(Err(Unknown(format!("{name}: {reason}").into()))),
        Some(Attribute::Text(text)) => {
            parse(text).map(Ok).map_err(|expected| malformed(format!("{place}.{name}"), text, expected))
        }
    }
}

fn malformed(place: String, text: &str, expected: &'static str) -> Malformed {
    Malformed { place: crate::text::plain(&place), text: text.chars().take(80).collect(), expected }
}
