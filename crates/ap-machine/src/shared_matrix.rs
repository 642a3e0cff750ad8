// SPDX-License-Identifier: MIT OR Apache-2.0
//! A matrix that is read by every instruction and seldom changed: what a guest has (its APCB), what the machine has.
//!
//! Readers take no lock and never see half of a change. There are two slots; the low bit of the version says which one
//! is valid. A writer fills the other one and then counts the version up; a reader that meets a new version afterwards
//! reads again. So a reader waits for a writer only while changes come faster than it can read twelve words.

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Mutex, PoisonError};

use ap_arch::{Apqn, Mask256, Matrix};

type Slot = [[AtomicU64; 4]; 3];

/// See the module's text.
#[derive(Default)]
pub(crate) struct SharedMatrix {
    version: AtomicU64,
    slots: [Slot; 2],
    writer: Mutex<()>,
}

impl SharedMatrix {
    pub(crate) fn new(matrix: &Matrix) -> Self {
        let shared = Self::default();
        shared.store(matrix);
        shared
    }

    /// Replaces the matrix. Whoever reads sees the old or the new one.
    pub(crate) fn store(&self, matrix: &Matrix) {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.version.load(Ordering::Relaxed);
        fence(Ordering::Release);
        let slot = &self.slots[usize::from(version & 1 == 0)];
        let masks = [matrix.adapters, matrix.domains, matrix.control_domains];
        for (words, mask) in slot.iter().zip(masks) {
            for (word, value) in words.iter().zip(mask.words()) {
                word.store(value, Ordering::Relaxed);
            }
        }
        self.version.store(version.wrapping_add(1), Ordering::Release);
    }

    /// The whole matrix.
    pub(crate) fn load(&self) -> Matrix {
        self.read(|view| {
            let mask =
                |index: usize| Mask256::from_words(view.slot[index].each_ref().map(|w| w.load(Ordering::Relaxed)));
            Matrix { adapters: mask(0), domains: mask(1), control_domains: mask(2) }
        })
    }

    /// What `read` makes of one state of the matrix, and of whatever else it loads atomically meanwhile: it is called
    /// again if the matrix changed under it.
    pub(crate) fn read<T>(&self, mut read: impl FnMut(View<'_>) -> T) -> T {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let result = read(View { slot: &self.slots[(version & 1) as usize] });
            fence(Ordering::Acquire);
            if self.version.load(Ordering::Relaxed) == version {
                return result;
            }
        }
    }
}

/// One state of the matrix while it is being read.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    slot: &'a Slot,
}

impl View<'_> {
    /// Whether the queue is in the product of adapters and domains.
    pub(crate) fn contains(self, apqn: Apqn) -> bool {
        let bit = |mask: &[AtomicU64; 4], n: u8| {
            mask[usize::from(n >> 6)].load(Ordering::Relaxed) & 1 << (63 - (n & 63)) != 0
        };
        bit(&self.slot[0], apqn.apid.0) && bit(&self.slot[1], apqn.apqi.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn matrix(words: u64) -> Matrix {
        let mask = Mask256::from_words([words; 4]);
        Matrix { adapters: mask, domains: mask, control_domains: mask }
    }

    #[test]
    fn a_reader_sees_the_old_or_the_new_matrix_and_nothing_between() {
        let shared = SharedMatrix::new(&matrix(0));
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..20_000 {
                    shared.store(&matrix(if round % 2 == 0 { u64::MAX } else { 0 }));
                }
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                let seen = shared.load();
                assert!(seen == matrix(0) || seen == matrix(u64::MAX), "{seen:?}");
            }
        });
        assert_eq!(shared.load(), matrix(0));
    }

    #[test]
    fn a_queue_is_in_the_view_if_both_its_bits_are_on() {
        let has = Matrix {
            adapters: [5].into_iter().collect(),
            domains: [0x33].into_iter().collect(),
            control_domains: Mask256::EMPTY,
        };
        let shared = SharedMatrix::new(&has);
        for apqn in Apqn::all() {
            assert_eq!(shared.read(|view| view.contains(apqn)), has.contains(apqn));
        }
    }
}
