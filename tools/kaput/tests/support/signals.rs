// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which signals come to a command, and when: out of a seed, which is printed. `KAPUT_SEED` gives it again, in hex, and
//! `KAPUT_SIGNALS` says how often each command is tried.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The three, with their numbers.
const SIGNALS: [(&str, i32); 3] = [("HUP", 1), ("INT", 2), ("TERM", 15)];

/// How often each command is tried, if nobody says otherwise.
const TRIES: usize = 2;

/// The signals for a command, in turn, and for each how late it comes: a part of the whole.
pub(crate) fn signals(command: &str) -> Vec<((&'static str, i32), f64)> {
    let named = |name| std::env::var(name).ok();
    let seed = named("KAPUT_SEED").and_then(|text| u64::from_str_radix(&text, 16).ok()).unwrap_or_else(rand::random);
    let tries = named("KAPUT_SIGNALS").and_then(|text| text.parse().ok()).unwrap_or(TRIES);
    println!("{command}: seed {seed:x}, {tries} tries");
    let mut random = StdRng::seed_from_u64(seed);
    let first = random.random_range(0..SIGNALS.len());
    (first..first + tries).map(|number| (SIGNALS[number % SIGNALS.len()], random.random_range(0.0..1.0))).collect()
}
