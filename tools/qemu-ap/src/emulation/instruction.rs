// SPDX-License-Identifier: GPL-2.0-or-later
//! Emulates one AP instruction: registers in, the machine's answer out, or the program exception that QEMU is about to
//! raise turned into the right one.
//!
//! An exception is not built by hand, because the condition code in the PSW is stale inside a callback. The callback
//! returns, QEMU raises its own operation exception with old PSW, condition code and length right, and the
//! discontinuity callback then overwrites the code.

use std::mem::offset_of;
use std::sync::atomic::Ordering;

use ap_arch::{FunctionCode, Gr0, ProgramCode};
use ap_machine::{Instruction, Operands, Outcome, ProgramException};
use s390x_asm::{Lowcore, Psw, PswMask};

use super::delivery;
use crate::cpu::dat;
use crate::cpu::storage::GuestStorage;
use crate::cpu::vcpu::{Cpu, Raised};
use crate::state::plugin::Plugin;
use crate::state::sites::Site;

const PSW_CC_SHIFT: u32 = 44;
const INSTRUCTION_LENGTH: u64 = 4;

/// Executes an AP instruction: the address to go on at, or `None` for an exception, which QEMU raises when the callback
/// returns.
pub(crate) fn execute(plugin: &Plugin, cpu: &mut Cpu<'_>, site: &Site<Instruction>) -> Option<u64> {
    let psw_mask = cpu.psw_mask();
    let guest = plugin.host.guest();
    if !guest.is_available() || dat::Space::of(psw_mask).is_none() {
        return None;
    }
    // Written once: several vCPUs come here, and a word that all of them write would be slow.
    if !plugin.used.load(Ordering::Relaxed) {
        plugin.used.store(true, Ordering::SeqCst);
    }
    let operands = read_operands(cpu, site.instruction, psw_mask);
    let mut storage = GuestStorage::new(cpu, psw_mask);
    let outcome = match &plugin.owner {
        None => guest.execute(site.instruction, &operands, &mut storage),
        Some(owner) => owner.execute(site.instruction, &operands, &mut storage),
    };
    if let Some(interruptions) = &plugin.interruptions
        && may_notify_later(site.instruction, operands.gr0)
        && guest.machine().expects_notification()
    {
        interruptions.expect(&plugin.vcpus);
    }
    delivery::collect(plugin, cpu);
    plugin.host.executed(cpu.index as u32, site.instruction, &operands, &outcome);
    match outcome {
        Outcome::Completed { cc, writes } => {
            for (number, value) in writes.iter() {
                cpu.set_general(number, value);
            }
            let cc = u64::from(cc.bits()) << PSW_CC_SHIFT;
            cpu.set_psw_mask(PswMask::from_bits_retain(psw_mask.bits() & !(3 << PSW_CC_SHIFT) | cc));
            Some(dat::wrap(psw_mask, site.address.wrapping_add(INSTRUCTION_LENGTH)))
        }
        Outcome::Exception(exception) => {
            *cpu.raised = Some(Raised { exception, address: site.address });
            None
        }
    }
}

/// Whether it is one of those after which a reply that somebody is to be notified of can be on its way.
fn may_notify_later(instruction: Instruction, gr0: u64) -> bool {
    match instruction {
        Instruction::Nqap { .. } => true,
        Instruction::Pqap => Gr0(gr0).function() == FunctionCode::AQIC,
        Instruction::Dqap { .. } => false,
    }
}

/// Reads only the registers that this instruction looks at: each costs some twenty nanoseconds.
fn read_operands(cpu: &mut Cpu<'_>, instruction: Instruction, psw_mask: PswMask) -> Operands {
    let gr0 = cpu.general(0);
    let mut pair = |even: u8| [cpu.general(even), cpu.general(even | 1)];
    let (gr12, r1, r2) = match instruction {
        Instruction::Pqap => match Gr0(gr0).function() {
            FunctionCode::TAPQ | FunctionCode::RAPQ | FunctionCode::ZAPQ => ([0; 2], [0; 2], [0; 2]),
            _ => ([cpu.general(1), cpu.general(2)], [0; 2], [0; 2]),
        },
        Instruction::Nqap { r1, r2 } => ([0; 2], pair(r1), pair(r2)),
        Instruction::Dqap { r1: _, r2 } => {
            let r2 = pair(r2);
            ([0, cpu.general(2)], [0; 2], r2)
        }
    };
    Operands { problem_state: psw_mask.contains(PswMask::PROBLEM), gr0, gr1: gr12[0], gr2: gr12[1], r1, r2 }
}

/// After a program exception: replaces the code of the operation exception that QEMU raised for an AP instruction.
pub(crate) fn after_exception(cpu: &mut Cpu<'_>) {
    let Some(Raised { exception: ProgramException { code, translation_address }, address }) = cpu.raised.take() else {
        return;
    };
    cpu.store_lowcore(offset_of!(Lowcore, program_code), &code.0.to_be_bytes());
    if code.is_nullifying() || code == ProgramCode::PROTECTION {
        cpu.store_lowcore(offset_of!(Lowcore, exception_access), &[0]);
        cpu.store_lowcore(offset_of!(Lowcore, translation_exception), &translation_address.to_be_bytes());
    }
    if code.is_nullifying() {
        let old_address = offset_of!(Lowcore, program_old) + offset_of!(Psw, address);
        cpu.store_lowcore(old_address, &address.to_be_bytes());
    }
}
