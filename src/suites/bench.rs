// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long things take, by the TOD clock: an INFO line each, for a reader of figures. A case passes if what it
//! measures works. Runs only where the command line names it. What is measured is described in AP reference 2.1, 6 and
//! 7.2.
//!
//! The lines read `bench: name=tapq count=20000 ns-each=500`.

use crate::ap::guest::Guest;
use crate::ap::instructions::Ap;
use crate::ap::queue::Queue;
use crate::ap::rsa::{self, Bits, Operation, Vector};
use crate::case::outcome::{Outcome, Stop, require, skipped};
use crate::case::report;
use crate::case::suite::cases;
use crate::machine::clock;
use crate::machine::trap::expect_exception;
use ap_arch::{Apqn, CardMode, Gr0, ProgramCode, QueueStatus, ResponseCode};
use s390x_asm::asm;

cases!("bench" for Guest:
    stsi,
    operation_exception,
    tapq,
    tapq_outside_the_matrix,
    message_of_64_bytes,
    rsa_2048_crt,
);

/// A figure is the median of this many batches: a host that does something else meanwhile spoils few of them.
const BATCHES: usize = 25;

/// Runs `act` `count` times and reports the time of one.
fn measure(name: &str, count: u64, act: &mut dyn FnMut() -> Outcome) -> Outcome {
    let mut micros = [0; BATCHES];
    let each = count / BATCHES as u64;
    for batch in &mut micros {
        let start = clock::now();
        for _ in 0..each {
            act()?;
        }
        *batch = clock::now().micros_since(start);
    }
    let at_most = |limit: u64| micros.iter().filter(|time| **time <= limit).count();
    let median = micros.iter().copied().filter(|time| at_most(*time) > BATCHES / 2).min().unwrap_or(0);
    let median = median.saturating_mul(1000) / each;
    report::info(format_args!("bench: name={name} count={count} ns-each={median}"));
    Ok(())
}

fn first_queue(guest: &Guest, mode: Option<CardMode>) -> Result<(Ap, Queue), Stop> {
    let queues = guest.usable_queues()?;
    let queue = queues.into_iter().find(|queue| mode.is_none_or(|mode| queue.mode == mode));
    let queue = queue.ok_or_else(|| skipped!("no accelerator in the matrix"))?;
    Ok((guest.ap()?.quiet(), queue))
}

/// STSI with function code 0: an instruction that leaves the CPU and does nothing, for comparison.
fn stsi(_: &Guest) -> Outcome {
    measure("stsi", 20_000, &mut || {
        let level = asm::stsi_level();
        require!(level > 0, "STSI stored level 0");
        Ok(())
    })
}

/// An operation exception, from the instruction to the next one, for comparison.
fn operation_exception(_: &Guest) -> Outcome {
    measure("operation-exception", 5_000, &mut || {
        // SAFETY: the exception is expected.
        #[allow(unsafe_code)]
        let result = expect_exception(|| unsafe { asm::no_such_instruction() });
        let code = result.err().map(|ended| ended.code);
        require!(code == Some(ProgramCode::OPERATION), "an instruction that does not exist is no operation exception");
        Ok(())
    })
}

/// TAPQ of this queue, the instruction alone as it is for STSI.
fn measure_tapq(name: &str, ap: &Ap, apqn: Apqn, expected: ResponseCode) -> Outcome {
    let gr0 = ap.tapq_gr0(apqn).0;
    measure(name, 20_000, &mut || {
        // SAFETY: TAPQ names no storage, and AP is installed.
        #[allow(unsafe_code)]
        let raw = unsafe { asm::pqap(gr0, 0, 0) };
        let status = QueueStatus::from_gr1(raw.gr1);
        require!(status.response() == expected, "{apqn} answered {status}");
        Ok(())
    })
}

/// TAPQ of a queue.
fn tapq(guest: &Guest) -> Outcome {
    let (ap, queue) = first_queue(guest, None)?;
    measure_tapq("tapq", &ap, queue.apqn, ResponseCode::NORMAL)
}

/// TAPQ of a queue that is not there.
fn tapq_outside_the_matrix(guest: &Guest) -> Outcome {
    measure_tapq("tapq-outside", &guest.ap()?, guest.queue_outside()?, ResponseCode::Q_NOT_AVAIL)
}

/// NQAP of 64 bytes and DQAP of the error reply that any card gives to them, the instructions alone: with an engine
/// that takes no time each is executed once.
fn message_of_64_bytes(guest: &Guest) -> Outcome {
    let (ap, queue) = first_queue(guest, None)?;
    let apqn = queue.apqn;
    let (message, mut buffer) = ([0; 64], [0; 64]);
    measure("nqap-dqap-64", 5_000, &mut || {
        let (_, status) = ap.nqap_once(apqn, &message);
        require!(status.response() == ResponseCode::NORMAL, "{apqn}: NQAP answered {status}");
        let raw = ap.dqap_part(Gr0::dqap(apqn), &mut buffer);
        let status = QueueStatus::from_gr1(raw.gr1);
        require!(status.response() == ResponseCode::NORMAL, "{apqn}: DQAP answered {status}");
        Ok(())
    })
}

/// RSA with 2048 bits by CRT, one request at a time.
fn rsa_2048_crt(guest: &Guest) -> Outcome {
    let (ap, queue) = first_queue(guest, Some(CardMode::Accelerator))?;
    let vector = Vector { bits: Bits::B2048, operation: Operation::Crt };
    measure("rsa-2048-crt", 50, &mut || Ok(rsa::compute_on(&ap, &queue, vector)?))
}
