// SPDX-License-Identifier: MIT OR Apache-2.0
//! A message into a queue and its reply out of it. AP reference 6.

use crate::ap::instructions::Ap;
use crate::case::outcome::{Stop, failed};
use crate::machine::clock::{Deadline, patience};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use ap_arch::message::Reply;
use ap_arch::{Apqn, QueueStatus, ResponseCode};
use core::sync::atomic::{AtomicU32, Ordering};

/// How long a card may take. A real one answers within milliseconds, an emulated one may be starved.
pub(crate) const REPLY_LIMIT_MILLIS: u64 = 5000;

/// Room for any reply, in bytes.
const LONGEST_REPLY: usize = 8192;

/// Why there is no reply.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This queue is empty or in reset, and the reply to our request was never delivered. Happens when the guest is
    /// migrated in between: what is in a queue does not migrate.
    Lost(Apqn),
    /// Anything else, in words.
    Wrong(String),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Lost(apqn) => failed!("{apqn}: the queue is empty, and there was no reply"),
            Failure::Wrong(reason) => Self::Fail(reason),
        }
    }
}

/// A message identifier that was not used before.
pub(crate) fn next_psmid() -> u64 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    0x6b61_7075_0000_0000 | u64::from(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Puts a message into the queue.
pub(crate) fn send(ap: &Ap, apqn: Apqn, psmid: u64, message: &[u8]) -> Result<(), Failure> {
    let status = ap.nqap(apqn, psmid, message);
    match status.response() {
        ResponseCode::NORMAL => Ok(()),
        ResponseCode::RESET_IN_PROGRESS => Err(Failure::Lost(apqn)),
        _ => Err(Failure::Wrong(format!("{apqn}: NQAP answered {status}"))),
    }
}

/// Waits for the reply with this identifier, which is the next one to come.
pub(crate) fn receive<'a>(ap: &Ap, apqn: Apqn, psmid: u64, buffer: &'a mut [u8]) -> Result<&'a [u8], Failure> {
    let (other, length) = receive_any(ap, apqn, buffer)?;
    if other != psmid {
        return Err(Failure::Wrong(format!("{apqn}: the reply is for {other:#x}, not for {psmid:#x}")));
    }
    Ok(&buffer[..length])
}

/// Waits for a reply; its identifier and its length.
pub(crate) fn receive_any(ap: &Ap, apqn: Apqn, buffer: &mut [u8]) -> Result<(u64, usize), Failure> {
    let limit = patience(REPLY_LIMIT_MILLIS);
    let deadline = Deadline::in_millis(limit);
    loop {
        let dequeued = ap.dqap(apqn, buffer);
        if dequeued.residual != 0 {
            return Err(Failure::Wrong(format!("{apqn}: the reply does not fit into {} bytes", buffer.len())));
        }
        let status = dequeued.status;
        match status.response() {
            ResponseCode::NORMAL => return Ok((dequeued.psmid, dequeued.length)),
            ResponseCode::NO_PENDING_REPLY if status.has(QueueStatus::EMPTY) => return Err(Failure::Lost(apqn)),
            ResponseCode::RESET_IN_PROGRESS => return Err(Failure::Lost(apqn)),
            ResponseCode::NO_PENDING_REPLY if deadline.is_over() => {
                return Err(Failure::Wrong(format!("{apqn}: no reply within {limit} ms")));
            }
            ResponseCode::NO_PENDING_REPLY => {}
            _ => return Err(Failure::Wrong(format!("{apqn}: DQAP answered {status}"))),
        }
    }
}

/// The reply to a message, whole.
pub(crate) fn ask(ap: &Ap, apqn: Apqn, message: &[u8]) -> Result<Vec<u8>, Failure> {
    let psmid = next_psmid();
    send(ap, apqn, psmid, message)?;
    let mut buffer = vec![0; LONGEST_REPLY];
    let length = receive(ap, apqn, psmid, &mut buffer)?.len();
    buffer.truncate(length);
    Ok(buffer)
}

/// A reply that is well-formed but not the one that was expected, in words.
pub(crate) fn unexpected(reply: &Reply<'_>) -> String {
    match reply {
        Reply::Rsa(result) => format!("unexpected type 80 reply with {} bytes", result.len()),
        Reply::Error(error) => format!("error reply {}, code {}", error.kind, error.code),
        Reply::Coprocessor(header) => format!("unexpected type 86 reply with code {:02x}", header.reply_code),
    }
}
