// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is left in queues before a migration, and what is found there afterwards: two messages in one queue of each
//! card, whose interruption is on. Where the guest was migrated the messages are gone and interruption is off; where
//! the migration was refused both are as they were. By the messages the guest knows which of the two it was.

use crate::ap::exchange::{self, Failure};
use crate::ap::instructions::Ap;
use crate::ap::interruption::Nib;
use crate::ap::observe;
use crate::ap::queue::Queue;
use crate::ap::request::{self, Request};
use crate::case::outcome::{Outcome, Stop, failed, require};
use crate::machine::clock::Deadline;
use crate::machine::io::{self, IoInterruption, Subclasses, Waiting};
use alloc::vec;
use alloc::vec::Vec;
use ap_arch::{QueueStatus, facility};
use core::fmt;

/// Messages in each queue, if it holds that many.
const MESSAGES: usize = 2;
/// The subclasses of before and after.
const OLD_ISC: u8 = 5;
const NEW_ISC: u8 = 2;
/// How long an interruption may take, and how long to look that none comes, in milliseconds.
const LIMIT_MILLIS: u64 = 10_000;
const QUIET_MILLIS: u64 = 5;
/// How long replies may go on being notified, in milliseconds.
const NOTIFIED_MILLIS: u64 = 1000;

/// The messages that were left, and whether interruption is on.
pub(crate) struct LeftInQueues {
    queues: Vec<(Queue, Vec<u64>)>,
    armed: bool,
}

/// What the guest was notified by: an interruption, the notification byte, both or neither.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notification {
    pub(crate) interruption: Option<IoInterruption>,
    pub(crate) byte: u8,
}

impl Notification {
    /// Waits for what comes by the old registration, at most this many milliseconds.
    fn look(limit_millis: u64) -> Self {
        let interruption = io::wait_for(Subclasses::only(OLD_ISC), Waiting::Polling, limit_millis, Nib::First.byte());
        Self { interruption, byte: Nib::First.take() }
    }

    /// Whether there was nothing.
    pub(crate) fn nothing(&self) -> bool {
        self.interruption.is_none() && self.byte == 0
    }
}

/// What was found in one queue.
pub(crate) struct FoundInQueue {
    pub(crate) queue: Queue,
    /// The identifiers sent before.
    pub(crate) sent: Vec<u64>,
    /// What TAPQ answered before anything was fetched.
    pub(crate) status: QueueStatus,
    /// The identifiers of the replies that were there.
    pub(crate) received: Vec<u64>,
    /// Whether each reply was right.
    pub(crate) replies: Outcome,
    /// Whether a new request is answered.
    pub(crate) works: Outcome,
    /// What came by the old registration with the new request.
    pub(crate) notification: Option<Notification>,
    /// Whether interruption can be turned on for another byte and another subclass, and comes there.
    pub(crate) armed_again: Option<Outcome>,
}

impl FoundInQueue {
    /// Whether its messages are all there.
    pub(crate) fn intact(&self) -> bool {
        self.received.len() == self.sent.len()
    }
}

/// What was found in all queues.
pub(crate) struct FoundInQueues {
    pub(crate) queues: Vec<FoundInQueue>,
    /// What came by the old registration before anything was done.
    pub(crate) unprompted: Option<Notification>,
}

impl FoundInQueues {
    /// Whether the guest is where it was: what the queues held is there.
    pub(crate) fn stayed(&self) -> bool {
        self.queues.iter().any(|found| !found.received.is_empty())
    }
}

impl LeftInQueues {
    /// Sends messages to these queues, which are empty and used by nothing else.
    pub(crate) fn leave(ap: &Ap, queues: &[Queue]) -> Result<Self, Stop> {
        let armed = ap.has(facility::APQI);
        let mut loaded = Vec::new();
        for queue in queues {
            if armed {
                ap.arm(queue.apqn, OLD_ISC, Nib::First)?;
            }
            let mut sent = Vec::new();
            for _ in 0..queue.info.depth().min(MESSAGES) {
                let request = Request::send(ap, queue)?;
                request.wait_for_reply()?;
                sent.push(request.psmid());
            }
            loaded.push((*queue, sent));
        }
        if armed {
            await_quiet()?;
        }
        Ok(Self { queues: loaded, armed })
    }

    /// Takes out what is there, and leaves the queues empty and with interruption off.
    pub(crate) fn find(self, ap: &Ap) -> FoundInQueues {
        let unprompted = self.armed.then(|| Notification::look(QUIET_MILLIS));
        let armed = self.armed;
        let queues = self.queues.into_iter().map(|(queue, sent)| look(ap, queue, sent, armed)).collect();
        FoundInQueues { queues, unprompted }
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.interruption {
            Some(came) => write!(f, "interruption {:08x}", came.identification)?,
            None => write!(f, "no interruption")?,
        }
        write!(f, ", byte {:02x}", self.byte)
    }
}

/// Waits until nothing is notified any more: a reply may be notified more than once, and later than DQAP can take it.
fn await_quiet() -> Outcome {
    let deadline = Deadline::in_millis(NOTIFIED_MILLIS);
    while !deadline.is_over() {
        if Notification::look(QUIET_MILLIS).nothing() {
            return Ok(());
        }
    }
    Err(failed!("replies are still notified {NOTIFIED_MILLIS} ms after the last of them came"))
}

fn look(ap: &Ap, queue: Queue, sent: Vec<u64>, armed: bool) -> FoundInQueue {
    let status = observe::settled(ap, queue.apqn).status;
    let mut received = Vec::new();
    let replies = fetch_all(ap, &queue, sent.len(), &mut received);
    if armed {
        // These replies are fetched; their notifications are not those of the request below.
        Notification::look(0);
    }
    let works = Request::send(ap, &queue).and_then(Request::fetch);
    let notification = armed.then(|| {
        let stayed = !received.is_empty();
        Notification::look(if stayed { LIMIT_MILLIS } else { QUIET_MILLIS })
    });
    let armed_again = armed.then(|| arm_again(ap, &queue));
    FoundInQueue { queue, sent, status, received, replies, works, notification, armed_again }
}

/// The replies that are there, and no more of them than were sent.
fn fetch_all(ap: &Ap, queue: &Queue, limit: usize, received: &mut Vec<u64>) -> Outcome {
    let mut buffer = vec![0; 4096];
    // One more than was sent: the guest did not ask for it.
    for _ in 0..=limit {
        match exchange::receive_any(ap, queue.apqn, &mut buffer) {
            Err(Failure::Lost(_)) => return Ok(()),
            Err(failure) => return Err(failure.into()),
            Ok((psmid, length)) => {
                received.push(psmid);
                request::judge(queue, &buffer[..length])?;
            }
        }
    }
    Err(failed!("{}: more replies than requests", queue.apqn))
}

fn arm_again(ap: &Ap, queue: &Queue) -> Outcome {
    let apqn = queue.apqn;
    if ap.probe(apqn).status.has(QueueStatus::INTERRUPT_ENABLED) {
        ap.disarm(apqn)?;
    }
    ap.arm(apqn, NEW_ISC, Nib::Second)?;
    let request = Request::send(ap, queue)?;
    let came = io::wait_for(Subclasses::only(NEW_ISC), Waiting::Polling, LIMIT_MILLIS, Nib::Second.byte());
    request.fetch()?;
    let (first, second) = (Nib::First.take(), Nib::Second.take());
    ap.disarm(apqn)?;
    require!(came.is_some(), "{apqn}: no interruption within {LIMIT_MILLIS} ms");
    require!(second != 0 && first == 0, "{apqn}: the bytes are {first:02x} (old) and {second:02x} (new)");
    Ok(())
}
