// SPDX-License-Identifier: MIT OR Apache-2.0
//! Choices in which drivers differ and none is wrong: the options of a profile, as opposed to its defects.

use ap_arch::stream::StreamFormat;
use vfio_mig::Errno;

/// How this host's driver behaves where it may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Behaviour {
    /// The format it emits.
    pub(crate) format: StreamFormat,
    /// It accepts format 0 as well.
    pub(crate) accept_format_0: bool,
    /// The answer to an incompatible queue.
    pub(crate) incompatible: Errno,
    /// The answer to a fault in the buffer of a write.
    pub(crate) write_fault: Errno,
    /// The answer to a write of no bytes, if it is not 0.
    pub(crate) empty_write: Option<Errno>,
    /// A first write that is refused leaves nothing: the next one is the first again. Otherwise the refusal latches.
    pub(crate) first_write_may_be_repeated: bool,
    /// What a session received stays until its stream is closed, and no later session can write before.
    pub(crate) buffer_stays_with_the_stream: bool,
    /// A second writer is refused while the first is inside, instead of waiting.
    pub(crate) second_writer_is_refused: bool,
    /// The snapshot is taken by the first read, instead of by the arc.
    pub(crate) snapshot_at_first_read: bool,
    /// Control domains are checked before compatibility, instead of after.
    pub(crate) control_domains_first: bool,
    /// The messages are spelt regularly.
    pub(crate) tidied_messages: bool,
    /// A host under Secure Execution offers no migration at all, instead of refusing it.
    pub(crate) absent_under_secure_execution: bool,
    /// It offers no migration at all, as the drivers of all released kernels.
    pub(crate) without_migration: bool,
}

impl Behaviour {
    /// What the specification says.
    pub(crate) const SPECIFIED: Self = Self {
        format: StreamFormat::Vfap,
        accept_format_0: false,
        incompatible: Errno::EFAULT,
        write_fault: Errno::EIO,
        empty_write: None,
        first_write_may_be_repeated: false,
        buffer_stays_with_the_stream: false,
        second_writer_is_refused: false,
        snapshot_at_first_read: false,
        control_domains_first: false,
        tidied_messages: false,
        absent_under_secure_execution: false,
        without_migration: false,
    };

    /// The series as posted.
    pub(crate) const POSTED: Self = Self { format: StreamFormat::Posted, accept_format_0: true, ..Self::SPECIFIED };

    /// The series as posted with its ways of handling a buffer, which are not those of a driver that is right.
    pub(crate) const V3: Self =
        Self { first_write_may_be_repeated: true, buffer_stays_with_the_stream: true, ..Self::POSTED };

    /// The code after the posted series.
    pub(crate) const LATER: Self = Self {
        incompatible: Errno::EINVAL,
        write_fault: Errno::EFAULT,
        empty_write: Some(Errno::EINVAL),
        second_writer_is_refused: true,
        snapshot_at_first_read: true,
        control_domains_first: true,
        tidied_messages: true,
        absent_under_secure_execution: true,
        ..Self::SPECIFIED
    };
}
