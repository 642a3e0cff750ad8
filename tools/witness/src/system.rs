// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system calls of Linux that are needed, each a safe function.

use core::ffi::{CStr, c_char};
use core::fmt;

use s390x_asm::linux::{self, result, spawn, syscall};
pub(crate) use s390x_asm::linux::{Errno, exit};

const READ: u64 = 3;
const WRITE: u64 = 4;
const OPEN: u64 = 5;
const CLOSE: u64 = 6;
const ACCESS: u64 = 33;
const IOCTL: u64 = 54;
const READLINK: u64 = 85;
const GETDENTS64: u64 = 220;
const FUTEX: u64 = 238;

const O_RDONLY: u64 = 0;
const O_WRONLY: u64 = 1;
const O_RDWR: u64 = 2;
const STDOUT: u64 = 1;
const FUTEX_WAIT: u64 = 0;
/// VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, PARENT_SETTID, CHILD_CLEARTID.
const THREAD: u64 = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000 | 0x10_0000 | 0x20_0000;

/// Doublewords of a thread's stack.
pub(crate) const STACK: usize = 8192;

/// `ENAMETOOLONG`.
pub(crate) const NAME_TOO_LONG: Errno = Errno(36);

/// An open file.
#[derive(Clone, Copy)]
pub(crate) struct File(u64);

impl File {
    /// What a program reads what is typed from.
    pub(crate) const INPUT: Self = Self(0);
    /// Where a program prints.
    pub(crate) const OUTPUT: Self = Self(1);

    /// Opens a file for reading and writing.
    pub(crate) fn open(path: &CStr) -> Result<Self, Errno> {
        Self::open_for(path, O_RDWR)
    }

    fn open_for(path: &CStr, access: u64) -> Result<Self, Errno> {
        // SAFETY: the path is a C string.
        result(unsafe { syscall(OPEN, [path.as_ptr() as u64, access, 0, 0, 0, 0]) }).map(Self)
    }

    /// Reads once into the buffer; how many bytes it has then, 0 at the end.
    pub(crate) fn read(self, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.into_buffer(READ, buffer)
    }

    /// Writes once, however much the kernel takes of it.
    pub(crate) fn write(self, bytes: &[u8]) -> Result<usize, Errno> {
        let arguments = [self.0, bytes.as_ptr() as u64, bytes.len() as u64, 0, 0, 0];
        // SAFETY: the kernel reads what is in the slice.
        result(unsafe { syscall(WRITE, arguments) }).map(|length| length as usize)
    }

    fn into_buffer(self, call: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let arguments = [self.0, buffer.as_mut_ptr() as u64, buffer.len() as u64, 0, 0, 0];
        // SAFETY: the kernel writes into the buffer only; both calls have these arguments.
        result(unsafe { syscall(call, arguments) }).map(|length| (length as usize).min(buffer.len()))
    }

    fn close(self) {
        // SAFETY: the file is used by nobody any more; nothing is to be done about an error.
        unsafe { syscall(CLOSE, [self.0, 0, 0, 0, 0, 0]) };
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

/// Writes to an attribute with one call, as a driver expects it.
pub(crate) fn write_attribute(path: &CStr, value: &[u8]) -> Result<(), Errno> {
    let file = File::open_for(path, O_WRONLY)?;
    let written = file.write(value);
    file.close();
    written.map(drop)
}

/// Reads an attribute with one call; how many bytes it has, or the buffer.
pub(crate) fn read_attribute(path: &CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
    let file = File::open_for(path, O_RDONLY)?;
    let read = file.read(buffer);
    file.close();
    read
}

/// Where a symbolic link leads.
pub(crate) fn read_link(path: &CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
    let arguments = [path.as_ptr() as u64, buffer.as_mut_ptr() as u64, buffer.len() as u64, 0, 0, 0];
    // SAFETY: the path is a C string, and the kernel writes into the buffer only.
    result(unsafe { syscall(READLINK, arguments) }).map(|length| (length as usize).min(buffer.len()))
}

/// Calls `each` with every name in a folder but `.` and `..`.
pub(crate) fn list(path: &CStr, mut each: impl FnMut(&[u8])) -> Result<(), Errno> {
    // Where a record has its length, and where its name begins, which a zero ends.
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let folder = File::open_for(path, O_RDONLY)?;
    let mut buffer = [0; 4096];
    let listed = loop {
        let length = match folder.into_buffer(GETDENTS64, &mut buffer) {
            Ok(0) => break Ok(()),
            Ok(length) => length,
            Err(errno) => break Err(errno),
        };
        let mut records = &buffer[..length];
        while let Some(size) =
            records.get(LENGTH..LENGTH + 2).map(|size| usize::from(size[0]) << 8 | usize::from(size[1]))
            && let Some(record) = records.get(NAME..size.max(NAME))
        {
            let name = record.split(|byte| *byte == 0).next().unwrap_or_default();
            if !matches!(name, b"." | b"..") {
                each(name);
            }
            records = &records[size.max(NAME)..];
        }
    };
    folder.close();
    listed
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

/// A word of the program's arguments; its name is the first.
///
/// # Safety
/// `start` is what the program's entry was given.
pub(crate) unsafe fn argument(start: *const u64, index: usize) -> Option<&'static str> {
    // SAFETY: the count of the arguments stands there.
    let count = unsafe { *start };
    if index as u64 >= count {
        return None;
    }
    // SAFETY: the index is below the count, so a C string's address stands there; it stays as long as the program.
    unsafe { CStr::from_ptr(*start.add(1 + index) as *const c_char) }.to_str().ok()
}
