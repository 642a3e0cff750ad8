// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a host was like before anything was changed, so far as it is changed; and from that, at any later moment, what
//! is to be put back. It does not matter how far the work had come: what still is as it was needs nothing. Of a mask
//! only the numbers that were taken are given back: what others changed in it meanwhile stays.

use std::collections::BTreeMap;

use ap_arch::{Apqn, Mask256};
use preflight::fix::{self, Mask, Write};
use preflight::{Attribute, Snapshot};
use serde::{Deserialize, Serialize};

use crate::MATRIX;

/// Stored before the first write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The mediated device that is made.
    pub uuid: String,
    /// What is changed besides, in its order.
    pub changes: Vec<Change>,
    /// The queues that change their driver, all of them set offline, and the driver that each had.
    #[serde(default)]
    pub queues: BTreeMap<String, String>,
}

/// One file of sysfs. Texts are without the newline at their end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Its path, below `/`.
    pub path: String,
    /// What it said before.
    pub before: String,
    /// What it says with the change alone.
    pub after: String,
}

/// A file that says neither what it said before nor what was written: somebody else changed it meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} was changed by somebody else: it said {before:?} before, {after:?} was written, and it says {seen:?}")]
pub struct Foreign {
    /// Which file.
    pub path: String,
    /// What it said before.
    pub before: String,
    /// What was written.
    pub after: String,
    /// What it says now.
    pub seen: String,
}

/// What is left to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undo {
    /// The writes, in their order. None where everything is as it was.
    pub writes: Vec<Write>,
    /// What is left alone.
    pub foreign: Vec<Foreign>,
}

impl Change {
    /// The choice of vfio_ap for a queue.
    pub(crate) fn of_override(queue: Apqn, snapshot: &Snapshot) -> Self {
        let path = format!("{}/driver_override", fix::queue_folder(queue));
        let before = override_of(snapshot, queue).unwrap_or_default().to_owned();
        Self { path, before, after: "vfio_ap".to_owned() }
    }

    fn mask(&self) -> Option<Mask> {
        [Mask::Apmask, Mask::Aqmask].into_iter().find(|mask| mask.path() == self.path)
    }

    fn queue(&self) -> Option<Apqn> {
        let rest = self.path.strip_prefix(fix::AP)?.strip_prefix("/devices/")?;
        rest.strip_suffix("/driver_override")?.parse().ok()
    }
}

impl Record {
    /// What is to be written so that the host is as before.
    #[must_use]
    pub fn undo(&self, now: &Snapshot) -> Undo {
        let mut undo = Undo::default();
        if now.mdevs.entries().any(|(uuid, _)| *uuid == self.uuid) {
            let path = format!("{MATRIX}/{}", self.uuid);
            let checks = vec![fix::Check::Is(path.clone(), false)];
            undo.writes.push(Write { value: "1".to_owned(), path: format!("{path}/remove"), checks });
        }
        for change in self.changes.iter().rev() {
            match (change.mask(), change.queue()) {
                (Some(mask), _) => undo.writes.extend(give_back(change, mask, now)),
                (_, Some(queue)) => match override_of(now, queue) {
                    Some(seen) if seen == change.after => undo.writes.push(fix::choose(queue, &change.before)),
                    Some(seen) if seen != change.before => undo.foreign.push(Foreign {
                        path: change.path.clone(),
                        before: change.before.clone(),
                        after: change.after.clone(),
                        seen: seen.to_owned(),
                    }),
                    // As it was, or gone with its queue.
                    _ => {}
                },
                (None, None) => {}
            }
        }
        if undo.foreign.is_empty() {
            let queues = self.queues.iter().filter_map(|(queue, driver)| Some((queue.parse().ok()?, driver)));
            queues.for_each(|(queue, driver)| undo.writes.extend(rebind(queue, driver, self.is_masked(), now)));
        }
        undo
    }

    /// Whether masks were changed, so that the kernel binds queues anew by itself.
    fn is_masked(&self) -> bool {
        self.changes.iter().any(|change| change.mask().is_some())
    }
}

/// The write that gives back what was taken from a mask and is still missing there.
fn give_back(change: &Change, mask: Mask, now: &Snapshot) -> Option<Write> {
    let parse = |text: &str| preflight::parse::mask(text).ok();
    let taken = parse(&change.before)?.difference(parse(&change.after)?);
    let missing = taken.difference(mask_text(now, mask)?);
    if missing.is_empty() { None } else { Some(fix::change_mask(mask, missing.iter(), true)) }
}

/// The way of a queue back to the driver that it had, and offline there. A change of the masks takes a queue from
/// vfio_ap, but does not bind one on every kernel that has no driver.
fn rebind(queue: Apqn, driver: &str, is_masked: bool, now: &Snapshot) -> Vec<Write> {
    let name = queue.to_string();
    let Some((_, files)) = now.queues.entries().find(|(there, _)| **there == name) else { return Vec::new() };
    let has = now.drivers.entries().find(|(_, queues)| queues.contains(&name)).map(|(driver, _)| driver.as_str());
    let online = format!("{}/online", fix::queue_folder(queue));
    let offline = Write::says(online, "0".to_owned());
    match has {
        Some(has) if has == driver => {
            let is_online = files.get("online").is_some_and(|online| *online == Attribute::Text("1".to_owned()));
            if is_online { vec![offline] } else { Vec::new() }
        }
        Some(_) if !is_masked => vec![fix::unbind(queue), fix::probe(queue, driver), offline],
        _ => vec![fix::probe(queue, driver), offline],
    }
}

/// What a mask says.
pub(crate) fn mask_text(snapshot: &Snapshot, mask: Mask) -> Option<Mask256> {
    let name = mask.path().rsplit('/').next()?;
    preflight::parse::mask(text(snapshot.bus.get(name)?)?).ok()
}

fn text(attribute: &Attribute) -> Option<&str> {
    match attribute {
        Attribute::Text(text) => Some(text),
        Attribute::Unreadable(_) => None,
    }
}

/// The driver chosen for a queue; an empty text where none is.
fn override_of(snapshot: &Snapshot, queue: Apqn) -> Option<&str> {
    let name = queue.to_string();
    let (_, files) = snapshot.queues.entries().find(|(queue, _)| **queue == name)?;
    let chosen = text(files.get("driver_override")?)?;
    Some(if chosen == "(null)" { "" } else { chosen })
}
