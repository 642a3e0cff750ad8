// SPDX-License-Identifier: MIT OR Apache-2.0
//! How queues are taken from a host's own drivers for vfio_ap. There are two ways, an override for each queue and the
//! two masks, and the kernel refuses the one while the other is in use. `--fix` and `--assign` both ask here.

use ap_arch::{Apqn, Mask256, Matrix};

use crate::fix::{Fix, Mask};
use crate::host::{Fact, Host, Unknown};

/// What is to be done for queues that vfio_ap does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// By which way.
    pub way: Way,
    /// Queues of the host's own drivers that go with them and are in use: none, if the way suits.
    pub goes: Vec<Apqn>,
    /// A queue of a mediated device that exists, and its device, for which the kernel would refuse to have the numbers
    /// given back to the mask.
    pub keeps: Option<(Apqn, String)>,
}

/// The two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `driver_override` of each queue. Linux 6.19 and newer.
    Override,
    /// Numbers are taken from one of the masks.
    Mask(Mask),
}

/// A driver's name that is no driver of the host's own.
pub const VFIO_AP: &str = "vfio_ap";

/// Whether the host's own drivers use a queue: one of them has it, and it is not set offline. A queue of which that is
/// not known counts as used.
#[must_use]
pub fn is_used(host: &Host, apqn: Apqn) -> bool {
    let driver = host.driver(apqn);
    let has_driver = driver.as_ref().map_or(true, |driver| driver.is_some_and(|driver| driver != VFIO_AP));
    let offline = host.queue(apqn).is_ok_and(|queue| queue.is_some_and(|queue| queue.online == Ok(false)));
    has_driver && !offline
}

/// How the queues of a guest that vfio_ap does not have yet are given to it.
///
/// # Errors
/// What has to be known and is not.
pub fn reservation(host: &Host, guest: &Matrix) -> Fact<Reservation> {
    let queues = host.queues.as_ref().map_err(Unknown::clone)?;
    let (apmask, aqmask) =
        (host.apmask.as_ref().map_err(Unknown::clone)?, host.aqmask.as_ref().map_err(Unknown::clone)?);
    if host.masks_are_full()? && host.has_overrides()? {
        return Ok(Reservation { way: Way::Override, goes: Vec::new(), keeps: None });
    }
    let reserved =
        |apmask: &Mask256, aqmask: &Mask256, apqn: &Apqn| apmask.contains(apqn.apid.0) && aqmask.contains(apqn.apqi.0);
    let bound = |apqn: &Apqn| host.driver(*apqn) == Ok(Some(VFIO_AP));
    let missing: Vec<Apqn> = guest
        .queues()
        .filter(|apqn| queues.contains_key(apqn) && !bound(apqn) && reserved(apmask, aqmask, apqn))
        .collect();
    // From Linux 6.19 on a number is not given back to a mask while a mediated device has it with any number of the
    // other kind, whether the other mask has that or not. Older kernels ask for queues that both masks have.
    let mdevs = host.mdevs.as_ref().ok().filter(|_| host.has_overrides() != Ok(false));
    let keeps = |mask: Mask, numbers: Mask256| {
        mdevs.into_iter().flatten().find_map(|(owner, mdev)| {
            let mut theirs = mdev.assigned.as_ref().ok()?.queues();
            theirs.find(|apqn| numbers.contains(mask.number(*apqn))).map(|apqn| (apqn, owner.clone()))
        })
    };
    // One of the two masks suffices: the one that takes nothing else that is in use, or the least; then the one that
    // can be put back.
    let by = |mask: Mask| {
        let numbers: Mask256 = missing.iter().map(|apqn| mask.number(*apqn)).collect();
        let after = match mask {
            Mask::Apmask => (apmask.difference(numbers), *aqmask),
            Mask::Aqmask => (*apmask, aqmask.difference(numbers)),
        };
        let goes = |apqn: &&Apqn| {
            reserved(apmask, aqmask, apqn)
                && !reserved(&after.0, &after.1, apqn)
                && !guest.contains(**apqn)
                && is_used(host, **apqn)
        };
        let goes = queues.keys().filter(goes).copied().collect();
        Reservation { way: Way::Mask(mask), goes, keeps: keeps(mask, numbers) }
    };
    let (adapters, domains) = (by(Mask::Apmask), by(Mask::Aqmask));
    let cost = |way: &Reservation| (way.goes.len(), way.keeps.is_some());
    Ok(if cost(&domains) < cost(&adapters) { domains } else { adapters })
}

impl Reservation {
    /// The steps for one queue that exists and that vfio_ap does not have.
    #[must_use]
    pub fn steps(&self, host: &Host, queue: Apqn) -> Vec<Fix> {
        let from = host.driver(queue).ok().flatten().map(str::to_owned);
        let Way::Mask(mask) = self.way else { return vec![Fix::Override { queue, from }] };
        let number = mask.number(queue);
        let reserved = matches!((&host.apmask, &host.aqmask),
            (Ok(adapters), Ok(domains)) if adapters.contains(queue.apid.0) && domains.contains(queue.apqi.0));
        if !reserved {
            return vec![Fix::Bind { queue, from }];
        }
        if !self.goes.is_empty() {
            return vec![Fix::Ask { mask, number, goes: self.goes.clone() }];
        }
        // The kernel binds a queue anew that has a driver; one without it is not looked at everywhere.
        let bind = from.is_none().then_some(Fix::Bind { queue, from: None });
        std::iter::once(Fix::Release(mask, number)).chain(bind).collect()
    }
}
