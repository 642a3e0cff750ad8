// SPDX-License-Identifier: MIT OR Apache-2.0
//! AP instructions exactly as a test wants them, wrong ones above all: what they end in, and whether an instruction
//! that was refused changed anything. A machine that executes what it should refuse finds storage set aside for it.

use crate::ap::instructions::Ap;
use crate::ap::log;
use crate::case::outcome::{Outcome, failed, require};
use crate::machine::trap::{ProgramInterruption, catch_exception, in_problem_state};
use alloc::vec;
use alloc::vec::Vec;
use ap_arch::{ConditionCode, Gr0, ProgramCode, QueueStatus};
use core::fmt::Arguments;
use s390x_asm::asm;

/// Bytes of the instruction, which the CPU stores at a program interruption too.
const INSTRUCTION_LENGTH: u8 = 4;
/// What the storage set aside holds before an instruction.
const PATTERN: u64 = 0x6b61_7075_745f_6b61;
/// Doublewords of that storage for PQAP and NQAP, and for a reply.
const SCRATCH: usize = 64;
const REPLY_SCRATCH: usize = 1024;

/// The state an instruction is executed in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Supervisor,
    Problem,
}

/// Where an operand in storage is.
#[derive(Clone, Copy)]
pub(crate) enum At {
    /// In the storage set aside, this many bytes behind a doubleword boundary.
    Scratch(usize),
    /// Where main storage has ended.
    BeyondStorage,
    /// Eight bytes before main storage ends.
    AcrossItsEnd,
}

/// Which of the two register numbers in an instruction's text are odd.
#[derive(Clone, Copy)]
pub(crate) enum Registers {
    BothEven,
    FirstOdd,
    SecondOdd,
    BothOdd,
}

/// How an attempt ended.
pub(crate) struct Attempt {
    interruption: Option<ProgramInterruption>,
    unchanged: bool,
    cc: ConditionCode,
    status: QueueStatus,
}

impl Attempt {
    /// The program interruption that the attempt ended in, if it did.
    pub(crate) fn code(&self) -> Option<ProgramCode> {
        self.interruption.map(|interruption| interruption.code)
    }

    /// Queue status, of an instruction that was executed.
    pub(crate) fn status(&self) -> QueueStatus {
        self.status
    }

    /// Fails unless the instruction ended in this interruption and was suppressed: registers, condition code and
    /// storage are as they were. AP reference 1.3. `what` names the attempt.
    pub(crate) fn require(&self, what: Arguments<'_>, code: ProgramCode) -> Outcome {
        let Some(interruption) = self.interruption else {
            let (status, cc) = (self.status, self.cc.bits());
            return Err(failed!("{what}: no {code} exception but condition code {cc}, status {status}"));
        };
        let found = interruption.code;
        require!(found == code, "{what}: exception {found} instead of {code}");
        let length = interruption.length;
        require!(length == INSTRUCTION_LENGTH, "{what}: the interruption reports an instruction of {length} bytes");
        require!(self.unchanged, "{what}: ended in {code}, but changed registers, condition code or storage");
        Ok(())
    }
}

/// Storage for an instruction to do with as it likes.
struct Scratch {
    words: Vec<u64>,
    last: u64,
}

impl Scratch {
    fn new(ap: &Ap, doublewords: usize) -> Self {
        Self { words: vec![PATTERN; doublewords], last: last_word(ap) }
    }

    fn address(&mut self, ap: &Ap, at: At) -> u64 {
        match at {
            At::Scratch(offset) => (self.words.as_mut_ptr().expose_provenance() + offset) as u64,
            At::BeyondStorage => ap.storage_end(),
            At::AcrossItsEnd => ap.storage_end() - 8,
        }
    }

    fn is_intact(&self, ap: &Ap) -> bool {
        self.words.iter().all(|word| *word == PATTERN) && last_word(ap) == self.last
    }
}

/// The last doubleword of main storage.
fn last_word(ap: &Ap) -> u64 {
    // SAFETY: it exists, and any value is valid.
    unsafe { core::ptr::with_exposed_provenance::<u64>((ap.storage_end() - 8) as usize).read_volatile() }
}

fn execute<T>(state: State, body: impl FnOnce() -> T) -> (T, Option<ProgramInterruption>) {
    match state {
        State::Supervisor => catch_exception(body),
        State::Problem => catch_exception(|| in_problem_state(body)),
    }
}

fn attempt(interruption: Option<ProgramInterruption>, unchanged: bool, cc: u8, gr1: u64) -> Attempt {
    let unchanged = unchanged && cc == asm::POISON_CC;
    Attempt { interruption, unchanged, cc: ConditionCode::from_bits(cc), status: QueueStatus::from_gr1(gr1) }
}

impl Ap {
    /// PQAP with this in GR0 and an operand address in GR2, whether or not the function has one.
    pub(crate) fn attempt_pqap(&self, state: State, gr0: Gr0, at: At) -> Attempt {
        let mut scratch = Scratch::new(self, SCRATCH);
        let (gr1, gr2) = (asm::POISON_REGISTER, scratch.address(self, at));
        // SAFETY: the operand is storage set aside, or none at all.
        let (raw, interruption) = execute(state, || unsafe { asm::pqap(gr0.0, gr1, gr2) });
        log::pqap(gr0, gr1, gr2, interruption.as_ref().map_or(Ok(&raw), Err));
        let unchanged = (raw.gr0, raw.gr1, raw.gr2) == (gr0.0, gr1, gr2) && scratch.is_intact(self);
        attempt(interruption, unchanged, raw.cc, raw.gr1)
    }

    /// NQAP with this in GR0, of a message of `length` bytes.
    pub(crate) fn attempt_nqap(&self, state: State, gr0: Gr0, registers: Registers, at: At, length: u64) -> Attempt {
        const PSMID: u64 = PATTERN;
        let mut scratch = Scratch::new(self, SCRATCH);
        let message = (scratch.address(self, at), length);
        // SAFETY: what is read is storage set aside, or none at all.
        let (raw, interruption) = execute(state, || unsafe {
            match registers {
                Registers::BothEven => asm::nqap::<4, 6>(gr0.0, PSMID, message),
                Registers::FirstOdd => asm::nqap::<5, 6>(gr0.0, PSMID, message),
                Registers::SecondOdd => asm::nqap::<4, 7>(gr0.0, PSMID, message),
                Registers::BothOdd => asm::nqap::<5, 7>(gr0.0, PSMID, message),
            }
        });
        log::nqap(gr0, PSMID, length, interruption.as_ref().map_or(Ok(&raw), Err));
        let unchanged = raw.gr1 == asm::POISON_REGISTER && raw.message == message && scratch.is_intact(self);
        attempt(interruption, unchanged, raw.cc, raw.gr1)
    }

    /// DQAP with this in GR0, into a buffer of `length` bytes.
    pub(crate) fn attempt_dqap(&self, state: State, gr0: Gr0, registers: Registers, at: At, length: u64) -> Attempt {
        let mut scratch = Scratch::new(self, REPLY_SCRATCH);
        let buffer = (scratch.address(self, at), length);
        // SAFETY: what is stored into is storage set aside, longer than any reply, or none at all.
        let (raw, interruption) = execute(state, || unsafe {
            match registers {
                Registers::BothEven => asm::dqap::<4, 6>(gr0.0, 0, buffer),
                Registers::FirstOdd => asm::dqap::<5, 6>(gr0.0, 0, buffer),
                Registers::SecondOdd => asm::dqap::<4, 7>(gr0.0, 0, buffer),
                Registers::BothOdd => asm::dqap::<5, 7>(gr0.0, 0, buffer),
            }
        });
        log::dqap(gr0, length, interruption.as_ref().map_or(Ok(&raw), Err));
        let poison = asm::POISON_REGISTER;
        let registers = (raw.gr0, raw.gr1, raw.gr2, raw.psmid) == (gr0.0, poison, 0, (poison, poison));
        attempt(interruption, registers && raw.buffer == buffer && scratch.is_intact(self), raw.cc, raw.gr1)
    }
}
