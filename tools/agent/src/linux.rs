// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system calls that the agent needs for itself. Numbers are those of s390x (`arch/s390/kernel/syscalls`).

use core::ffi::CStr;
use core::fmt;
use core::sync::atomic::AtomicU32;

use agent_protocol::Refusal;
pub(crate) use s390x_asm::linux::{Errno, exit};
use s390x_asm::linux::{result, spawn, syscall};

const READ: u64 = 3;
const WRITE: u64 = 4;
const OPEN: u64 = 5;
const GETPID: u64 = 20;
const MOUNT: u64 = 21;
const MKDIR: u64 = 39;
const MMAP: u64 = 90;
const SCHED_YIELD: u64 = 158;
const NANOSLEEP: u64 = 162;
const RT_SIGACTION: u64 = 174;
const FUTEX: u64 = 238;
const CLOCK_GETTIME: u64 = 260;
const PIPE2: u64 = 325;

const O_RDWR: u64 = 2;
const FUTEX_WAIT_PRIVATE: u64 = 128;
const FUTEX_WAKE_PRIVATE: u64 = 129;
const CLOCK_MONOTONIC: u64 = 1;
const SIGCHLD: u64 = 17;
const SIG_IGN: u64 = 1;
/// PROT_READ and PROT_WRITE.
const READ_WRITE: u64 = 3;
/// MAP_PRIVATE and MAP_ANONYMOUS.
const ANONYMOUS: u64 = 0x22;
/// CLONE_VM, FS, FILES, SIGHAND, THREAD, SYSVSEM.
const THREAD: u64 = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000;
const EINTR: u32 = 4;
/// For what the kernel should not answer.
pub(crate) const EIO: Errno = Errno(5);

/// Standard error.
const STDERR: u64 = 2;

/// Doublewords of a thread's stack: a thread makes system calls and no more.
pub(crate) const STACK: usize = 512;

/// A refusal by the kernel, when it was asked for memory or threads.
pub(crate) const fn no_resources(Errno(number): Errno) -> (Refusal, u32) {
    (Refusal::NO_RESOURCES, number)
}

/// An open file.
#[derive(Clone, Copy)]
pub(crate) struct File(pub(crate) u64);

impl File {
    /// Opens a file for reading and writing.
    pub(crate) fn open(path: &CStr) -> Result<Self, Errno> {
        // SAFETY: the path is a C string.
        result(unsafe { syscall(OPEN, [path.as_ptr() as u64, O_RDWR, 0, 0, 0, 0]) }).map(Self)
    }

    /// Reads up to this many bytes to an address that need not be valid.
    pub(crate) fn read_to(self, address: u64, length: usize) -> Result<usize, Errno> {
        loop {
            // SAFETY: the kernel refuses an address that cannot be written. What the harness names it vouches for.
            match result(unsafe { syscall(READ, [self.0, address, length as u64, 0, 0, 0]) }) {
                Err(Errno(EINTR)) => {}
                done => return done.map(|count| count as usize),
            }
        }
    }

    /// Writes up to this many bytes from an address that need not be valid; none taken is an error.
    pub(crate) fn write_from(self, address: u64, length: usize) -> Result<usize, Errno> {
        loop {
            // SAFETY: the kernel only reads, and refuses an address that cannot be read.
            match result(unsafe { syscall(WRITE, [self.0, address, length as u64, 0, 0, 0]) }) {
                Err(Errno(EINTR)) => {}
                Ok(0) => return Err(EIO),
                done => return done.map(|count| count as usize),
            }
        }
    }
}

/// Two ends of a pipe: what is written into the second is read from the first.
pub(crate) fn pipe() -> Result<(File, File), Errno> {
    let mut ends = [0u32; 2];
    // SAFETY: the kernel writes two words.
    result(unsafe { syscall(PIPE2, [ends.as_mut_ptr() as u64, 0, 0, 0, 0, 0]) })?;
    Ok((File(ends[0].into()), File(ends[1].into())))
}

/// Fresh memory of this many bytes, rounded up to pages.
pub(crate) fn map(length: u64) -> Result<u64, Errno> {
    let arguments = [0, length, READ_WRITE, ANONYMOUS, u64::MAX, 0];
    // SAFETY: mmap of s390x takes the address of its six arguments; fresh memory is nobody else's.
    result(unsafe { syscall(MMAP, [arguments.as_ptr() as u64, 0, 0, 0, 0, 0]) })
}

/// This process's id.
pub(crate) fn process() -> u32 {
    // SAFETY: it takes nothing.
    u32::try_from(unsafe { syscall(GETPID, [0; 6]) }).unwrap_or(0)
}

/// Mounts a file system of this type at a folder, which is made. It may be there already.
pub(crate) fn mount(kind: &CStr, folder: &CStr) {
    // SAFETY: the paths are C strings.
    unsafe {
        syscall(MKDIR, [folder.as_ptr() as u64, 0o755, 0, 0, 0, 0]);
        syscall(MOUNT, [kind.as_ptr() as u64, folder.as_ptr() as u64, kind.as_ptr() as u64, 0, 0, 0]);
    }
}

/// Children that end are forgotten at once, by the kernel.
pub(crate) fn reap_children() {
    // sigaction of s390x: handler, flags, restorer, mask.
    let action = [SIG_IGN, 0, 0, 0];
    // SAFETY: the structure is valid, its mask has eight bytes.
    unsafe { syscall(RT_SIGACTION, [SIGCHLD, action.as_ptr() as u64, 0, 8, 0, 0]) };
}

/// Sleeps.
pub(crate) fn sleep(milliseconds: u32) {
    let time = timespec(milliseconds.into());
    // SAFETY: the structure is valid.
    unsafe { syscall(NANOSLEEP, [time.as_ptr() as u64, 0, 0, 0, 0, 0]) };
}

/// Milliseconds of a clock that only runs forward.
pub(crate) fn now() -> u64 {
    let mut time = [0u64; 2];
    // SAFETY: the kernel writes seconds and nanoseconds.
    unsafe { syscall(CLOCK_GETTIME, [CLOCK_MONOTONIC, time.as_mut_ptr() as u64, 0, 0, 0, 0]) };
    time[0] * 1000 + time[1] / 1_000_000
}

const fn timespec(milliseconds: u64) -> [u64; 2] {
    [milliseconds / 1000, milliseconds % 1000 * 1_000_000]
}

/// Waits until somebody wakes the word, while it has this value; at most this many milliseconds, if a number is given.
pub(crate) fn wait_while(word: &AtomicU32, value: u32, milliseconds: Option<u64>) {
    let time = timespec(milliseconds.unwrap_or(0));
    let limit = milliseconds.map_or(0, |_| time.as_ptr() as u64);
    // SAFETY: the kernel only compares the word; the time is valid.
    unsafe { syscall(FUTEX, [word.as_ptr() as u64, FUTEX_WAIT_PRIVATE, value.into(), limit, 0, 0]) };
}

/// Wakes all who wait for the word.
pub(crate) fn wake(word: &AtomicU32) {
    // SAFETY: the kernel only looks for who waits.
    unsafe { syscall(FUTEX, [word.as_ptr() as u64, FUTEX_WAKE_PRIVATE, i32::MAX as u64, 0, 0, 0]) };
}

/// Lets others run.
pub(crate) fn yield_now() {
    // SAFETY: it takes nothing.
    unsafe { syscall(SCHED_YIELD, [0; 6]) };
}

/// Starts a thread that never ends.
pub(crate) fn thread(stack: &'static mut [u64; STACK], work: extern "C" fn(u64), argument: u64) -> Result<(), Errno> {
    // SAFETY: the stack is given away for good; what `work` shares it shares by atomics.
    result(unsafe { spawn(THREAD, stack, core::ptr::null_mut(), work, argument) }).map(drop)
}

/// Says something to people.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    s390x_asm::linux::say(STDERR, text);
}
