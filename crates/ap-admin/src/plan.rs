// SPDX-License-Identifier: MIT OR Apache-2.0
//! What to write to give a guest the queues that it is to have, or why it must not be done. How a queue comes to
//! vfio_ap, by the masks of the AP bus or by an override of its driver, is `preflight::reserve`'s to say.

use std::collections::BTreeMap;

use ap_arch::{Apqi, Apqn, Matrix};
use preflight::fix::{self, Check, Write};
use preflight::host::{Unknown, VfioAp};
use preflight::reserve::{Reservation, VFIO_AP, Way, is_used, reservation};
use preflight::{Host, Snapshot};

use crate::record::mask_text;
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
    /// What is taken from the masks could not be given back.
    #[error("{mask} could not be put back: queue {queue} is assigned to the mediated device {owner}")]
    Kept {
        /// The file of the mask that takes nothing else.
        mask: &'static str,
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
    pub fn fix(&self) -> String {
        match self {
            Self::Nothing => "name adapters and domains, for example 05,06/33,3a".to_owned(),
            Self::Malformed(_) | Self::Unknown { .. } => {
                "`kaput collect` shows what the host says of itself".to_owned()
            }
            Self::NoDriver => "load it: modprobe vfio_ap".to_owned(),
            Self::NoQueue(_) | Self::NoControlDomain(_) => "`lszcrypt -V` lists what the host has".to_owned(),
            Self::Assigned { owner, .. } | Self::Kept { owner, .. } => {
                format!("take it from there first: echo … > {MATRIX}/{owner}/unassign_adapter")
            }
            Self::Used { queue, .. } => format!("if the host can spare it, set it offline first: chzcrypt -d {queue}"),
            Self::Unbound(queue) => format!("have it bound first: echo {queue} > {AP}/drivers_probe"),
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
    match known("the features of vfio_ap", &host.vfio_ap)? {
        VfioAp::NotLoaded => Err(Refusal::NoDriver),
        VfioAp::Older | VfioAp::Features(_) => Ok(host),
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

/// What to write so that a mediated device with the wanted queues is there. From the host's own drivers only queues are
/// taken that are set offline.
///
/// # Errors
/// [`Refusal`].
pub fn plan(snapshot: &Snapshot, wanted: &Wanted) -> Result<Plan, Refusal> {
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
    let (record, mut writes) = reserve(&host, snapshot, wanted)?;
    writes.push(fix::create(&wanted.uuid));
    let assign = |what: &str, n: u8| Write {
        value: format!("{n:#04x}"),
        path: format!("{MATRIX}/{}/assign_{what}", wanted.uuid),
        checks: Vec::new(),
    };
    writes.extend(matrix.adapters.iter().map(|n| assign("adapter", n)));
    writes.extend(matrix.domains.iter().map(|n| assign("domain", n)));
    writes.extend(matrix.control_domains.iter().map(|n| assign("control_domain", n)));
    let lists = [("matrix", queue_lines(matrix)), ("control_domains", control_lines(matrix))];
    // The kernel cuts a list after a page.
    let whole = lists.into_iter().filter(|(_, lines)| lines.len() < 4000);
    if let Some(last) = writes.last_mut() {
        last.checks.extend(whole.map(|(file, lines)| Check::Says(format!("{MATRIX}/{}/{file}", wanted.uuid), lines)));
    }
    Ok(Plan { record, writes })
}

fn queue_lines(matrix: &Matrix) -> String {
    matrix.queues().map(|queue| queue.to_string()).collect::<Vec<_>>().join("\n")
}

fn control_lines(matrix: &Matrix) -> String {
    matrix.control_domains.iter().map(|n| Apqi(n).to_string()).collect::<Vec<_>>().join("\n")
}

/// What gives the wanted queues to vfio_ap, and what is to be known to undo it; no writes where it has them.
fn reserve(host: &Host, snapshot: &Snapshot, wanted: &Wanted) -> Result<(Record, Vec<Write>), Refusal> {
    let (queues, drivers) =
        (known("the list of queues", &host.queues)?, known("the drivers of queues", &host.drivers)?);
    let driver = |queue: Apqn| drivers.get(&queue).map(String::as_str);
    let used = |queue: Apqn, wanted| Refusal::Used {
        queue,
        driver: driver(queue).unwrap_or("of no known name").to_owned(),
        wanted,
    };
    let mut record = Record { uuid: wanted.uuid.clone(), changes: Vec::new(), queues: BTreeMap::new() };
    for queue in wanted.matrix.queues() {
        if !queues.contains_key(&queue) {
            return Err(Refusal::NoQueue(queue));
        }
        match driver(queue) {
            Some(VFIO_AP) => {}
            Some(_) if is_used(host, queue) => return Err(used(queue, true)),
            Some(driver) => _ = record.queues.insert(queue.to_string(), driver.to_owned()),
            None => return Err(Refusal::Unbound(queue)),
        }
    }
    if record.queues.is_empty() {
        return Ok((record, Vec::new()));
    }
    let asked = reservation(host, &wanted.matrix);
    let Reservation { way, goes, keeps } = known("apmask or aqmask", &asked)?;
    if let Some(queue) = goes.first() {
        return Err(used(*queue, false));
    }
    if let (Way::Mask(mask), Some((queue, owner))) = (way, keeps) {
        return Err(Refusal::Kept { mask: mask.path(), queue: *queue, owner: owner.clone() });
    }
    let mine: Vec<Apqn> = wanted.matrix.queues().filter(|q| record.queues.contains_key(&q.to_string())).collect();
    let writes = match way {
        Way::Override => mine
            .iter()
            .flat_map(|queue| [fix::choose(*queue, VFIO_AP), fix::unbind(*queue), fix::probe(*queue, VFIO_AP)])
            .collect(),
        Way::Mask(mask) => {
            let numbers: ap_arch::Mask256 = mine.iter().map(|queue| mask.number(*queue)).collect();
            // The queues that go with them, none of them in use, come back in the same way.
            for (queue, driver) in drivers.iter().filter(|(_, driver)| *driver != VFIO_AP) {
                if numbers.contains(mask.number(*queue)) {
                    record.queues.insert(queue.to_string(), driver.clone());
                }
            }
            let mut write = fix::change_mask(*mask, numbers.iter(), false);
            write.checks.extend(mine.iter().map(|queue| Check::Driver(*queue, Some(VFIO_AP.to_owned()))));
            vec![write]
        }
    };
    record.changes = match way {
        Way::Override => mine.iter().map(|queue| Change::of_override(*queue, snapshot)).collect(),
        Way::Mask(mask) => {
            let path = mask.path().to_owned();
            let before = mask_text(snapshot, *mask).unwrap_or_default();
            let numbers = mine.iter().map(|queue| mask.number(*queue)).collect();
            let after = before.difference(numbers).to_string();
            vec![Change { path, before: before.to_string(), after }]
        }
    };
    Ok((record, writes))
}
