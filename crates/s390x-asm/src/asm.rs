// SPDX-License-Identifier: MIT OR Apache-2.0
//! One function per instruction, named as the mnemonic. Those that can end in a program interruption say so; the
//! image's trap handler decides what becomes of it, and the registers then come back as they went in.
//!
//! Principles of Operation, "General Instructions", "Control Instructions" and "Input/Output Instructions"; for SERVICE
//! CALL see `sccb.rs`, for the three AP instructions AP reference 1.1.
//!
//! The AP instructions set the condition code to a value of their own first, so that an instruction that was skipped or
//! left the condition code alone differs from one that was executed.

use crate::{FacilityList, Psw, PswMask, Tod};
use core::arch::asm;

/// The condition code that stands before an AP instruction. PQAP never sets it, NQAP only for a message of several
/// parts; after DQAP a queue status that is still [`POISON_REGISTER`] shows it.
pub const POISON_CC: u8 = 1;
/// What the output-only general registers hold before an AP instruction.
pub const POISON_REGISTER: u64 = 0xdead_beef_dead_beef;

const POISON_PROGRAM_MASK: u64 = (POISON_CC as u64) << 28;

/// STORE CLOCK: the time-of-day clock; successive values differ.
#[must_use]
pub fn stck() -> Tod {
    let mut tod = 0u64;
    // SAFETY: stores eight bytes into `tod` and sets the condition code.
    unsafe { asm!("stck 0({at})", at = in(reg_addr) &raw mut tod, options(nostack)) };
    Tod(tod)
}

/// STORE FACILITY LIST EXTENDED.
#[must_use]
pub fn stfle() -> FacilityList {
    let mut list = FacilityList::default();
    // SAFETY: stores at most as many doublewords as GR0 names plus one, which is what `list` holds.
    unsafe {
        asm!(
            "stfle 0({at})",
            at = in(reg_addr) list.0.as_mut_ptr(),
            inout("r0") list.0.len() as u64 - 1 => _,
            options(nostack)
        );
    }
    list
}

/// STORE CPU ADDRESS.
#[must_use]
pub fn stap() -> u16 {
    let mut address = 0u16;
    // SAFETY: stores two bytes into `address`.
    unsafe { asm!("stap 0({at})", at = in(reg_addr) &raw mut address, options(nostack, preserves_flags)) };
    address
}

/// SERVICE CALL: hands the block at absolute address `sccb` to the SCLP. Condition code 0: accepted; 2: busy; 3: there
/// is no SCLP.
///
/// # Safety
/// `sccb` is a well-formed service-call control block that nobody else accesses until it carries a response code.
#[must_use]
pub unsafe fn servc(command: u32, sccb: *mut u8) -> u8 {
    let cc: u64;
    // SAFETY: the caller gives the block; the SCLP stores into nothing else.
    unsafe {
        asm!(
            ".insn rre,0xb2200000,{command},{sccb}",
            "ipm {cc}",
            command = in(reg) u64::from(command),
            sccb = in(reg) sccb,
            cc = out(reg) cc,
            options(nostack)
        );
    }
    cc_of(cc)
}

/// An order of SIGNAL PROCESSOR. Principles of Operation, "Signal-Processor Orders".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order(pub u8);

impl Order {
    /// Asks whether the addressed CPU is stopped.
    pub const SENSE: Self = Self(1);
    /// The addressed CPU stops.
    pub const STOP: Self = Self(5);
    /// The addressed CPU, stopped, takes a restart interruption.
    pub const RESTART: Self = Self(6);
    /// The parameter becomes the prefix of the addressed CPU, which is stopped.
    pub const SET_PREFIX: Self = Self(13);
}

/// What SIGNAL PROCESSOR answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signalled {
    /// Condition code 0: accepted; 1: status stored; 2: busy; 3: there is no such CPU.
    pub cc: u8,
    /// The status, with condition code 1.
    pub status: u32,
}

impl Signalled {
    /// Status: the CPU is stopped.
    pub const STOPPED: u32 = 0x40;
}

/// SIGNAL PROCESSOR with a parameter, which most orders ignore.
///
/// # Safety
/// Whatever the addressed CPU was doing may be ended by the order; what it does after a restart must be sound.
pub unsafe fn sigp(order: Order, cpu: u16, parameter: u32) -> Signalled {
    let (cc, status): (u64, u64);
    // SAFETY: the caller answers for the other CPU; GR0 takes the status and GR1 has the parameter.
    unsafe {
        asm!(
            "sigp %r0,{cpu},0({order})",
            "ipm {cc}",
            cpu = in(reg) u64::from(cpu),
            order = in(reg_addr) u64::from(order.0),
            cc = out(reg) cc,
            inout("r0") 0u64 => status,
            in("r1") u64::from(parameter),
            options(nostack)
        );
    }
    Signalled { cc: cc_of(cc), status: status as u32 }
}

/// LOAD CONTROL of one register, `N`.
///
/// # Safety
/// Interruptions that the value allows must be expected.
pub unsafe fn lctlg<const N: u8>(value: u64) {
    // SAFETY: reads eight bytes of `value`; the caller answers for its effect.
    unsafe { asm!("lctlg %c{n},%c{n},0({at})", n = const N, at = in(reg_addr) &raw const value, options(nostack)) };
}

/// PURGE TLB: this CPU looks its translations up again.
pub fn ptlb() {
    // SAFETY: what was looked up is looked up again; nothing else changes.
    unsafe { asm!("ptlb", options(nostack)) };
}

/// SET CLOCK COMPARATOR: an external interruption is pending once the clock is later.
pub fn sckc(time: Tod) {
    // SAFETY: reads eight bytes; the interruption is masked off until somebody allows it.
    unsafe { asm!("sckc 0({at})", at = in(reg_addr) &raw const time.0, options(nostack)) };
}

/// Lets pending I/O interruptions in, for one moment.
///
/// # Safety
/// The interruption handler must go on where it was called, and must leave I/O interruptions masked off or on.
pub unsafe fn io_window() {
    let mut before = 0u8;
    // SAFETY: the two instructions store the old system mask into `before` and change its I/O bit; the caller answers
    // for the handler.
    unsafe {
        asm!(
            "stosm 0({at}),2",
            "nopr",
            "stnsm 0({at}),0xfd",
            at = in(reg_addr) &raw mut before,
            options(nostack)
        );
    }
}

/// Waits, by a PSW with these bits besides the wait bit, and goes on here once a handler has turned the wait bit off.
///
/// # Safety
/// The handlers of what `mask` allows must turn the wait bit off and return.
pub unsafe fn wait(mask: PswMask) {
    let mut psw = [PswMask::MODE_64.union(PswMask::WAIT).union(mask).bits(), 0];
    // SAFETY: the PSW leads to the next instruction.
    unsafe {
        asm!(
            "larl {next}, 2f",
            "stg {next}, 8({psw})",
            "lpswe 0({psw})",
            "2:",
            psw = in(reg_addr) psw.as_mut_ptr(),
            next = out(reg) _,
            options(nostack)
        );
    }
}

/// STORE SYSTEM INFORMATION, function code 0: the current level, which needs no storage.
#[must_use]
pub fn stsi_level() -> u8 {
    let level: u64;
    // SAFETY: function code 0 stores nothing but the level into GR0.
    unsafe {
        asm!("stsi 0(%r0)", inout("r0") 0u64 => level, in("r1") 0u64, options(nostack));
    }
    (level >> 28) as u8 & 0xf
}

/// An instruction that does not exist.
///
/// # Safety
/// An operation exception must be expected.
pub unsafe fn no_such_instruction() {
    // SAFETY: the caller expects the exception, after which the CPU goes on behind the instruction.
    unsafe { asm!(".insn rre,0xb2ff0000,%r0,%r0", options(nostack)) };
}

/// LOAD PSW EXTENDED of a PSW that never continues here.
///
/// # Safety
/// What `psw` leads to must be able to run with the registers and the stack as they are.
pub unsafe fn lpswe(psw: &Psw) -> ! {
    // SAFETY: the caller answers for the new PSW.
    unsafe { asm!("lpswe 0({psw})", psw = in(reg_addr) psw, options(noreturn)) }
}

/// LOAD PSW EXTENDED of a PSW that goes on here, in the problem state.
///
/// # Safety
/// What is executed until the supervisor state is back must not be privileged, or must be expected to end in a program
/// interruption.
pub unsafe fn enter_problem_state() {
    let mut psw = [PswMask::MODE_64.union(PswMask::PROBLEM).bits(), 0];
    // SAFETY: the PSW differs from the present one only in its problem bit, and leads to the next instruction.
    unsafe {
        asm!(
            "larl {next}, 2f",
            "stg {next}, 8({psw})",
            "lpswe 0({psw})",
            "2:",
            psw = in(reg_addr) psw.as_mut_ptr(),
            next = out(reg) _,
            options(nostack)
        );
    }
}

/// SUPERVISOR CALL with number 0.
///
/// # Safety
/// The interruption handler must go on behind the instruction.
pub unsafe fn svc() {
    // SAFETY: the caller answers for the handler.
    unsafe { asm!("svc 0", options(nostack)) }
}

/// What PQAP left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pqap {
    /// Condition code.
    pub cc: u8,
    /// General register 0.
    pub gr0: u64,
    /// General register 1.
    pub gr1: u64,
    /// General register 2.
    pub gr2: u64,
}

/// PQAP, PROCESS ADJUNCT PROCESSOR QUEUE. Ends in an operation exception where AP is not installed.
///
/// # Safety
/// For functions that name storage (QCI, AQIC) general register 2 designates storage that may be stored into, for AQIC
/// as long as interruption is enabled.
#[must_use]
pub unsafe fn pqap(gr0: u64, gr1: u64, gr2: u64) -> Pqap {
    let (cc, out0, out1, out2): (u64, u64, u64, u64);
    // SAFETY: all registers the instruction has are operands; the caller answers for the storage.
    unsafe {
        asm!(
            "spm {poison}",
            ".insn rre,0xb2af0000,%r0,%r0",
            "ipm {cc}",
            poison = in(reg) POISON_PROGRAM_MASK,
            cc = out(reg) cc,
            inout("r0") gr0 => out0,
            inout("r1") gr1 => out1,
            inout("r2") gr2 => out2,
            options(nostack)
        );
    }
    Pqap { cc: cc_of(cc), gr0: out0, gr1: out1, gr2: out2 }
}

/// How an instruction comes to be executed that does not stand in the instruction stream itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    /// EXECUTE.
    Execute,
    /// EXECUTE RELATIVE LONG.
    ExecuteRelativeLong,
}

/// As [`pqap`], as the target of EXECUTE or EXECUTE RELATIVE LONG.
///
/// # Safety
/// As for [`pqap`].
#[must_use]
pub unsafe fn pqap_under(under: Under, gr0: u64, gr1: u64, gr2: u64) -> Pqap {
    let (cc, out0, out1, out2): (u64, u64, u64, u64);
    // SAFETY: all registers the instructions have are operands; the caller answers for the storage.
    unsafe {
        asm!(
            "larl {target}, 2f",
            "ltgr {long}, {long}",
            "je 3f",
            "spm {poison}",
            "exrl %r0, 2f",
            "j 4f",
            "2: .insn rre,0xb2af0000,%r0,%r0",
            "3: spm {poison}",
            "ex %r0, 0({target})",
            "4: ipm {cc}",
            target = out(reg_addr) _,
            long = in(reg) u64::from(under == Under::ExecuteRelativeLong),
            poison = in(reg) POISON_PROGRAM_MASK,
            cc = out(reg) cc,
            inout("r0") gr0 => out0,
            inout("r1") gr1 => out1,
            inout("r2") gr2 => out2,
            options(nostack)
        );
    }
    Pqap { cc: cc_of(cc), gr0: out0, gr1: out1, gr2: out2 }
}

/// As [`pqap`], with access key 1 in the PSW.
///
/// # Safety
/// As for [`pqap`]; nothing that has another storage key may be fetch-protected.
#[must_use]
pub unsafe fn pqap_with_key_1(gr0: u64, gr1: u64, gr2: u64) -> Pqap {
    let (cc, out0, out1, out2): (u64, u64, u64, u64);
    // SAFETY: as in `pqap`; between the two changes of the key nothing else is accessed.
    unsafe {
        asm!(
            "spka 0x10",
            "spm {poison}",
            ".insn rre,0xb2af0000,%r0,%r0",
            "ipm {cc}",
            "spka 0",
            poison = in(reg) POISON_PROGRAM_MASK,
            cc = out(reg) cc,
            inout("r0") gr0 => out0,
            inout("r1") gr1 => out1,
            inout("r2") gr2 => out2,
            options(nostack)
        );
    }
    Pqap { cc: cc_of(cc), gr0: out0, gr1: out1, gr2: out2 }
}

/// As [`pqap`], in secondary-space mode, with this ASCE for the secondary space; instructions are fetched from a
/// primary space that is real storage.
///
/// # Safety
/// As for [`pqap`], in the secondary space.
#[must_use]
pub unsafe fn pqap_in_secondary_space(asce: u64, gr0: u64, gr1: u64, gr2: u64) -> Pqap {
    /// Control register 0: the secondary-space control.
    const SECONDARY_SPACE: u64 = 1 << 26;
    /// An ASCE that designates real storage.
    const REAL_SPACE: u64 = 1 << 5;
    let (cc, out0, out1, out2): (u64, u64, u64, u64);
    let mut before = [0u64; 2];
    let (primary, mut mask) = (REAL_SPACE, 0u8);
    // SAFETY: as in `pqap`. In the primary space everything stands where it stands without translation; between the two
    // changes of the space nothing but the operand is accessed; control register 0 and the system mask are as before
    // afterwards.
    unsafe {
        asm!(
            "stctg %c0,%c0,0({before})",
            "lg {poison}, 0({before})",
            "ogr {poison}, {control}",
            "stg {poison}, 8({before})",
            "lctlg %c0,%c0,8({before})",
            "lctlg %c1,%c1,0({primary})",
            "lctlg %c7,%c7,0({secondary})",
            "lgr {poison}, {program_mask}",
            "stosm 0({mask}),4",
            "sacf 256",
            "spm {poison}",
            ".insn rre,0xb2af0000,%r0,%r0",
            "ipm {cc}",
            "sacf 0",
            "stnsm 0({mask}),0xfb",
            "lctlg %c0,%c0,0({before})",
            before = in(reg_addr) before.as_mut_ptr(),
            primary = in(reg_addr) &raw const primary,
            secondary = in(reg_addr) &raw const asce,
            mask = in(reg_addr) &raw mut mask,
            control = in(reg) SECONDARY_SPACE,
            program_mask = in(reg) POISON_PROGRAM_MASK,
            poison = out(reg) _,
            cc = out(reg) cc,
            inout("r0") gr0 => out0,
            inout("r1") gr1 => out1,
            inout("r2") gr2 => out2,
            options(nostack)
        );
    }
    Pqap { cc: cc_of(cc), gr0: out0, gr1: out1, gr2: out2 }
}

/// SET STORAGE KEY EXTENDED of the block of 4 KiB at a real address.
///
/// # Safety
/// Whoever accesses the block afterwards must have the right key.
pub unsafe fn sske(key: u8, block: u64) {
    // SAFETY: the caller answers for the effect.
    unsafe { asm!("sske {key}, {block}", key = in(reg) u64::from(key), block = in(reg) block, options(nostack)) };
}

/// DIAGNOSE 308, subcode 3: clears the subsystems and loads the guest anew. Returns only where it is not possible.
///
/// # Safety
/// Nothing that runs is ever gone on with.
pub unsafe fn load_again() {
    // SAFETY: the caller gives everything up.
    unsafe {
        asm!(".insn rs,0x83000000,%r2,%r4,0x308", in("r2") 0u64, inout("r3") 0u64 => _, in("r4") 3u64, options(nostack))
    };
}

/// What NQAP left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nqap {
    /// Condition code.
    pub cc: u8,
    /// General register 1: the queue status.
    pub gr1: u64,
    /// Message address and remaining length.
    pub message: (u64, u64),
}

/// NQAP, ENQUEUE TO ADJUNCT PROCESSOR QUEUE: one execution, of the instruction with these register numbers in its text.
/// The operands are in the pairs 4 and 6, which are the numbers to use; others are for tests of what is refused.
///
/// # Safety
/// `message` (address, length) designates storage that may be read.
#[must_use]
pub unsafe fn nqap<const R1: u8, const R2: u8>(gr0: u64, psmid: u64, message: (u64, u64)) -> Nqap {
    let (cc, out1, address, length): (u64, u64, u64, u64);
    // SAFETY: all registers the instruction has are operands; the caller answers for the storage.
    unsafe {
        asm!(
            "spm {poison}",
            ".insn rre,0xb2ad0000,%r{r1},%r{r2}",
            "ipm {cc}",
            poison = in(reg) POISON_PROGRAM_MASK,
            cc = out(reg) cc,
            r1 = const R1,
            r2 = const R2,
            in("r0") gr0,
            inout("r1") POISON_REGISTER => out1,
            in("r4") psmid >> 32,
            in("r5") psmid & 0xffff_ffff,
            inout("r6") message.0 => address,
            inout("r7") message.1 => length,
            out("r8") _,
            options(nostack)
        );
    }
    Nqap { cc: cc_of(cc), gr1: out1, message: (address, length) }
}

/// What DQAP left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dqap {
    /// Condition code.
    pub cc: u8,
    /// General register 0: the value to continue with.
    pub gr0: u64,
    /// General register 1: the queue status, poison if the receive did not finish.
    pub gr1: u64,
    /// General register 2: what is left of the message.
    pub gr2: u64,
    /// The two words of the message identifier, poison if none was delivered.
    pub psmid: (u64, u64),
    /// Buffer address and remaining length.
    pub buffer: (u64, u64),
}

/// DQAP, DEQUEUE FROM ADJUNCT PROCESSOR QUEUE: one execution, of the instruction with these register numbers in its
/// text. The operands are in the pairs 4 and 6, which are the numbers to use; others are for tests of what is refused.
///
/// # Safety
/// `buffer` (address, length) designates storage that may be stored into.
#[must_use]
pub unsafe fn dqap<const R1: u8, const R2: u8>(gr0: u64, gr2: u64, buffer: (u64, u64)) -> Dqap {
    let (cc, out0, out1, out2, high, low, address, length): (u64, u64, u64, u64, u64, u64, u64, u64);
    // SAFETY: all registers the instruction has are operands; the caller answers for the storage.
    unsafe {
        asm!(
            "spm {poison}",
            ".insn rre,0xb2ae0000,%r{r1},%r{r2}",
            "ipm {cc}",
            poison = in(reg) POISON_PROGRAM_MASK,
            cc = out(reg) cc,
            r1 = const R1,
            r2 = const R2,
            inout("r0") gr0 => out0,
            inout("r1") POISON_REGISTER => out1,
            inout("r2") gr2 => out2,
            inout("r4") POISON_REGISTER => high,
            inout("r5") POISON_REGISTER => low,
            inout("r6") buffer.0 => address,
            inout("r7") buffer.1 => length,
            out("r8") _,
            options(nostack)
        );
    }
    Dqap { cc: cc_of(cc), gr0: out0, gr1: out1, gr2: out2, psmid: (high, low), buffer: (address, length) }
}

/// The condition code in what INSERT PROGRAM MASK left; the other bits of the register are old contents.
const fn cc_of(ipm: u64) -> u8 {
    (ipm >> 28) as u8 & 3
}
