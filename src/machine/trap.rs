// SPDX-License-Identifier: MIT OR Apache-2.0
//! Interruptions: program interruptions that a test expects are recorded and the test goes on behind the instruction;
//! so are adapter interruptions that `io.rs` waits for. Every other interruption is handed to the reporter that
//! `machine::start` was given, with all that the CPU stored of it, and ends the guest.

use super::{cpus, io};
use ap_arch::exception::ProgramCode;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use s390x_asm::{Lowcore, Psw, PswMask, asm};
use spin::Once;

/// The six interruption classes, as the entries in boot/interruptions.S name them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Class(pub(crate) u64);

impl Class {
    pub(crate) const RESTART: Self = Self(0);
    pub(crate) const EXTERNAL: Self = Self(1);
    pub(crate) const SVC: Self = Self(2);
    pub(crate) const PROGRAM: Self = Self(3);
    pub(crate) const MACHINE_CHECK: Self = Self(4);
    pub(crate) const IO: Self = Self(5);

    /// Its name and where its old PSW stands.
    const fn name_and_old_psw(self) -> (&'static str, usize) {
        match self {
            Self::RESTART => ("restart", offset_of!(Lowcore, restart_old)),
            Self::EXTERNAL => ("external", offset_of!(Lowcore, external_old)),
            Self::SVC => ("supervisor-call", offset_of!(Lowcore, svc_old)),
            Self::PROGRAM => ("program", offset_of!(Lowcore, program_old)),
            Self::MACHINE_CHECK => ("machine-check", offset_of!(Lowcore, machine_check_old)),
            _ => ("I/O", offset_of!(Lowcore, io_old)),
        }
    }
}

/// A program interruption that was expected and came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProgramInterruption {
    /// Its code.
    pub(crate) code: ProgramCode,
    /// Bytes of the instruction that caused it.
    pub(crate) length: u8,
}

/// Whether the next program interruption is expected, and the one that came: length and code, which is never 0.
static EXPECTING: AtomicBool = AtomicBool::new(false);
static RECORDED: AtomicU32 = AtomicU32::new(0);

/// Runs `body`, in which one program interruption may happen: the instruction that caused it is passed over, with the
/// registers as they were.
pub(crate) fn catch_exception<T>(body: impl FnOnce() -> T) -> (T, Option<ProgramInterruption>) {
    RECORDED.store(0, Ordering::Relaxed);
    EXPECTING.store(true, Ordering::SeqCst);
    let value = body();
    EXPECTING.store(false, Ordering::SeqCst);
    let recorded = RECORDED.load(Ordering::Relaxed);
    let interruption = ProgramInterruption { code: ProgramCode(recorded as u16), length: (recorded >> 16) as u8 };
    (value, (recorded != 0).then_some(interruption))
}

/// As [`catch_exception`], where what `body` yields means nothing after an interruption.
pub(crate) fn expect_exception<T>(body: impl FnOnce() -> T) -> Result<T, ProgramInterruption> {
    let (value, interruption) = catch_exception(body);
    interruption.map_or(Ok(value), Err)
}

/// Runs `body` in the problem state. What is privileged ends in a program interruption there, our own instructions too.
pub(crate) fn in_problem_state<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: what is privileged in `body` is expected to be refused, or the guest ends with a report; SUPERVISOR CALL
    // in the problem state is answered by going on in the supervisor state.
    unsafe {
        asm::enter_problem_state();
        let value = body();
        asm::svc();
        value
    }
}

/// Reads a field of the lowcore by its offset.
fn lowcore<T: Copy>(offset: usize) -> T {
    // SAFETY: the callers below name fields by `offset_of!`, none of them at address 0; the machine writes them only
    // while it takes an interruption, which is masked off here.
    unsafe { core::ptr::with_exposed_provenance::<T>(offset).read_volatile() }
}

/// Called by the entries with the class; on return the CPU goes on at the old PSW.
// SAFETY: nothing else has this name, which boot/interruptions.S calls.
#[unsafe(no_mangle)]
extern "C" fn kaput_interruption(class: u64) {
    let class = Class(class);
    if class == Class::PROGRAM && is_first_cpu() && EXPECTING.swap(false, Ordering::SeqCst) {
        let code: u16 = lowcore(offset_of!(Lowcore, program_code));
        let length: u16 = lowcore(offset_of!(Lowcore, program_ilc));
        RECORDED.store(u32::from(length & 0x6) << 16 | u32::from(code), Ordering::Relaxed);
        if ProgramCode(code).is_nullifying() {
            change_old_psw(class, |psw| psw.address = psw.address.wrapping_add(u64::from(length & 0x6)));
        }
        return;
    }
    let (_, old_psw) = class.name_and_old_psw();
    if class == Class::SVC && lowcore::<Psw>(old_psw).mask.contains(PswMask::PROBLEM) {
        return change_old_psw(class, |psw| psw.mask.remove(PswMask::PROBLEM));
    }
    if class == Class::IO && io::came(io_words()) {
        return change_old_psw(class, |psw| psw.mask.remove(PswMask::IO | PswMask::EXTERNAL | PswMask::WAIT));
    }
    if class == Class::EXTERNAL && is_clock_comparator() && io::clock_struck() {
        return change_old_psw(class, |psw| psw.mask.remove(PswMask::IO | PswMask::EXTERNAL | PswMask::WAIT));
    }
    unexpected(class)
}

/// Whether this is the CPU that runs the suites: the only one that expects program interruptions.
fn is_first_cpu() -> bool {
    // SAFETY: the linker script has it; only its address is taken.
    unsafe extern "C" {
        static __trap_stack_top: u8;
    }
    const FRAME: u64 = 160;
    lowcore::<u64>(offset_of!(Lowcore, trap_stack)) + FRAME == (&raw const __trap_stack_top).addr() as u64
}

fn is_clock_comparator() -> bool {
    const CLOCK_COMPARATOR: u16 = 0x1004;
    lowcore::<u16>(offset_of!(Lowcore, external_code)) == CLOCK_COMPARATOR
}

/// Subsystem, parameter and identification of an I/O interruption.
fn io_words() -> [u32; 3] {
    [offset_of!(Lowcore, io_subsystem), offset_of!(Lowcore, io_parameter), offset_of!(Lowcore, io_identification)]
        .map(lowcore::<u32>)
}

fn change_old_psw(class: Class, change: impl FnOnce(&mut Psw)) {
    let (_, at) = class.name_and_old_psw();
    let mut psw: Psw = lowcore(at);
    change(&mut psw);
    // SAFETY: as for `lowcore`; the entry loads this PSW when we return.
    unsafe { core::ptr::with_exposed_provenance_mut::<Psw>(at).write_volatile(psw) };
}

/// Reports an unexpected interruption, and ends the guest.
pub(crate) type Reporter = fn(&Unexpected) -> !;

static REPORTER: Once<Reporter> = Once::new();

/// An unexpected interruption, as the CPU stored it.
pub(crate) struct Unexpected {
    /// The name of its class.
    pub(crate) class: &'static str,
    /// The old PSW.
    pub(crate) psw: Psw,
    /// General registers 0 to 15.
    pub(crate) registers: [u64; 16],
    /// What else the CPU stored.
    pub(crate) cause: Cause,
}

/// What the CPU stores of an interruption, by its class.
pub(crate) enum Cause {
    Restart,
    External { code: u16, parameter: u32 },
    SupervisorCall { number: u16 },
    Program { code: ProgramCode, length: usize, address: u64, instruction: [u8; 6], last_branch: u64 },
    MachineCheck { code: u64 },
    Io { words: [u32; 3] },
}

/// Sets who reports unexpected interruptions.
pub(super) fn start(reporter: Reporter) {
    REPORTER.call_once(|| reporter);
}

fn unexpected(class: Class) -> ! {
    static REPORTING: AtomicBool = AtomicBool::new(false);
    const DURING_THE_REPORT: u64 = 0xdead;
    const BEFORE_THE_START: u64 = 0xdeaf;
    if REPORTING.swap(true, Ordering::SeqCst) {
        cpus::disabled_wait(DURING_THE_REPORT);
    }
    let (name, old_psw) = class.name_and_old_psw();
    let psw: Psw = lowcore(old_psw);
    let cause = match class {
        Class::PROGRAM => program(&psw),
        Class::EXTERNAL => Cause::External {
            code: lowcore(offset_of!(Lowcore, external_code)),
            parameter: lowcore(offset_of!(Lowcore, external_parameter)),
        },
        Class::SVC => Cause::SupervisorCall { number: lowcore(offset_of!(Lowcore, svc_code)) },
        Class::MACHINE_CHECK => Cause::MachineCheck { code: lowcore(offset_of!(Lowcore, machine_check_code)) },
        Class::IO => Cause::Io { words: io_words() },
        _ => Cause::Restart,
    };
    let registers = lowcore(offset_of!(Lowcore, save_area));
    match REPORTER.get() {
        Some(report) => report(&Unexpected { class: name, psw, registers, cause }),
        None => cpus::disabled_wait(BEFORE_THE_START),
    }
}

fn program(psw: &Psw) -> Cause {
    let code = ProgramCode(lowcore(offset_of!(Lowcore, program_code)));
    let ilc: u16 = lowcore(offset_of!(Lowcore, program_ilc));
    let length = usize::from(ilc & 0x6);
    let back = if code.is_nullifying() { 0 } else { length as u64 };
    let address = psw.address.wrapping_sub(back);
    let mut instruction = [0u8; 6];
    if in_image(address) {
        for (offset, byte) in instruction.iter_mut().enumerate().take(length) {
            *byte = lowcore(address as usize + offset);
        }
    }
    let last_branch = lowcore(offset_of!(Lowcore, breaking_event_address));
    Cause::Program { code, length, address, instruction, last_branch }
}

/// Whether instructions can stand there, so that looking at them is no second interruption.
fn in_image(address: u64) -> bool {
    // SAFETY: the linker script has it; only its address is taken.
    unsafe extern "C" {
        static __image_end: u8;
    }
    const BEGIN: u64 = 0x10000;
    (BEGIN..(&raw const __image_end).addr() as u64 - 6).contains(&address)
}
