// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads that share the requests and count right, failed and wrong answers.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use crate::rsa::{Chain, Failure};
use crate::system::{self, Errno, File, STACK};

const MOST_THREADS: usize = 16;
/// Which chain each request takes, in turn: the longest numbers take longest by far.
const TURNS: [usize; 8] = [0, 1, 0, 1, 0, 1, 2, 2];
/// A thread ends after this many failures: more will not succeed.
const MOST_FAILURES: u64 = 1000;

struct Stacks(UnsafeCell<[[u64; STACK]; MOST_THREADS]>);

// SAFETY: each stack is handed out once, by `main`.
unsafe impl Sync for Stacks {}

static STACKS: Stacks = Stacks(UnsafeCell::new([[0; STACK]; MOST_THREADS]));
static RUNNING: [AtomicU32; MOST_THREADS] = [const { AtomicU32::new(0) }; MOST_THREADS];

/// Requests that are left to make; not used with COUNT 0.
static LEFT: AtomicI64 = AtomicI64::new(0);
static ENDLESS: AtomicU32 = AtomicU32::new(0);
static DONE: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicU64 = AtomicU64::new(0);
static WRONG: AtomicU64 = AtomicU64::new(0);

/// Makes so many requests from so many threads, and ends the program.
pub(crate) fn make_requests(count: Option<&str>, threads: Option<&str>) -> ! {
    let number = |word: Option<&str>| word?.parse::<u64>().ok();
    let (Some(count), Some(threads @ 1..=16)) = (number(count), number(threads)) else {
        system::say(format_args!(
            "usage: witness bus, or witness COUNT THREADS; COUNT 0: until there is a file /stop; 1 to 16 threads"
        ));
        system::exit(2)
    };
    ENDLESS.store(u32::from(count == 0), Ordering::SeqCst);
    LEFT.store(i64::try_from(count).unwrap_or(i64::MAX), Ordering::SeqCst);
    let threads = threads as usize;
    // SAFETY: they are taken here and nowhere else.
    let stacks = unsafe { &mut *STACKS.0.get() };
    for ((thread, stack), running) in (0..).zip(stacks).zip(&RUNNING).take(threads) {
        if let Err(Errno(number)) = system::start(stack, running, run, thread) {
            system::say(format_args!("witness: no thread: error {number}"));
            system::exit(3);
        }
    }
    RUNNING[..threads].iter().for_each(system::wait);
    let [done, failed, wrong] = [&DONE, &FAILED, &WRONG].map(|count| count.load(Ordering::SeqCst));
    system::say(format_args!("witness: {done} right, {failed} failed, {wrong} wrong, {threads} threads"));
    system::exit(u8::from(failed + wrong != 0))
}

/// One thread.
extern "C" fn run(thread: u64) {
    let driver = match File::open(c"/dev/z90crypt") {
        Ok(driver) => driver,
        Err(Errno(number)) => {
            system::say(format_args!("witness: /dev/z90crypt cannot be opened: error {number}"));
            FAILED.fetch_add(1, Ordering::SeqCst);
            return;
        }
    };
    let mut chains = Chain::all(thread);
    let mut failures = 0;
    for turn in TURNS.into_iter().cycle() {
        if !take() {
            return;
        }
        let chain = &mut chains[turn];
        let (bits, what) = (chain.bits(), chain.next());
        match chain.request(driver) {
            Ok(()) => {
                DONE.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            Err(Failure::Refused(Errno(number))) => {
                FAILED.fetch_add(1, Ordering::SeqCst);
                system::say(format_args!("witness: thread {thread}: {what} with {bits} bits: error {number}"));
            }
            Err(Failure::Wrong) => {
                WRONG.fetch_add(1, Ordering::SeqCst);
                system::say(format_args!("witness: thread {thread}: {what} with {bits} bits: wrong answer"));
                return;
            }
        }
        failures += 1;
        if failures == MOST_FAILURES {
            return;
        }
    }
}

/// Takes the next request; false if there is none left.
fn take() -> bool {
    if ENDLESS.load(Ordering::SeqCst) != 0 {
        return !system::exists(c"/stop");
    }
    LEFT.fetch_sub(1, Ordering::SeqCst) > 0
}
