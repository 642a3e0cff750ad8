// SPDX-License-Identifier: MIT OR Apache-2.0
//! System calls by the agent, over any two flows of bytes: a socket, a program's pipes. Two threads move the bytes, so
//! every answer has a deadline whatever the flows are; they end when the flows do, which is their owner's to bring
//! about.

use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use agent_protocol::{Greeting, Intake, LENGTH, MAX_DATA, MAX_FRAME, Received, Reply, Request, THREADS, VERSION};

use crate::{CallError, SystemCalls, Thread};

/// The longest that the agent itself is asked to wait; longer times are several requests.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// How long one look for an agent takes that may not be there yet.
const LOOK: Duration = Duration::from_millis(500);

/// What is said of an answer that does not come.
const LATE: &str = "no answer in time";

/// Answers to somebody else that may come before the first of ours.
const STALE: usize = 64;

/// Frames that wait for somebody who asks for them; then nothing more is read, whatever the other end sends.
const MOST_WAITING: usize = 64;

/// The agent at the other end.
pub struct Agent {
    link: Mutex<Link>,
    process: u32,
}

/// One connection.
struct Link {
    to: Sender<Vec<u8>>,
    from: Receiver<Result<Vec<u8>, String>>,
    sequence: u32,
    /// How long an answer takes at most that the agent need not wait for.
    patience: Duration,
    /// Why nobody can be asked any more.
    lost: Option<CallError>,
}

impl Agent {
    /// Greets the agent at the other end of two flows of bytes; it may take `patience` to come up and, later, to
    /// answer.
    ///
    /// # Errors
    /// It does not answer, or speaks another version.
    pub fn greet(
        from: impl Read + Send + 'static,
        to: impl Write + Send + 'static,
        patience: Duration,
    ) -> Result<Self, CallError> {
        let end = Instant::now() + patience;
        let in_time = move || if Instant::now() < end { Ok(()) } else { Err(LATE.to_owned()) };
        Self::greet_while(from, to, patience, in_time)
    }

    /// Greets one that may not be there yet: it is waited for as long as `gets_on` has no reason not to. Later each
    /// answer may take `patience`.
    ///
    /// # Errors
    /// That reason; it speaks another version, or is no agent.
    pub fn greet_while(
        from: impl Read + Send + 'static,
        to: impl Write + Send + 'static,
        patience: Duration,
        mut gets_on: impl FnMut() -> Result<(), String>,
    ) -> Result<Self, CallError> {
        let (requests, frames) = (mpsc::channel(), mpsc::sync_channel(MOST_WAITING));
        thread::spawn(move || send_all(to, &requests.1));
        thread::spawn(move || receive_all(from, &frames.0));
        let mut link = Link { to: requests.0, from: frames.1, sequence: 0, patience, lost: None };
        let Greeting { version, process } = link.hello(&mut gets_on)?;
        if version != VERSION {
            let reason =
                format!("version {version} is spoken there, {VERSION} here: put the kaput-agent of this kaput there");
            return Err(CallError::Lost(reason));
        }
        Ok(Self { link: Mutex::new(link), process })
    }

    /// The id of the agent's process: 1 where the machine runs nothing else.
    #[must_use]
    pub const fn process(&self) -> u32 {
        self.process
    }

    /// Sends the requests in one go; their answers without their lengths, in order.
    fn ask(&self, requests: &[Request<'_>], waiting: Duration) -> Result<Vec<Vec<u8>>, CallError> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).ask(requests, waiting)
    }

    /// Sends requests that have no answer but that they are done.
    fn order(&self, requests: &[Request<'_>]) -> Result<u64, CallError> {
        let mut value = 0;
        for answer in self.ask(requests, Duration::ZERO)? {
            value = done(&answer)?.unwrap_or_default();
        }
        Ok(value)
    }
}

/// The value of an answer, `None` if the call still runs.
fn done(answer: &[u8]) -> Result<Option<u64>, CallError> {
    match Reply::decode(answer) {
        Some((_, Reply::Done(value))) => Ok(Some(value)),
        Some((_, Reply::Running)) => Ok(None),
        Some((_, Reply::Refused { refusal, errno })) => Err(CallError::Refused { refusal, errno }),
        _ => Err(CallError::Lost("an answer to something else".to_owned())),
    }
}

impl Link {
    /// Greets. What comes before may be for somebody who was here before.
    fn hello(&mut self, gets_on: &mut dyn FnMut() -> Result<(), String>) -> Result<Greeting, CallError> {
        let sequence = self.send(&[Request::Hello { version: VERSION }])?;
        let mut stale = 0;
        while stale < STALE {
            let frame = match self.from.recv_timeout(LOOK) {
                Err(RecvTimeoutError::Timeout) => {
                    gets_on().map_err(|reason| self.lose(&reason))?;
                    continue;
                }
                frame => self.received(frame)?,
            };
            match Reply::decode(&frame) {
                Some((number, Reply::Greeting(greeting))) if number == sequence => return Ok(greeting),
                _ => stale += 1,
            }
        }
        Err(self.lose("what answers there is no kaput-agent"))
    }

    fn ask(&mut self, requests: &[Request<'_>], waiting: Duration) -> Result<Vec<Vec<u8>>, CallError> {
        let first = self.send(requests)?;
        let deadline = Instant::now() + self.patience + waiting;
        let mut answers = Vec::with_capacity(requests.len());
        for number in 0..requests.len() {
            let answer = self.receive(deadline)?;
            let expected = first.wrapping_add(u32::try_from(number).unwrap_or(u32::MAX));
            match Reply::decode(&answer) {
                Some((sequence, _)) if sequence == expected => answers.push(answer),
                Some((_, Reply::Refused { refusal, errno: 0 })) => {
                    return Err(self.lose(&format!("a frame of ours did not arrive whole: {refusal}")));
                }
                _ => return Err(self.lose("an answer to something else")),
            }
        }
        Ok(answers)
    }

    /// Sends requests; the number of the first.
    fn send(&mut self, requests: &[Request<'_>]) -> Result<u32, CallError> {
        if let Some(error) = &self.lost {
            return Err(error.clone());
        }
        let first = self.sequence;
        let mut frames = Vec::new();
        for request in requests {
            request.encode(self.sequence, &mut frames);
            self.sequence = self.sequence.wrapping_add(1);
        }
        if self.to.send(frames).is_err() {
            return Err(self.lose("the connection takes nothing any more"));
        }
        Ok(first)
    }

    fn receive(&mut self, deadline: Instant) -> Result<Vec<u8>, CallError> {
        let frame = self.from.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        self.received(frame)
    }

    fn received(&mut self, frame: Result<Result<Vec<u8>, String>, RecvTimeoutError>) -> Result<Vec<u8>, CallError> {
        match frame {
            Ok(Ok(frame)) => Ok(frame),
            Ok(Err(reason)) => Err(self.lose(&reason)),
            Err(RecvTimeoutError::Disconnected) => Err(self.lose("the connection ended")),
            Err(RecvTimeoutError::Timeout) => {
                self.lost = Some(CallError::Silent);
                Err(CallError::Silent)
            }
        }
    }

    fn lose(&mut self, reason: &str) -> CallError {
        let error = CallError::Lost(reason.to_owned());
        self.lost = Some(error.clone());
        error
    }
}

/// Writes what is to be sent until nobody sends or nobody takes any more.
fn send_all(mut to: impl Write, requests: &Receiver<Vec<u8>>) {
    for frames in requests {
        if to.write_all(&frames).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}

/// Reads frames until there are no more.
fn receive_all(mut from: impl Read, frames: &SyncSender<Result<Vec<u8>, String>>) {
    let mut buffer = vec![0; LENGTH + MAX_FRAME];
    let mut intake = Intake::new(&mut buffer);
    loop {
        let received = match from.read(intake.space()) {
            Ok(0) => Err("the connection ended".to_owned()),
            Ok(count) => match intake.advance(count) {
                None => continue,
                Some(Received::Frame(frame)) => Ok(frame.to_vec()),
                Some(Received::Refused { .. }) => Err("what answers there is no kaput-agent".to_owned()),
            },
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => Err(error.to_string()),
        };
        let is_over = received.is_err();
        if frames.send(received).is_err() || is_over {
            return;
        }
    }
}

impl SystemCalls for Agent {
    fn map(&self, length: usize) -> Result<u64, CallError> {
        let address = self.order(&[Request::Map { length: length as u64 }])?;
        let wrapped = || CallError::Lost(format!("{length} bytes of memory at {address:#x} would not fit there"));
        address.checked_add(length as u64).map(|_| address).ok_or_else(wrapped)
    }

    fn poke(&self, address: u64, bytes: &[u8]) -> Result<(), CallError> {
        let pieces = (0..).step_by(MAX_DATA).zip(bytes.chunks(MAX_DATA));
        let requests: Vec<Request<'_>> =
            pieces.map(|(at, bytes): (u64, _)| Request::Poke { address: address + at, bytes }).collect();
        self.order(&requests).map(drop)
    }

    fn peek(&self, address: u64, length: usize) -> Result<Vec<u8>, CallError> {
        let piece =
            |at: usize| Request::Peek { address: address + at as u64, length: (length - at).min(MAX_DATA) as u32 };
        let requests: Vec<Request<'_>> = (0..length).step_by(MAX_DATA).map(piece).collect();
        let mut bytes = Vec::with_capacity(length);
        for answer in self.ask(&requests, Duration::ZERO)? {
            match Reply::decode(&answer) {
                Some((_, Reply::Bytes(piece))) => bytes.extend_from_slice(piece),
                _ => return Err(done(&answer).err().unwrap_or_else(short)),
            }
        }
        if bytes.len() == length { Ok(bytes) } else { Err(short()) }
    }

    fn call(&self, thread: Thread, number: u64, arguments: [u64; 6]) -> Result<(), CallError> {
        self.order(&[Request::Call { thread: thread.0, number, arguments }]).map(drop)
    }

    fn start(&self, threads: &[Thread]) -> Result<(), CallError> {
        self.order(&[Request::Start { threads: bits(threads) }]).map(drop)
    }

    fn wait(&self, thread: Thread, patience: Duration) -> Result<Option<i64>, CallError> {
        let answers = self.ask(&[wait(thread, patience)], patience)?;
        let value = answers.first().map_or(Ok(None), |answer| done(answer))?;
        Ok(value.map(u64::cast_signed))
    }

    fn run(
        &self,
        thread: Thread,
        number: u64,
        arguments: [u64; 6],
        patience: Duration,
    ) -> Result<Option<i64>, CallError> {
        Ok(self.run_all(thread, &[(number, arguments)], patience)?.pop().flatten())
    }

    fn run_all(
        &self,
        thread: Thread,
        calls: &[(u64, [u64; 6])],
        patience: Duration,
    ) -> Result<Vec<Option<i64>>, CallError> {
        let one = |(number, arguments): &(u64, [u64; 6])| {
            let call = Request::Call { thread: thread.0, number: *number, arguments: *arguments };
            [call, Request::Start { threads: bits(&[thread]) }, wait(thread, patience)]
        };
        let answers = self.ask(&calls.iter().flat_map(one).collect::<Vec<_>>(), patience)?;
        let mut values = Vec::with_capacity(calls.len());
        for three in answers.chunks(3) {
            let mut value = None;
            for answer in three {
                value = done(answer)?;
            }
            values.push(value.map(u64::cast_signed));
            if value.is_none() {
                // It hangs, and so the thread takes no other.
                break;
            }
        }
        Ok(values)
    }
}

fn wait(thread: Thread, patience: Duration) -> Request<'static> {
    let milliseconds = patience.min(LONGEST_WAIT).as_millis();
    Request::Wait { thread: thread.0, milliseconds: u32::try_from(milliseconds).unwrap_or(u32::MAX) }
}

/// Threads as the agent numbers them; one that it cannot have makes it refuse.
fn bits(threads: &[Thread]) -> u64 {
    threads.iter().filter(|thread| thread.0 < THREADS).fold(0, |bits, thread| bits | 1 << thread.0)
}

fn short() -> CallError {
    CallError::Lost("fewer bytes than were asked for".to_owned())
}
