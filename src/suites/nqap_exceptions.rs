// SPDX-License-Identifier: MIT OR Apache-2.0
//! What NQAP refuses with a program interruption, and that a refused instruction changes nothing and leaves nothing in
//! the queue. AP reference 1.2 and 1.3.

use super::message_exceptions::Instruction;
use crate::ap::attempt::{At, Registers, State};
use crate::ap::guest::Guest;
use crate::ap::instructions::Ap;
use crate::case::outcome::{Outcome, require};
use crate::case::suite::cases;
use ap_arch::{Apqn, Gr0, ProgramCode, QueueStatus, ResponseCode};

cases!("nqap-exceptions" for Guest:
    odd_identifier_register,
    odd_message_register,
    both_registers_odd,
    bit_32,
    bit_34,
    bit_35,
    bit_40,
    length_0,
    length_with_high_bits,
    length_above_the_maximum,
    message_beyond_storage,
    message_across_the_end_of_storage,
);

const NQAP: Instruction = Instruction { gr0: Gr0::nqap(Apqn::new(0, 0)), length: 256, attempt: Ap::attempt_nqap };

/// The pair with the message identifier begins with an odd register.
fn odd_identifier_register(guest: &Guest) -> Outcome {
    NQAP.registers_refused(guest, Registers::FirstOdd)
}

/// The pair with address and length begins with an odd register.
fn odd_message_register(guest: &Guest) -> Outcome {
    NQAP.registers_refused(guest, Registers::SecondOdd)
}

/// Both pairs begin with an odd register.
fn both_registers_odd(guest: &Guest) -> Outcome {
    NQAP.registers_refused(guest, Registers::BothOdd)
}

/// Bit 32 of GR0 must be zero.
fn bit_32(guest: &Guest) -> Outcome {
    NQAP.bit_refused(guest, 32)
}

/// Bit 34 of GR0 must be zero.
fn bit_34(guest: &Guest) -> Outcome {
    NQAP.bit_refused(guest, 34)
}

/// Bit 35 of GR0 must be zero.
fn bit_35(guest: &Guest) -> Outcome {
    NQAP.bit_refused(guest, 35)
}

/// Bit 40 of GR0 must be zero.
fn bit_40(guest: &Guest) -> Outcome {
    NQAP.bit_refused(guest, 40)
}

/// A message has at least one byte; that comes before the queue is looked at.
fn length_0(guest: &Guest) -> Outcome {
    NQAP.length_refused(guest, 0)
}

/// All 64 bits of the length count: each of the bits 0-47 alone makes it too long.
fn length_with_high_bits(guest: &Guest) -> Outcome {
    NQAP.high_bits_refused(guest)
}

/// A message longer than the queue's maximum is not taken. Whether by a specification exception or by response code 15
/// is not certain.
fn length_above_the_maximum(guest: &Guest) -> Outcome {
    let ap = guest.ap()?;
    for (apqn, answer) in guest.queues()? {
        let length = answer.info.max_message_len() as u64 + 1;
        let (gr0, registers) = (Gr0::nqap(apqn), Registers::BothEven);
        let attempt = ap.attempt_nqap(State::Supervisor, gr0, registers, At::Scratch(0), length);
        match attempt.code() {
            Some(_) => attempt.require(format_args!("{apqn}, {length} bytes"), ProgramCode::SPECIFICATION)?,
            None => {
                let status = attempt.status();
                require!(status.response() == ResponseCode::MESSAGE_TOO_BIG, "{apqn}, {length} bytes: {status}");
            }
        }
    }
    Ok(())
}

fn unreadable(guest: &Guest, at: At) -> Outcome {
    let ap = guest.ap()?;
    for (apqn, _) in guest.configured_queues()? {
        let attempt = ap.attempt_nqap(State::Supervisor, Gr0::nqap(apqn), Registers::BothEven, at, NQAP.length);
        attempt.require(format_args!("{apqn}"), ProgramCode::ADDRESSING)?;
        let status = ap.tapq(apqn).status;
        require!(
            status.has(QueueStatus::EMPTY),
            "{apqn} took a message although the instruction ended in an exception: {status}"
        );
    }
    Ok(())
}

/// A message that is nowhere is an addressing exception.
fn message_beyond_storage(guest: &Guest) -> Outcome {
    unreadable(guest, At::BeyondStorage)
}

/// So is one of which only the beginning is somewhere.
fn message_across_the_end_of_storage(guest: &Guest) -> Outcome {
    unreadable(guest, At::AcrossItsEnd)
}
