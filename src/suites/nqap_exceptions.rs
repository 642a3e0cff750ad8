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
    /// The pair with the message identifier begins with an odd register.
    odd_identifier_register: |guest| NQAP.registers_refused(guest, Registers::FirstOdd),
    /// The pair with address and length begins with an odd register.
    odd_message_register: |guest| NQAP.registers_refused(guest, Registers::SecondOdd),
    /// Both pairs begin with an odd register.
    both_registers_odd: |guest| NQAP.registers_refused(guest, Registers::BothOdd),
    /// Bit 32 of GR0 must be zero.
    bit_32: |guest| NQAP.bit_refused(guest, 32),
    /// Bit 34 of GR0 must be zero.
    bit_34: |guest| NQAP.bit_refused(guest, 34),
    /// Bit 35 of GR0 must be zero.
    bit_35: |guest| NQAP.bit_refused(guest, 35),
    /// Bit 40 of GR0 must be zero.
    bit_40: |guest| NQAP.bit_refused(guest, 40),
    /// A message has at least one byte; that comes before the queue is looked at.
    length_0: |guest| NQAP.length_refused(guest, 0),
    /// All 64 bits of the length count: each of the bits 0-47 alone makes it too long.
    length_with_high_bits: |guest| NQAP.high_bits_refused(guest),
    length_above_the_maximum,
    /// A message that is nowhere is an addressing exception.
    message_beyond_storage: |guest| unreadable(guest, At::BeyondStorage),
    /// So is one of which only the beginning is somewhere.
    message_across_the_end_of_storage: |guest| unreadable(guest, At::AcrossItsEnd),
);

const NQAP: Instruction = Instruction { gr0: Gr0::nqap(Apqn::new(0, 0)), length: 256, attempt: Ap::attempt_nqap };

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
