// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loop: choose a seed, damage it, let the target read it, watch.

use std::collections::HashSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::memory;
use crate::mutate;
use crate::target::{Name, Target};

/// How long the target may take for one input.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes an input may have: above every reader's limit that is small enough to be met by chance.
const LONGEST: usize = 64 * 1024;

/// Seeds that are kept at most.
const MOST_SEEDS: usize = 4096;

pub(crate) struct Engine {
    name: Name,
    target: Box<dyn Target>,
    words: Vec<String>,
    random: StdRng,
    /// Answers that were seen.
    answers: HashSet<u64>,
    watch: Arc<Watch>,
}

/// What the watchdog knows: the input under way, and since which second.
#[derive(Default)]
struct Watch {
    since: AtomicU64,
    input: Mutex<Vec<u8>>,
}

/// What came of it.
pub(crate) struct Summary {
    inputs: u64,
    answers: usize,
    most: usize,
    time: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inputs, answers, most, time } = self;
        let (seconds, kib) = (time.as_secs(), most / 1024);
        write!(f, "{inputs} inputs in {seconds} s, {answers} kinds of answer, at most {kib} KiB in use; nothing found")
    }
}

impl Engine {
    pub(crate) fn new(name: Name, seed: u64) -> Self {
        let watch = Arc::new(Watch::default());
        let engine = Self {
            name,
            target: name.target(),
            words: name.words(),
            random: StdRng::seed_from_u64(seed),
            answers: HashSet::new(),
            watch: Arc::clone(&watch),
        };
        let start = Instant::now();
        std::thread::spawn(move || watch_over(name, &watch, start));
        engine
    }

    /// Damages seeds until the time is over. Ends the process when something is found.
    pub(crate) fn run(&mut self, mut seeds: Vec<Vec<u8>>, time: Duration) -> Summary {
        let start = Instant::now();
        let (mut inputs, mut most) = (0, 0);
        for seed in &seeds {
            let (answer, used) = self.read(seed, start);
            self.answers.insert(answer);
            (inputs, most) = (inputs + 1, most.max(used));
        }
        while start.elapsed() < time {
            let mut input = seeds[self.random.random_range(0..seeds.len())].clone();
            let other = &seeds[self.random.random_range(0..seeds.len())];
            for _ in 0..self.random.random_range(1..=8) {
                mutate::damage(&mut input, other, &self.words, &mut self.random);
            }
            input.truncate(LONGEST);
            let (answer, used) = self.read(&input, start);
            (inputs, most) = (inputs + 1, most.max(used));
            if self.answers.insert(answer) && seeds.len() < MOST_SEEDS {
                seeds.push(input);
            }
        }
        self.watch.since.store(0, Ordering::Relaxed);
        Summary { inputs, answers: self.answers.len(), most, time: start.elapsed() }
    }

    /// Lets the target read one input.
    pub(crate) fn once(&mut self, input: &[u8]) -> u64 {
        self.read(input, Instant::now()).0
    }

    fn read(&mut self, input: &[u8], start: Instant) -> (u64, usize) {
        {
            let mut known = self.watch.input.lock().unwrap_or_else(PoisonError::into_inner);
            known.clear();
            known.extend_from_slice(input);
        }
        self.watch.since.store(start.elapsed().as_secs() + 1, Ordering::Relaxed);
        let target = &mut self.target;
        let (done, used) = memory::most_used(|| catch_unwind(AssertUnwindSafe(|| target.read(input))));
        match done {
            Ok(Ok(answer)) if used <= self.name.memory_limit() => (answer, used),
            Ok(Ok(_)) => {
                found(self.name, &format!("{used} bytes were in use, {} are allowed", self.name.memory_limit()), input)
            }
            Ok(Err(broken)) => found(self.name, &broken, input),
            Err(_) => found(self.name, "it panicked (see above)", input),
        }
    }
}

/// Ends the process when one input takes too long.
fn watch_over(name: Name, watch: &Watch, start: Instant) {
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let since = watch.since.load(Ordering::Relaxed);
        let now = start.elapsed().as_secs() + 1;
        if since != 0 && now.saturating_sub(since) > PATIENCE.as_secs() {
            let input = watch.input.lock().unwrap_or_else(PoisonError::into_inner).clone();
            found(name, &format!("it was not done after {PATIENCE:?}"), &input);
        }
    }
}

/// Writes the input down and ends the process.
fn found(name: Name, what: &str, input: &[u8]) -> ! {
    let path: PathBuf = std::env::temp_dir().join(format!("kaput-fuzz-{name}-{}", std::process::id()));
    let place = match std::fs::write(&path, input) {
        Ok(()) => path.display().to_string(),
        Err(error) => format!("nowhere ({error})"),
    };
    eprintln!("{name}: FOUND: {what}\n  input ({} bytes) in {place}", input.len());
    eprintln!("  again: cargo xtask fuzz {name} --input {place}");
    std::process::exit(1)
}
