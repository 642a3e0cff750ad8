// SPDX-License-Identifier: MIT OR Apache-2.0
//! The newest of many numbered entries, for a reader who goes on where it was: the driver's log, the guest's trace.

use std::collections::VecDeque;

/// How many entries are kept: one for each queue of the largest matrix.
pub(crate) const CAPACITY: usize = 65_536;

/// Entries with running numbers from 0.
pub(crate) struct Numbered<T> {
    kept: VecDeque<T>,
    next: u64,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { kept: VecDeque::new(), next: 0 }
    }
}

impl<T: Clone> Numbered<T> {
    /// Keeps what is made of the next number.
    pub(crate) fn push(&mut self, entry: impl FnOnce(u64) -> T) {
        if self.kept.len() == CAPACITY {
            self.kept.pop_front();
        }
        self.kept.push_back(entry(self.next));
        self.next += 1;
    }

    pub(crate) fn last_mut(&mut self) -> Option<&mut T> {
        self.kept.back_mut()
    }

    /// At most `limit` entries from number `since` on; the number to go on with; how many of the wanted are lost.
    pub(crate) fn since(&self, since: u64, limit: usize) -> (Vec<T>, u64, u64) {
        let oldest = self.next - self.kept.len() as u64;
        let skip = usize::try_from(since.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let wanted: Vec<T> = self.kept.iter().skip(skip).take(limit).cloned().collect();
        let next = if wanted.is_empty() { self.next } else { since.max(oldest) + wanted.len() as u64 };
        (wanted, next, oldest.saturating_sub(since))
    }
}
