// SPDX-License-Identifier: MIT OR Apache-2.0
//! What imitated drivers do not look at in a received stream, and what they remember of an earlier one.

use ap_arch::stream::{MAGIC, QueueEntry, StreamFormat, StreamHeader, VERSION};

use crate::context::Context;
use crate::defect::Defect;

/// Makes right what the imitated driver would not notice, so that the checks that follow do not either. Does nothing
/// without a defect.
pub(crate) fn overlook(context: &Context, bytes: &mut [u8]) {
    if magic_is_unchecked(context) && bytes.len() >= StreamFormat::Vfap.header_size() {
        bytes[0..4].copy_from_slice(&MAGIC.to_be_bytes());
        bytes[4..8].copy_from_slice(&VERSION.to_be_bytes());
    }
    let Ok(Some(format)) = StreamHeader::detect(bytes, context.behaviour.accept_format_0) else { return };
    if bytes.len() < format.header_size() {
        return;
    }
    if format == StreamFormat::Posted && length_field_is_unused(context) {
        let queues = u32::from_be_bytes(std::array::from_fn(|i| bytes[i]));
        // The posted driver has both defects: its first write goes by the count alone, and there is no second one.
        if bytes[8..16] == [0; 8] || sizes_may_disagree(context) {
            bytes[8..16].copy_from_slice(&format.stream_size(queues).to_be_bytes());
        }
    }
    if context.defects.on(Defect::PaddingIgnored) {
        let padding = if format == StreamFormat::Posted { 4..8 } else { 12..16 };
        bytes[padding].fill(0);
        let entries = bytes[format.header_size()..].as_chunks_mut::<{ QueueEntry::SIZE }>().0;
        entries.iter_mut().for_each(|entry| entry[10..].fill(0));
    }
}

/// Whether the write that completes the header does not look at magic and version.
pub(crate) fn magic_is_unchecked(context: &Context) -> bool {
    context.behaviour.format == StreamFormat::Vfap && context.defects.on(Defect::MagicUncheckedInSingleWrite)
}

/// Whether a fault in the user's buffer advances the position of a stream.
pub(crate) fn faults_advance(context: &Context) -> bool {
    context.defects.on(Defect::PositionAdvancedBeforeCopy)
}

/// Whether every read of a stream takes a snapshot of its own, and none is kept.
pub(crate) fn is_taken_at_every_read(context: &Context) -> bool {
    context.defects.on(Defect::StreamRegeneratedPerRead)
}

/// Whether the length field of format 0 is left zero by the source and not looked at if it is zero.
pub(crate) fn length_field_is_unused(context: &Context) -> bool {
    context.defects.on(Defect::ConfigSzNeverSet)
}

/// Whether a header whose length field contradicts its count is taken.
pub(crate) fn sizes_may_disagree(context: &Context) -> bool {
    context.defects.on(Defect::RedundantSizeFieldsDisagree)
}

/// The header of a stream as the imitated driver writes it.
pub(crate) fn header_bytes(context: &Context, header: &StreamHeader) -> Vec<u8> {
    let mut bytes = header.to_bytes().to_vec();
    if header.format() == StreamFormat::Posted {
        if length_field_is_unused(context) {
            bytes[8..16].fill(0);
        }
        if context.defects.on(Defect::SizeTInWireStruct) {
            bytes.drain(8..12);
        }
    }
    bytes
}

/// What a device remembers of received headers, beyond the session; a driver that is right remembers nothing.
#[derive(Debug, Default)]
pub(crate) struct OldHeader {
    /// Length of the stream that the header announced.
    pub(crate) total: Option<usize>,
    /// There is a buffer of that length.
    pub(crate) buffer: bool,
}

impl OldHeader {
    /// VFIO_DEVICE_RESET.
    pub(crate) fn reset(&mut self, context: &Context) {
        self.buffer = false;
        if !context.defects.on(Defect::HeaderBufferSurvives) {
            self.total = None;
        }
    }

    /// The RESUMING state is left.
    pub(crate) fn leave(&mut self, context: &Context) {
        if !context.defects.on(Defect::OldHeaderRulesNewSession) {
            *self = Self::default();
        }
    }
}
