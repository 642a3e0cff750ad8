// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program of Linux without a C library: its entry, its system calls, its threads, and what it says.
//!
//! Registers are those of Linux's s390x system call interface: number in GR1, arguments in GR2 to GR7, result in GR2,
//! an error as its negated number.

use core::arch::asm;
use core::fmt::{self, Write};

/// `write`.
const WRITE: u64 = 4;
/// `exit_group`: ends all threads.
const EXIT_GROUP: u64 = 248;
/// `clone`.
const CLONE: u64 = 120;
/// `exit`: ends one thread.
const EXIT: u64 = 1;
/// Bytes above the stack pointer that belong to whoever is called (the ABI's register save area).
const SAVE_AREA: usize = 160;

/// A system call.
///
/// # Safety
/// As the call demands of its arguments.
pub unsafe fn syscall(number: u64, arguments: [u64; 6]) -> i64 {
    let result: i64;
    // SAFETY: the caller vouches for what the kernel does; no register but GR2 changes.
    unsafe {
        asm!(
            "svc 0",
            in("r1") number,
            inlateout("r2") arguments[0] => result,
            in("r3") arguments[1],
            in("r4") arguments[2],
            in("r5") arguments[3],
            in("r6") arguments[4],
            in("r7") arguments[5],
            options(nostack)
        );
    }
    result
}

/// An error number of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u32);

/// What a system call returned: a value, or an error as its negated number.
///
/// # Errors
/// The error.
pub fn result(value: i64) -> Result<u64, Errno> {
    u64::try_from(value).map_err(|_| Errno(u32::try_from(value.unsigned_abs()).unwrap_or(u32::MAX)))
}

/// Ends the program.
pub fn exit(status: u8) -> ! {
    loop {
        // SAFETY: ends all threads.
        unsafe { syscall(EXIT_GROUP, [status.into(), 0, 0, 0, 0, 0]) };
    }
}

/// Writes a line to an open file, whole, so that those of several threads do not mix; what does not fit is cut off.
pub fn say(file: u64, text: fmt::Arguments<'_>) {
    let mut line = Line { bytes: [0; 256], length: 0 };
    // What does not fit is left out.
    let _ = line.write_fmt(text);
    line.bytes[line.length] = b'\n';
    // SAFETY: the kernel reads what is in the buffer.
    unsafe { syscall(WRITE, [file, line.bytes.as_ptr() as u64, line.length as u64 + 1, 0, 0, 0]) };
}

struct Line {
    bytes: [u8; 256],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - 1 - self.length;
        let part = &text.as_bytes()[..text.len().min(room)];
        self.bytes[self.length..self.length + part.len()].copy_from_slice(part);
        self.length += part.len();
        if part.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Starts a thread by `clone` with `flags`; it runs `work` on `stack` and ends with it. Returns its id or an error as
/// its negated number. With `CLONE_CHILD_CLEARTID` the word at `running` becomes 0 when it ends.
///
/// # Safety
/// `stack` and `running` are used by nobody else until the thread has ended, and `work(argument)` may run at the same
/// time as the caller.
pub unsafe fn spawn(
    flags: u64,
    stack: &'static mut [u64],
    running: *mut u32,
    work: extern "C" fn(u64),
    argument: u64,
) -> i64 {
    let top = (stack.as_mut_ptr_range().end as usize - SAVE_AREA) & !7;
    let result: i64;
    // SAFETY: the new thread has a stack of its own and never comes back from here.
    unsafe {
        asm!(
            "svc 0",
            "ltgr %r2, %r2",
            "jnz 2f",
            "lgr %r2, {argument}",
            "basr %r14, {work}",
            "lghi %r2, 0",
            "lghi %r1, {exit}",
            "svc 0",
            "2:",
            argument = in(reg) argument,
            work = in(reg_addr) work,
            exit = const EXIT,
            in("r1") CLONE,
            inlateout("r2") top as u64 => result,
            in("r3") flags,
            in("r4") running,
            in("r5") running,
            in("r6") 0u64,
            out("r14") _,
        );
    }
    result
}

/// Defines the program's entry: calls a function `extern "C" fn(*const u64) -> !` with the address of the argument
/// count, behind which the addresses of the arguments stand.
#[macro_export]
macro_rules! linux_entry {
    ($main:path) => {
        core::arch::global_asm!(
            ".globl _start",
            "_start:",
            "lgr %r2, %r15",
            "aghi %r15, -160",
            "xc 0(8,%r15), 0(%r15)",
            "brasl %r14, {main}",
            main = sym $main,
        );
    };
}
