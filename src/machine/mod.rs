// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bare machine: what stands between the first instruction and a test. It knows nothing of AP; nearly all `unsafe`
//! of the image is here. One CPU runs the suites, another one what a case gives it; without translation, every
//! interruption masked off but where a case waits for one; waiting is polling with a bound.

pub(crate) mod clock;
pub(crate) mod console;
pub(crate) mod cpus;
mod heap;
pub(crate) mod io;
mod log_ring;
pub(crate) mod progress;
mod sclp;
pub(crate) mod trap;

use ap_arch::report::ExitStatus;
use core::mem::offset_of;
use s390x_asm::{FacilityList, Lowcore};

core::arch::global_asm!(
    include_str!("../../boot/entry.S"),
    include_str!("../../boot/interruptions.S"),
    restart_new = const offset_of!(Lowcore, restart_new),
    external_new = const offset_of!(Lowcore, external_new),
    svc_new = const offset_of!(Lowcore, svc_new),
    program_new = const offset_of!(Lowcore, program_new),
    machine_check_new = const offset_of!(Lowcore, machine_check_new),
    io_new = const offset_of!(Lowcore, io_new),
    restart_old = const offset_of!(Lowcore, restart_old),
    external_old = const offset_of!(Lowcore, external_old),
    svc_old = const offset_of!(Lowcore, svc_old),
    program_old = const offset_of!(Lowcore, program_old),
    machine_check_old = const offset_of!(Lowcore, machine_check_old),
    io_old = const offset_of!(Lowcore, io_old),
    save_area = const offset_of!(Lowcore, save_area),
    trap_stack = const offset_of!(Lowcore, trap_stack),
    restart_stack = const offset_of!(Lowcore, restart_stack),
    restart = const trap::Class::RESTART.0,
    external = const trap::Class::EXTERNAL.0,
    svc = const trap::Class::SVC.0,
    program = const trap::Class::PROGRAM.0,
    machine_check = const trap::Class::MACHINE_CHECK.0,
    io = const trap::Class::IO.0,
);

/// What there is.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Main storage in bytes.
    pub(crate) memory: u64,
    /// The facility list.
    pub(crate) facilities: FacilityList,
}

/// Why the machine is of no use.
#[derive(Debug)]
pub(crate) enum StartError {
    /// Without an SCLP there is no console.
    Sclp(sclp::Error),
    /// Main storage ends before the heap begins.
    Memory(u64),
}

impl core::fmt::Display for StartError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Sclp(error) => write!(f, "the SCLP does not report the configuration: {error}"),
            Self::Memory(size) => {
                write!(f, "{size} bytes of main storage leave no room for a heap; give the guest 16 MiB")
            }
        }
    }
}

/// Log, console, storage, heap, facilities, in this order. An unexpected interruption goes to `reporter`.
pub(crate) fn start(reporter: trap::Reporter) -> Result<Machine, StartError> {
    trap::start(reporter);
    log_ring::start();
    console::start().map_err(StartError::Sclp)?;
    let memory = sclp::read_info().map_err(StartError::Sclp)?;
    heap::start(memory).ok_or(StartError::Memory(memory))?;
    Ok(Machine { memory, facilities: s390x_asm::asm::stfle() })
}

/// The last line and the end of the guest: QEMU ends with it.
pub(crate) fn end(status: ExitStatus) -> ! {
    cpus::stop_others();
    console::print(format_args!("\n{status}\n"));
    cpus::stop_this()
}
