// SPDX-License-Identifier: MIT OR Apache-2.0
//! The other CPUs, as far as the end of the guest concerns them, and the end itself.

use s390x_asm::{Psw, asm};
use spin::Mutex;

/// Addresses of the CPUs the SCLP told of; more than these are left alone.
static CPUS: Mutex<heapless::Vec<u8, 248>> = Mutex::new(heapless::Vec::new());

/// Remembers which CPUs there are.
pub(super) fn note(addresses: impl Iterator<Item = u8>) {
    let mut cpus = CPUS.lock();
    cpus.clear();
    let room = cpus.capacity();
    cpus.extend(addresses.take(room));
}

/// Stops every CPU but this one. QEMU ends only when none runs.
pub(super) fn stop_others() {
    let this = asm::stap();
    let Some(cpus) = CPUS.try_lock() else { return };
    for cpu in cpus.iter().copied().map(u16::from).filter(|cpu| *cpu != this) {
        // SAFETY: nothing that runs there is needed any more.
        let _ = unsafe { asm::sigp(asm::SIGP_STOP, cpu) };
    }
}

/// Stops this CPU; should it run on, it waits without end.
pub(super) fn stop_this() -> ! {
    // SAFETY: nothing that runs here is needed any more.
    let _ = unsafe { asm::sigp(asm::SIGP_STOP, asm::stap()) };
    disabled_wait(0)
}

/// Waits without end; `code` is what an operator sees.
pub(super) fn disabled_wait(code: u64) -> ! {
    // SAFETY: the CPU never leaves this PSW.
    unsafe { asm::lpswe(&Psw::disabled_wait(code)) }
}
