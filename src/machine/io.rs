// SPDX-License-Identifier: MIT OR Apache-2.0
//! Adapter interruptions, where a case expects one: a window in which those of some subclasses may come, by polling or
//! in an enabled wait, always with a bound. At any other time they are masked off. Principles of Operation,
//! "Input/Output Interruptions"; AP reference 5.3 and 5.4.

use super::clock::{self, Deadline};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use s390x_asm::{PswMask, asm};

/// Bits of interruption subclasses, `0x80` for subclass 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subclasses(pub(crate) u8);

impl Subclasses {
    /// All eight.
    pub(crate) const ALL: Self = Self(0xff);

    /// One of them.
    pub(crate) const fn only(isc: u8) -> Self {
        Self(0x80 >> (isc & 7))
    }

    /// All others.
    pub(crate) const fn but(isc: u8) -> Self {
        Self(!Self::only(isc).0)
    }
}

/// How to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The CPU looks again and again.
    Polling,
    /// The CPU is in the enabled wait state.
    WaitState,
}

/// An I/O interruption that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IoInterruption {
    /// Subsystem-identification word.
    pub(crate) subsystem: u32,
    /// Interruption parameter.
    pub(crate) parameter: u32,
    /// Interruption-identification word.
    pub(crate) identification: u32,
    /// What the watched byte held when it came.
    pub(crate) byte: u8,
}

/// Whether an I/O interruption, or the clock comparator's, is expected; and the one that came.
static EXPECTING: AtomicBool = AtomicBool::new(false);
static EXPECTING_CLOCK: AtomicBool = AtomicBool::new(false);
static CAME: AtomicBool = AtomicBool::new(false);
static WORDS: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];
static BYTE: AtomicU8 = AtomicU8::new(0);
static WATCHED: spin::Mutex<Option<&'static AtomicU8>> = spin::Mutex::new(None);

/// Waits for one interruption of these subclasses, at most `limit_millis`; `byte` is read when it comes.
pub(crate) fn wait_for(
    subclasses: Subclasses,
    waiting: Waiting,
    limit_millis: u64,
    byte: &'static AtomicU8,
) -> Option<IoInterruption> {
    *WATCHED.lock() = Some(byte);
    CAME.store(false, Ordering::SeqCst);
    EXPECTING.store(true, Ordering::SeqCst);
    // SAFETY: these interruptions are expected, and only in the windows below.
    unsafe { asm::lctlg::<6>(u64::from(subclasses.0) << 24) };
    match waiting {
        Waiting::Polling => poll(limit_millis),
        Waiting::WaitState => wait(limit_millis, PswMask::IO.union(PswMask::EXTERNAL)),
    }
    // SAFETY: nothing is allowed any more.
    unsafe { asm::lctlg::<6>(0) };
    EXPECTING.store(false, Ordering::SeqCst);
    let [subsystem, parameter, identification] = WORDS.each_ref().map(|word| word.load(Ordering::SeqCst));
    let came = IoInterruption { subsystem, parameter, identification, byte: BYTE.load(Ordering::SeqCst) };
    CAME.load(Ordering::SeqCst).then_some(came)
}

/// Takes whatever is pending, so that it is not taken for something else later.
pub(crate) fn drain(byte: &'static AtomicU8) {
    for _ in 0..=u8::BITS {
        if wait_for(Subclasses::ALL, Waiting::Polling, 0, byte).is_none() {
            return;
        }
    }
}

fn poll(limit_millis: u64) {
    let deadline = Deadline::in_millis(limit_millis);
    loop {
        // SAFETY: the handler records the interruption and goes on here, with I/O masked off.
        unsafe { asm::io_window() };
        if CAME.load(Ordering::SeqCst) || deadline.is_over() {
            return;
        }
    }
}

/// Leaves the CPU in the wait state for this many milliseconds.
pub(crate) fn rest(millis: u64) {
    wait(millis, PswMask::EXTERNAL);
}

fn wait(limit_millis: u64, classes: PswMask) {
    /// Bit 52 of control register 0: the clock comparator's interruptions.
    const CLOCK_COMPARATOR: u64 = 0x800;
    asm::sckc(clock::now().plus_micros(limit_millis.saturating_mul(1000)));
    EXPECTING_CLOCK.store(true, Ordering::SeqCst);
    // SAFETY: the classes that may come are expected, and their handler ends the wait; the clock comparator is the
    // bound.
    unsafe {
        asm::lctlg::<0>(CLOCK_COMPARATOR);
        asm::wait(classes);
        asm::lctlg::<0>(0);
    }
    EXPECTING_CLOCK.store(false, Ordering::SeqCst);
}

/// Called by the trap handler with the three words of an I/O interruption: whether it was expected.
pub(super) fn came(words: [u32; 3]) -> bool {
    let expected = EXPECTING.swap(false, Ordering::SeqCst);
    if expected {
        for (word, value) in WORDS.iter().zip(words) {
            word.store(value, Ordering::SeqCst);
        }
        // The code that waits has released the lock; a handler never waits for it.
        let watched = WATCHED.try_lock().and_then(|watched| *watched);
        BYTE.store(watched.map_or(0, |byte| byte.load(Ordering::SeqCst)), Ordering::SeqCst);
        CAME.store(true, Ordering::SeqCst);
    }
    expected
}

/// Called by the trap handler for the clock comparator's interruption: whether it was expected.
pub(super) fn clock_struck() -> bool {
    EXPECTING_CLOCK.swap(false, Ordering::SeqCst)
}
