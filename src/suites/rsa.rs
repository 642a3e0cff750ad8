// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clear-key RSA: known answers in every length and form that a card's mode has, and what a card refuses. AP reference
//! 6, 7.2 and 7.10.

use crate::ap::exchange;
use crate::ap::guest::Guest;
use crate::ap::instructions::Ap;
use crate::ap::queue::Queue;
use crate::ap::rsa::{self, Bits, Operation, Vector};
use crate::case::outcome::{Outcome, failed, require, skipped};
use crate::case::suite::cases;
use alloc::vec::Vec;
use ap_arch::CardMode;
use ap_arch::message::{ErrorCode, Reply, parse_reply};

cases!("rsa" for Guest:
    /// Modular exponentiation of 1024 bits with an exponent of 1024 bits, on every accelerator queue. AP reference 7.2,
    /// MEB1.
    mex_1024: |guest| computes(guest, CardMode::Accelerator, Vector::PRIVATE, true),
    /// The same with the exponent 65537. AP reference 7.2, MEB1.
    mex_1024_public: |guest| computes(guest, CardMode::Accelerator, Vector::PUBLIC, true),
    /// 2048 bits with an exponent of 2048 bits. AP reference 7.2, MEB2.
    mex_2048: |guest| computes(guest, CardMode::Accelerator, vector(Bits::B2048, Operation::Private), false),
    /// 2048 bits with the exponent 65537. AP reference 7.2, MEB2.
    mex_2048_public: |guest| computes(guest, CardMode::Accelerator, vector(Bits::B2048, Operation::Public), false),
    mex_4096_public,
    /// By the Chinese remainder theorem, 1024 bits. AP reference 7.2, CRB1.
    crt_1024: |guest| computes(guest, CardMode::Accelerator, vector(Bits::B1024, Operation::Crt), true),
    /// By the Chinese remainder theorem, 2048 bits. AP reference 7.2, CRB2.
    crt_2048: |guest| computes(guest, CardMode::Accelerator, vector(Bits::B2048, Operation::Crt), false),
    /// By the Chinese remainder theorem, 4096 bits. AP reference 7.2, CRB3.
    crt_4096: |guest| computes(guest, CardMode::Accelerator, vector(Bits::B4096, Operation::Crt), false),
    /// The verb PK of a CCA coprocessor, 1024 bits. AP reference 7.10.
    pk_1024: |guest| computes(guest, CardMode::Cca, Vector::PUBLIC, true),
    /// PK with 2048 bits. AP reference 7.10.
    pk_2048: |guest| computes(guest, CardMode::Cca, vector(Bits::B2048, Operation::Public), false),
    /// PK with 4096 bits. AP reference 7.10.
    pk_4096: |guest| computes(guest, CardMode::Cca, vector(Bits::B4096, Operation::Public), false),
    /// The verb PD of a CCA coprocessor, a private key in CRT form, 1024 bits. AP reference 7.10.
    pd_1024: |guest| computes(guest, CardMode::Cca, vector(Bits::B1024, Operation::Crt), false),
    /// PD with 2048 bits. AP reference 7.10.
    pd_2048: |guest| computes(guest, CardMode::Cca, vector(Bits::B2048, Operation::Crt), false),
    /// PD with 4096 bits. AP reference 7.10.
    pd_4096: |guest| computes(guest, CardMode::Cca, vector(Bits::B4096, Operation::Crt), false),
    even_modulus_refused,
    number_not_below_the_modulus_refused,
    length_in_the_message_wrong_refused,
    unknown_format_refused,
);

fn computes(guest: &Guest, mode: CardMode, vector: Vector, each: bool) -> Outcome {
    let ap = guest.ap()?;
    let mut able = if each { guest.queues_of(mode)? } else { guest.one_queue_a_card_of(mode)? };
    able.retain(|queue| vector.is_for(mode, queue.info));
    if able.is_empty() {
        return Err(skipped!("no card has the facility"));
    }
    able.iter().try_for_each(|queue| Ok(rsa::compute_on(&ap, queue, vector)?))
}

const fn vector(bits: Bits, operation: Operation) -> Vector {
    Vector { bits, operation }
}

/// 4096 bits with the exponent 65537, if the card has the facilities for both 4096-bit forms. AP reference 7.2, MEB3.
fn mex_4096_public(guest: &Guest) -> Outcome {
    computes(guest, CardMode::Accelerator, vector(Bits::B4096, Operation::Public), false)
}

/// The error reply that one accelerator of each card gives to a message.
fn refusal(guest: &Guest, message: &[u8], expected: &[ErrorCode]) -> Outcome {
    let ap = guest.ap()?;
    guest
        .one_queue_a_card_of(CardMode::Accelerator)?
        .iter()
        .try_for_each(|queue| refused(&ap, queue, message, expected))
}

/// The queue answers the message with an error reply of one of these codes.
pub(super) fn refused(ap: &Ap, queue: &Queue, message: &[u8], expected: &[ErrorCode]) -> Outcome {
    let apqn = queue.apqn;
    match parse_reply(&exchange::ask(ap, apqn, message)?) {
        Ok(Reply::Error(error)) => {
            require!(expected.contains(&error.code), "{apqn}: error reply with code {}", error.code);
            Ok(())
        }
        Ok(other) => Err(failed!("{apqn}: {} instead of an error reply", exchange::unexpected(&other))),
        Err(error) => Err(failed!("{apqn}: malformed reply: {error}")),
    }
}

/// An even modulus is an error reply with its code. AP reference 7.4.
fn even_modulus_refused(guest: &Guest) -> Outcome {
    let mut modulus = Vec::from(rsa::modulus(Vector::PUBLIC));
    if let Some(last) = modulus.last_mut() {
        *last &= !1;
    }
    refusal(guest, &rsa::accelerator_request(Vector::PUBLIC, &modulus, &[2]), &[ErrorCode::EVEN_MODULUS])
}

/// A number to raise that is the modulus itself is an error reply. AP reference 7.4 and 8.5.
fn number_not_below_the_modulus_refused(guest: &Guest) -> Outcome {
    let modulus = rsa::modulus(Vector::PUBLIC);
    let codes = [ErrorCode::OPERAND_INVALID, ErrorCode::OPERAND_SIZE];
    refusal(guest, &rsa::accelerator_request(Vector::PUBLIC, modulus, modulus), &codes)
}

/// A length field that is not the message's length is an error reply, no exception. AP reference 6.1.
fn length_in_the_message_wrong_refused(guest: &Guest) -> Outcome {
    let mut message = rsa::request(Vector::PUBLIC);
    message[3] ^= 1;
    let codes = [ErrorCode::INVALID_MESSAGE_LENGTH, ErrorCode::MESSAGE_LENGTH, ErrorCode::PACKET_TRUNCATED];
    refusal(guest, &message, &codes)
}

/// A keyblock type that does not exist is an error reply. AP reference 7.2 and 7.4.
fn unknown_format_refused(guest: &Guest) -> Outcome {
    let mut message = rsa::request(Vector::PUBLIC);
    message[9] = 0x77;
    let codes = [ErrorCode::FORMAT_FIELD, ErrorCode::MALFORMED_MESSAGE, ErrorCode::INVALID_MESSAGE_LENGTH];
    refusal(guest, &message, &codes)
}
