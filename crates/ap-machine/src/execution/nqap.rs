// SPDX-License-Identifier: MIT OR Apache-2.0
//! NQAP: a message goes into a queue. AP reference 1.2, 1.3, 6.1.

use ap_arch::message::{ErrorCode, ErrorReply};
use ap_arch::{ConditionCode, Gr0, HwInfo, QueueStatus, ResponseCode};

use crate::configuration::Configuration;
use crate::engine;
use crate::instruction::{OperandMemory, Operands, Outcome, ProgramException, RegisterWrites, check_message};
use crate::pool::Message;

/// Bits 32, 34, 35 and 40 of GR0; of 36-39 and 42-47 nothing is known, they are not looked at.
const MUST_BE_ZERO: u64 = 0xb080_0000;

pub(super) fn execute(
    configuration: &Configuration,
    r1: u8,
    r2: u8,
    operands: &Operands,
    memory: &mut dyn OperandMemory,
) -> Result<Outcome, ProgramException> {
    let machine = &configuration.machine;
    let gr0 = Gr0(operands.gr0);
    let apqn = gr0.apqn();
    check_message(gr0, MUST_BE_ZERO, (r1, r2), operands.r2[1], machine.longest_message(apqn))?;
    let status = |status: QueueStatus| {
        let writes = RegisterWrites::none().with(1, u64::from(status.0));
        Ok(Outcome::Completed { cc: ConditionCode::of(status), writes })
    };
    let mut queue = match configuration.usable(apqn) {
        Ok(queue) => queue,
        Err(unusable) => return status(unusable),
    };
    let card = std::sync::Arc::clone(&queue.card);
    let [address, length] = operands.r2;
    let special = gr0.has(Gr0::BIT_41);
    let refusal = queue.binding.refusal(configuration.number).or_else(|| {
        if !gr0.has(Gr0::NQAP_LAST) || (special && !card.info.has(HwInfo::APSC)) {
            Some(ResponseCode::REQ_FAC_NOT_INST)
        } else if card.max_request.is_some_and(|max| length > u64::from(max)) {
            Some(ResponseCode::MESSAGE_TOO_BIG)
        } else if queue.is_full() || machine.pool.is_exhausted() {
            Some(ResponseCode::Q_FULL)
        } else {
            None
        }
    });
    if let Some(refusal) = refusal {
        return status(queue.answer(refusal));
    }

    // The length has been checked against the largest message.
    let (psmid, len) = (psmid(operands.r1), length as usize);
    let part = machine.segment.unwrap_or(len).min(len);
    let mut bytes = vec![0; part];
    memory.fetch(address, &mut bytes)?;
    if let Some(earlier) = queue.take_sending(psmid, address, length) {
        let mut whole = earlier.bytes().to_vec();
        whole.append(&mut bytes);
        bytes = whole;
    }
    if part < len {
        let (next, rest) = (address.wrapping_add(part as u64), length - part as u64);
        queue.keep_sending(psmid, next, rest, Message::new(bytes, &machine.pool));
        return Ok(Outcome::Completed {
            cc: ConditionCode::CC2,
            writes: RegisterWrites::none().with(r2, next).with(r2 + 1, rest),
        });
    }

    let foreign_domain = engine::foreign_domain(&card, apqn.apqi, || configuration.control_domains(), &bytes);
    if foreign_domain && !machine.qci.has(ap_arch::QciBlock::RC8A) {
        return status(queue.answer(ResponseCode::INVALID_DOMAIN));
    }
    let failure = queue.take_failure().or(foreign_domain.then(|| ErrorReply::type_82(ErrorCode::INVALID_DOMAIN)));
    let (token, key_changes) = (queue.begin(psmid), queue.key_changes);
    // The engine works while others use the queue.
    drop(queue);
    let request = engine::Request { random: &machine.random, card: &card, apqn, message: &bytes, special, key_changes };
    let reply = failure.map_or_else(|| engine::process(&request), engine::Reply::error);
    let Some(mut queue) = machine.lock(apqn) else {
        return status(QueueStatus::new(QueueStatus::EMPTY, ResponseCode::NORMAL));
    };
    let duration = reply.work.duration(machine.timing.engine);
    queue.finish(token, Message::new(reply.bytes, &machine.pool), machine.now(), duration);
    status(queue.answer(ResponseCode::NORMAL))
}

/// The PSMID in a pair: 32 bits in the low half of each register.
fn psmid(pair: [u64; 2]) -> u64 {
    pair[0] << 32 | pair[1] & 0xffff_ffff
}
