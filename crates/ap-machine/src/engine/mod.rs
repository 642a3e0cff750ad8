// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a card does with a request: the right engine for its mode, or an error reply. AP reference 7.1.
//!
//! Every request gets a reply. Malformed and misdirected ones get type 82 (never a short type 86, which Linux does not
//! survive: AP reference 7.6), well-formed ones that an engine does not know a full reply with a return code.

mod cca;
mod cprb;
mod ep11;
mod fq;
pub(crate) mod random;
mod request;
mod rsa;
mod time;

use ap_arch::message::cprbx::CprbFunction;
use ap_arch::message::{ErrorCode, ErrorReply, MessageType};
use ap_arch::{Apqi, CardMode, Mask256};

pub(crate) use request::{Reply, Request};

use crate::card::Card;

/// Processes a request.
pub(crate) fn process(request: &Request<'_>) -> Reply {
    let result = match (request.card.mode, MessageType::of(request.message)) {
        (_, None) => Err(ErrorCode::INVALID_MESSAGE_LENGTH),
        (CardMode::Accelerator, Some(MessageType::TYPE_50)) => rsa::accelerate(request),
        (CardMode::Cca, Some(MessageType::TYPE_06)) => cca::process(request),
        (CardMode::Ep11, Some(MessageType::TYPE_06)) => ep11::process(request),
        _ => Err(ErrorCode::MESSAGE_TYPE),
    };
    result.unwrap_or_else(|code| Reply::error(ErrorReply::type_82(code)))
}

/// Whether the message is for a domain that the guest must not reach by this queue: a usage request for another domain
/// than the queue's, an administrative one for none of the guest's control domains.
pub(crate) fn foreign_domain(
    card: &Card,
    apqi: Apqi,
    control_domains: impl FnOnce() -> Mask256,
    message: &[u8],
) -> bool {
    let (domain, administrative) = match card.mode {
        CardMode::Accelerator => return false,
        CardMode::Cca => match cprb::cprbx(message) {
            Some(cprbx) => (u32::from(cprbx.domain), cprbx.func_id != CprbFunction::T2.0),
            None => return false,
        },
        CardMode::Ep11 => match cprb::ep11_cprb(message) {
            Some(cprb) => (cprb.target_id, cprb.flags & ap_arch::message::ep11::Ep11Cprb::ADMINISTRATIVE != 0),
            None => return false,
        },
    };
    let controlled = || u8::try_from(domain).is_ok_and(|domain| control_domains().contains(domain));
    domain != u32::from(apqi.0) && !(administrative && controlled())
}
