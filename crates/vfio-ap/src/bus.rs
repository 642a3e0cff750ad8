// SPDX-License-Identifier: MIT OR Apache-2.0
//! The AP bus: which driver has which queue. It does what Linux's `ap_bus.c` and driver core do: a write to
//! `driver_override` chooses a driver and binds nothing, a change of the masks binds the queues it concerns anew, and
//! all else that binds a queue is a new queue, `bind` and `drivers_probe`.

use std::collections::BTreeMap;

use ap_arch::{Apid, Apqn, Mask256, Matrix};
use vfio_mig::Errno;

use crate::queue_set::QueueSet;

/// A driver of queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Passes queues through to guests.
    VfioAp,
    /// The host's own driver.
    Cex4Queue,
}

impl Driver {
    /// Both, in the order of a listing.
    pub(crate) const ALL: [Self; 2] = [Self::Cex4Queue, Self::VfioAp];

    /// Its name in sysfs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::VfioAp => "vfio_ap",
            Self::Cex4Queue => "cex4queue",
        }
    }
}

/// What the bus did with a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// vfio_ap got it.
    Gained(Apqn),
    /// vfio_ap lost it.
    Lost(Apqn),
    /// Its driver let it go, whichever that was: the bus resets it.
    Unbound(Apqn),
}

/// The bus's bookkeeping. What the host has is asked of the hardware by [`Bus::scan`].
#[derive(Default)]
pub(crate) struct Bus {
    /// Whether a change of the masks binds a queue that has no driver and is the host's by them. The kernel looks at
    /// the flags of a driver that is not there, so either may be seen: `__ap_revise_reserved`.
    pub(crate) masks_bind_unbound: bool,
    /// Whether vfio_ap is not loaded: a queue that is given away has no driver then.
    pub(crate) without_vfio_ap: bool,
    /// Queues whose last reset failed.
    pub(crate) reset_failed: QueueSet,
    /// `apmask` and `aqmask`: adapters and domains of the default drivers.
    masks: (Mask256, Mask256),
    /// `driver_override` of single queues: any name.
    overrides: BTreeMap<Apqn, String>,
    /// How many overrides were set and not cleared. As in Linux, a queue that goes with its override leaves its count.
    override_count: usize,
    /// What the host had at the last scan.
    found: Matrix,
    /// Its queues, in the order in which they came.
    devices: Vec<Apqn>,
    /// What was done with queues that nobody was told of yet, in order.
    changes: Vec<Change>,
    vfio_ap: QueueSet,
    cex4queue: QueueSet,
    /// Queues that the host's own driver must not use.
    offline: QueueSet,
    /// Cards that the host's own driver must not use.
    cards_offline: Mask256,
}

impl Bus {
    /// A bus that has found no queue yet.
    pub(crate) fn new(default_adapters: Mask256, default_domains: Mask256) -> Self {
        Self { masks: (default_adapters, default_domains), ..Self::default() }
    }

    /// The drivers that are loaded, in the order of a listing.
    pub(crate) fn drivers(&self) -> impl Iterator<Item = Driver> + use<> {
        let without = self.without_vfio_ap.then_some(Driver::VfioAp);
        Driver::ALL.into_iter().filter(move |driver| Some(*driver) != without)
    }

    /// The driver of this name, if it is loaded.
    pub(crate) fn driver_of_name(&self, name: &str) -> Option<Driver> {
        self.drivers().find(|driver| driver.name() == name)
    }

    /// Finds the queues of `host`: new ones are bound to the driver that is to have them, those that are gone are
    /// forgotten. A queue that was there and has no driver stays as it is.
    pub(crate) fn scan(&mut self, host: &Matrix) {
        let (present, before) = (QueueSet::product(host), QueueSet::product(&self.found));
        self.found = *host;
        for apqn in self.devices.extract_if(.., |apqn| !present.contains(*apqn)).collect::<Vec<_>>() {
            self.unbind(apqn);
            self.offline.remove(apqn);
            self.overrides.remove(&apqn);
        }
        let cards = if host.domains.is_empty() { Mask256::EMPTY } else { host.adapters };
        self.cards_offline = self.cards_offline.intersection(cards);
        for apqn in present.difference(&before).iter() {
            self.devices.push(apqn);
            self.probe(apqn);
        }
    }

    /// What the host had at the last scan.
    pub(crate) const fn found(&self) -> Matrix {
        self.found
    }

    /// What was done with queues since this was asked last, in order.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// `apmask` and `aqmask`.
    pub(crate) const fn masks(&self) -> (Mask256, Mask256) {
        self.masks
    }

    /// Whether the masks are not as the kernel starts with: then there are no overrides.
    pub(crate) fn masks_are_in_use(&self) -> bool {
        self.masks != (Mask256::FULL, Mask256::FULL)
    }

    /// Whether an override is counted: then the masks stay as they are.
    pub(crate) const fn overrides_are_in_use(&self) -> bool {
        self.override_count > 0
    }

    /// Changes the masks, and binds the queues anew that have the wrong driver by them.
    pub(crate) fn set_masks(&mut self, default_adapters: Mask256, default_domains: Mask256) {
        self.masks = (default_adapters, default_domains);
        let defaults = self.by_masks();
        for apqn in self.devices.clone() {
            let is_default = defaults.contains(apqn);
            let is_wrong = match self.driver(apqn) {
                Some(Driver::VfioAp) => is_default,
                Some(Driver::Cex4Queue) => !is_default,
                None => is_default && self.masks_bind_unbound,
            };
            if is_wrong {
                self.unbind(apqn);
                self.probe(apqn);
            }
        }
    }

    fn by_masks(&self) -> QueueSet {
        let (adapters, domains) = self.masks;
        QueueSet::product(&Matrix { adapters, domains, control_domains: Mask256::EMPTY })
    }

    /// The name in a queue's `driver_override`.
    pub(crate) fn driver_override(&self, apqn: Apqn) -> Option<&str> {
        self.overrides.get(&apqn).map(String::as_str)
    }

    /// Chooses a queue's driver by name, or leaves it to the masks. The queue keeps the driver it has.
    pub(crate) fn set_override(&mut self, apqn: Apqn, driver: Option<&str>) {
        let before = match driver {
            Some(driver) => self.overrides.insert(apqn, driver.to_owned()),
            None => self.overrides.remove(&apqn),
        };
        match (before.is_some(), driver.is_some()) {
            (false, true) => self.override_count += 1,
            (true, false) => self.override_count = self.override_count.saturating_sub(1),
            _ => {}
        }
    }

    /// Queues reserved for the host's own drivers, whether they exist or not. A queue with an override is whose driver
    /// has it; one without a driver, or without an override, is whose the masks say it is. `ap_owned_by_def_drv`.
    pub(crate) fn reserved(&self) -> QueueSet {
        let mut reserved = self.by_masks();
        for apqn in self.overrides.keys() {
            if self.vfio_ap.contains(*apqn) {
                reserved.remove(*apqn);
            } else if self.cex4queue.contains(*apqn) {
                reserved.insert(*apqn);
            }
        }
        reserved
    }

    /// Queues bound to vfio_ap, on a host that has `host`.
    pub(crate) fn bound_to_vfio_ap(&self, host: &Matrix) -> QueueSet {
        QueueSet::product(host).intersection(&self.vfio_ap)
    }

    /// The driver a queue is bound to.
    pub(crate) fn driver(&self, apqn: Apqn) -> Option<Driver> {
        let has = |driver: &Driver| self.of(*driver).contains(apqn);
        Driver::ALL.into_iter().find(has)
    }

    /// The queues that a driver has.
    pub(crate) const fn of(&self, driver: Driver) -> &QueueSet {
        match driver {
            Driver::VfioAp => &self.vfio_ap,
            Driver::Cex4Queue => &self.cex4queue,
        }
    }

    const fn of_mut(&mut self, driver: Driver) -> &mut QueueSet {
        match driver {
            Driver::VfioAp => &mut self.vfio_ap,
            Driver::Cex4Queue => &mut self.cex4queue,
        }
    }

    /// The driver that may have a queue: the one that its override names, else the one of the masks.
    fn chosen(&self, apqn: Apqn) -> Option<Driver> {
        let (adapters, domains) = self.masks;
        let reserved = adapters.contains(apqn.apid.0) && domains.contains(apqn.apqi.0);
        let by_masks = if reserved { Driver::Cex4Queue } else { Driver::VfioAp };
        self.driver_of_name(self.overrides.get(&apqn).map_or(by_masks.name(), String::as_str))
    }

    /// Binds a queue that has no driver to the one that is to have it.
    pub(crate) fn probe(&mut self, apqn: Apqn) {
        if let Some(driver) = self.chosen(apqn)
            && self.driver(apqn).is_none()
        {
            // A driver that gets a queue uses it.
            self.offline.remove(apqn);
            self.of_mut(driver).insert(apqn);
            self.changes.extend((driver == Driver::VfioAp).then_some(Change::Gained(apqn)));
        }
    }

    /// Binds a queue to this driver.
    ///
    /// # Errors
    /// EBUSY if it has a driver, ENODEV if another one is to have it.
    pub(crate) fn bind(&mut self, apqn: Apqn, driver: Driver) -> Result<(), Errno> {
        match self.driver(apqn) {
            Some(_) => Err(Errno::EBUSY),
            None if self.chosen(apqn) != Some(driver) => Err(Errno::ENODEV),
            None => {
                self.probe(apqn);
                Ok(())
            }
        }
    }

    /// Takes a queue from its driver.
    pub(crate) fn unbind(&mut self, apqn: Apqn) {
        let Some(driver) = self.driver(apqn) else { return };
        self.of_mut(driver).remove(apqn);
        self.changes.extend((driver == Driver::VfioAp).then_some(Change::Lost(apqn)));
        self.changes.push(Change::Unbound(apqn));
    }

    /// Whether the host's own driver may use a queue that it has.
    pub(crate) fn is_online(&self, apqn: Apqn) -> bool {
        !self.offline.contains(apqn)
    }

    /// Lets the host's own driver use a queue, or not.
    pub(crate) fn set_online(&mut self, apqn: Apqn, on: bool) {
        if on { self.offline.remove(apqn) } else { self.offline.insert(apqn) }
    }

    /// Whether the host's own driver may use a card.
    pub(crate) const fn card_is_online(&self, apid: Apid) -> bool {
        !self.cards_offline.contains(apid.0)
    }

    /// Lets the host's own driver use a card and all its queues that it has, or none of them.
    pub(crate) fn set_card_online(&mut self, apid: Apid, on: bool) {
        if on {
            self.cards_offline.remove(apid.0)
        } else {
            self.cards_offline.insert(apid.0)
        }
        let queues: Vec<Apqn> = self.cex4queue.row(apid.0).iter().map(|domain| Apqn::new(apid.0, domain)).collect();
        queues.into_iter().for_each(|apqn| self.set_online(apqn, on));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const Q33: Apqn = Apqn::new(4, 0x33);
    const Q3A: Apqn = Apqn::new(4, 0x3a);

    fn mask(numbers: &[u8]) -> Mask256 {
        numbers.iter().copied().collect()
    }

    fn host() -> Matrix {
        Matrix { adapters: mask(&[4, 5]), domains: mask(&[0x33, 0x3a]), control_domains: Mask256::EMPTY }
    }

    fn bus(default_adapters: Mask256, default_domains: Mask256) -> Bus {
        let mut bus = Bus::new(default_adapters, default_domains);
        bus.scan(&host());
        bus
    }

    #[test]
    fn a_queue_is_reserved_if_both_its_numbers_are() {
        let bus = bus(mask(&[4]), mask(&[0x33]));
        let bound = bus.bound_to_vfio_ap(&host()).iter().map(Apqn::bits).collect::<Vec<_>>();
        assert_eq!(bound, [0x043a, 0x0533, 0x053a]);
        assert_eq!((bus.driver(Q33), bus.driver(Apqn::new(6, 0x33))), (Some(Driver::Cex4Queue), None));
    }

    #[test]
    fn an_override_moves_nothing_until_the_queue_is_unbound_and_probed() {
        let mut bus = bus(Mask256::FULL, Mask256::FULL);
        bus.set_override(Q33, Some("vfio_ap"));
        assert_eq!((bus.driver(Q33), bus.bind(Q33, Driver::VfioAp)), (Some(Driver::Cex4Queue), Err(Errno::EBUSY)));
        assert!(bus.reserved().contains(Q33), "whose it is says the driver that has it");
        bus.unbind(Q33);
        assert!(bus.reserved().contains(Q33), "without a driver the masks say it");
        bus.probe(Q33);
        assert_eq!((bus.driver(Q33), bus.reserved().contains(Q33)), (Some(Driver::VfioAp), false));
        bus.set_override(Q33, None);
        bus.scan(&host());
        assert_eq!((bus.driver(Q33), bus.reserved().contains(Q33)), (Some(Driver::VfioAp), true));
        bus.unbind(Q33);
        bus.probe(Q33);
        assert_eq!(bus.driver(Q33), Some(Driver::Cex4Queue));
    }

    #[test]
    fn a_driver_that_nobody_has_leaves_a_queue_alone() {
        let mut bus = bus(Mask256::FULL, Mask256::FULL);
        bus.unbind(Q33);
        bus.set_override(Q33, Some("another"));
        bus.probe(Q33);
        assert_eq!((bus.driver(Q33), bus.bind(Q33, Driver::VfioAp)), (None, Err(Errno::ENODEV)));
    }

    #[test]
    fn without_vfio_ap_a_queue_that_is_given_away_has_no_driver() {
        let mut bus = Bus { without_vfio_ap: true, ..Bus::new(mask(&[5]), Mask256::FULL) };
        bus.scan(&host());
        assert_eq!((bus.driver(Q33), bus.driver(Apqn::new(5, 0x33))), (None, Some(Driver::Cex4Queue)));
        assert_eq!(bus.bind(Q33, Driver::Cex4Queue), Err(Errno::ENODEV));
        assert_eq!(bus.drivers().collect::<Vec<_>>(), [Driver::Cex4Queue]);
    }

    #[test]
    fn a_card_that_is_set_offline_takes_its_queues_along_but_none_that_are_bound_later() {
        let mut bus = bus(Mask256::FULL, Mask256::FULL);
        bus.set_card_online(Apid(4), false);
        assert!(!bus.is_online(Q33) && !bus.is_online(Q3A) && bus.is_online(Apqn::new(5, 0x33)));
        bus.unbind(Q33);
        bus.probe(Q33);
        assert!(bus.is_online(Q33) && !bus.card_is_online(Apid(4)));
        bus.scan(&Matrix::EMPTY);
        bus.scan(&host());
        assert!(bus.card_is_online(Apid(4)) && bus.is_online(Q3A), "a card that comes anew is online");
    }

    #[test]
    fn masks_that_come_back_bind_a_queue_without_a_driver_on_old_kernels_only() {
        for old in [true, false] {
            let mut bus = Bus::new(Mask256::FULL, Mask256::FULL);
            bus.masks_bind_unbound = old;
            bus.scan(&host());
            bus.set_masks(Mask256::FULL.difference(mask(&[4])), Mask256::FULL);
            assert_eq!((bus.driver(Q33), bus.driver(Q3A)), (Some(Driver::VfioAp), Some(Driver::VfioAp)));
            bus.unbind(Q33);
            bus.set_masks(Mask256::FULL, Mask256::FULL);
            assert_eq!(bus.driver(Q33), old.then_some(Driver::Cex4Queue));
            assert_eq!(bus.driver(Q3A), Some(Driver::Cex4Queue));
            bus.probe(Q33);
            assert_eq!(bus.driver(Q33), Some(Driver::Cex4Queue));
        }
    }

    #[test]
    fn a_queue_that_goes_with_its_override_keeps_the_masks_from_being_changed() {
        let mut bus = bus(Mask256::FULL, Mask256::FULL);
        bus.set_override(Q33, Some("vfio_ap"));
        bus.scan(&Matrix::EMPTY);
        bus.scan(&host());
        assert_eq!((bus.driver_override(Q33), bus.overrides_are_in_use()), (None, true));
        assert_eq!(bus.driver(Q33), Some(Driver::Cex4Queue));
    }
}
