// SPDX-License-Identifier: MIT OR Apache-2.0
//! A set of adapters, usage domains and control domains: what a guest has, what an mdev is assigned, what a host owns.

use crate::{Apqn, Mask256};

/// Three masks; the queues are the product of adapters and usage domains, never an arbitrary set. AP reference 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Matrix {
    /// Adapters (apm).
    pub adapters: Mask256,
    /// Usage domains (aqm): may be the target of an AP instruction.
    pub domains: Mask256,
    /// Control domains (adm): may be administered by a message sent to a usage domain.
    pub control_domains: Mask256,
}

impl Matrix {
    /// No adapter, no domain, no control domain.
    pub const EMPTY: Self = Self { adapters: Mask256::EMPTY, domains: Mask256::EMPTY, control_domains: Mask256::EMPTY };

    /// Whether this queue is in the product.
    #[must_use]
    pub const fn contains(&self, apqn: Apqn) -> bool {
        self.adapters.contains(apqn.apid.0) && self.domains.contains(apqn.apqi.0)
    }

    /// The queues, ascending by adapter and then by domain.
    pub fn queues(&self) -> impl Iterator<Item = Apqn> + use<> {
        let domains = self.domains;
        self.adapters.iter().flat_map(move |adapter| domains.iter().map(move |domain| Apqn::new(adapter, domain)))
    }

    /// How many queues the product has.
    #[must_use]
    pub fn queue_count(&self) -> usize {
        self.adapters.len() * self.domains.len()
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self {
            adapters: self.adapters.intersection(other.adapters),
            domains: self.domains.intersection(other.domains),
            control_domains: self.control_domains.intersection(other.control_domains),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn the_queues_are_the_product_in_ascending_order() {
        let matrix = Matrix {
            adapters: [6, 5].into_iter().collect(),
            domains: [0x3a, 0x33].into_iter().collect(),
            control_domains: Mask256::EMPTY,
        };
        let queues: Vec<u16> = matrix.queues().map(Apqn::bits).collect();
        assert_eq!(queues, [0x0533, 0x053a, 0x0633, 0x063a]);
        assert_eq!(matrix.queue_count(), 4);
        assert!(matrix.contains(Apqn::new(6, 0x33)) && !matrix.contains(Apqn::new(7, 0x33)));
    }
}
