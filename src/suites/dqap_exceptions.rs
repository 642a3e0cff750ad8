// SPDX-License-Identifier: MIT OR Apache-2.0
//! What DQAP refuses with a program interruption, and that a refused instruction changes nothing and takes nothing out
//! of the queue. AP reference 1.2 and 1.3.

use super::message_exceptions::Instruction;
use crate::ap::attempt::{At, Registers, State};
use crate::ap::guest::Guest;
use crate::ap::instructions::Ap;
use crate::ap::request::Request;
use crate::case::outcome::Outcome;
use crate::case::suite::cases;
use ap_arch::{Apqn, Gr0, ProgramCode};

cases!("dqap-exceptions" for Guest:
    /// The pair for the message identifier begins with an odd register.
    odd_identifier_register: |guest| DQAP.registers_refused(guest, Registers::FirstOdd),
    /// The pair with address and length begins with an odd register.
    odd_buffer_register: |guest| DQAP.registers_refused(guest, Registers::SecondOdd),
    /// Both pairs begin with an odd register.
    both_registers_odd: |guest| DQAP.registers_refused(guest, Registers::BothOdd),
    /// Bit 33 of GR0 must be zero.
    bit_33: |guest| DQAP.bit_refused(guest, 33),
    /// Bit 34 of GR0 must be zero.
    bit_34: |guest| DQAP.bit_refused(guest, 34),
    /// Bit 35 of GR0 must be zero.
    bit_35: |guest| DQAP.bit_refused(guest, 35),
    /// Bit 40 of GR0 must be zero.
    bit_40: |guest| DQAP.bit_refused(guest, 40),
    /// Bit 41 of GR0 must be zero.
    bit_41: |guest| DQAP.bit_refused(guest, 41),
    /// A buffer has at least one byte; that comes before the queue is looked at.
    length_0: |guest| DQAP.length_refused(guest, 0),
    /// All 64 bits of the length count: each of the bits 0-47 alone makes it too long.
    length_with_high_bits: |guest| DQAP.high_bits_refused(guest),
    /// A buffer that is nowhere is an addressing exception.
    buffer_beyond_storage: |guest| unstorable(guest, At::BeyondStorage),
    /// So is one of which only the beginning is somewhere.
    buffer_across_the_end_of_storage: |guest| unstorable(guest, At::AcrossItsEnd),
);

const DQAP: Instruction = Instruction { gr0: Gr0::dqap(Apqn::new(0, 0)), length: 4096, attempt: Ap::attempt_dqap };

/// A reply that cannot be stored stays in the queue, and is delivered to a buffer that exists.
fn unstorable(guest: &Guest, at: At) -> Outcome {
    let ap = guest.ap()?;
    for queue in guest.one_queue_a_card()? {
        let request = Request::send(&ap, &queue)?;
        request.wait_for_reply()?;
        let gr0 = Gr0::dqap(queue.apqn);
        let attempt = ap.attempt_dqap(State::Supervisor, gr0, Registers::BothEven, at, DQAP.length);
        let outcome = attempt.require(format_args!("{}", queue.apqn), ProgramCode::ADDRESSING);
        request.fetch()?;
        outcome?;
    }
    Ok(())
}
