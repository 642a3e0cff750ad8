// SPDX-License-Identifier: MIT OR Apache-2.0
//! PQAP: everything about a queue but its messages. AP reference 2.

use ap_arch::{Apqn, ConditionCode, FunctionCode, Gr0, HwInfo, QciBlock, QueueStatus, ResponseCode};

use crate::guest::Configuration;
use crate::instruction::{OperandMemory, Operands, Outcome, ProgramException, RegisterWrites};

pub(crate) fn execute(
    guest: &Configuration,
    operands: &Operands,
    memory: &mut dyn OperandMemory,
) -> Result<Outcome, ProgramException> {
    let gr0 = Gr0(operands.gr0);
    check(guest, gr0, operands.gr2)?;
    let status = match gr0.function() {
        FunctionCode::TAPQ => {
            let (status, info) = tapq(guest, gr0.apqn());
            let info = if gr0.has(Gr0::T) { info.0 } else { info.0 & !HwInfo::FACILITY_WORD };
            let writes = RegisterWrites::none().with(1, u64::from(status.0)).with(2, info);
            return Ok(Outcome::Completed { cc: ConditionCode::of(status), writes });
        }
        FunctionCode::QCI => {
            memory.store(operands.gr2, &guest.qci().to_bytes())?;
            return Ok(Outcome::Completed { cc: ConditionCode::CC0, writes: RegisterWrites::none() });
        }
        _ => tapq(guest, gr0.apqn()).0,
    };
    let writes = RegisterWrites::none().with(1, u64::from(status.0));
    Ok(Outcome::Completed { cc: ConditionCode::of(status), writes })
}

fn check(guest: &Configuration, gr0: Gr0, gr2: u64) -> Result<(), ProgramException> {
    let machine = &guest.machine;
    let facilities = machine.facilities;
    let function = gr0.function();
    let names_a_queue = !matches!(function, FunctionCode::QCI | FunctionCode::BEST_AP);
    let bit_41_defined = matches!(function, FunctionCode::RAPQ | FunctionCode::ZAPQ | FunctionCode::QACT);
    let installed = match function {
        FunctionCode::TAPQ | FunctionCode::RAPQ | FunctionCode::ZAPQ | FunctionCode::BEST_AP => true,
        FunctionCode::AQIC => facilities.apqi,
        FunctionCode::QCI => facilities.apqci,
        FunctionCode::QACT => machine.qci.has(QciBlock::QACT),
        FunctionCode::BAPQ | FunctionCode::AAPQ => machine.qci.has(QciBlock::APSB),
        _ => false,
    };
    let wrong = !installed
        || gr0.has(Gr0::BITS_42_47)
        || (gr0.has(Gr0::BIT_41) && !bit_41_defined)
        || (gr0.has(Gr0::T) && !facilities.apft)
        || (names_a_queue && !machine.can_exist(gr0.apqn()))
        || (!names_a_queue && !gr2.is_multiple_of(QciBlock::ALIGNMENT));
    if wrong { Err(ProgramException::specification()) } else { Ok(()) }
}

/// Status and hardware information of a queue, without any lock. AP reference 2.3: response code 01 comes before all
/// others.
fn tapq(guest: &Configuration, apqn: Apqn) -> (QueueStatus, HwInfo) {
    let machine = &guest.machine;
    guest.apcb.read(|mine| {
        machine.present.read(|all| {
            if !mine.contains(apqn) || !all.contains(apqn) {
                return (QueueStatus::new(0, ResponseCode::Q_NOT_AVAIL), HwInfo::default());
            }
            let adapter = machine.adapter(apqn.apid);
            let response = adapter.failure().unwrap_or(ResponseCode::NORMAL);
            (QueueStatus::new(QueueStatus::EMPTY, response), adapter.info())
        })
    })
}
