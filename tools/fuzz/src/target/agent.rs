// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two ends of the way to a real driver: the agent reads frames from whoever connects, and the harness reads what
//! the agent and a kernel answer. The first byte of an input says which.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use agent_protocol::{Intake, LENGTH, MAX_FRAME, Received, Refusal, Reply, System, answer, refuse};
use vfio_linux::{CallError, Linux, SystemCalls, Thread, guest_masks_of};

use super::{Target, kind_of};

/// Numbers of `read` and `getdents64`.
const READERS: [u64; 2] = [3, 220];

pub(super) struct Agent {
    buffers: [Vec<u8>; 2],
}

impl Agent {
    pub(super) fn new() -> Self {
        Self { buffers: [vec![0; LENGTH + MAX_FRAME], vec![0; LENGTH + MAX_FRAME]] }
    }

    /// Each whole frame has an answer that is one.
    fn serve(&mut self, mut input: &[u8]) -> Result<u64, String> {
        let [frame, out] = &mut self.buffers;
        let (mut intake, mut kind) = (Intake::new(frame), 0);
        while !input.is_empty() {
            let space = intake.space();
            let count = space.len().min(input.len());
            space[..count].copy_from_slice(&input[..count]);
            input = &input[count..];
            let length = match intake.advance(count) {
                None => continue,
                Some(Received::Frame(frame)) => answer(frame, &mut Nothing, out),
                Some(Received::Refused { .. }) => refuse(Refusal::TOO_LONG, out),
            };
            let (_, reply) = Reply::decode(&out[LENGTH..length]).ok_or("an answer that is none")?;
            kind = kind_of(&format!("{reply:?}")) ^ u64::rotate_left(kind, 1);
        }
        Ok(kind)
    }
}

/// A process that has no memory and no threads.
struct Nothing;

impl System for Nothing {
    fn process(&self) -> u32 {
        1
    }

    fn map(&mut self, _length: u64) -> Result<u64, (Refusal, u32)> {
        Ok(0)
    }

    fn poke(&mut self, _address: u64, _bytes: &[u8]) -> Result<(), (Refusal, u32)> {
        Err((Refusal::FAULT, 14))
    }

    fn peek(&mut self, _address: u64, into: &mut [u8]) -> Result<(), (Refusal, u32)> {
        into.fill(0);
        Ok(())
    }

    fn call(&mut self, _thread: u32, _number: u64, _arguments: [u64; 6]) -> Result<(), (Refusal, u32)> {
        Ok(())
    }

    fn start(&mut self, _threads: u64) -> Result<(), (Refusal, u32)> {
        Err((Refusal::IDLE, 0))
    }

    fn wait(&mut self, _thread: u32, milliseconds: u32) -> Result<Option<i64>, (Refusal, u32)> {
        Ok((milliseconds > 0).then_some(-1))
    }
}

/// A kernel whose every file and folder has these bytes.
struct Kernel {
    bytes: Vec<u8>,
    /// The number of the call under way.
    number: AtomicU64,
    is_read: AtomicBool,
}

impl SystemCalls for Kernel {
    fn map(&self, _length: usize) -> Result<u64, CallError> {
        Ok(0x1000)
    }

    fn poke(&self, _address: u64, _bytes: &[u8]) -> Result<(), CallError> {
        Ok(())
    }

    fn peek(&self, _address: u64, length: usize) -> Result<Vec<u8>, CallError> {
        Ok(self.bytes.iter().copied().chain(std::iter::repeat(0)).take(length).collect())
    }

    fn call(&self, _thread: Thread, number: u64, _arguments: [u64; 6]) -> Result<(), CallError> {
        self.number.store(number, Ordering::Relaxed);
        Ok(())
    }

    fn start(&self, _threads: &[Thread]) -> Result<(), CallError> {
        Ok(())
    }

    /// The first answer to a read is all of it, the second is the end; any other call returns 0.
    fn wait(&self, _thread: Thread, _patience: Duration) -> Result<Option<i64>, CallError> {
        let reads = READERS.contains(&self.number.load(Ordering::Relaxed));
        let is_first = !self.is_read.swap(reads, Ordering::Relaxed);
        Ok(Some(if reads && is_first { i64::try_from(self.bytes.len()).unwrap_or(i64::MAX) } else { 0 }))
    }
}

/// What the harness makes of a folder and of a file with these bytes.
fn files(input: &[u8]) -> Result<u64, String> {
    let kernel = Kernel { bytes: input.to_vec(), number: AtomicU64::new(0), is_read: AtomicBool::new(false) };
    let linux = Linux::new(Arc::new(kernel), Duration::from_secs(1));
    let names = linux.list("/").map_err(|error| error.to_string())?;
    let bytes = linux.read_file("/x").map_err(|error| error.to_string())?;
    if bytes != input {
        return Err("a file was read as another".to_owned());
    }
    Ok(names.len() as u64)
}

impl Target for Agent {
    fn read(&mut self, input: &[u8]) -> Result<u64, String> {
        let (first, rest) = input.split_first().unwrap_or((&0, &[]));
        let which = first % 3;
        let kind = match which {
            0 => self.serve(rest)?,
            1 => files(rest)?,
            _ => kind_of(&format!("{:?}", guest_masks_of(&String::from_utf8_lossy(rest)))),
        };
        Ok(kind ^ u64::from(which))
    }
}
