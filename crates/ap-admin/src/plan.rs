// SPDX-License-Identifier: MIT OR Apache-2.0
//! What to write to give a guest the queues that it is to have, or why it must not be done. A queue is reserved for vfio_ap
//! by the masks of the AP bus or by an override of its driver; a host uses one of the two ways, and stays with it, because
//! the kernel refuses the other then.

use std::collections::BTreeSet;

use ap_arch::{Apqi, Apqn, Mask256, Matrix};
use preflight::host::Unknown;
use preflight::mend::Write;
use preflight::{Attribute, Host, Snapshot};

use crate::{AP, Change, MATRIX, Record};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The name of the mediated device that is made: a UUID.
    pub uuid: String,
    /// Adapters, domains and control domains to be assigned to it.
    pub matrix: Matrix,
}

/// What is to be done, and what has to be known to undo it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// To be stored before the first write.
    pub record: Record,
    /// The writes, in their order.
    pub writes: Vec<Write>,
}

/// Why queues are not taken. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A guest needs both.
    #[error("no queue is named: adapters and domains are both needed")]
    Nothing,
    /// The snapshot is not a host's.
    #[error("{0}")]
    Malformed(String),
    /// The host does not say what has to be known.
    #[error("{what} is not known: {reason}")]
    Unknown {
        /// What.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// There is no driver.
    #[error("the driver vfio_ap is not loaded")]
    NoDriver,
    /// A queue does not exist.
    #[error("there is no queue {0}")]
    NoQueue(Apqn),
    /// A control domain is not the host's.
    #[error("control domain {0} is not one of the host's")]
    NoControlDomain(Apqi),
    /// A queue belongs to another mediated device.
    #[error("queue {queue} is assigned to the mediated device {owner}")]
    Assigned {
        /// The queue.
        queue: Apqn,
        /// Whose it is.
        owner: String,
    },
    /// A queue is the host's own.
    #[error("queue {queue} is used by the host's own driver {driver}{}", also(*.wanted))]
    Used {
        /// The queue.
        queue: Apqn,
        /// Its driver.
        driver: String,
        /// Whether it is wanted itself; if not, the masks cannot take the wanted ones without it.
        wanted: bool,
    },
    /// A queue has no driver, so that nobody knows whose it is.
    #[error("queue {0} is bound to no driver")]
    Unbound(Apqn),
    /// A mediated device is not there.
    #[error("there is no mediated device {0}")]
    NoMdev(String),
    /// A mediated device has a guest.
    #[error("the mediated device {0} is used by a guest")]
    InUse(String),
    /// The name is taken.
    #[error("there is a mediated device {0} already")]
    Exists(String),
}

fn also(wanted: bool) -> &'static str {
    if wanted { "" } else { ", and the masks cannot give the wanted queues to vfio_ap without it" }
}

impl Refusal {
    /// What an administrator can do about it.
    #[must_use]
    pub fn mend(&self) -> String {
        match self {
            Self::Nothing => "name adapters and domains, for example 05,06/33,3a".to_owned(),
            Self::Malformed(_) | Self::Unknown { .. } => {
                "`kaput collect` shows what the host says of itself".to_owned()
            }
            Self::NoDriver => "load it: modprobe vfio_ap".to_owned(),
            Self::NoQueue(_) | Self::NoControlDomain(_) => "`lszcrypt -V` lists what the host has".to_owned(),
            Self::Assigned { owner, .. } => {
                format!("take it from there first: echo … > {MATRIX}/{owner}/unassign_adapter")
            }
            Self::Used { queue, .. } => format!("if the host can spare it, set it offline first: chzcrypt -d {queue}"),
            Self::Unbound(queue) => format!("bind it: echo {queue} > {AP}/drivers/vfio_ap/bind"),
            Self::NoMdev(_) => format!("`ls {MATRIX}` lists them; --assign makes one for the run"),
            Self::InUse(_) => "end that guest, or name another device".to_owned(),
            Self::Exists(_) => "choose another name".to_owned(),
        }
    }
}

/// A fact that is needed.
fn known<'a, T>(what: &'static str, fact: &'a Result<T, Unknown>) -> Result<&'a T, Refusal> {
    fact.as_ref().map_err(|Unknown(reason)| Refusal::Unknown { what, reason: reason.to_string() })
}

fn read(snapshot: &Snapshot) -> Result<Host, Refusal> {
    let host = Host::new(snapshot).map_err(|error| Refusal::Malformed(error.to_string()))?;
    match known("the features of vfio_ap", &host.features)? {
        None => Err(Refusal::NoDriver),
        Some(_) => Ok(host),
    }
}

/// Whether a mediated device that exists can be used as it is.
///
/// # Errors
/// [`Refusal`].
pub fn existing(snapshot: &Snapshot, uuid: &str) -> Result<(), Refusal> {
    let host = read(snapshot)?;
    let mdev = known("the list of mediated devices", &host.mdevs)?.get(uuid);
    let mdev = mdev.ok_or_else(|| Refusal::NoMdev(uuid.to_owned()))?;
    // A device without a queue has no status, and no guest could use it.
    if mdev.in_use == Ok(true) { Err(Refusal::InUse(uuid.to_owned())) } else { Ok(()) }
}

/// What to write so that a mediated device with the wanted queues is there. `offline` are queues of the host's own drivers
/// that are set offline: only these are taken from them.
///
/// # Errors
/// [`Refusal`].
pub fn plan(snapshot: &Snapshot, offline: &BTreeSet<Apqn>, wanted: &Wanted) -> Result<Plan, Refusal> {
    let host = read(snapshot)?;
    let matrix = &wanted.matrix;
    if matrix.adapters.is_empty() || matrix.domains.is_empty() {
        return Err(Refusal::Nothing);
    }
    let mdevs = known("the list of mediated devices", &host.mdevs)?;
    if mdevs.contains_key(&wanted.uuid) {
        return Err(Refusal::Exists(wanted.uuid.clone()));
    }
    for (owner, mdev) in mdevs {
        let assigned = known("what is assigned to a mediated device", &mdev.assigned)?;
        if let Some(queue) = matrix.queues().find(|queue| assigned.contains(*queue)) {
            return Err(Refusal::Assigned { queue, owner: owner.clone() });
        }
    }
    if !matrix.control_domains.is_empty() {
        let theirs = known("the host's control domains", &host.control_domains)?;
        if let Some(missing) = matrix.control_domains.difference(*theirs).iter().next() {
            return Err(Refusal::NoControlDomain(Apqi(missing)));
        }
    }
    let reservation = reserve(&host, snapshot, offline, matrix)?;
    let mut writes: Vec<Write> = reservation.iter().map(Change::apply).collect();
    let write = |path: String, value: String| Write { value, path };
    writes.push(write(format!("{MATRIX}/mdev_supported_types/vfio_ap-passthrough/create"), wanted.uuid.clone()));
    let assign = |what: &str, n: u8| write(format!("{MATRIX}/{}/assign_{what}", wanted.uuid), format!("{n:#04x}"));
    writes.extend(matrix.adapters.iter().map(|n| assign("adapter", n)));
    writes.extend(matrix.domains.iter().map(|n| assign("domain", n)));
    writes.extend(matrix.control_domains.iter().map(|n| assign("control_domain", n)));
    Ok(Plan { record: Record { uuid: wanted.uuid.clone(), changes: reservation }, writes })
}

/// The changes that give the wanted queues to vfio_ap; none where it has them.
fn reserve(
    host: &Host,
    snapshot: &Snapshot,
    offline: &BTreeSet<Apqn>,
    matrix: &Matrix,
) -> Result<Vec<Change>, Refusal> {
    let (queues, drivers) =
        (known("the list of queues", &host.queues)?, known("the drivers of queues", &host.drivers)?);
    let used = |queue: Apqn, wanted: bool| match drivers.get(&queue).map(String::as_str) {
        Some("vfio_ap") => Ok(()),
        Some(driver) if !offline.contains(&queue) => Err(Refusal::Used { queue, driver: driver.to_owned(), wanted }),
        Some(_) => Ok(()),
        None if wanted => Err(Refusal::Unbound(queue)),
        None => Ok(()),
    };
    let mut missing = Vec::new();
    for queue in matrix.queues() {
        if !queues.contains_key(&queue) {
            return Err(Refusal::NoQueue(queue));
        }
        used(queue, true)?;
        if drivers.get(&queue).is_none_or(|driver| driver != "vfio_ap") {
            missing.push(queue);
        }
    }
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let (apmask, aqmask) = (*known("apmask", &host.apmask)?, *known("aqmask", &host.aqmask)?);
    let masks_are_in_use = (apmask, aqmask) != (Mask256::FULL, Mask256::FULL);
    let has_overrides = missing.iter().all(|queue| override_of(snapshot, *queue).is_some());
    if !masks_are_in_use && has_overrides {
        let change = |queue: &Apqn| Change {
            path: override_path(*queue),
            before: override_of(snapshot, *queue).unwrap_or_default().to_owned(),
            after: "vfio_ap".to_owned(),
        };
        return Ok(missing.iter().map(change).collect());
    }
    // One of the two masks suffices; the one that takes nothing else that is in use.
    let adapters: Mask256 = missing.iter().map(|queue| queue.apid.0).collect();
    let domains: Mask256 = missing.iter().map(|queue| queue.apqi.0).collect();
    let without = |queue: &Apqn, apmask: Mask256, aqmask: Mask256| {
        !(apmask.contains(queue.apid.0) && aqmask.contains(queue.apqi.0))
    };
    let mut refusal = None;
    for (name, before, after, masks) in [
        ("apmask", apmask, apmask.difference(adapters), (apmask.difference(adapters), aqmask)),
        ("aqmask", aqmask, aqmask.difference(domains), (apmask, aqmask.difference(domains))),
    ] {
        let goes = |queue: &&Apqn| without(queue, masks.0, masks.1) && !without(queue, apmask, aqmask);
        let taken = queues.keys().filter(goes);
        match taken.copied().try_for_each(|queue| used(queue, matrix.contains(queue))) {
            Ok(()) => {
                let before = mask_text(snapshot, name).unwrap_or(before.to_string());
                return Ok(vec![Change { path: format!("{AP}/{name}"), before, after: after.to_string() }]);
            }
            Err(why) => refusal = refusal.or(Some(why)),
        }
    }
    Err(refusal.unwrap_or(Refusal::Nothing))
}

fn mask_text(snapshot: &Snapshot, name: &str) -> Option<String> {
    snapshot.bus.get(name).and_then(text).map(str::to_owned)
}

fn text(attribute: &Attribute) -> Option<&str> {
    match attribute {
        Attribute::Text(text) => Some(text),
        Attribute::Unreadable(_) => None,
    }
}

fn override_of(snapshot: &Snapshot, queue: Apqn) -> Option<&str> {
    let name = queue.to_string();
    let (_, files) = snapshot.queues.entries().find(|(queue, _)| **queue == name)?;
    text(files.get("driver_override")?)
}

fn override_path(queue: Apqn) -> String {
    format!("{AP}/devices/{queue}/driver_override")
}

/// The text of a file that a [`Change`] is about.
pub(crate) fn current<'a>(snapshot: &'a Snapshot, path: &str) -> Option<&'a str> {
    let name = path.strip_prefix(AP)?.strip_prefix('/')?;
    match name.strip_prefix("devices/").and_then(|rest| rest.strip_suffix("/driver_override")) {
        Some(queue) => override_of(snapshot, queue.parse().ok()?),
        None => text(snapshot.bus.get(name)?),
    }
}
