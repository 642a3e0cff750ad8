// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two CPUs that use one queue at once: each sends its own requests and takes whatever reply is there, its own or the
//! other's. Between them every request must be answered exactly once. AP reference 6.

use crate::ap::instructions::Ap;
use crate::ap::queue::Queue;
use crate::ap::request;
use crate::case::outcome::{Outcome, Stop, failed, require, skipped};
use crate::machine::clock::Deadline;
use crate::machine::cpus;
use alloc::vec;
use ap_arch::ResponseCode;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use spin::Mutex;

/// Requests of each CPU.
const EACH: usize = 24;
const ALL: usize = 2 * EACH;
/// The identifiers are these and the next ones.
const FIRST_PSMID: u64 = 0x6b61_7075_7400_0000;
/// How long all of it may take, in milliseconds.
const LIMIT_MILLIS: u64 = 20_000;

/// How often each request was answered, and how many replies there were.
static ANSWERS: [AtomicU8; ALL] = [const { AtomicU8::new(0) }; ALL];
static REPLIES: AtomicUsize = AtomicUsize::new(0);
static WRONG: Mutex<Option<Stop>> = Mutex::new(None);
static WORK: Mutex<Option<(Ap, Queue)>> = Mutex::new(None);

/// Has both CPUs use the queue.
pub(crate) fn use_at_once(ap: &Ap, queue: &Queue) -> Outcome {
    ANSWERS.iter().for_each(|answers| answers.store(0, Ordering::SeqCst));
    REPLIES.store(0, Ordering::SeqCst);
    *WRONG.lock() = None;
    *WORK.lock() = Some((ap.quiet(), *queue));
    let other = cpus::start_other(work_of_other).map_err(|error| match error {
        cpus::OtherCpuError::OneCpu => skipped!("{error}"),
        _ => failed!("{error}"),
    })?;
    work(&ap.quiet(), queue, 0);
    other.end().map_err(|error| failed!("{error}"))?;
    if let Some(stop) = WRONG.lock().take() {
        return Err(stop);
    }
    for (number, answers) in ANSWERS.iter().enumerate() {
        let answers = answers.load(Ordering::SeqCst);
        require!(answers == 1, "{}: request {number} of {ALL} was answered {answers} times", queue.apqn);
    }
    Ok(())
}

fn work_of_other() {
    if let Some((ap, queue)) = WORK.lock().take() {
        work(&ap, &queue, EACH);
    }
}

/// Sends requests from `first` on, and takes replies until there have been all, the other CPU's too.
fn work(ap: &Ap, queue: &Queue, first: usize) {
    let deadline = Deadline::in_millis(LIMIT_MILLIS);
    let (request, mut buffer) = (request::message(queue), vec![0; 4096]);
    let mut next = first;
    while REPLIES.load(Ordering::SeqCst) < ALL && !deadline.is_over() && WRONG.lock().is_none() {
        if next < first + EACH {
            let status = ap.nqap(queue.apqn, FIRST_PSMID + next as u64, &request);
            match status.response() {
                ResponseCode::NORMAL => next += 1,
                ResponseCode::Q_FULL => {}
                _ => return fail(failed!("{}: NQAP answered {status}", queue.apqn)),
            }
        }
        let dequeued = ap.dqap(queue.apqn, &mut buffer);
        match dequeued.status.response() {
            ResponseCode::NORMAL => {
                let index = dequeued.psmid.wrapping_sub(FIRST_PSMID) as usize;
                let Some(answers) = ANSWERS.get(index) else {
                    return fail(failed!("{}: a reply for {:#x}", queue.apqn, dequeued.psmid));
                };
                answers.fetch_add(1, Ordering::SeqCst);
                REPLIES.fetch_add(1, Ordering::SeqCst);
                if let Err(stop) = request::judge(queue, &buffer[..dequeued.length]) {
                    return fail(stop);
                }
            }
            ResponseCode::NO_PENDING_REPLY => {}
            _ => return fail(failed!("{}: DQAP answered {}", queue.apqn, dequeued.status)),
        }
    }
}

fn fail(stop: Stop) {
    *WRONG.lock() = Some(stop);
}
