// SPDX-License-Identifier: MIT OR Apache-2.0
//! PQAP: everything about a queue but its messages. AP reference 2.

use std::sync::Arc;

use ap_arch::{Apqn, ConditionCode, FunctionCode, Gr0, HwInfo, QciBlock, QueueStatus, ResponseCode};

use crate::configuration::Configuration;
use crate::instruction::{OperandMemory, Operands, Outcome, ProgramException, RegisterWrites};
use crate::interrupt::{Notification, Registration};

/// GR1 of AQIC. AP reference 5.1.
mod control {
    /// Enable, else disable.
    pub(super) const IR: u64 = 1 << 47;
    /// GISC, GISA format and GISA origin: only a hypervisor sets them.
    pub(super) const GISA: u64 = 7 << 40 | 3 << 32 | 0x7fff_fff0;
    /// Interruption subclass.
    pub(super) const ISC: u64 = 7;
}

/// The largest number of an association secret.
const MAX_SECRET: u64 = 0xffff;

pub(super) fn execute(
    configuration: &Configuration,
    notified: &Configuration,
    operands: &Operands,
    memory: &mut dyn OperandMemory,
) -> Result<Outcome, ProgramException> {
    let gr0 = Gr0(operands.gr0);
    check(configuration, gr0, operands.gr2)?;
    let apqn = gr0.apqn();
    let status = match gr0.function() {
        FunctionCode::TAPQ => {
            let (status, info) = tapq(configuration, apqn);
            let info = if gr0.has(Gr0::T) { info.0 } else { info.0 & !HwInfo::FACILITY_WORD };
            return Ok(done(status, Some(info)));
        }
        FunctionCode::QCI => {
            memory.store(operands.gr2, &configuration.qci().to_bytes())?;
            return Ok(Outcome::Completed { cc: ConditionCode::CC0, writes: RegisterWrites::none() });
        }
        FunctionCode::QACT => {
            let (status, compatible) = qact(configuration, apqn, operands.gr1);
            return Ok(done(status, compatible));
        }
        FunctionCode::RAPQ | FunctionCode::ZAPQ => reset(configuration, gr0),
        FunctionCode::AQIC => aqic(configuration, notified, apqn, operands, memory),
        FunctionCode::BAPQ => bapq(configuration, apqn),
        FunctionCode::AAPQ => aapq(configuration, apqn, operands.gr2),
        _ => return Err(ProgramException::specification()),
    };
    Ok(done(status, None))
}

fn done(status: QueueStatus, gr2: Option<u64>) -> Outcome {
    let writes = RegisterWrites::none().with(1, u64::from(status.0));
    let writes = gr2.map_or(writes, |value| writes.with(2, value));
    Outcome::Completed { cc: ConditionCode::of(status), writes }
}

/// Specification exceptions of AP reference 1.3.
fn check(configuration: &Configuration, gr0: Gr0, gr2: u64) -> Result<(), ProgramException> {
    let machine = &configuration.machine;
    let facilities = configuration.facilities;
    let function = gr0.function();
    let installed = match function {
        FunctionCode::TAPQ | FunctionCode::RAPQ | FunctionCode::ZAPQ => true,
        FunctionCode::AQIC => facilities.apqi,
        FunctionCode::QCI => facilities.apqci,
        FunctionCode::QACT => machine.qci.has(QciBlock::QACT),
        FunctionCode::BAPQ | FunctionCode::AAPQ => machine.qci.has(QciBlock::APSB),
        // Also "best AP": nothing says that a machine has it.
        _ => false,
    };
    let bit_41_defined = matches!(function, FunctionCode::RAPQ | FunctionCode::ZAPQ | FunctionCode::QACT);
    let is_qci = function == FunctionCode::QCI;
    let wrong = !installed
        || gr0.has(Gr0::BITS_42_47)
        || (gr0.has(Gr0::BIT_41) && !bit_41_defined)
        || (gr0.has(Gr0::T) && !facilities.apft)
        || (is_qci && !gr2.is_multiple_of(QciBlock::ALIGNMENT))
        || (!is_qci && !machine.can_exist(gr0.apqn()));
    if wrong { Err(ProgramException::specification()) } else { Ok(()) }
}

/// Status and hardware information of a queue, without any lock. AP reference 2.3: response code 01 comes before all
/// others.
fn tapq(configuration: &Configuration, apqn: Apqn) -> (QueueStatus, HwInfo) {
    let machine = &configuration.machine;
    configuration.apcb.read(|mine| {
        machine.present.read(|all| {
            let adapter = machine.adapter(apqn.apid);
            let queue = adapter.queue(apqn.apqi).filter(|_| mine.contains(apqn) && all.contains(apqn));
            let Some(queue) = queue else {
                return (QueueStatus::new(0, ResponseCode::Q_NOT_AVAIL), HwInfo::default());
            };
            let (status, bind) = queue.observe(&machine.timer);
            let flags = status.0 & !(QueueStatus::RESPONSE | QueueStatus::ASYNC);
            let status = adapter.failure().map_or(status, |failure| QueueStatus::new(flags, failure));
            (status, adapter.info().with_bind_state(bind))
        })
    })
}

/// RAPQ and ZAPQ. AP reference 2.6.
fn reset(configuration: &Configuration, gr0: Gr0) -> QueueStatus {
    let machine = &configuration.machine;
    let mut queue = match configuration.reach(gr0.apqn()) {
        Ok(queue) => queue,
        Err(status) => return status,
    };
    let zeroize = gr0.function() == FunctionCode::ZAPQ;
    if queue.is_resetting() {
        return queue.answer(ResponseCode::RESET_IN_PROGRESS);
    }
    if queue.binding.due().is_some() {
        return queue.answer(ResponseCode::STATE_CHANGE_IN_PROGRESS);
    }
    // Sources disagree on 05 for ZAPQ; here it is not valid.
    if queue.is_busy() && !zeroize {
        return queue.answer(ResponseCode::BUSY);
    }
    queue.reset(machine.now(), machine.timing.reset_ns);
    if gr0.has(Gr0::BIT_41) {
        queue.binding.unbind();
    }
    if zeroize {
        queue.counters.zeroizes += 1;
    } else {
        queue.counters.resets += 1;
    }
    queue.answer(ResponseCode::NORMAL)
}

/// AP reference 5.1 and 5.2.
fn aqic(
    configuration: &Configuration,
    notified: &Configuration,
    apqn: Apqn,
    operands: &Operands,
    memory: &mut dyn OperandMemory,
) -> QueueStatus {
    let machine = &configuration.machine;
    if !configuration.aqic_knows(apqn) {
        return QueueStatus::new(0, ResponseCode::Q_NOT_AVAIL);
    }
    let mut queue = match configuration.usable(apqn) {
        Ok(queue) => queue,
        Err(status) => return status,
    };
    let (now, duration) = (machine.now(), machine.timing.aqic_ns);
    let (gr1, nib) = (operands.gr1, operands.gr2);
    let response = if queue.is_busy() {
        ResponseCode::BUSY
    } else if gr1 & control::IR == 0 {
        queue.disable(now, duration)
    } else if nib == 0 || !memory.absolute_is_valid(nib) {
        ResponseCode::INVALID_ADDRESS
    } else if gr1 & control::GISA != 0 {
        ResponseCode::INVALID_GISA
    } else {
        let notification = Notification { isc: (gr1 & control::ISC) as u8, nib };
        queue.enable(Registration { notification, target: Arc::clone(&notified.notifications) }, now, duration)
    };
    queue.answer(response)
}

/// AP reference 2.7: the type asked for, if the card is at least of it and does the same; else no type.
fn qact(configuration: &Configuration, apqn: Apqn, asked: u64) -> (QueueStatus, Option<u64>) {
    const MODE: u64 = HwInfo::CCA | HwInfo::ACCELERATOR | HwInfo::EP11;
    let (status, info) = tapq(configuration, apqn);
    if status.response() != ResponseCode::NORMAL {
        return (status, None);
    }
    let asked = HwInfo(asked);
    let compatible = asked.0 & MODE == info.0 & MODE && asked.ap_type() <= info.ap_type();
    let answer = if compatible { asked.0 & MODE | u64::from(asked.ap_type().0) << 24 } else { 0 };
    (status, Some(answer))
}

/// AP reference 2.8.
fn bapq(configuration: &Configuration, apqn: Apqn) -> QueueStatus {
    match configuration.usable(apqn) {
        Ok(mut queue) => {
            let response = queue.binding.bind(configuration.number);
            queue.answer(response)
        }
        Err(status) => status,
    }
}

fn aapq(configuration: &Configuration, apqn: Apqn, secret: u64) -> QueueStatus {
    let machine = &configuration.machine;
    let mut queue = match configuration.usable(apqn) {
        Ok(queue) => queue,
        Err(status) => return status,
    };
    let exists = secret <= MAX_SECRET && secret < u64::from(machine.secrets);
    let (empty, now) = (queue.is_empty(), machine.now());
    let due = now.saturating_add(machine.timing.reset_ns);
    let response = queue.binding.associate(configuration.number, exists, empty, due);
    queue.advance(now);
    queue.answer(response)
}
