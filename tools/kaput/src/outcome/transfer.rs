// SPDX-License-Identifier: MIT OR Apache-2.0
//! What became of the AP configuration in one migration.

use vfio_mig::Errno;

/// What went over, or did not.
#[derive(Clone, Debug, Default)]
pub struct Transfer {
    /// Where it went.
    pub to: String,
    /// Bytes of the stream.
    pub bytes: usize,
    /// Pieces it was written in.
    pub writes: usize,
    /// Why the destination did not take it.
    pub refused: Option<Refused>,
    /// Somebody cancelled the migration, before this or afterwards.
    pub cancelled: bool,
}

/// A refusal of the destination's device.
#[derive(Clone, Debug)]
pub struct Refused {
    /// What was asked of it when it refused.
    pub during: &'static str,
    /// The error.
    pub errno: Errno,
    /// The host's explanation.
    pub desc: String,
    /// Errors and warnings that the driver logged during the transfer.
    pub messages: Vec<String>,
}
