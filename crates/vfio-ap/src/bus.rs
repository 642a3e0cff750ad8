// SPDX-License-Identifier: MIT OR Apache-2.0
//! The AP bus: which driver has which queue.

use std::collections::BTreeMap;

use ap_arch::{Apqn, Mask256, Matrix};

use crate::queue_set::QueueSet;

/// A driver of queues, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Passes queues through to guests.
    VfioAp,
    /// The host's own drivers.
    Default,
}

/// The bus's bookkeeping. What the host has is asked of the hardware, never kept here.
#[derive(Default)]
pub(crate) struct Bus {
    /// `apmask`: adapters of the default drivers.
    pub(crate) default_adapters: Mask256,
    /// `aqmask`: domains of the default drivers.
    pub(crate) default_domains: Mask256,
    /// `driver_override` of single queues.
    pub(crate) overrides: BTreeMap<Apqn, Driver>,
    /// Queues that were unbound from their driver and not bound since.
    pub(crate) unbound: QueueSet,
    /// Queues whose last reset failed.
    pub(crate) reset_failed: QueueSet,
}

impl Bus {
    /// Queues reserved for the default drivers, whether they exist or not. AP bus rule: both bits must be on.
    pub(crate) fn reserved(&self) -> QueueSet {
        let mut reserved = QueueSet::product(&Matrix {
            adapters: self.default_adapters,
            domains: self.default_domains,
            control_domains: Mask256::EMPTY,
        });
        for (apqn, driver) in &self.overrides {
            match driver {
                Driver::VfioAp => reserved.remove(*apqn),
                Driver::Default => reserved.insert(*apqn),
            }
        }
        reserved
    }

    /// Queues bound to vfio_ap, on a host that has `host`.
    pub(crate) fn bound_to_vfio_ap(&self, host: &Matrix) -> QueueSet {
        QueueSet::product(host).difference(&self.reserved()).difference(&self.unbound)
    }

    /// The driver a queue is bound to.
    pub(crate) fn driver(&self, apqn: Apqn, host: &Matrix) -> Option<Driver> {
        if !host.contains(apqn) || self.unbound.contains(apqn) {
            return None;
        }
        let reserved = self.default_adapters.contains(apqn.apid.0) && self.default_domains.contains(apqn.apqi.0);
        let by_mask = if reserved { Driver::Default } else { Driver::VfioAp };
        Some(self.overrides.get(&apqn).copied().unwrap_or(by_mask))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(numbers: &[u8]) -> Mask256 {
        numbers.iter().copied().collect()
    }

    #[test]
    fn a_queue_is_reserved_if_both_its_numbers_are() {
        let host = Matrix { adapters: mask(&[4, 5]), domains: mask(&[0x33, 0x3a]), control_domains: Mask256::EMPTY };
        let mut bus = Bus { default_adapters: mask(&[4]), default_domains: mask(&[0x33]), ..Bus::default() };
        let bound = |bus: &Bus| bus.bound_to_vfio_ap(&host).iter().map(Apqn::bits).collect::<Vec<_>>();
        assert_eq!(bound(&bus), [0x043a, 0x0533, 0x053a]);
        bus.overrides.insert(Apqn::new(4, 0x33), Driver::VfioAp);
        bus.overrides.insert(Apqn::new(5, 0x33), Driver::Default);
        bus.unbound.insert(Apqn::new(5, 0x3a));
        assert_eq!(bound(&bus), [0x0433, 0x043a]);
        for apqn in Apqn::all() {
            let is_vfio_ap = bus.driver(apqn, &host) == Some(Driver::VfioAp);
            assert_eq!(is_vfio_ap, bus.bound_to_vfio_ap(&host).contains(apqn), "{apqn}");
            if apqn.apid.0 > 6 {
                break;
            }
        }
    }
}
