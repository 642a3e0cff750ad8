// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long a request keeps an engine.

use crate::topology::EngineTime;

/// What an engine had to do for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// An error reply.
    Refusal,
    /// RSA with a modulus of this many bytes.
    Rsa {
        /// Width of the modulus in bytes.
        width: usize,
        /// By CRT, which is a private-key operation.
        crt: bool,
    },
    /// So many random bytes.
    Random(usize),
    /// Anything that only reads the card's state.
    Query,
}

impl Work {
    /// Nanoseconds. Those of a real card are round numbers in the order of magnitude of published throughput figures:
    /// what matters is that replies come late, and some later than others.
    pub(crate) fn duration(self, time: EngineTime) -> u64 {
        match (time, self) {
            (EngineTime::Fixed(ns), _) => ns,
            (EngineTime::LikeACard, Self::Refusal) => 20_000,
            (EngineTime::LikeACard, Self::Query) => 500_000,
            (EngineTime::LikeACard, Self::Random(bytes)) => 100_000 + 50 * bytes as u64,
            (EngineTime::LikeACard, Self::Rsa { width, crt }) => {
                // Twice the width: eight times the work by CRT, four times with a short exponent.
                let kilobits = (width as u64).div_ceil(128).max(1);
                if crt { 100_000 * kilobits.pow(3) } else { 50_000 * kilobits.pow(2) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_key_takes_longer_and_a_private_one_longest() {
        let time = |width, crt| Work::Rsa { width, crt }.duration(EngineTime::LikeACard);
        assert!(time(128, false) < time(256, false) && time(256, false) < time(256, true));
        assert!(time(256, true) < time(512, true));
        assert_eq!(Work::Query.duration(EngineTime::Fixed(7)), 7);
    }
}
