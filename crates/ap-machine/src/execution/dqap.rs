// SPDX-License-Identifier: MIT OR Apache-2.0
//! DQAP: a reply, or the next part of one, comes out of a queue. AP reference 1.2, 1.5, 6.2.

use ap_arch::{ConditionCode, Gr0, QueueStatus, ResponseCode};

use crate::configuration::Configuration;
use crate::instruction::{OperandMemory, Operands, Outcome, ProgramException, RegisterWrites, check_message};

/// Bits 33, 34, 35, 40 and 41 of GR0; of 36-39 and 42-47 nothing is known, they are not looked at.
const MUST_BE_ZERO: u64 = 0x70c0_0000;

pub(super) fn execute(
    configuration: &Configuration,
    r1: u8,
    r2: u8,
    operands: &Operands,
    memory: &mut dyn OperandMemory,
) -> Result<Outcome, ProgramException> {
    let machine = &configuration.machine;
    let gr0 = Gr0(operands.gr0);
    let [address, length] = operands.r2;
    check_message(gr0, MUST_BE_ZERO, (r1, r2), length, machine.longest_message(gr0.apqn()))?;
    // Nothing received: the residual length of GR2 is 0.
    let nothing = |status: QueueStatus| {
        let writes = RegisterWrites::none().with(1, u64::from(status.0)).with(2, 0);
        Ok(Outcome::Completed { cc: ConditionCode::of(status), writes })
    };
    let mut queue = match configuration.usable(gr0.apqn()) {
        Ok(queue) => queue,
        Err(unusable) => return nothing(unusable),
    };
    if let Some(refusal) = queue.binding.refusal(configuration.number) {
        return nothing(queue.answer(refusal));
    }
    let (receive, otherwise) = if gr0.has(Gr0::DQAP_FIRST) {
        (queue.first_reply(), ResponseCode::NO_PENDING_REPLY)
    } else {
        (queue.next_part(), ResponseCode::NO_FIRST_PART)
    };
    let Some(receive) = receive else {
        return nothing(queue.answer(otherwise));
    };

    // The length has been checked against the largest message.
    let room = length as usize;
    let rest = queue.rest(&receive);
    let part = rest.len().min(room).min(machine.segment.unwrap_or(usize::MAX));
    let residual = (rest.len() - part) as u64;
    memory.store(address, &rest[..part])?;
    let (next, left) = (address.wrapping_add(part as u64), length - part as u64);
    if residual > 0 {
        queue.keep_rest(&receive, part);
        let cc = if part == room { ConditionCode::CC1 } else { ConditionCode::CC2 };
        let continuation = gr0.0 & !Gr0::DQAP_FIRST;
        let writes = RegisterWrites::none().with(0, continuation).with(2, residual).with(r2, next).with(r2 + 1, left);
        return Ok(Outcome::Completed { cc, writes });
    }
    queue.complete(&receive);
    let status = queue.answer(ResponseCode::NORMAL);
    let writes = RegisterWrites::none()
        .with(r1, receive.psmid >> 32)
        .with(r1 + 1, receive.psmid & 0xffff_ffff)
        .with(r2, next)
        .with(r2 + 1, left)
        .with(2, 0)
        .with(1, u64::from(status.0));
    Ok(Outcome::Completed { cc: ConditionCode::CC0, writes })
}
