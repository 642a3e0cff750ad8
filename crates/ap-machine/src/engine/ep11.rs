// SPDX-License-Identifier: MIT OR Apache-2.0
//! An EP11 coprocessor: information about module and domain. AP reference 7.11.

use ap_arch::message::ErrorCode;
use ap_arch::message::ep11::{self, Ep11Cprb, QueryType};
use ap_arch::message::type6::Type6Header;

use super::cprb::Frame;
use super::request::{Reply, Request};
use super::time::Work;

/// Low halfword of the function: get information.
const GET_INFO: u32 = 38;

/// PKCS #11 return value: the function is not supported.
const FUNCTION_NOT_SUPPORTED: u32 = 0x54;
/// PKCS #11 return value: bad arguments.
const ARGUMENTS_BAD: u32 = 0x07;

pub(super) fn process(request: &Request<'_>) -> Result<Reply, ErrorCode> {
    let frame = Frame::parse(request.message, Type6Header::AGENT_EP11)?;
    let (cprb, rest) = frame.block.split_first_chunk().ok_or(ErrorCode::MALFORMED_MESSAGE)?;
    let cprb = Ep11Cprb::from_bytes(cprb);
    if usize::from(cprb.cprb_len) != Ep11Cprb::SIZE || cprb.version != Ep11Cprb::VERSION {
        return Err(ErrorCode::MALFORMED_MESSAGE);
    }
    if request.special && cprb.flags & Ep11Cprb::SPECIAL == 0 {
        return Err(ErrorCode::INVALID_SPECIAL_COMMAND);
    }
    let payload = rest.get(..cprb.payload_len as usize).ok_or(ErrorCode::MALFORMED_MESSAGE)?;
    let Payload { function, domain, arguments } = Payload::parse(payload).ok_or(ErrorCode::MALFORMED_MESSAGE)?;
    if domain != cprb.target_id {
        return Err(ErrorCode::INVALID_DOMAIN);
    }
    let (value, data) = if function & 0xffff != GET_INFO {
        (FUNCTION_NOT_SUPPORTED, Vec::new())
    } else {
        match ep11::number(arguments).map(|(query, _)| QueryType(query)) {
            Some(QueryType::MODULE) => (0, module_info(&request.card.serial)),
            Some(QueryType::DOMAIN) => (0, domain_info(domain, request.key_changes)),
            _ => (ARGUMENTS_BAD, Vec::new()),
        }
    };
    let payload = reply_payload(function, domain, value, &data);
    let head = Ep11Cprb { return_code: 0, payload_len: payload.len() as u32, ..cprb };
    let block = [&head.to_bytes()[..], &payload].concat();
    let bytes = frame.reply(&block, &[], request.card.info.max_message_len())?;
    Ok(Reply { bytes, work: Work::Query })
}

struct Payload<'a> {
    function: u32,
    domain: u32,
    arguments: &'a [u8],
}

impl<'a> Payload<'a> {
    fn parse(payload: &'a [u8]) -> Option<Self> {
        const SEQUENCE: u8 = 0x30;
        let (tag, content, _) = ep11::item(payload)?;
        let (function, rest) = ep11::number(content).filter(|_| tag == SEQUENCE)?;
        let (domain, arguments) = ep11::number(rest)?;
        Some(Self { function, domain, arguments })
    }
}

fn reply_payload(function: u32, domain: u32, value: u32, data: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    for number in [function, domain, value] {
        content.extend_from_slice(&[0x04, 0x04]);
        content.extend_from_slice(&number.to_be_bytes());
    }
    content.extend_from_slice(&[0x04, 0x82]);
    content.extend_from_slice(&(data.len() as u16).to_be_bytes());
    content.extend_from_slice(data);
    [&[0x30, 0x82][..], &(content.len() as u16).to_be_bytes(), &content].concat()
}

/// API 4, firmware 5.8 and CSP 3.1: versions of no particular card.
fn module_info(serial: &str) -> Vec<u8> {
    let mut info = vec![0; ep11::MODULE_INFO_LEN];
    info[0..4].copy_from_slice(&4_u32.to_be_bytes());
    info[8..12].copy_from_slice(&[5, 8, 3, 1]);
    for (byte, character) in info[108..124].iter_mut().zip(serial.bytes().chain(std::iter::repeat(b'0'))) {
        *byte = character;
    }
    info
}

/// A domain out of imprint mode with a current wrapping key. Its verification pattern depends on the domain and on how
/// often the key was changed; as on real cards, 16 bytes count and 16 zeros follow.
fn domain_info(domain: u32, key_changes: u8) -> Vec<u8> {
    const CURRENT_VALID: u32 = 0x02;
    const LEFT_IMPRINT: u32 = 0x10;
    let mut info = vec![0; ep11::DOMAIN_INFO_LEN];
    info[0..4].copy_from_slice(&domain.to_be_bytes());
    let domain = domain as u8;
    let pattern = match key_changes {
        0 => format!("KAPUT-EP11-CUR{domain:02x}"),
        _ => format!("KAPUT-EP11-{key_changes:03}{domain:02x}"),
    };
    info[4..20].copy_from_slice(pattern.as_bytes());
    info[68..72].copy_from_slice(&(CURRENT_VALID | LEFT_IMPRINT).to_be_bytes());
    info
}
