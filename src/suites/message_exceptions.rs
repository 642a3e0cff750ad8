// SPDX-License-Identifier: MIT OR Apache-2.0
//! What NQAP and DQAP refuse alike: odd registers, bits of GR0 that must be zero, lengths. AP reference 1.3.

use crate::ap::attempt::{At, Attempt, Registers, State};
use crate::ap::guest::Guest;
use crate::ap::instructions::Ap;
use crate::case::outcome::Outcome;
use ap_arch::{Gr0, ProgramCode};
use core::fmt::Arguments;

/// One of the two instructions.
pub(super) struct Instruction {
    /// GR0 without any bit that is refused.
    pub(super) gr0: Gr0,
    /// Bytes of an operand that is not too long.
    pub(super) length: u64,
    /// Executes it.
    pub(super) attempt: fn(&Ap, State, Gr0, Registers, At, u64) -> Attempt,
}

impl Instruction {
    fn refused(&self, guest: &Guest, what: Arguments<'_>, gr0: Gr0, registers: Registers, length: u64) -> Outcome {
        let attempt = (self.attempt)(&guest.ap()?, State::Supervisor, gr0, registers, At::Scratch(0), length);
        attempt.require(what, ProgramCode::SPECIFICATION)
    }

    /// These registers are refused.
    pub(super) fn registers_refused(&self, guest: &Guest, registers: Registers) -> Outcome {
        self.refused(guest, format_args!("odd register"), self.gr0, registers, self.length)
    }

    /// This bit of GR0 is refused.
    pub(super) fn bit_refused(&self, guest: &Guest, bit: u32) -> Outcome {
        let gr0 = self.gr0.with(1 << (63 - bit));
        self.refused(guest, format_args!("GR0 {gr0:?}"), gr0, Registers::BothEven, self.length)
    }

    /// This length is refused.
    pub(super) fn length_refused(&self, guest: &Guest, length: u64) -> Outcome {
        self.refused(guest, format_args!("length {length:#x}"), self.gr0, Registers::BothEven, length)
    }

    /// Each of the bits 0-47 of the length is refused.
    pub(super) fn high_bits_refused(&self, guest: &Guest) -> Outcome {
        (16..64).try_for_each(|bit| self.length_refused(guest, self.length | 1 << bit))
    }
}
