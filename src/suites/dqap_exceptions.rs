// SPDX-License-Identifier: MIT OR Apache-2.0
//! What DQAP refuses with a program interruption, and that a refused instruction changes nothing and takes nothing out
//! of the queue. AP reference 1.2 and 1.3.

use crate::ap::attempt::{At, Registers, State};
use crate::ap::guest::Guest;
use crate::ap::request::Request;
use crate::case::outcome::Outcome;
use crate::case::suite::cases;
use ap_arch::{Apqn, Gr0, ProgramCode};
use core::fmt::Arguments;

cases!("dqap-exceptions" for Guest:
    odd_identifier_register,
    odd_buffer_register,
    both_registers_odd,
    bit_33,
    bit_34,
    bit_35,
    bit_40,
    bit_41,
    length_0,
    length_with_high_bits,
    buffer_beyond_storage,
    buffer_across_the_end_of_storage,
);

const SPECIFICATION: ProgramCode = ProgramCode::SPECIFICATION;
/// Bytes of a buffer that is not too long.
const LENGTH: u64 = 4096;

fn refused(guest: &Guest, what: Arguments<'_>, gr0: Gr0, registers: Registers, length: u64) -> Outcome {
    let attempt = guest.ap()?.attempt_dqap(State::Supervisor, gr0, registers, At::Scratch(0), length);
    attempt.require(what, SPECIFICATION)
}

fn registers_refused(guest: &Guest, registers: Registers) -> Outcome {
    refused(guest, format_args!("odd register"), Gr0::dqap(Apqn::default()), registers, LENGTH)
}

/// The pair for the message identifier begins with an odd register.
fn odd_identifier_register(guest: &Guest) -> Outcome {
    registers_refused(guest, Registers::FirstOdd)
}

/// The pair with address and length begins with an odd register.
fn odd_buffer_register(guest: &Guest) -> Outcome {
    registers_refused(guest, Registers::SecondOdd)
}

/// Both pairs begin with an odd register.
fn both_registers_odd(guest: &Guest) -> Outcome {
    registers_refused(guest, Registers::BothOdd)
}

fn bit_refused(guest: &Guest, bit: u32) -> Outcome {
    let gr0 = Gr0::dqap(Apqn::default()).with(1 << (63 - bit));
    refused(guest, format_args!("GR0 {gr0:?}"), gr0, Registers::BothEven, LENGTH)
}

/// Bit 33 of GR0 must be zero.
fn bit_33(guest: &Guest) -> Outcome {
    bit_refused(guest, 33)
}

/// Bit 34 of GR0 must be zero.
fn bit_34(guest: &Guest) -> Outcome {
    bit_refused(guest, 34)
}

/// Bit 35 of GR0 must be zero.
fn bit_35(guest: &Guest) -> Outcome {
    bit_refused(guest, 35)
}

/// Bit 40 of GR0 must be zero.
fn bit_40(guest: &Guest) -> Outcome {
    bit_refused(guest, 40)
}

/// Bit 41 of GR0 must be zero.
fn bit_41(guest: &Guest) -> Outcome {
    bit_refused(guest, 41)
}

/// A buffer has at least one byte; that comes before the queue is looked at.
fn length_0(guest: &Guest) -> Outcome {
    refused(guest, format_args!("length 0"), Gr0::dqap(Apqn::default()), Registers::BothEven, 0)
}

/// All 64 bits of the length count: each of the bits 0-47 alone makes it too long.
fn length_with_high_bits(guest: &Guest) -> Outcome {
    (16..64).try_for_each(|bit| {
        let length = LENGTH | 1 << bit;
        refused(guest, format_args!("length {length:#x}"), Gr0::dqap(Apqn::default()), Registers::BothEven, length)
    })
}

/// A reply that cannot be stored stays in the queue, and is delivered to a buffer that exists.
fn unstorable(guest: &Guest, at: At) -> Outcome {
    let ap = guest.ap()?;
    for queue in guest.one_queue_a_card()? {
        let request = Request::send(&ap, &queue)?;
        request.wait_for_reply()?;
        let gr0 = Gr0::dqap(queue.apqn);
        let attempt = ap.attempt_dqap(State::Supervisor, gr0, Registers::BothEven, at, LENGTH);
        let outcome = attempt.require(format_args!("{}", queue.apqn), ProgramCode::ADDRESSING);
        request.fetch()?;
        outcome?;
    }
    Ok(())
}

/// A buffer that is nowhere is an addressing exception.
fn buffer_beyond_storage(guest: &Guest) -> Outcome {
    unstorable(guest, At::BeyondStorage)
}

/// So is one of which only the beginning is somewhere.
fn buffer_across_the_end_of_storage(guest: &Guest) -> Outcome {
    unstorable(guest, At::AcrossItsEnd)
}
