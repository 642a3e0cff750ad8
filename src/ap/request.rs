// SPDX-License-Identifier: MIT OR Apache-2.0
//! A harmless request to any kind of card, for tests of queues that do not care what is computed: a public RSA
//! operation, some random numbers, or a question about the module. AP reference 7.2, 7.8 and 7.11.

use crate::ap::exchange::{self, Failure, REPLY_LIMIT_MILLIS};
use crate::ap::instructions::{Answer, Ap};
use crate::ap::rsa::{self, Vector};
use crate::machine::clock::Deadline;
use crate::suites::{Outcome, Stop, failed};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use ap_arch::message::{Reply, cca, ep11, parse_reply};
use ap_arch::{Apqn, CardMode, HwInfo, QueueStatus, ResponseCode};

/// Room for any reply to an errand, in bytes.
const REPLY_ROOM: usize = 4096;

/// A queue that is operational, and what it takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queue {
    /// Its number.
    pub(crate) apqn: Apqn,
    /// What TAPQ tells of it.
    pub(crate) info: HwInfo,
    /// The mode of its card.
    pub(crate) mode: CardMode,
}

impl Queue {
    /// The queue, if what TAPQ answered says that it is operational and which mode its card has.
    pub(crate) fn usable(apqn: Apqn, answer: &Answer) -> Option<Self> {
        let mode = answer.info.mode().filter(|_| answer.status.response() == ResponseCode::NORMAL)?;
        Some(Self { apqn, info: answer.info, mode })
    }

    /// The request that is sent.
    pub(crate) fn request(&self) -> Vec<u8> {
        let domain = self.apqn.apqi.0;
        let mut message = vec![0; 512];
        let length = match self.mode {
            CardMode::Accelerator => return rsa::request(Vector::PUBLIC),
            CardMode::Cca => cca::random_request(&mut message, domain.into(), 64),
            CardMode::Ep11 => ep11::info_request(&mut message, domain.into(), ep11::QueryType::MODULE, 2048),
        };
        // The buffer is longer than either request.
        message.truncate(length.unwrap_or(0));
        message
    }

    /// Whether this is the reply to the request; if not, what it is.
    pub(crate) fn judge(&self, reply: &[u8]) -> Result<(), String> {
        match (self.mode, parse_reply(reply)) {
            (CardMode::Accelerator, _) => rsa::judge(Vector::PUBLIC, reply),
            (_, Ok(Reply::Coprocessor(header))) if header.reply_code == 0 => Ok(()),
            (_, Ok(other)) => Err(unexpected(&other)),
            (_, Err(error)) => Err(format!("malformed reply: {error}")),
        }
    }
}

/// A reply that is well-formed but not the one that was expected, in words.
pub(crate) fn unexpected(reply: &Reply<'_>) -> String {
    match reply {
        Reply::Rsa(result) => format!("unexpected type 80 reply with {} bytes", result.len()),
        Reply::Error(error) => format!("error reply {}, code {}", error.kind, error.code),
        Reply::Coprocessor(header) => format!("unexpected type 86 reply with code {:02x}", header.reply_code),
    }
}

/// A request on its way.
pub(crate) struct Errand<'a> {
    ap: &'a Ap,
    queue: &'a Queue,
    psmid: u64,
}

impl<'a> Errand<'a> {
    /// Puts the request into the queue.
    pub(crate) fn send(ap: &'a Ap, queue: &'a Queue) -> Result<Self, Stop> {
        Self::send_as(ap, queue, exchange::next_psmid())
    }

    /// Puts the request into the queue under this identifier.
    pub(crate) fn send_as(ap: &'a Ap, queue: &'a Queue, psmid: u64) -> Result<Self, Stop> {
        exchange::send(ap, queue.apqn, psmid, &queue.request()).map_err(|failure| stop(queue, failure))?;
        Ok(Self { ap, queue, psmid })
    }

    /// Its identifier.
    pub(crate) fn psmid(&self) -> u64 {
        self.psmid
    }

    /// Waits until the queue says that a reply is there.
    pub(crate) fn wait_for_reply(&self) -> Outcome {
        let (apqn, deadline) = (self.queue.apqn, Deadline::in_millis(REPLY_LIMIT_MILLIS));
        loop {
            let status = self.ap.probe(apqn).status;
            match status.response() {
                ResponseCode::NORMAL if status.has(QueueStatus::REPLIES_WAITING) => return Ok(()),
                ResponseCode::NORMAL if status.has(QueueStatus::EMPTY) => {
                    return Err(failed!("{apqn} says that it is empty, and we wait for a reply"));
                }
                ResponseCode::NORMAL if !deadline.is_over() => {}
                _ => return Err(failed!("{apqn}: no reply within {REPLY_LIMIT_MILLIS} ms, {status}")),
            }
        }
    }

    /// Takes the reply out of the queue, the next one to come.
    pub(crate) fn fetch(self) -> Outcome {
        let mut buffer = vec![0; REPLY_ROOM];
        let (apqn, queue) = (self.queue.apqn, self.queue);
        let reply =
            exchange::receive(self.ap, apqn, self.psmid, &mut buffer).map_err(|failure| stop(queue, failure))?;
        queue.judge(reply).map_err(|reason| failed!("{apqn}: {reason}"))
    }
}

/// Takes any reply out of the queue; its identifier.
pub(crate) fn fetch_any(ap: &Ap, queue: &Queue) -> Result<u64, Stop> {
    let mut buffer = vec![0; REPLY_ROOM];
    let (psmid, length) = exchange::receive_any(ap, queue.apqn, &mut buffer).map_err(|failure| stop(queue, failure))?;
    queue.judge(&buffer[..length]).map_err(|reason| failed!("{}: {reason}", queue.apqn))?;
    Ok(psmid)
}

/// What a failed exchange is to a case.
pub(crate) fn stop(queue: &Queue, failure: Failure) -> Stop {
    match failure {
        Failure::Lost => failed!("{}: the queue is empty, and there was no reply", queue.apqn),
        Failure::Wrong(reason) => Stop::Fail(reason),
    }
}
