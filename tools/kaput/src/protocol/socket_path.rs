// SPDX-License-Identifier: MIT OR Apache-2.0
//! The paths of unix sockets: how long one may be, how much of that the names of a run's sockets take, and what an
//! ended program left there.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// The longest path of a unix socket, in bytes, on every system we know.
pub(crate) const LONGEST: usize = 103;

/// Bytes of the longest name of a scenario's host.
pub(crate) const LONGEST_HOST: usize = 16;

/// Digits of the greatest number of a run's machine or migration.
pub(crate) const DIGITS: usize = 4;

/// Characters that tell a run's folder from others.
pub(crate) const TAG: usize = 6;

/// What the name of a machine's socket ends with: the guest's console, QEMU's monitor, the plugin.
pub(crate) const CONSOLE: &str = "console-socket";
pub(crate) const MONITOR: &str = "qmp-socket";
pub(crate) const CONTROL: &str = "control-socket";
/// The same for a migration: where its memory goes, and where a libvirt reaches the other.
pub(crate) const MEMORY: &str = "migration-socket";
pub(crate) const LIBVIRT: &str = "libvirt-socket";

/// Bytes of the longest name of a socket in a run's folder, the separator before it included: a number, a host, a kind.
pub(crate) const LONGEST_NAME: usize = {
    let of_machine = LONGEST_HOST + ".".len() + longest(&[CONSOLE, MONITOR, CONTROL]);
    let of_migration = longest(&[MEMORY, LIBVIRT]);
    "/".len() + DIGITS + "-".len() + if of_machine > of_migration { of_machine } else { of_migration }
};

/// The same on another host, where all runs share a folder.
pub(crate) const LONGEST_SHARED_NAME: usize = LONGEST_NAME + TAG + "-".len();

const fn longest(names: &[&str]) -> usize {
    let (mut longest, mut index) = (0, 0);
    while index < names.len() {
        if names[index].len() > longest {
            longest = names[index].len();
        }
        index += 1;
    }
    longest
}

/// Removes what a QEMU that was killed left behind where the next one is to listen. Anything else stays: then the
/// plugin says what is in its way.
pub(crate) fn remove_stale_socket(path: &Path) {
    let is_refused =
        || std::os::unix::net::UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
    if std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) && is_refused() {
        _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_longer_than_the_longest() {
        let (number, host) = ("9".repeat(DIGITS), "h".repeat(LONGEST_HOST));
        let machines = [CONSOLE, MONITOR, CONTROL].map(|kind| format!("/{number}-{host}.{kind}"));
        let migrations = [MEMORY, LIBVIRT].map(|kind| format!("/{number}-{kind}"));
        let lengths = machines.iter().chain(&migrations).map(String::len);
        assert_eq!(lengths.max(), Some(LONGEST_NAME));
    }
}
