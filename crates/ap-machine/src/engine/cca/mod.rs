// SPDX-License-Identifier: MIT OR Apache-2.0
//! A CCA coprocessor: random numbers (RL), queries (FQ), RSA with clear keys (PK, PD). AP reference 7.7 to 7.10.
//!
//! A well-formed request for anything else ends with return code 8 and reason 66, a malformed one with an error reply.
//! Both are codes that Linux takes as the request's fault, not the card's.

use ap_arch::message::ErrorCode;
use ap_arch::message::cca::Parameters;
use ap_arch::message::cprbx::{CprbFunction, Cprbx};
use ap_arch::message::type6::Type6Header;

use super::cprb::Frame;
use super::fq;
use super::request::{Reply, Request};
use super::rsa::{self, Refusal};
use super::time::Work;
use key::RsaKey;

mod key;

/// CCA return and reason code of a request that was understood and refused.
type Reason = (u16, u16);

/// Not a function, keyword or administrative request that this card knows.
const UNSUPPORTED: Reason = (8, 66);
/// The key token is malformed.
const BAD_KEY: Reason = (8, 65);
/// A length is not possible.
const BAD_LENGTH: Reason = (8, 72);
/// The number to raise is not below the modulus.
const TOO_LARGE: Reason = (8, 770);
/// The modulus, or a prime, is not odd.
const BAD_MODULUS: Reason = (12, 769);

/// An empty block: its length, which counts itself.
const EMPTY: [u8; 2] = [0, 2];

/// What a request comes to: parameter block and data block of the reply.
struct Answer {
    parameters: Vec<u8>,
    data: Vec<u8>,
    work: Work,
}

pub(super) fn process(request: &Request<'_>) -> Result<Reply, ErrorCode> {
    let frame = Frame::parse(request.message, Type6Header::AGENT_CCA)?;
    let (cprbx, rest) = frame.block.split_first_chunk().ok_or(ErrorCode::MALFORMED_MESSAGE)?;
    let cprbx = Cprbx::from_bytes(cprbx);
    if usize::from(cprbx.cprb_len) != Cprbx::SIZE || cprbx.version != Cprbx::VERSION {
        return Err(ErrorCode::MALFORMED_MESSAGE);
    }
    let block = rest.get(..cprbx.req_parml as usize).ok_or(ErrorCode::MALFORMED_MESSAGE)?;
    let function = *block.first_chunk::<2>().ok_or(ErrorCode::MALFORMED_MESSAGE)?;
    if function != frame.header.function_code {
        return Err(ErrorCode::MALFORMED_MESSAGE);
    }
    if request.special && !matches!(&function, b"US" | b"AU") {
        return Err(ErrorCode::INVALID_SPECIAL_COMMAND);
    }
    let answer = if cprbx.func_id == CprbFunction::T2.0 {
        let parameters = Parameters::parse(block).map_err(|_| ErrorCode::MALFORMED_MESSAGE)?;
        perform(request, &frame, &cprbx, &parameters)?
    } else {
        Err(UNSUPPORTED)
    };
    let (answer, (return_code, reason_code)) = match answer {
        Ok(answer) => (answer, (0, 0)),
        Err(reason) => {
            let parameters = [&function[..], &EMPTY, &EMPTY, &EMPTY].concat();
            (Answer { parameters, data: Vec::new(), work: Work::Query }, reason)
        }
    };
    let head = Cprbx {
        func_id: cprbx.func_id,
        rpld_parml: answer.parameters.len() as u32,
        rpld_datal: answer.data.len() as u32,
        return_code,
        reason_code,
        ..Cprbx::usage(cprbx.domain)
    };
    let block = [&head.to_bytes()[..], &answer.parameters].concat();
    let bytes = frame.reply(&block, &answer.data, request.card.info.max_message_len())?;
    Ok(Reply { bytes, work: answer.work })
}

/// The outer error is an error reply, the inner one a reply with a return code.
fn perform(
    request: &Request<'_>,
    frame: &Frame<'_>,
    cprbx: &Cprbx,
    parameters: &Parameters<'_>,
) -> Result<Result<Answer, Reason>, ErrorCode> {
    let rule = parameters.rule();
    Ok(match &parameters.function {
        b"RL" if rule == Some(*b"RANDOM  ") => random(request, frame, cprbx)?,
        b"FQ" => fq::query(rule, &request.card.serial, request.apqn.apqi, request.key_changes)
            .map(|block| {
                let parameters = [&b"FQ"[..], &block].concat();
                Answer { parameters, data: Vec::new(), work: Work::Query }
            })
            .ok_or(UNSUPPORTED),
        b"PK" if rule == Some(*b"MRP     ") => raise(parameters, RsaKey::public(parameters.key)),
        b"PD" if rule == Some(*b"ZERO-PAD") => raise(parameters, RsaKey::private(parameters.key)),
        _ => Err(UNSUPPORTED),
    })
}

/// AP reference 7.8.
fn random(request: &Request<'_>, frame: &Frame<'_>, cprbx: &Cprbx) -> Result<Result<Answer, Reason>, ErrorCode> {
    // Type 86 header, CPRBX and the shortest parameter block, then the data.
    const OVERHEAD: usize = 276;
    let wanted = cprbx.rpl_datal.min(frame.header.from_card[1]) as usize;
    if wanted == 0 || wanted > request.card.info.max_message_len() - OVERHEAD {
        return Ok(Err(BAD_LENGTH));
    }
    let data = request.random.bytes(wanted).ok_or(ErrorCode::MACHINE_FAILURE)?;
    let parameters = [&b"RL"[..], &EMPTY, &EMPTY, &EMPTY].concat();
    Ok(Ok(Answer { parameters, data, work: Work::Random(wanted) }))
}

/// RSA on a clear key; the result is as long as the modulus. AP reference 7.10.
fn raise(parameters: &Parameters<'_>, key: Option<RsaKey<'_>>) -> Result<Answer, Reason> {
    const MAX_WIDTH: usize = 512;
    let key = key.ok_or(BAD_KEY)?;
    let (width, crt, result) = match &key {
        RsaKey::Public { modulus, exponent } => (modulus.len(), false, rsa::mod_exp(modulus, exponent, parameters.vud)),
        RsaKey::Private { parts, width } => (*width, true, rsa::crt(parts, parameters.vud)),
    };
    let result = result.map_err(|refusal| match refusal {
        Refusal::EvenModulus => BAD_MODULUS,
        Refusal::InputTooLarge => TOO_LARGE,
        Refusal::Key => BAD_KEY,
    })?;
    let padding = width.checked_sub(result.len()).filter(|_| width <= MAX_WIDTH).ok_or(BAD_LENGTH)?;
    let length = (width + 2) as u16;
    let parameters =
        [&parameters.function[..], &EMPTY, &length.to_be_bytes(), &vec![0; padding], &result, &EMPTY].concat();
    Ok(Answer { parameters, data: Vec::new(), work: Work::Rsa { width, crt } })
}
