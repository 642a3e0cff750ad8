// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long the path of a unix socket may be, and how much of that a run needs: whoever makes a folder for sockets asks.

/// The longest path of a unix socket, in bytes, on every system we know.
pub(crate) const LONGEST_SOCKET: usize = 103;

/// Bytes of the longest name of a socket in the folder, separator included: `/00-` host `.control`.
pub(crate) const LONGEST_NAME: usize = 32;
