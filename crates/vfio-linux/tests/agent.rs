// SPDX-License-Identifier: MIT OR Apache-2.0
//! The way to the agent: what it says is understood, and what nobody should say ends the connection with a reason.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use agent_protocol::{Intake, LENGTH, MAX_DATA, MAX_FRAME, Received, Refusal, System, VERSION, answer};
use vfio_linux::{Agent, CallError, SystemCalls, Thread};
use vfio_mig::DeviceError;

const PATIENCE: Duration = Duration::from_secs(20);

/// A process whose memory is an array at address 0x1000, and whose calls return the sum of their arguments; call 0
/// never returns.
struct Process {
    memory: Vec<u8>,
    calls: [Option<(u64, [u64; 6])>; 4],
}

const BASE: u64 = 0x1000;

type Refused = (Refusal, u32);

impl Process {
    fn range(&mut self, address: u64, length: usize) -> Result<&mut [u8], Refused> {
        let begin = address.checked_sub(BASE).and_then(|begin| usize::try_from(begin).ok());
        let range = begin.and_then(|begin| Some(begin..begin.checked_add(length)?));
        range.and_then(|range| self.memory.get_mut(range)).ok_or((Refusal::FAULT, 14))
    }
}

impl System for Process {
    fn process(&self) -> u32 {
        1
    }

    fn map(&mut self, length: u64) -> Result<u64, Refused> {
        self.memory = vec![0; usize::try_from(length).expect("a length")];
        Ok(BASE)
    }

    fn poke(&mut self, address: u64, bytes: &[u8]) -> Result<(), Refused> {
        self.range(address, bytes.len()).map(|range| range.copy_from_slice(bytes))
    }

    fn peek(&mut self, address: u64, into: &mut [u8]) -> Result<(), Refused> {
        self.range(address, into.len()).map(|range| into.copy_from_slice(range))
    }

    fn call(&mut self, thread: u32, number: u64, arguments: [u64; 6]) -> Result<(), Refused> {
        let call = self.calls.get_mut(thread as usize).ok_or((Refusal::NO_THREAD, 0))?;
        if call.is_some() {
            return Err((Refusal::BUSY, 0));
        }
        *call = Some((number, arguments));
        Ok(())
    }

    fn start(&mut self, _threads: u64) -> Result<(), Refused> {
        Ok(())
    }

    fn wait(&mut self, thread: u32, _milliseconds: u32) -> Result<Option<i64>, Refused> {
        match self.calls[thread as usize] {
            None => Err((Refusal::IDLE, 0)),
            Some((0, _)) => Ok(None),
            Some((_, arguments)) => {
                self.calls[thread as usize] = None;
                Ok(Some(arguments.iter().fold(0, |sum: i64, argument| sum.wrapping_add(argument.cast_signed()))))
            }
        }
    }
}

/// An agent at the other end of a socket.
fn agent() -> Agent {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    thread::spawn(move || serve(theirs));
    greet(ours, PATIENCE).expect("it greets")
}

fn greet(socket: UnixStream, patience: Duration) -> Result<Agent, CallError> {
    let other = socket.try_clone().expect("a second handle");
    Agent::greet(other, socket, patience)
}

fn serve(mut socket: UnixStream) {
    let mut process = Process { memory: Vec::new(), calls: [None; 4] };
    let (mut buffer, mut out) = (vec![0; LENGTH + MAX_FRAME], vec![0; LENGTH + MAX_FRAME]);
    let mut intake = Intake::new(&mut buffer);
    while let Ok(count @ 1..) = socket.read(intake.space()) {
        if let Some(Received::Frame(frame)) = intake.advance(count) {
            let length = answer(frame, &mut process, &mut out);
            if socket.write_all(&out[..length]).is_err() {
                return;
            }
        }
    }
}

#[test]
fn memory_of_any_size_goes_there_and_comes_back() {
    let agent = agent();
    assert_eq!(agent.process(), 1);
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(2 * MAX_DATA + 17).collect();
    let address = agent.map(bytes.len()).expect("memory");
    agent.poke(address, &bytes).expect("stored");
    assert_eq!(agent.peek(address, bytes.len()), Ok(bytes));
    assert_eq!(agent.peek(address, 0), Ok(Vec::new()));
    let fault = Err(CallError::Refused { refusal: Refusal::FAULT, errno: 14 });
    assert_eq!(agent.peek(0, 1), fault);
    assert_eq!(agent.poke(address - 1, &[0]), fault.map(drop));
}

#[test]
fn calls_return_hang_and_are_refused() {
    let agent = agent();
    let short = Duration::from_millis(1);
    assert_eq!(agent.run(Thread(1), 7, [1, 2, 3, 4, 5, 6], short), Ok(Some(21)));
    assert_eq!(agent.run(Thread(1), 7, [(-22i64).cast_unsigned(), 0, 0, 0, 0, 0], short), Ok(Some(-22)));
    assert_eq!(agent.run(Thread(2), 0, [0; 6], short), Ok(None));
    assert_eq!(agent.wait(Thread(2), short), Ok(None));
    let refused = |refusal| Err(CallError::Refused { refusal, errno: 0 });
    assert_eq!(agent.call(Thread(2), 7, [0; 6]), refused(Refusal::BUSY));
    assert_eq!(agent.call(Thread(9), 7, [0; 6]), refused(Refusal::NO_THREAD));
    assert_eq!(agent.wait(Thread(3), short), refused(Refusal::IDLE).map(|()| None));
    // After a refusal everything goes on.
    assert_eq!(agent.run(Thread(1), 7, [1; 6], short), Ok(Some(6)));
}

/// What a peer is taken for that says this, and what every later call gets.
fn reason(said: &[u8], patience: Duration) -> String {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    theirs.write_all(said).expect("it says it");
    match greet(ours, patience) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("nobody greets like that"),
    }
}

fn greeting(version: u32) -> Vec<u8> {
    [16, 0, 0, version, 7].map(u32::to_be_bytes).concat()
}

#[test]
fn an_agent_of_another_version_is_told_from_what_is_no_agent() {
    assert!(reason(&greeting(VERSION + 1), PATIENCE).contains("version 2 is spoken there, 1 here"));
    let no_agent = "what answers there is no kaput-agent";
    assert!(reason(b"Welcome to this host!\n\n", PATIENCE).contains(no_agent));
    assert!(reason(&[0, 0, 0, 3, 1, 2, 3], PATIENCE).contains(no_agent));
    assert!(reason(&[0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 99, 1].repeat(64), PATIENCE).contains(no_agent));
    assert!(reason(&greeting(VERSION)[..10], Duration::from_millis(20)).contains("no answer in time"));
}

#[test]
fn a_connection_that_ends_is_lost_for_good() {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    theirs.write_all(&greeting(VERSION)).expect("it greets");
    let agent = greet(ours, PATIENCE).expect("it greets");
    drop(theirs);
    let first = agent.map(1);
    assert!(matches!(first, Err(CallError::Lost(_))), "{first:?}");
    assert_eq!(agent.map(1), first);
}

#[test]
fn an_agent_that_falls_silent_hangs_whatever_it_is_asked_then() {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    theirs.write_all(&greeting(VERSION)).expect("it greets");
    let agent = greet(ours, Duration::from_millis(20)).expect("it greets");
    assert_eq!([agent.map(1), agent.map(1)], [Err(CallError::Silent), Err(CallError::Silent)]);
    assert!(matches!(DeviceError::from(CallError::Silent), DeviceError::Hung(_)));
}

#[test]
fn answers_to_somebody_before_us_are_skipped_and_to_something_else_are_none() {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let stale = [16, 41, 1, 0, 0].map(u32::to_be_bytes).concat();
    theirs.write_all(&[stale.clone(), greeting(VERSION), stale].concat()).expect("it answers");
    let agent = greet(ours, PATIENCE).expect("it greets");
    assert_eq!(agent.map(1), Err(CallError::Lost("an answer to something else".to_owned())));
}
