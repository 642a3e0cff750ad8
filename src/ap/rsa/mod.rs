// SPDX-License-Identifier: MIT OR Apache-2.0
//! RSA with clear keys, on an accelerator or a CCA coprocessor: requests with answers that were computed elsewhere. AP
//! reference 7.2 and 7.10.

mod known;
mod token;

use crate::ap::exchange::{self, Failure};
use crate::ap::instructions::{Answer, Ap};
use crate::ap::queue::Queue;
use crate::machine::progress;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use ap_arch::message::cprbx::Cprbx;
use ap_arch::message::type50::CrtKey;
use ap_arch::message::{Reply, parse_reply, type50};
use ap_arch::{Apqn, CardMode, HwInfo, ResponseCode};
use known::Key;

/// Bytes of the longest request, CRT with 4096 bits on a CCA coprocessor, with some room.
const REQUEST_ROOM: usize = 4096;
/// 65537.
const PUBLIC_EXPONENT: &[u8] = &[1, 0, 1];

/// How many bits the modulus has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bits {
    B1024,
    B2048,
    B4096,
}

/// How the key is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// The message to the power of 65537.
    Public,
    /// The cipher to the power of the private exponent, as long as the modulus.
    Private,
    /// The same by the Chinese remainder theorem.
    Crt,
}

/// One exponentiation with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vector {
    pub(crate) bits: Bits,
    pub(crate) operation: Operation,
}

impl Vector {
    /// The fastest one.
    pub(crate) const PUBLIC: Self = Self { bits: Bits::B1024, operation: Operation::Public };
    /// 1024 bits of exponent.
    pub(crate) const PRIVATE: Self = Self { bits: Bits::B1024, operation: Operation::Private };

    fn key(self) -> &'static Key {
        match self.bits {
            Bits::B1024 => &known::BITS_1024,
            Bits::B2048 => &known::BITS_2048,
            Bits::B4096 => &known::BITS_4096,
        }
    }

    fn input(self) -> &'static [u8] {
        if self.operation == Operation::Public { self.key().plain } else { self.key().cipher }
    }

    fn answer(self) -> &'static [u8] {
        if self.operation == Operation::Public { self.key().cipher } else { self.key().plain }
    }

    /// Whether a card of this mode with this information computes it: an accelerator has a bit for 4096 bits in each
    /// form, and needs both.
    pub(crate) fn is_for(self, mode: CardMode, info: HwInfo) -> bool {
        let wide = info.has(HwInfo::MEX4K) && info.has(HwInfo::CRT4K);
        match mode {
            CardMode::Accelerator => self.bits != Bits::B4096 || wide,
            CardMode::Cca => true,
            CardMode::Ep11 => false,
        }
    }
}

/// Those of the queues that are operational and belong to an accelerator.
pub(crate) fn accelerators(queues: &[(Apqn, Answer)]) -> Vec<Apqn> {
    let usable = |answer: &Answer| {
        answer.status.response() == ResponseCode::NORMAL && answer.info.mode() == Some(CardMode::Accelerator)
    };
    queues.iter().filter(|(_, answer)| usable(answer)).map(|(apqn, _)| *apqn).collect()
}

/// The request to an accelerator to compute the vector.
pub(crate) fn request(vector: Vector) -> Vec<u8> {
    accelerator_request(vector, vector.key().modulus, vector.input())
}

/// The same with another modulus or another number to raise, to see it refused.
pub(crate) fn accelerator_request(vector: Vector, modulus: &[u8], input: &[u8]) -> Vec<u8> {
    let mut message = vec![0; REQUEST_ROOM];
    let key = vector.key();
    let length = match vector.operation {
        Operation::Public => type50::mex(&mut message, modulus, PUBLIC_EXPONENT, input),
        Operation::Private => type50::mex(&mut message, modulus, key.private_exponent, input),
        Operation::Crt => type50::crt(&mut message, &crt_key(key), input),
    };
    // No operand is longer than the formats allow, and the buffer is as long as any of them.
    message.truncate(length.unwrap_or(0));
    message
}

/// The modulus of the key that the vector uses.
pub(crate) fn modulus(vector: Vector) -> &'static [u8] {
    vector.key().modulus
}

/// The request to the queue's card to compute the vector; `None` if it does no RSA.
pub(crate) fn request_to(queue: &Queue, vector: Vector) -> Option<Vec<u8>> {
    let (key, domain) = (vector.key(), queue.apqn.apqi.0.into());
    match (queue.mode, vector.operation) {
        (CardMode::Accelerator, _) => Some(request(vector)),
        (CardMode::Cca, Operation::Public) => Some(token::pk(domain, key.modulus, PUBLIC_EXPONENT, vector.input())),
        (CardMode::Cca, Operation::Private) => {
            Some(token::pk(domain, key.modulus, key.private_exponent, vector.input()))
        }
        (CardMode::Cca, Operation::Crt) => Some(token::pd(domain, &crt_key(key), key.modulus.len(), vector.input())),
        (CardMode::Ep11, _) => None,
    }
}

fn crt_key(key: &Key) -> CrtKey<'static> {
    CrtKey { p: key.p, q: key.q, dp: key.dp, dq: key.dq, u: key.u }
}

/// Whether this is the right reply to the request; if not, what it is.
pub(crate) fn judge(vector: Vector, reply: &[u8]) -> Result<(), String> {
    match parse_reply(reply) {
        Ok(Reply::Rsa(result)) if right_justified(result, vector.answer()) => Ok(()),
        Ok(Reply::Rsa(_)) => Err("wrong result".into()),
        Ok(Reply::Coprocessor(header)) if header.reply_code == 0 => {
            let block = header.block(reply, 0).ok_or("the reply's first block reaches beyond its end")?;
            judge_cprb(vector, block)
        }
        Ok(other) => Err(exchange::unexpected(&other)),
        Err(error) => Err(format!("malformed reply: {error}")),
    }
}

/// The CPRBX, two letters, an empty rule array, and the result with its length. AP reference 7.10.
fn judge_cprb(vector: Vector, block: &[u8]) -> Result<(), String> {
    const SHORT: &str = "the reply is too short";
    let (cprbx, parameters) = block.split_first_chunk().ok_or(SHORT)?;
    let Cprbx { return_code, reason_code, .. } = Cprbx::from_bytes(cprbx);
    if return_code != 0 {
        return Err(format!("return code {return_code}, reason {reason_code}"));
    }
    let (length, rest) = parameters.get(4..).and_then(<[u8]>::split_first_chunk).ok_or(SHORT)?;
    let length = usize::from(u16::from_be_bytes(*length)).saturating_sub(2);
    let result = rest.get(..length).ok_or(SHORT)?;
    if right_justified(result, vector.answer()) { Ok(()) } else { Err("wrong result".into()) }
}

/// Has the queue of an accelerator compute the vector, and counts a right answer as progress.
pub(crate) fn compute(ap: &Ap, apqn: Apqn, vector: Vector) -> Result<(), Failure> {
    exchange_and_judge(ap, apqn, &request(vector), vector)
}

/// Has the queue compute the vector, which is for its card.
pub(crate) fn compute_on(ap: &Ap, queue: &Queue, vector: Vector) -> Result<(), Failure> {
    let request =
        request_to(queue, vector).ok_or_else(|| Failure::Wrong(format!("{}: the card does no RSA", queue.apqn)))?;
    exchange_and_judge(ap, queue.apqn, &request, vector)
}

fn exchange_and_judge(ap: &Ap, apqn: Apqn, request: &[u8], vector: Vector) -> Result<(), Failure> {
    let psmid = exchange::next_psmid();
    exchange::send(ap, apqn, psmid, request)?;
    let mut buffer = [0; 2048];
    let reply = exchange::receive(ap, apqn, psmid, &mut buffer)?;
    judge(vector, reply).map_err(|reason| Failure::Wrong(format!("{apqn}: {reason}")))?;
    progress::step();
    Ok(())
}

fn right_justified(result: &[u8], answer: &[u8]) -> bool {
    result.strip_suffix(answer).is_some_and(|padding| padding.iter().all(|byte| *byte == 0))
}
