// SPDX-License-Identifier: MIT OR Apache-2.0
//! The threads on which calls are made. A call may never return, so none is made by the thread that answers the
//! harness. Threads come when they are first named, and stay.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use agent_protocol::{Refusal, THREADS};

use crate::linux::{self, STACK};

/// No call; `RESULT` is that of the last one.
const IDLE: u32 = 0;
/// A call is there and not begun.
const PREPARED: u32 = 1;
/// The call may begin.
const STARTED: u32 = 2;
/// The call has returned, and nobody has asked for its result.
const DONE: u32 = 3;
/// There is no thread yet.
const ABSENT: u32 = 4;

/// Looks at a word before others are let run.
const SPINS: u32 = 1000;

struct Slot {
    state: AtomicU32,
    number: AtomicU64,
    arguments: [AtomicU64; 6],
    result: AtomicI64,
}

struct Stacks(UnsafeCell<[[u64; STACK]; THREADS as usize]>);

// SAFETY: each stack is handed out once, by the one thread that answers the harness.
unsafe impl Sync for Stacks {}

static STACKS: Stacks = Stacks(UnsafeCell::new([[0; STACK]; THREADS as usize]));

static SLOTS: [Slot; THREADS as usize] = [const {
    Slot {
        state: AtomicU32::new(ABSENT),
        number: AtomicU64::new(0),
        arguments: [const { AtomicU64::new(0) }; 6],
        result: AtomicI64::new(0),
    }
}; THREADS as usize];

/// Threads that begin together and have not come to the start yet.
static MISSING: AtomicU32 = AtomicU32::new(0);

type Refused = (Refusal, u32);

fn slot(thread: u32) -> Result<&'static Slot, Refused> {
    SLOTS.get(thread as usize).ok_or((Refusal::NO_THREAD, 0))
}

/// Puts a call on a thread.
pub(crate) fn prepare(thread: u32, number: u64, arguments: [u64; 6]) -> Result<(), Refused> {
    let slot = slot(thread)?;
    match slot.state.load(Ordering::Acquire) {
        IDLE => {}
        ABSENT => create(thread, slot)?,
        _ => return Err((Refusal::BUSY, 0)),
    }
    slot.number.store(number, Ordering::Relaxed);
    for (to, argument) in slot.arguments.iter().zip(arguments) {
        to.store(argument, Ordering::Relaxed);
    }
    slot.state.store(PREPARED, Ordering::Release);
    Ok(())
}

fn create(thread: u32, slot: &Slot) -> Result<(), Refused> {
    // SAFETY: a thread is absent once, and only this thread comes here: nobody else has or gets this stack.
    let stack = unsafe { &mut (*STACKS.0.get())[thread as usize] };
    slot.state.store(IDLE, Ordering::Release);
    linux::thread(stack, work, thread.into()).map_err(|error| {
        slot.state.store(ABSENT, Ordering::Release);
        linux::no_resources(error)
    })
}

/// Lets the calls of these threads begin together.
pub(crate) fn start(threads: u64) -> Result<(), Refused> {
    let wanted =
        || SLOTS.iter().enumerate().filter(move |(thread, _)| threads >> thread & 1 != 0).map(|(_, slot)| slot);
    if wanted().any(|slot| slot.state.load(Ordering::Acquire) != PREPARED) {
        return Err((Refusal::IDLE, 0));
    }
    while MISSING.load(Ordering::Acquire) != 0 {
        linux::yield_now();
    }
    MISSING.store(threads.count_ones(), Ordering::Release);
    for slot in wanted() {
        slot.state.store(STARTED, Ordering::Release);
        linux::wake(&slot.state);
    }
    Ok(())
}

/// The result of a thread's call, or `None` after this many milliseconds.
pub(crate) fn wait(thread: u32, milliseconds: u32) -> Result<Option<i64>, Refused> {
    let slot = slot(thread)?;
    let deadline = linux::now() + u64::from(milliseconds);
    loop {
        match slot.state.load(Ordering::Acquire) {
            DONE => {
                let result = slot.result.load(Ordering::Relaxed);
                slot.state.store(IDLE, Ordering::Release);
                return Ok(Some(result));
            }
            STARTED => {}
            _ => return Err((Refusal::IDLE, 0)),
        }
        let left = deadline.saturating_sub(linux::now());
        if left == 0 {
            return Ok(None);
        }
        linux::wait_while(&slot.state, STARTED, Some(left));
    }
}

/// One thread: makes the calls of its slot.
extern "C" fn work(thread: u64) {
    let slot = &SLOTS[thread as usize % SLOTS.len()];
    loop {
        let state = slot.state.load(Ordering::Acquire);
        if state != STARTED {
            linux::wait_while(&slot.state, state, None);
            continue;
        }
        let number = slot.number.load(Ordering::Relaxed);
        let arguments = core::array::from_fn(|i| slot.arguments[i].load(Ordering::Relaxed));
        meet();
        // SAFETY: the harness vouches for its calls; the agent's own memory it does not know.
        let result = unsafe { s390x_asm::linux::syscall(number, arguments) };
        slot.result.store(result, Ordering::Relaxed);
        slot.state.store(DONE, Ordering::Release);
        linux::wake(&slot.state);
    }
}

/// Waits for the others that begin at the same moment.
fn meet() {
    MISSING.fetch_sub(1, Ordering::AcqRel);
    let mut looks = 0u32;
    while MISSING.load(Ordering::Acquire) != 0 {
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(SPINS) {
            linux::yield_now();
        }
        core::hint::spin_loop();
    }
}
