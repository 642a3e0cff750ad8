// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program: one frame after the other is answered, for as long as there is somebody who asks.

use core::cell::UnsafeCell;

use agent_protocol::{Intake, LENGTH, MAX_FRAME, Received, Refusal, System, answer, refuse};

use crate::linux::{self, Errno, File};
use crate::port::Port;
use crate::threads;

/// Bytes that go through the pipe at once. Linux gives a user who has many pipes one of two pages (`pipe(7)`).
const PIECE: usize = 4096;

type Refused = (Refusal, u32);

/// A frame and its answer.
struct Buffers(UnsafeCell<[[u8; LENGTH + MAX_FRAME]; 2]>);

// SAFETY: they are taken once, by `main`.
unsafe impl Sync for Buffers {}

static BUFFERS: Buffers = Buffers(UnsafeCell::new([[0; LENGTH + MAX_FRAME]; 2]));

/// Entered with what the kernel puts on a program's stack.
pub(crate) extern "C" fn main(_start: *const u64) -> ! {
    let process = linux::process();
    let (port, pipe) = match (Port::open(process), linux::pipe()) {
        (Ok(port), Ok(pipe)) => (port, pipe),
        (Err(Errno(number)), _) => fail("/dev/vport0p1 cannot be opened", number),
        (_, Err(Errno(number))) => fail("no pipe", number),
    };
    // SAFETY: they are taken here and nowhere else.
    let [frame, reply] = unsafe { &mut *BUFFERS.0.get() };
    let mut service = Service { process, pipe };
    let mut intake = Intake::new(frame);
    loop {
        let Some(count) = port.read(intake.space()) else {
            intake.reset();
            continue;
        };
        let length = match intake.advance(count) {
            None => continue,
            Some(Received::Frame(frame)) => answer(frame, &mut service, reply),
            Some(Received::Refused { length }) if length as usize > MAX_FRAME => refuse(Refusal::TOO_LONG, reply),
            Some(Received::Refused { .. }) => refuse(Refusal::MALFORMED, reply),
        };
        port.write(&reply[..length]);
    }
}

fn fail(what: &str, errno: u32) -> ! {
    linux::say(format_args!("kaput-agent: {what}: error {errno}"));
    linux::exit(3)
}

/// The process that gives itself away.
struct Service {
    process: u32,
    /// Memory that may be none is copied through a pipe: the kernel then says so, where a load would end the program.
    pipe: (File, File),
}

impl Service {
    fn copy(&self, from: u64, to: u64, length: usize) -> Result<(), Refused> {
        let mut done = 0;
        while done < length {
            let at = done as u64;
            let fault = |Errno(number)| (Refusal::FAULT, number);
            let piece = PIECE.min(length - done);
            let written = self.pipe.1.write_from(from.wrapping_add(at), piece).map_err(fault)?;
            let mut read = 0;
            while read < written {
                match self.pipe.0.read_to(to.wrapping_add(at + read as u64), written - read) {
                    Ok(count @ 1..) => read += count,
                    other => {
                        let error = other.err().unwrap_or(linux::EIO);
                        self.drain(written - read);
                        return Err(fault(error));
                    }
                }
            }
            done += written;
        }
        Ok(())
    }

    /// Takes out of the pipe what nobody wants.
    fn drain(&self, mut length: usize) {
        let mut scratch = [0u8; 256];
        while length > 0 {
            match self.pipe.0.read_to(scratch.as_mut_ptr() as u64, length.min(scratch.len())) {
                Ok(count @ 1..) => length = length.saturating_sub(count),
                _ => return,
            }
        }
    }
}

impl System for Service {
    fn process(&self) -> u32 {
        self.process
    }

    fn map(&mut self, length: u64) -> Result<u64, Refused> {
        linux::map(length).map_err(linux::no_resources)
    }

    fn poke(&mut self, address: u64, bytes: &[u8]) -> Result<(), Refused> {
        self.copy(bytes.as_ptr() as u64, address, bytes.len())
    }

    fn peek(&mut self, address: u64, into: &mut [u8]) -> Result<(), Refused> {
        self.copy(address, into.as_mut_ptr() as u64, into.len())
    }

    fn call(&mut self, thread: u32, number: u64, arguments: [u64; 6]) -> Result<(), Refused> {
        threads::prepare(thread, number, arguments)
    }

    fn start(&mut self, threads: u64) -> Result<(), Refused> {
        threads::start(threads)
    }

    fn wait(&mut self, thread: u32, milliseconds: u32) -> Result<Option<i64>, Refused> {
        threads::wait(thread, milliseconds)
    }
}
