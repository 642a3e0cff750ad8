// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbers of Linux's system calls on s390x (`arch/s390/kernel/syscalls/syscall.tbl`), and of what goes with them.

pub(crate) const READ: u64 = 3;
pub(crate) const WRITE: u64 = 4;
pub(crate) const CLOSE: u64 = 6;
pub(crate) const LSEEK: u64 = 19;
pub(crate) const MOUNT: u64 = 21;
pub(crate) const MKDIR: u64 = 39;
pub(crate) const IOCTL: u64 = 54;
pub(crate) const READLINK: u64 = 85;
pub(crate) const MUNMAP: u64 = 91;
pub(crate) const PREAD64: u64 = 180;
pub(crate) const PWRITE64: u64 = 181;
pub(crate) const GETDENTS64: u64 = 220;
pub(crate) const GETTID: u64 = 236;
pub(crate) const OPENAT: u64 = 288;
pub(crate) const USERFAULTFD: u64 = 355;

/// Relative paths begin at the working folder; all of ours are absolute.
pub(crate) const AT_FDCWD: u64 = (-100i64).cast_unsigned();
pub(crate) const O_RDONLY: u64 = 0;
pub(crate) const O_WRONLY: u64 = 1;
pub(crate) const O_RDWR: u64 = 2;
pub(crate) const O_NONBLOCK: u64 = 0o4000;
pub(crate) const SEEK_SET: u64 = 0;
pub(crate) const SEEK_END: u64 = 2;

/// The name of a system call, for people.
pub(crate) const fn name(number: u64) -> &'static str {
    match number {
        READ => "read",
        WRITE => "write",
        CLOSE => "close",
        LSEEK => "lseek",
        MOUNT => "mount",
        MKDIR => "mkdir",
        IOCTL => "ioctl",
        READLINK => "readlink",
        MUNMAP => "munmap",
        PREAD64 => "pread64",
        PWRITE64 => "pwrite64",
        GETDENTS64 => "getdents64",
        GETTID => "gettid",
        OPENAT => "openat",
        USERFAULTFD => "userfaultfd",
        _ => "a system call",
    }
}
