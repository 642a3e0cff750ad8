// SPDX-License-Identifier: MIT OR Apache-2.0
//! The frame of a type 6 request and of its type 86 reply, the same for CCA and EP11. AP reference 7.5 and 7.6.

use ap_arch::message::cprbx::Cprbx;
use ap_arch::message::ep11::Ep11Cprb;
use ap_arch::message::reply::Type86Header;
use ap_arch::message::type6::Type6Header;
use ap_arch::message::{ErrorCode, MessageType};

/// A type 6 request whose frame is sound.
pub(super) struct Frame<'a> {
    pub(super) header: Type6Header,
    /// The CPRB and what follows it in its block.
    pub(super) block: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Takes a request for `agent` apart.
    pub(super) fn parse(message: &'a [u8], agent: [u8; 16]) -> Result<Self, ErrorCode> {
        let bytes = message.first_chunk().ok_or(ErrorCode::INVALID_MESSAGE_LENGTH)?;
        let header = Type6Header::from_bytes(bytes);
        if header.agent_id != agent {
            return Err(ErrorCode::MESSAGE_TYPE);
        }
        if header.offset1 as usize != Type6Header::SIZE {
            return Err(ErrorCode::FORMAT_FIELD);
        }
        if (bytes[0], bytes[2], bytes[3], &header.to_card[2..], &header.from_card[2..]) != (0, 0, 0, &[0; 2], &[0; 2]) {
            return Err(ErrorCode::RESERVED_FIELD);
        }
        let [control, data, ..] = header.to_card.map(|len| len as usize);
        let end = if data > 0 {
            (header.offset2 as usize).saturating_add(data)
        } else {
            Type6Header::SIZE.saturating_add(control)
        };
        if end > message.len() {
            return Err(ErrorCode::PACKET_TRUNCATED);
        }
        // Blocks are padded to words.
        if end.next_multiple_of(4) < message.len() {
            return Err(ErrorCode::MESSAGE_LENGTH);
        }
        let block = message[Type6Header::SIZE..].get(..control).ok_or(ErrorCode::PACKET_TRUNCATED)?;
        Ok(Self { header, block })
    }

    /// The reply with these blocks, if there is space for it.
    pub(super) fn reply(&self, block: &[u8], data: &[u8], max_message_len: usize) -> Result<Vec<u8>, ErrorCode> {
        const START: usize = Type86Header::SIZE;
        let [block_space, data_space, ..] = self.header.from_card.map(|len| len as usize);
        let end = START + block.len();
        let data_at = end.next_multiple_of(4);
        let total = if data.is_empty() { end } else { data_at + data.len() };
        if block.len() > block_space || data.len() > data_space || total > max_message_len {
            return Err(ErrorCode::OPERAND_SIZE);
        }
        let data_block = if data.is_empty() { (0, 0) } else { (data.len() as u32, data_at as u32) };
        let header = Type86Header {
            format: Type86Header::FORMAT_NORMAL,
            blocks: [(block.len() as u32, START as u32), data_block, (0, 0), (0, 0)],
            ..Type86Header::default()
        };
        let mut reply = Vec::with_capacity(total);
        reply.extend_from_slice(&header.to_bytes());
        reply.extend_from_slice(block);
        if !data.is_empty() {
            reply.resize(data_at, 0);
            reply.extend_from_slice(data);
        }
        Ok(reply)
    }
}

/// The CPRBX of a type 6 message, where there is one.
pub(super) fn cprbx(message: &[u8]) -> Option<Cprbx> {
    let block = block(message)?.first_chunk()?;
    Some(Cprbx::from_bytes(block)).filter(|cprbx| cprbx.version == Cprbx::VERSION)
}

/// The EP11 CPRB of a type 6 message, where there is one.
pub(super) fn ep11_cprb(message: &[u8]) -> Option<Ep11Cprb> {
    let block = block(message)?.first_chunk()?;
    Some(Ep11Cprb::from_bytes(block)).filter(|cprb| cprb.version == Ep11Cprb::VERSION)
}

fn block(message: &[u8]) -> Option<&[u8]> {
    message.get(Type6Header::SIZE..).filter(|_| MessageType::of(message) == Some(MessageType::TYPE_06))
}
