// SPDX-License-Identifier: MIT OR Apache-2.0
//! A 256-bit mask over adapters or domains, bit *n* from the left for number *n*: AP reference 3 and 9.1.

use core::fmt;

/// 256 bits, bit 0 leftmost. The wire form is 32 bytes: number *n* is bit `7 - n % 8` of byte `n / 8`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Mask256([u64; 4]);

impl Mask256 {
    /// No bit set.
    pub const EMPTY: Self = Self([0; 4]);
    /// All 256 bits set.
    pub const FULL: Self = Self([u64::MAX; 4]);

    /// From four 64-bit words, the first one holding numbers 0 to 63.
    #[must_use]
    pub const fn from_words(words: [u64; 4]) -> Self {
        Self(words)
    }

    /// Four 64-bit words, the first one holding numbers 0 to 63.
    #[must_use]
    pub const fn words(self) -> [u64; 4] {
        self.0
    }

    /// From the 32-byte wire form.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_be_bytes(*chunk);
        }
        Self(words)
    }

    /// The 32-byte wire form.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *chunk = word.to_be_bytes();
        }
        bytes
    }

    /// Whether number `n` is in the mask.
    #[must_use]
    pub const fn contains(self, n: u8) -> bool {
        self.0[(n >> 6) as usize] & Self::bit(n) != 0
    }

    /// Puts number `n` into the mask.
    pub const fn insert(&mut self, n: u8) {
        self.0[(n >> 6) as usize] |= Self::bit(n);
    }

    /// Takes number `n` out of the mask.
    pub const fn remove(&mut self, n: u8) {
        self.0[(n >> 6) as usize] &= !Self::bit(n);
    }

    const fn bit(n: u8) -> u64 {
        1 << (63 - (n & 63))
    }

    /// The numbers 0 to `highest`, all of them.
    #[must_use]
    pub fn up_to(highest: u8) -> Self {
        (0..=highest).collect()
    }

    /// What is in both masks.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        self.combine(other, |a, b| a & b)
    }

    /// What is in at least one of the masks.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        self.combine(other, |a, b| a | b)
    }

    /// What is in this mask and not in `other`.
    #[must_use]
    pub fn difference(self, other: Self) -> Self {
        self.combine(other, |a, b| a & !b)
    }

    /// Whether everything in this mask is in `other` too.
    #[must_use]
    pub fn is_subset_of(self, other: Self) -> bool {
        self.difference(other).is_empty()
    }

    /// Whether no number is in the mask.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::EMPTY
    }

    /// How many numbers are in the mask.
    #[must_use]
    pub fn len(self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The highest number in the mask.
    #[must_use]
    pub fn highest(self) -> Option<u8> {
        self.iter().last()
    }

    /// The numbers in the mask, ascending.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0u8..4).zip(self.0).flat_map(|(index, word)| {
            let mut rest = word;
            core::iter::from_fn(move || {
                let lead = rest.leading_zeros() as u8;
                (lead < 64).then(|| {
                    rest &= !(1 << (63 - lead));
                    index * 64 + lead
                })
            })
        })
    }

    /// The runs of neighbours in the mask, first and last number of each, ascending.
    pub fn runs(self) -> impl Iterator<Item = (u8, u8)> {
        let mut rest = self;
        core::iter::from_fn(move || {
            let first = rest.iter().next()?;
            let last = (first..=u8::MAX).take_while(|n| rest.contains(*n)).last()?;
            rest = rest.difference(Self::up_to(last));
            Some((first, last))
        })
    }

    fn combine(self, other: Self, op: impl Fn(u64, u64) -> u64) -> Self {
        let mut words = self.0;
        for (word, with) in words.iter_mut().zip(other.0) {
            *word = op(*word, with);
        }
        Self(words)
    }
}

impl FromIterator<u8> for Mask256 {
    fn from_iter<I: IntoIterator<Item = u8>>(numbers: I) -> Self {
        let mut mask = Self::EMPTY;
        for n in numbers {
            mask.insert(n);
        }
        mask
    }
}

impl fmt::Display for Mask256 {
    /// As sysfs shows it: `0x` and 64 hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x")?;
        self.0.iter().try_for_each(|word| write!(f, "{word:016x}"))
    }
}

impl fmt::Debug for Mask256 {
    /// As a set of hex numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|n| fmt::from_fn(move |f| write!(f, "{n:02x}")))).finish()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::string::ToString;

    #[test]
    fn adapter_0_is_the_top_bit_of_the_first_byte() {
        let mask: Mask256 = [0, 9, 255].into_iter().collect();
        let bytes = mask.to_bytes();
        assert_eq!((bytes[0], bytes[1], bytes[31]), (0x80, 0x40, 0x01));
    }

    #[test]
    fn it_prints_as_sysfs_does() {
        let mask: Mask256 = [0x33, 0x3a].into_iter().collect();
        assert!(mask.to_string().starts_with("0x0000000000001020000"));
    }

    proptest! {
        #[test]
        fn it_behaves_as_a_set_of_numbers(a: BTreeSet<u8>, b: BTreeSet<u8>) {
            let (ma, mb): (Mask256, Mask256) = (a.iter().copied().collect(), b.iter().copied().collect());
            prop_assert_eq!(ma.iter().collect::<BTreeSet<_>>(), a.clone());
            prop_assert_eq!(ma.union(mb).iter().collect::<BTreeSet<_>>(), &a | &b);
            prop_assert_eq!(ma.intersection(mb).iter().collect::<BTreeSet<_>>(), &a & &b);
            prop_assert_eq!(ma.difference(mb).iter().collect::<BTreeSet<_>>(), &a - &b);
            prop_assert_eq!(ma.is_subset_of(mb), a.is_subset(&b));
            prop_assert_eq!((ma.len(), ma.highest()), (a.len(), a.last().copied()));
            prop_assert_eq!(Mask256::from_bytes(&ma.to_bytes()), ma);
        }
    }
}
