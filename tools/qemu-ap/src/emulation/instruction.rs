// SPDX-License-Identifier: GPL-2.0-or-later
//! Emulates one AP instruction: registers in, the machine's answer out, or the program exception that QEMU is about to
//! raise turned into the right one.
//!
//! An exception is not built by hand, because the condition code in the PSW is stale inside a callback. The callback
//! returns, QEMU raises its own operation exception with old PSW, condition code and length right, and the
//! discontinuity callback then overwrites the code.

use std::ffi::{c_int, c_uint, c_void};
use std::mem::offset_of;
use std::sync::atomic::Ordering;

use ap_arch::{FunctionCode, Gr0, ProgramCode};
use ap_machine::{Instruction, Operands, Outcome, ProgramException};
use s390x_asm::Lowcore;

use crate::cpu::dat;
use crate::cpu::storage::GuestStorage;
use crate::cpu::vcpu::{Raised, Registers, Vcpu};
use crate::emulation::delivery as interrupt;
use crate::ffi;
use crate::plugin::{Plugin, plugin};
use crate::state::sites::Site;

const PSW_PROBLEM_STATE: u64 = 1 << 48;
const PSW_CC_SHIFT: u32 = 44;
const INSTRUCTION_LENGTH: u64 = 4;

/// Where the CPU stores what belongs to a program interruption, relative to the prefix.
const PROGRAM_CODE: u64 = offset_of!(Lowcore, program_code) as u64;
const EXCEPTION_ACCESS: u64 = offset_of!(Lowcore, exception_access) as u64;
const TRANSLATION_EXCEPTION: u64 = offset_of!(Lowcore, translation_exception) as u64;
const PROGRAM_OLD_PSW_ADDRESS: u64 = offset_of!(Lowcore, program_old.address) as u64;

/// Execution callback of an AP instruction.
pub(crate) extern "C" fn on_execution(vcpu: c_uint, site: *mut c_void) {
    let Some(plugin) = plugin() else { return };
    // SAFETY: the table of sites keeps each site until the code cache, and with it this callback, is thrown away.
    let site = unsafe { &*site.cast::<Site<Instruction>>() };
    // SAFETY: this is a callback of that vCPU; the borrow ends before the callback does, in `execute`.
    let next = match unsafe { plugin.vcpus.current(vcpu as usize) } {
        Some((state, registers)) => execute(plugin, vcpu, state, registers, site, |insn, operands, storage| {
            plugin.host.guest().execute(insn, operands, storage)
        }),
        None => None,
    };
    if let Some(next) = next {
        // SAFETY: registered with registers and PC writable; `execute` wrote pswm; nothing here has a destructor.
        unsafe { ffi::resume_at(next) }
    }
}

/// The same where another process owns the machine.
pub(crate) extern "C" fn on_execution_elsewhere(vcpu: c_uint, site: *mut c_void) {
    let Some(plugin) = plugin() else { return };
    let Some(owner) = &plugin.owner else { return };
    // SAFETY: as in `on_execution`.
    let site = unsafe { &*site.cast::<Site<Instruction>>() };
    // SAFETY: as in `on_execution`.
    let next = match unsafe { plugin.vcpus.current(vcpu as usize) } {
        Some((state, registers)) => execute(plugin, vcpu, state, registers, site, |insn, operands, storage| {
            owner.execute(insn, operands, storage)
        }),
        None => None,
    };
    if let Some(next) = next {
        // SAFETY: as in `on_execution`.
        unsafe { ffi::resume_at(next) }
    }
}

/// The address to go on at, or `None` for an exception, which QEMU raises when the callback returns.
fn execute(
    plugin: &Plugin,
    cpu: u32,
    vcpu: &mut Vcpu,
    registers: &Registers,
    site: &Site<Instruction>,
    by: impl FnOnce(Instruction, &Operands, &mut GuestStorage<'_>) -> Outcome,
) -> Option<u64> {
    let psw_mask = vcpu.exchange.read_register(registers.psw_mask);
    let guest = plugin.host.guest();
    if !guest.is_available() || dat::Space::of(psw_mask).is_none() {
        return None;
    }
    // Written once: several vCPUs come here, and a word that all of them write would be slow.
    if !plugin.used.load(Ordering::Relaxed) {
        plugin.used.store(true, Ordering::SeqCst);
    }
    let operands = read_operands(vcpu, registers, site.instruction, psw_mask);
    let mut storage = GuestStorage::new(&mut vcpu.exchange, registers, psw_mask);
    let outcome = by(site.instruction, &operands, &mut storage);
    if let Some(interruptions) = &plugin.interruptions
        && may_be_told(site.instruction, operands.gr0)
        && guest.machine().expects_notification()
    {
        interruptions.expect(plugin);
    }
    interrupt::collect(plugin, &mut vcpu.exchange);
    plugin.host.executed(cpu, site.instruction, &operands, &outcome);
    match outcome {
        Outcome::Completed { cc, writes } => {
            for (number, value) in writes.iter() {
                vcpu.exchange.write_register(registers.general[usize::from(number & 15)], value);
            }
            let cc = u64::from(cc.bits()) << PSW_CC_SHIFT;
            vcpu.exchange.write_register(registers.psw_mask, psw_mask & !(3 << PSW_CC_SHIFT) | cc);
            Some(dat::wrap(psw_mask, site.address.wrapping_add(INSTRUCTION_LENGTH)))
        }
        Outcome::Exception(exception) => {
            vcpu.raised = Some(Raised { exception, address: site.address });
            None
        }
    }
}

/// Whether it is one of those after which a reply that somebody is to be told of can be on its way.
fn may_be_told(instruction: Instruction, gr0: u64) -> bool {
    match instruction {
        Instruction::Nqap { .. } => true,
        Instruction::Pqap => Gr0(gr0).function() == FunctionCode::AQIC,
        Instruction::Dqap { .. } => false,
    }
}

/// Reads only the registers that this instruction looks at: each costs some twenty nanoseconds.
fn read_operands(vcpu: &mut Vcpu, registers: &Registers, instruction: Instruction, psw_mask: u64) -> Operands {
    let mut read = |number: u8| vcpu.exchange.read_register(registers.general[usize::from(number & 15)]);
    let gr0 = read(0);
    let mut pair = |even: u8| [read(even), read(even | 1)];
    let (gr12, r1, r2) = match instruction {
        Instruction::Pqap => match Gr0(gr0).function() {
            FunctionCode::TAPQ | FunctionCode::RAPQ | FunctionCode::ZAPQ => ([0; 2], [0; 2], [0; 2]),
            _ => ([read(1), read(2)], [0; 2], [0; 2]),
        },
        Instruction::Nqap { r1, r2 } => ([0; 2], pair(r1), pair(r2)),
        Instruction::Dqap { r1: _, r2 } => {
            let gr2 = read(2);
            ([0, gr2], [0; 2], [read(r2), read(r2 | 1)])
        }
    };
    Operands { problem_state: psw_mask & PSW_PROBLEM_STATE != 0, gr0, gr1: gr12[0], gr2: gr12[1], r1, r2 }
}

/// Discontinuity callback: replaces the code of the operation exception QEMU raised for an AP instruction.
pub(crate) extern "C" fn on_exception(vcpu: c_uint, _kind: c_int, _from: u64, _to: u64, _: *mut c_void) {
    let Some(plugin) = plugin() else { return };
    // SAFETY: this is a callback of that vCPU, and the borrow ends with it.
    let Some((vcpu, registers)) = (unsafe { plugin.vcpus.current(vcpu as usize) }) else { return };
    let Some(Raised { exception: ProgramException { code, translation_address }, address }) = vcpu.raised.take() else {
        return;
    };
    let exchange = &mut vcpu.exchange;
    let lowcore = exchange.read_register(registers.prefix);
    // The prefix area always has storage behind it, so these stores cannot fail.
    exchange.write_absolute(lowcore + PROGRAM_CODE, &code.0.to_be_bytes());
    if is_access_exception(code) {
        exchange.write_absolute(lowcore + EXCEPTION_ACCESS, &[0]);
        exchange.write_absolute(lowcore + TRANSLATION_EXCEPTION, &translation_address.to_be_bytes());
    }
    if code.is_nullifying() {
        exchange.write_absolute(lowcore + PROGRAM_OLD_PSW_ADDRESS, &address.to_be_bytes());
    }
}

const fn is_access_exception(code: ProgramCode) -> bool {
    code.is_nullifying() || matches!(code, ProgramCode::PROTECTION)
}
