// SPDX-License-Identifier: MIT OR Apache-2.0
//! A harmless request to any kind of card, for tests of queues that do not care what is computed: a public RSA
//! operation, some random numbers, or a question about the module. AP reference 7.2, 7.8 and 7.11.

use crate::ap::exchange::{self, REPLY_LIMIT_MILLIS};
use crate::ap::instructions::Ap;
use crate::ap::queue::Queue;
use crate::ap::rsa::{self, Vector};
use crate::case::outcome::{Outcome, Stop, failed};
use crate::machine::clock::{Deadline, patience};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use ap_arch::message::{Reply, cca, ep11, parse_reply};
use ap_arch::{CardMode, QueueStatus, ResponseCode};

/// Room for any reply to such a request, in bytes.
const REPLY_ROOM: usize = 4096;

/// The message that asks the queue's card for something harmless.
pub(crate) fn message(queue: &Queue) -> Vec<u8> {
    let domain = queue.apqn.apqi.0;
    let mut message = vec![0; 512];
    let length = match queue.mode {
        CardMode::Accelerator => return rsa::request(Vector::PUBLIC),
        CardMode::Cca => cca::random_request(&mut message, domain.into(), 64),
        CardMode::Ep11 => ep11::info_request(&mut message, domain.into(), ep11::QueryType::MODULE, 2048),
    };
    // The buffer is longer than either request.
    message.truncate(length.unwrap_or(0));
    message
}

/// Fails unless this is the reply to it.
pub(crate) fn judge(queue: &Queue, reply: &[u8]) -> Outcome {
    let judged = match (queue.mode, parse_reply(reply)) {
        (CardMode::Accelerator, _) => rsa::judge(Vector::PUBLIC, reply),
        (_, Ok(Reply::Coprocessor(header))) if header.reply_code == 0 => Ok(()),
        (_, Ok(other)) => Err(exchange::unexpected(&other)),
        (_, Err(error)) => Err(format!("malformed reply: {error}")),
    };
    judged.map_err(|reason| failed!("{}: {reason}", queue.apqn))
}

/// A request on its way.
pub(crate) struct Request<'a> {
    ap: &'a Ap,
    queue: &'a Queue,
    psmid: u64,
}

impl<'a> Request<'a> {
    /// Puts the request into the queue.
    pub(crate) fn send(ap: &'a Ap, queue: &'a Queue) -> Result<Self, Stop> {
        Self::send_as(ap, queue, exchange::next_psmid())
    }

    /// Puts the request into the queue under this identifier.
    pub(crate) fn send_as(ap: &'a Ap, queue: &'a Queue, psmid: u64) -> Result<Self, Stop> {
        exchange::send(ap, queue.apqn, psmid, &message(queue))?;
        Ok(Self { ap, queue, psmid })
    }

    /// Its identifier.
    pub(crate) fn psmid(&self) -> u64 {
        self.psmid
    }

    /// Waits until the queue says that a reply is there.
    pub(crate) fn wait_for_reply(&self) -> Outcome {
        let (apqn, limit) = (self.queue.apqn, patience(REPLY_LIMIT_MILLIS));
        let deadline = Deadline::in_millis(limit);
        loop {
            let status = self.ap.probe(apqn).status;
            match status.response() {
                ResponseCode::NORMAL if status.has(QueueStatus::REPLIES_WAITING) => return Ok(()),
                ResponseCode::NORMAL if status.has(QueueStatus::EMPTY) => {
                    return Err(failed!("{apqn} says that it is empty, and we wait for a reply"));
                }
                ResponseCode::NORMAL if !deadline.is_over() => {}
                _ => return Err(failed!("{apqn}: no reply within {limit} ms, {status}")),
            }
        }
    }

    /// Takes the reply out of the queue, the next one to come.
    pub(crate) fn fetch(self) -> Outcome {
        let mut buffer = vec![0; REPLY_ROOM];
        let (apqn, queue) = (self.queue.apqn, self.queue);
        let reply = exchange::receive(self.ap, apqn, self.psmid, &mut buffer)?;
        judge(queue, reply)
    }
}

/// Takes any reply out of the queue; its identifier.
pub(crate) fn fetch_any(ap: &Ap, queue: &Queue) -> Result<u64, Stop> {
    let mut buffer = vec![0; REPLY_ROOM];
    let (psmid, length) = exchange::receive_any(ap, queue.apqn, &mut buffer)?;
    judge(queue, &buffer[..length])?;
    Ok(psmid)
}
