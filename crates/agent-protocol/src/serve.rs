// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent's side: a frame in, its answer out. What really happens is behind a trait, so that this is tested without
//! a Linux to spoil.

use crate::field::Fields;
use crate::reply::written_bytes;
use crate::{Greeting, HEADER, LENGTH, MAX_DATA, NO_SEQUENCE, Refusal, Reply, Request, VERSION};

/// What is given away. An error has the kernel's error number, or 0.
pub trait System {
    /// This process's id.
    fn process(&self) -> u32;

    /// Fresh memory.
    ///
    /// # Errors
    /// [`Refusal::NO_RESOURCES`].
    fn map(&mut self, length: u64) -> Result<u64, (Refusal, u32)>;

    /// Stores bytes.
    ///
    /// # Errors
    /// [`Refusal::FAULT`].
    fn poke(&mut self, address: u64, bytes: &[u8]) -> Result<(), (Refusal, u32)>;

    /// Fetches bytes.
    ///
    /// # Errors
    /// [`Refusal::FAULT`].
    fn peek(&mut self, address: u64, into: &mut [u8]) -> Result<(), (Refusal, u32)>;

    /// Prepares a system call.
    ///
    /// # Errors
    /// [`Refusal::NO_THREAD`], [`Refusal::BUSY`], [`Refusal::NO_RESOURCES`].
    fn call(&mut self, thread: u32, number: u64, arguments: [u64; 6]) -> Result<(), (Refusal, u32)>;

    /// Begins what is prepared.
    ///
    /// # Errors
    /// [`Refusal::NO_THREAD`], [`Refusal::IDLE`]: then none begins.
    fn start(&mut self, threads: u64) -> Result<(), (Refusal, u32)>;

    /// What a call returned; `None` when this many milliseconds are over.
    ///
    /// # Errors
    /// [`Refusal::NO_THREAD`], [`Refusal::IDLE`].
    fn wait(&mut self, thread: u32, milliseconds: u32) -> Result<Option<i64>, (Refusal, u32)>;
}

/// Carries out what a frame, without its length, asks for, and writes the frame of the answer into `out`, which has
/// room for the longest. Returns how long it is.
pub fn answer(frame: &[u8], system: &mut impl System, out: &mut [u8]) -> usize {
    let mut fields = Fields(frame);
    let (Some(sequence), Some(kind)) = (fields.u32(), fields.u32()) else { return refuse(Refusal::MALFORMED, out) };
    let done = |result: Result<u64, (Refusal, u32)>| match result {
        Ok(value) => Reply::Done(value),
        Err((refusal, errno)) => Reply::Refused { refusal, errno },
    };
    let reply = match Request::decode(kind, fields.0) {
        None => done(Err((Refusal::MALFORMED, 0))),
        Some(None) => done(Err((Refusal::UNKNOWN, 0))),
        Some(Some(Request::Hello { .. })) => Reply::Greeting(Greeting { version: VERSION, process: system.process() }),
        Some(Some(Request::Map { length })) => done(system.map(length)),
        Some(Some(Request::Poke { address, bytes })) => done(system.poke(address, bytes).map(|()| 0)),
        Some(Some(Request::Peek { address, length })) => {
            let size = length as usize;
            let space = out.get_mut(LENGTH + HEADER..LENGTH + HEADER + size).filter(|_| size <= MAX_DATA);
            match space.map(|space| system.peek(address, space)) {
                Some(Ok(())) => return written_bytes(sequence, size, out),
                Some(Err(refused)) => done(Err(refused)),
                None => done(Err((Refusal::TOO_LONG, 0))),
            }
        }
        Some(Some(Request::Call { thread, number, arguments })) => {
            done(system.call(thread, number, arguments).map(|()| 0))
        }
        Some(Some(Request::Start { threads })) => done(system.start(threads).map(|()| 0)),
        Some(Some(Request::Wait { thread, milliseconds })) => match system.wait(thread, milliseconds) {
            Ok(Some(value)) => Reply::Done(value.cast_unsigned()),
            Ok(None) => Reply::Running,
            Err(refused) => done(Err(refused)),
        },
    };
    reply.write(sequence, out)
}

/// Writes the answer to what was no frame, and so has no number.
pub fn refuse(refusal: Refusal, out: &mut [u8]) -> usize {
    Reply::Refused { refusal, errno: 0 }.write(NO_SEQUENCE, out)
}
