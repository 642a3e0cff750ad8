// SPDX-License-Identifier: MIT OR Apache-2.0
//! Service calls, polled: the service-signal interruption that follows each call stays pending and masked off, because
//! waiting for it would make the guest depend on how an emulator delivers it.

use super::clock::Deadline;
use super::cpus;
use s390x_asm::asm;
use s390x_asm::sccb::{Command, Page, Response};
use spin::Mutex;

/// How long a call may take; QEMU answers before the instruction ends.
const LIMIT_MILLIS: u64 = 5000;

/// What went wrong with a service call.
#[derive(Debug)]
pub(crate) enum Error {
    /// SERVICE CALL ended with condition code 3.
    NotOperational,
    /// No answer within the limit.
    TimedOut,
    /// An answer other than success.
    Refused(Response),
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotOperational => f.write_str("it is not operational"),
            Self::TimedOut => write!(f, "no answer within {LIMIT_MILLIS} ms"),
            Self::Refused(response) => write!(f, "response {:04x}", response.0),
        }
    }
}

/// The only block: storage below 2 GiB that nothing else uses.
static PAGE: Mutex<Page> = Mutex::new(Page::new());

/// Builds a block, executes the command, and reads the answer.
pub(crate) fn call<T>(
    command: Command,
    build: impl FnOnce(&mut Page),
    read: impl FnOnce(&Page) -> T,
) -> Result<T, Error> {
    let mut page = PAGE.lock();
    build(&mut page);
    execute(command, &mut page)?;
    Ok(read(&page))
}

fn execute(command: Command, page: &mut Page) -> Result<(), Error> {
    const BUSY: u8 = 2;
    const NOT_OPERATIONAL: u8 = 3;
    let deadline = Deadline::in_millis(LIMIT_MILLIS);
    let block: *mut Page = page;
    loop {
        // SAFETY: the caller built a well-formed block, and the exclusive reference keeps everybody else from it.
        match unsafe { asm::servc(command.0, block.cast()) } {
            NOT_OPERATIONAL => return Err(Error::NotOperational),
            BUSY if deadline.is_over() => return Err(Error::TimedOut),
            BUSY => {}
            _ => break,
        }
    }
    loop {
        // SAFETY: the halfword is inside the block; the SCLP may be about to store it, hence the volatile read.
        let response = unsafe { block.byte_add(Page::RESPONSE_AT).cast::<u16>().read_volatile() };
        match Response(response) {
            Response::PENDING if deadline.is_over() => return Err(Error::TimedOut),
            Response::PENDING => {}
            response if response.is_success() => return Ok(()),
            response => return Err(Error::Refused(response)),
        }
    }
}

/// READ SCP INFO: the size of main storage in bytes; the CPUs are noted for the end.
pub(crate) fn read_info() -> Result<u64, Error> {
    call(Command::READ_SCP_INFO, Page::start_read, |page| {
        cpus::note(page.cpu_addresses());
        page.memory_size()
    })
}

/// Releases the block. Only for a guest that is about to end and may have been interrupted in a
/// call.
pub(crate) fn break_lock() {
    if PAGE.is_locked() {
        // SAFETY: the guest ends: the code that held the lock is never returned to, and other CPUs say nothing more.
        unsafe { PAGE.force_unlock() };
    }
}
