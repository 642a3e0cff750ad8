// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was said to a machine and by it, for its files in the run folder.

use crate::protocol::transcript::Transcript;

/// What was said to and by a machine.
#[derive(Clone, Debug)]
pub struct Records {
    /// File name prefix in the run folder, `00-A`.
    pub prefix: String,
    /// QMP.
    pub qmp: Transcript,
    /// The control socket.
    pub control: Transcript,
}
