// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests to a CCA coprocessor and what comes back: header, CPRBX and parameter block put together. AP reference 7.5
//! to 7.10.

use crate::ap::exchange;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use ap_arch::message::cca::Parameters;
use ap_arch::message::cprbx::Cprbx;
use ap_arch::message::type6::Type6Header;
use ap_arch::message::{Reply, parse_reply};

/// Space for a reply's CPRBX and parameters, more than any request here asks for.
const REPLY_SPACE: u32 = 4332;

/// A request of these letters with one rule, verb-unique data and a key block; `data_space` bytes of data may come
/// back.
pub(crate) fn request(
    domain: u16,
    function: [u8; 2],
    rule: [u8; 8],
    vud: &[u8],
    key: &[u8],
    data_space: u32,
) -> Vec<u8> {
    let mut parameters = Vec::from(function);
    for block in [&rule[..], vud, key] {
        parameters.extend_from_slice(&(block.len() as u16 + 2).to_be_bytes());
        parameters.extend_from_slice(block);
    }
    let length = (Cprbx::SIZE + parameters.len()) as u32;
    let header = Type6Header {
        offset1: Type6Header::SIZE as u32,
        agent_id: Type6Header::AGENT_CCA,
        function_code: function,
        to_card: [length, 0, 0, 0],
        from_card: [REPLY_SPACE, data_space, 0, 0],
        ..Type6Header::default()
    };
    let req_parml = parameters.len() as u32;
    let cprbx = Cprbx { req_parml, rpl_msgbl: REPLY_SPACE, rpl_datal: data_space, ..Cprbx::usage(domain) };
    let mut message = Vec::from(header.to_bytes());
    message.extend_from_slice(&cprbx.to_bytes());
    message.extend_from_slice(&parameters);
    // Blocks are padded to words.
    message.resize(message.len().next_multiple_of(4), 0);
    message
}

/// A reply taken apart: return and reason code, parameters, and the data block.
pub(crate) struct Answered<'a> {
    pub(crate) codes: (u16, u16),
    pub(crate) parameters: Parameters<'a>,
    pub(crate) data: &'a [u8],
    /// Where the last of the blocks ends.
    pub(crate) end: usize,
}

/// Takes a type 86 reply apart. `Err` says what it is instead.
pub(crate) fn answered(reply: &[u8]) -> Result<Answered<'_>, String> {
    let header = match parse_reply(reply) {
        Ok(Reply::Coprocessor(header)) if header.reply_code == 0 => header,
        Ok(other) => return Err(exchange::unexpected(&other)),
        Err(error) => return Err(format!("malformed reply: {error}")),
    };
    let beyond = || String::from("a block reaches beyond the end of the reply");
    let (block, data) = (header.block(reply, 0).ok_or_else(beyond)?, header.block(reply, 1).ok_or_else(beyond)?);
    let (cprbx, rest) = block.split_first_chunk().ok_or_else(|| String::from("the reply has no CPRBX"))?;
    let cprbx = Cprbx::from_bytes(cprbx);
    if cprbx.version != Cprbx::VERSION {
        return Err(format!("the reply's CPRBX has version {}", cprbx.version));
    }
    let parameters = rest.get(..cprbx.rpld_parml as usize).ok_or_else(beyond)?;
    let parameters = Parameters::parse(parameters).map_err(|error| format!("malformed parameters: {error}"))?;
    let end = header.blocks.iter().map(|(count, offset)| (count + offset) as usize).max().unwrap_or(0);
    Ok(Answered { codes: (cprbx.return_code, cprbx.reason_code), parameters, data, end })
}
