// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many hosts at once: which guest can go to which host ([`cell`]), and where the guests of hosts that are to be
//! emptied go ([`plan`], by [`placement`]), with the commands for it ([`script`]). Everything follows from one snapshot
//! of each host ([`read`]); nothing is asked of a host here, and nothing is done there.

pub mod cell;
pub mod placement;
pub mod plan;
pub mod read;
pub mod script;

use std::collections::BTreeMap;

use ap_arch::Matrix;

use crate::host::{Fact, Host, Mdev, Unknown};
use crate::text::plain;

/// The hosts, with what runs on them.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// The hosts, by name.
    pub members: Vec<Member>,
    /// The guests, by host and then by name.
    pub guests: Vec<Guest>,
}

/// One host.
#[derive(Clone, Debug)]
pub struct Member {
    /// The name of its snapshot's file.
    pub name: String,
    /// What it says.
    pub host: Host,
    /// Its mediated devices that have no queue in use.
    pub places: Vec<String>,
}

/// One guest: a mediated device that has a queue in use, or of which that is not known.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Its host, as a position among the members.
    pub home: usize,
    /// Name of its mediated device.
    pub mdev: String,
    /// What it has, or where that is not known, what was assigned to it.
    pub matrix: Fact<Matrix>,
    /// Whether a guest is known to run.
    pub is_known_to_run: bool,
}

impl Fleet {
    /// Sorts out what runs where.
    #[must_use]
    pub fn new(hosts: BTreeMap<String, Host>) -> Self {
        let mut fleet = Self { members: Vec::new(), guests: Vec::new() };
        for (name, host) in hosts {
            let mut places = Vec::new();
            for (mdev, files) in host.mdevs.iter().flatten() {
                if files.has_guest() == Some(false) {
                    places.push(mdev.clone());
                    continue;
                }
                fleet.guests.push(Guest {
                    home: fleet.members.len(),
                    mdev: mdev.clone(),
                    matrix: files.guest.clone().or_else(|_| files.assigned.clone()),
                    is_known_to_run: files.has_guest() == Some(true),
                });
            }
            fleet.members.push(Member { name, host, places });
        }
        fleet
    }

    /// The host of this name, as a position among the members.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| member.name == name)
    }

    /// The name of a host; positions come from this fleet.
    #[must_use]
    pub fn name(&self, host: usize) -> &str {
        self.members.get(host).map_or("", |member| &member.name)
    }

    /// What a reader should know before the answers: what was not known, and what may make an answer wrong.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        let mut kernels: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for Member { name, host, .. } in &self.members {
            if let Err(Unknown(reason)) = &host.mdevs {
                remarks
                    .push(format!("{name}: its mediated devices are not known, so neither are its guests: {reason}"));
            }
            kernels.entry(host.kernel.as_deref().unwrap_or("not known")).or_default().push(name);
        }
        if kernels.len() > 1 {
            let groups: Vec<String> = kernels.iter().map(|(kernel, on)| format!("{kernel} on {}", few(on))).collect();
            let what = "whether two drivers understand each other is not in a snapshot: try one migration first";
            remarks.push(format!("the hosts run different kernels, {}; {what}", groups.join("; ")));
        }
        for guest in self.guests.iter().filter(|guest| !guest.is_known_to_run) {
            let home = self.name(guest.home);
            remarks.push(format!("{home}: whether a guest runs with {} is not known; it is taken for one", guest.mdev));
        }
        remarks.iter().map(|remark| plain(remark)).collect()
    }
}

/// The first names of many.
fn few(names: &[&str]) -> String {
    const SHOWN: usize = 4;
    let more = names.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ") + &rest
}

impl Mdev {
    /// Whether a guest has one of the queues; `None` if that is not known.
    #[must_use]
    pub fn has_guest(&self) -> Option<bool> {
        let has_queues = || self.guest.as_ref().or(self.assigned.as_ref()).map(|matrix| matrix.queue_count() > 0);
        match (&self.in_use, has_queues()) {
            (Ok(in_use), _) => Some(*in_use),
            // The status is that of a queue: without any there is none.
            (Err(_), Ok(false)) => Some(false),
            (Err(_), _) => None,
        }
    }
}
