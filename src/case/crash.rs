// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of a guest that cannot go on: an unexpected interruption, or a panic. Whatever runs has failed,
//! and what there is to know stands in INFO lines.

use super::report;
use crate::machine::console;
use crate::machine::trap::{Cause, Unexpected};
use core::panic::PanicInfo;

/// Reports an unexpected interruption.
pub(crate) fn unexpected(interruption: &Unexpected) -> ! {
    let Unexpected { class, psw, registers, cause } = interruption;
    break_locks();
    report::fail_current(format_args!("unexpected {class} interruption"));
    report::info(format_args!("PSW {:016x} {:016x}", psw.mask.bits(), psw.address));
    match cause {
        Cause::Restart => {}
        Cause::External { code, parameter } => {
            report::info(format_args!("external code {code:04x}, parameter {parameter:08x}"));
        }
        Cause::SupervisorCall { number } => report::info(format_args!("supervisor-call number {number}")),
        Cause::Program { code, length, address, instruction: [a, b, c, d, e, f], last_branch } => {
            report::info(format_args!(
                "program code {code}, instruction at {address:#x}: {a:02x}{b:02x}{c:02x}{d:02x}{e:02x}{f:02x} \
                 ({length} bytes)"
            ));
            report::info(format_args!("last branch from {last_branch:#x}"));
        }
        Cause::MachineCheck { code } => report::info(format_args!("machine-check code {code:016x}")),
        Cause::Io { words: [subsystem, parameter, identification] } => {
            report::info(format_args!("I/O words {subsystem:08x} {parameter:08x} {identification:08x}"));
        }
    }
    for (row, [a, b, c, d]) in registers.as_chunks::<4>().0.iter().enumerate() {
        report::info(format_args!("GR{:<2} {a:016x} {b:016x} {c:016x} {d:016x}", 4 * row));
    }
    report::abort(format_args!("unexpected {class} interruption"))
}

/// Reports a panic.
pub(crate) fn panicked(info: &PanicInfo<'_>) -> ! {
    break_locks();
    report::abort(format_args!("{info}"))
}

/// Makes console and report usable for a guest that is about to end, whatever it was doing.
fn break_locks() {
    console::break_locks();
    report::break_lock();
}
