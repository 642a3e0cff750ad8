// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random numbers: the operating system's, or a reproducible stream.

use std::sync::{Mutex, PoisonError};

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};

/// Where a machine's random numbers come from.
pub(crate) enum RandomSource {
    System,
    Seeded(Box<Mutex<StdRng>>),
}

impl RandomSource {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        seed.map_or(Self::System, |seed| Self::Seeded(Box::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    /// So many random bytes; `None` if the operating system gives none.
    pub(crate) fn bytes(&self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        match self {
            Self::System => SysRng.try_fill_bytes(&mut bytes).ok()?,
            Self::Seeded(stream) => stream.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes),
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_it_reproducible_and_only_a_seed() {
        let bytes = |seed| RandomSource::new(seed).bytes(64).unwrap();
        assert_eq!(bytes(Some(1)), bytes(Some(1)));
        assert_ne!(bytes(Some(1)), bytes(Some(2)));
        assert_ne!(bytes(None), bytes(None));
    }
}
