// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two hosts and the guest that is to move: what every rule looks at.

use std::sync::OnceLock;

use ap_arch::{Apqn, Mask256, Matrix};

use crate::host::{Fact, Host, Mdev, Unknown};
use crate::reserve::{Reservation, reservation};

/// What the rules look at.
#[derive(Clone, Debug)]
pub struct Pair<'a> {
    /// Where the guest runs.
    pub source: &'a Host,
    /// Where it is to go.
    pub destination: &'a Host,
    /// Name of the guest's mediated device on the source.
    pub source_mdev: &'a str,
    /// Name of the one on the destination.
    pub destination_mdev: &'a str,
    /// The source's device.
    pub guest: &'a Mdev,
    /// How the destination gives the guest's queues to vfio_ap: one way for all of them, asked for once.
    reservation: OnceLock<Fact<Reservation>>,
}

/// The source has no such device, or more than one and none was named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoGuest {
    /// None at all.
    #[error("the source has no mediated device of vfio_ap, so no guest of it has AP queues")]
    None,
    /// Not the one that was named.
    #[error("the source has no mediated device {name}; it has {}", list(there))]
    NotThere {
        /// The one named.
        name: String,
        /// Those that are there.
        there: Vec<String>,
    },
    /// More than one; a guest is known to run with those that are marked.
    #[error("the source has several mediated devices; name one by --mdev:{}", lines(.0))]
    Several(Vec<(String, bool)>),
    /// The source does not say which it has.
    #[error(
        "the mediated devices of the source are not known: {}; a snapshot says it: run `kaput collect` on the source, \
         or the script that `kaput collect --script` prints",
        crate::text::plain(.0)
    )]
    Unknown(String),
}

fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| crate::text::plain(name)).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") + more }
}

/// One a line, so that it can be copied.
fn lines(mdevs: &[(String, bool)]) -> String {
    let line = |(name, in_use): &(String, bool)| {
        format!("\n  {}{}", crate::text::plain(name), if *in_use { "  in use by a guest" } else { "" })
    };
    mdevs.iter().map(line).collect()
}

impl<'a> Pair<'a> {
    /// The guest of `mdev` on the source, or of its only device; it goes to the device of the same name, or of
    /// `destination_mdev`. Names are UUIDs, in which upper and lower case are one.
    ///
    /// # Errors
    /// [`NoGuest`].
    pub fn new(
        source: &'a Host,
        destination: &'a Host,
        mdev: Option<&'a str>,
        destination_mdev: Option<&'a str>,
    ) -> Result<Self, NoGuest> {
        let mdevs = source.mdevs.as_ref().map_err(|Unknown(reason)| NoGuest::Unknown(reason.to_string()))?;
        let find = |mdevs: &'a std::collections::BTreeMap<String, Mdev>, name: &str| {
            mdevs.get_key_value(name).or_else(|| mdevs.iter().find(|(there, _)| there.eq_ignore_ascii_case(name)))
        };
        let (source_mdev, guest) = match mdev {
            Some(name) => find(mdevs, name)
                .ok_or_else(|| NoGuest::NotThere { name: name.to_owned(), there: mdevs.keys().cloned().collect() })?,
            None if mdevs.len() > 1 => {
                let marked = mdevs.iter().map(|(name, mdev)| (name.clone(), mdev.in_use == Ok(true)));
                return Err(NoGuest::Several(marked.collect()));
            }
            None => mdevs.first_key_value().ok_or(NoGuest::None)?,
        };
        let wanted = destination_mdev.unwrap_or(source_mdev);
        let there = destination.mdevs.as_ref().ok().and_then(|mdevs| find(mdevs, wanted));
        let destination_mdev = there.map_or(wanted, |(name, _)| name.as_str());
        Ok(Self { source, destination, source_mdev, destination_mdev, guest, reservation: OnceLock::new() })
    }

    /// How the destination gives the guest's queues to vfio_ap.
    pub fn reservation(&self) -> Fact<&Reservation> {
        let ask = || self.matrix().and_then(|guest| reservation(self.destination, &guest));
        self.reservation.get_or_init(ask).as_ref().map_err(Unknown::clone)
    }

    /// What the guest has, or where that is not known, what was assigned to it: then a rule of its own says so.
    pub fn matrix(&self) -> Fact<Matrix> {
        self.guest.guest.clone().or_else(|_| self.guest.assigned.clone())
    }

    /// Control domains that the guest has: assigned, and the host's. The second is whether the host's are known.
    pub fn control_domains(&self) -> (Mask256, bool) {
        let listed = self.matrix().map_or(Mask256::EMPTY, |matrix| matrix.control_domains);
        match &self.source.control_domains {
            Ok(host) => (listed.intersection(*host), true),
            Err(_) => (listed, false),
        }
    }

    /// The device on the destination; `None` if there is none of that name.
    pub fn target(&self) -> Fact<Option<&'a Mdev>> {
        Ok(self.destination.mdevs.as_ref().map_err(Unknown::clone)?.get(self.destination_mdev))
    }

    /// Whether the destination is known not to have the adapter, so that there is nothing to compare.
    pub fn has_no_card(&self, apqn: Apqn) -> bool {
        matches!(self.destination.card(apqn.apid), Ok(None))
    }
}
