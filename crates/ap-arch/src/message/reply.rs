// SPDX-License-Identifier: MIT OR Apache-2.0
//! Replies: type 80 with an RSA result, type 82, 87 and 88 with an error, type 86 with the blocks of a coprocessor.
//! AP reference 7.3, 7.4 and 7.6.

use super::field::{head, put, put_right, room, u16_at, u32_at};
use super::{MessageError, MessageType};
use crate::open_value::open_value;

open_value! {
    /// Reply code of an error reply (and of a type 86 reply). Names are those of type 82; AP reference 7.4 has both.
    pub struct ErrorCode(u8) {
        /// Machine failure.
        MACHINE_FAILURE = 0x10, "machine failure";
        /// Preempt failure.
        PREEMPT_FAILURE = 0x12, "preempt failure";
        /// Checkpoint failure.
        CHECKPOINT_FAILURE = 0x14, "checkpoint failure";
        /// A message that this kind of card does not take.
        MESSAGE_TYPE = 0x20, "message type";
        /// Invalid communication code (type 84).
        INVALID_COMM_CODE = 0x21, "invalid communication code";
        /// Malformed message (type 88).
        MALFORMED_88 = 0x22, "malformed message (88)";
        /// Invalid message length.
        INVALID_MESSAGE_LENGTH = 0x23, "invalid message length";
        /// A reserved field is not zero.
        RESERVED_FIELD = 0x24, "reserved field";
        /// A format field is invalid.
        FORMAT_FIELD = 0x29, "format field";
        /// Invalid command.
        INVALID_COMMAND = 0x30, "invalid command";
        /// Key type (type 88).
        KEY_TYPE = 0x34, "key type";
        /// Malformed message.
        MALFORMED_MESSAGE = 0x40, "malformed message";
        /// A special command that is none, or on a queue that takes none.
        INVALID_SPECIAL_COMMAND = 0x41, "invalid special command";
        /// Reserved field, old form.
        RESERVED_FIELD_OLD = 0x50, "reserved field (old)";
        /// Word alignment.
        WORD_ALIGNMENT = 0x60, "word alignment";
        /// The length in the message is not the length of the message.
        MESSAGE_LENGTH = 0x80, "message length";
        /// An operand is invalid (type 88: the key is).
        OPERAND_INVALID = 0x82, "operand invalid";
        /// The size of an operand is not possible.
        OPERAND_SIZE = 0x84, "operand size";
        /// The modulus is even.
        EVEN_MODULUS = 0x85, "even modulus";
        /// A reserved field is not zero; Linux tries again on it.
        RESERVED_FIELD_RETRY = 0x88, "reserved field (retry)";
        /// The domain cannot be used for this message.
        INVALID_DOMAIN = 0x8a, "invalid domain";
        /// Filtered by the hypervisor.
        FILTERED = 0x8b, "filtered by hypervisor";
        /// Transport failure.
        TRANSPORT_FAILURE = 0x90, "transport failure";
        /// The message is shorter than it says.
        PACKET_TRUNCATED = 0xa0, "packet truncated";
        /// The buffer has no bytes.
        ZERO_BUFFER_LENGTH = 0xb0, "zero buffer length";
    }
}

/// An error reply, eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorReply {
    /// Type 82, 87 or 88.
    pub kind: MessageType,
    /// Why.
    pub code: ErrorCode,
}

impl ErrorReply {
    /// Bytes of the reply.
    pub const SIZE: usize = 8;

    /// A type 82 reply.
    #[must_use]
    pub const fn type_82(code: ErrorCode) -> Self {
        Self { kind: MessageType::TYPE_82, code }
    }

    /// The reply as DQAP delivers it.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::SIZE] {
        [0, self.kind.0, 0, 0, self.code.0, 0, 0, 0]
    }
}

/// Bytes before the result in a type 80 reply.
pub const TYPE_80_HEADER_LEN: usize = 16;

/// Builds a type 80 reply with `result` right-justified in `width` bytes. Returns the reply's length, 16 + `width`.
///
/// # Errors
/// [`MessageError::OperandTooLong`] if the result is wider, [`MessageError::BufferTooSmall`].
pub fn type_80(out: &mut [u8], width: usize, result: &[u8]) -> Result<usize, MessageError> {
    if result.len() > width {
        return Err(MessageError::OperandTooLong { len: result.len(), max: width });
    }
    let message = room(out, TYPE_80_HEADER_LEN + width)?;
    message[..TYPE_80_HEADER_LEN].fill(0);
    message[1] = MessageType::TYPE_80.0;
    put(message, 2, &((TYPE_80_HEADER_LEN + width) as u16).to_be_bytes());
    put_right(message, TYPE_80_HEADER_LEN, width, result);
    Ok(message.len())
}

/// Header of a type 86 reply. AP reference 7.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Type86Header {
    /// 2 for a normal reply, 1 for an error of eight bytes.
    pub format: u8,
    /// 0, or one of [`ErrorCode`].
    pub reply_code: u8,
    /// Failure status for some reply codes.
    pub apfs: u32,
    /// Length and offset of the four blocks; the first is the CPRB with its parameters, the second the data.
    pub blocks: [(u32, u32); 4],
}

impl Type86Header {
    /// Bytes of the header.
    pub const SIZE: usize = 48;
    /// Format of a normal reply.
    pub const FORMAT_NORMAL: u8 = 2;

    /// Reads a header.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        Self {
            format: bytes[2],
            reply_code: bytes[4],
            apfs: u32_at(bytes, 12),
            blocks: core::array::from_fn(|i| (u32_at(bytes, 16 + 8 * i), u32_at(bytes, 20 + 8 * i))),
        }
    }

    /// The header as DQAP delivers it.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        (bytes[1], bytes[2], bytes[4]) = (MessageType::TYPE_86.0, self.format, self.reply_code);
        put(&mut bytes, 12, &self.apfs.to_be_bytes());
        for (i, (count, offset)) in self.blocks.iter().enumerate() {
            put(&mut bytes, 16 + 8 * i, &count.to_be_bytes());
            put(&mut bytes, 20 + 8 * i, &offset.to_be_bytes());
        }
        bytes
    }

    /// The bytes of block `index` (0 to 3) in a reply; `None` if it reaches beyond its end.
    #[must_use]
    pub fn block<'a>(&self, reply: &'a [u8], index: usize) -> Option<&'a [u8]> {
        let (count, offset) = *self.blocks.get(index)?;
        let end = offset.checked_add(count)?;
        reply.get(offset as usize..end as usize)
    }
}

/// A reply, taken apart by its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// Type 80: the result, right-justified in its field.
    Rsa(&'a [u8]),
    /// Type 82, 87 or 88.
    Error(ErrorReply),
    /// Type 86: the header; its blocks are offsets into the whole reply.
    Coprocessor(Type86Header),
}

/// Takes a reply apart, as long as DQAP delivered it.
///
/// # Errors
/// [`MessageError::Truncated`], [`MessageError::Type`], or [`MessageError::Inconsistent`] for a type 80 reply whose
/// length field is not its length.
pub fn parse_reply(message: &[u8]) -> Result<Reply<'_>, MessageError> {
    let first: &[u8; ErrorReply::SIZE] = head(message)?;
    match MessageType(first[1]) {
        MessageType::TYPE_80 => {
            head::<TYPE_80_HEADER_LEN>(message)?;
            let len = u16_at(first, 2);
            if usize::from(len) != message.len() {
                return Err(MessageError::Inconsistent { field: "len", value: len.into() });
            }
            Ok(Reply::Rsa(&message[TYPE_80_HEADER_LEN..]))
        }
        kind @ (MessageType::TYPE_82 | MessageType::TYPE_87 | MessageType::TYPE_88) => {
            Ok(Reply::Error(ErrorReply { kind, code: ErrorCode(first[4]) }))
        }
        MessageType::TYPE_86 => head(message).map(|bytes| Reply::Coprocessor(Type86Header::from_bytes(bytes))),
        kind => Err(MessageError::Type(kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_result_stands_at_the_right_end() {
        let mut out = [0xee; 600];
        assert_eq!(type_80(&mut out, 128, &[9, 8]), Ok(144));
        assert_eq!(out[..16], [0, 0x80, 0, 144, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!((out[16], out[141], out[142], out[143]), (0, 0, 9, 8));
        assert_eq!(parse_reply(&out[..144]), Ok(Reply::Rsa(&out[16..144])));
        assert_eq!(parse_reply(&out[..143]), Err(MessageError::Inconsistent { field: "len", value: 144 }));
        assert_eq!(type_80(&mut out, 1, &[9, 8]), Err(MessageError::OperandTooLong { len: 2, max: 1 }));
    }

    #[test]
    fn an_error_reply_names_its_code() {
        let reply = ErrorReply::type_82(ErrorCode::EVEN_MODULUS);
        assert_eq!(reply.to_bytes(), [0, 0x82, 0, 0, 0x85, 0, 0, 0]);
        assert_eq!(parse_reply(&reply.to_bytes()), Ok(Reply::Error(reply)));
        assert_eq!(parse_reply(&[0, 0x82]), Err(MessageError::Truncated { len: 2, needed: 8 }));
        assert_eq!(parse_reply(&[0; 8]), Err(MessageError::Type(MessageType(0))));
    }

    proptest! {
        #[test]
        fn a_type_86_header_reads_back(format: u8, reply_code: u8, apfs: u32, blocks: [(u32, u32); 4]) {
            let header = Type86Header { format, reply_code, apfs, blocks };
            let message = header.to_bytes();
            prop_assert_eq!(parse_reply(&message), Ok(Reply::Coprocessor(header)));
        }

        #[test]
        fn no_reply_makes_the_parser_panic(message in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(Reply::Coprocessor(header)) = parse_reply(&message) {
                for index in 0..5 {
                    prop_assert!(header.block(&message, index).is_none_or(|block| block.len() <= message.len()));
                }
            }
        }
    }
}
