// SPDX-License-Identifier: MIT OR Apache-2.0
//! An arbitrary set of queues: what is bound, what an mdev has linked, what has to be reset. Unlike a `Matrix` it need
//! not be a product.

use std::sync::atomic::{AtomicU64, Ordering};

use ap_arch::{Apqn, Mask256, Matrix};

/// Words of one adapter's row.
const ROW: usize = 4;

/// A set over all 65,536 queues; 8 KiB. Each adapter has a row laid out as a domain mask.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct QueueSet(Box<[u64]>);

impl Default for QueueSet {
    fn default() -> Self {
        Self(vec![0; 256 * ROW].into())
    }
}

impl QueueSet {
    /// The product of adapters and domains.
    pub(crate) fn product(matrix: &Matrix) -> Self {
        let mut set = Self::default();
        for adapter in matrix.adapters.iter() {
            set.row_mut(adapter).copy_from_slice(&matrix.domains.words());
        }
        set
    }

    pub(crate) fn contains(&self, apqn: Apqn) -> bool {
        self.row(apqn.apid.0).contains(apqn.apqi.0)
    }

    pub(crate) fn insert(&mut self, apqn: Apqn) {
        self.0[Self::word(apqn)] |= Self::bit(apqn);
    }

    pub(crate) fn remove(&mut self, apqn: Apqn) {
        self.0[Self::word(apqn)] &= !Self::bit(apqn);
    }

    /// The domains of one adapter.
    pub(crate) fn row(&self, adapter: u8) -> Mask256 {
        let start = usize::from(adapter) * ROW;
        Mask256::from_words(std::array::from_fn(|index| self.0[start + index]))
    }

    fn row_mut(&mut self, adapter: u8) -> &mut [u64] {
        let start = usize::from(adapter) * ROW;
        &mut self.0[start..start + ROW]
    }

    fn word(apqn: Apqn) -> usize {
        usize::from(apqn.apid.0) * ROW + usize::from(apqn.apqi.0 >> 6)
    }

    const fn bit(apqn: Apqn) -> u64 {
        1 << (63 - (apqn.apqi.0 & 63))
    }

    fn combine(&self, other: &Self, op: impl Fn(u64, u64) -> u64) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| op(*a, *b)).collect())
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a & b)
    }

    pub(crate) fn difference(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a & !b)
    }

    /// Ascending by adapter, then by domain.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Apqn> + '_ {
        (0..=u8::MAX).flat_map(|adapter| self.row(adapter).iter().map(move |domain| Apqn::new(adapter, domain)))
    }

    pub(crate) fn first(&self) -> Option<Apqn> {
        self.iter().next()
    }
}

/// A set that is read without a lock. A reader during a change sees each queue as before or as after it.
pub(crate) struct SharedQueueSet(Box<[AtomicU64]>);

impl Default for SharedQueueSet {
    fn default() -> Self {
        Self(std::iter::repeat_with(AtomicU64::default).take(256 * ROW).collect())
    }
}

impl SharedQueueSet {
    pub(crate) fn store(&self, queues: &QueueSet) {
        for (word, value) in self.0.iter().zip(&queues.0) {
            word.store(*value, Ordering::Release);
        }
    }

    pub(crate) fn contains(&self, apqn: Apqn) -> bool {
        self.0[QueueSet::word(apqn)].load(Ordering::Acquire) & QueueSet::bit(apqn) != 0
    }
}

impl FromIterator<Apqn> for QueueSet {
    fn from_iter<I: IntoIterator<Item = Apqn>>(queues: I) -> Self {
        let mut set = Self::default();
        queues.into_iter().for_each(|apqn| set.insert(apqn));
        set
    }
}

impl std::fmt::Debug for QueueSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn matrix(adapters: &BTreeSet<u8>, domains: &BTreeSet<u8>) -> Matrix {
        let mask = |numbers: &BTreeSet<u8>| numbers.iter().copied().collect();
        Matrix { adapters: mask(adapters), domains: mask(domains), control_domains: Mask256::EMPTY }
    }

    proptest! {
        #[test]
        fn it_behaves_as_a_set_of_queues(a: BTreeSet<u16>, b: BTreeSet<u16>) {
            let set = |numbers: &BTreeSet<u16>| numbers.iter().copied().map(Apqn::from_bits).collect::<QueueSet>();
            let list = |set: &QueueSet| set.iter().map(Apqn::bits).collect::<BTreeSet<_>>();
            let (sa, sb) = (set(&a), set(&b));
            prop_assert_eq!(list(&sa.intersection(&sb)), &a & &b);
            prop_assert_eq!(list(&sa.difference(&sb)), &a - &b);
            prop_assert!(a.iter().all(|n| sa.contains(Apqn::from_bits(*n))));
            let mut none = sa.clone();
            a.iter().for_each(|n| none.remove(Apqn::from_bits(*n)));
            prop_assert_eq!(none.first(), None);
        }

        #[test]
        fn a_product_has_the_queues_of_the_matrix(adapters: BTreeSet<u8>, domains: BTreeSet<u8>) {
            let matrix = matrix(&adapters, &domains);
            let queues: Vec<Apqn> = matrix.queues().collect();
            prop_assert_eq!(QueueSet::product(&matrix).iter().collect::<Vec<_>>(), queues);
        }
    }
}
