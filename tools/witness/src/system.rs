// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system calls of Linux that are needed, each a safe function.

use core::ffi::{CStr, c_char};
use core::fmt;

use s390x_asm::linux::{self, result, spawn, syscall};
pub(crate) use s390x_asm::linux::{Errno, exit};

const OPEN: u64 = 5;
const ACCESS: u64 = 33;
const IOCTL: u64 = 54;
const FUTEX: u64 = 238;

const O_RDWR: u64 = 2;
const STDOUT: u64 = 1;
const FUTEX_WAIT: u64 = 0;
/// VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, PARENT_SETTID, CHILD_CLEARTID.
const THREAD: u64 = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000 | 0x10_0000 | 0x20_0000;

/// Doublewords of a thread's stack.
pub(crate) const STACK: usize = 8192;

/// An open file.
#[derive(Clone, Copy)]
pub(crate) struct File(u64);

impl File {
    /// Opens a file for reading and writing.
    pub(crate) fn open(path: &CStr) -> Result<Self, Errno> {
        // SAFETY: the path is a C string.
        result(unsafe { syscall(OPEN, [path.as_ptr() as u64, O_RDWR, 0, 0, 0, 0]) }).map(Self)
    }

    /// A request to the file's driver.
    ///
    /// # Safety
    /// `argument` is what the driver expects, and everything it points to may be read or written as the driver does.
    pub(crate) unsafe fn control<T>(self, request: u32, argument: &mut T) -> Result<u64, Errno> {
        let argument: *mut T = argument;
        // SAFETY: by this function's contract.
        result(unsafe { syscall(IOCTL, [self.0, request.into(), argument as u64, 0, 0, 0]) })
    }
}

/// Whether there is a file of that name.
pub(crate) fn exists(path: &CStr) -> bool {
    // SAFETY: the path is a C string.
    unsafe { syscall(ACCESS, [path.as_ptr() as u64, 0, 0, 0, 0, 0]) == 0 }
}

/// Starts a thread. `running` becomes 0 when it ends; see [`wait`].
pub(crate) fn start(
    stack: &'static mut [u64; STACK],
    running: &'static core::sync::atomic::AtomicU32,
    work: extern "C" fn(u64),
    argument: u64,
) -> Result<(), Errno> {
    // SAFETY: the stack is given away for good; what `work` shares it shares by atomics.
    result(unsafe { spawn(THREAD, stack, running.as_ptr(), work, argument) }).map(drop)
}

/// Waits until a thread has ended.
pub(crate) fn wait(running: &core::sync::atomic::AtomicU32) {
    loop {
        let id = running.load(core::sync::atomic::Ordering::Acquire);
        if id == 0 {
            return;
        }
        // SAFETY: the word is valid; the kernel only compares it.
        unsafe { syscall(FUTEX, [running.as_ptr() as u64, FUTEX_WAIT, id.into(), 0, 0, 0]) };
    }
}

/// Prints a line.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    linux::say(STDOUT, text);
}

/// The program's arguments as numbers, after its name.
///
/// # Safety
/// `start` is what the program's entry was given.
pub(crate) unsafe fn argument(start: *const u64, index: usize) -> Option<u64> {
    // SAFETY: the count of the arguments stands there.
    let count = unsafe { *start };
    if index as u64 >= count {
        return None;
    }
    // SAFETY: the index is below the count, so a C string's address stands there.
    let text = unsafe { CStr::from_ptr(*start.add(1 + index) as *const c_char) };
    text.to_str().ok()?.parse().ok()
}
