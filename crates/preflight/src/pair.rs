// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two hosts and the guest that is to move: what every rule looks at.

use ap_arch::{Apqn, Mask256, Matrix};

use crate::host::{Fact, Host, Mdev, Unknown};

/// What the rules look at.
#[derive(Clone, Copy, Debug)]
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
    /// More than one.
    #[error("the source has several mediated devices; name one by --mdev: {}", list(.0))]
    Several(Vec<String>),
    /// The source does not say which it has.
    #[error("the mediated devices of the source are not known: {}", crate::text::plain(.0))]
    Unknown(String),
}

fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| crate::text::plain(name)).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") + more }
}

impl<'a> Pair<'a> {
    /// The guest of `mdev` on the source, or of its only device; it goes to the device of the same name, or of
    /// `destination_mdev`.
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
        let names = || mdevs.keys().cloned().collect::<Vec<_>>();
        let (source_mdev, guest) = match mdev {
            Some(name) => {
                mdevs.get_key_value(name).ok_or_else(|| NoGuest::NotThere { name: name.to_owned(), there: names() })?
            }
            None if mdevs.len() > 1 => return Err(NoGuest::Several(names())),
            None => mdevs.first_key_value().ok_or(NoGuest::None)?,
        };
        let destination_mdev = destination_mdev.unwrap_or(source_mdev);
        Ok(Self { source, destination, source_mdev, destination_mdev, guest })
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
