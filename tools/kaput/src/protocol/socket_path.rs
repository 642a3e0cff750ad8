// SPDX-License-Identifier: MIT OR Apache-2.0
//! The paths of unix sockets: how long one may be, how much of that a run needs, and what an ended program left there.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// The longest path of a unix socket, in bytes, on every system we know.
pub(crate) const LONGEST_SOCKET: usize = 103;

/// Bytes of the longest name of a socket in the folder, separator included: `/00-` host `.control`.
pub(crate) const LONGEST_NAME: usize = 32;

/// Removes what a QEMU that was killed left behind where the next one is to listen. Anything else stays: then the plugin says
/// what is in its way.
pub(crate) fn remove_stale_socket(path: &Path) {
    let is_refused =
        || std::os::unix::net::UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
    if std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) && is_refused() {
        _ = std::fs::remove_file(path);
    }
}
