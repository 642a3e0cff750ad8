// SPDX-License-Identifier: MIT OR Apache-2.0
//! The other CPUs: one of them can do something beside this one; and the end of the guest, which needs all of them
//! stopped.

use super::clock::Deadline;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, Ordering};
use s390x_asm::asm::{Order, Signalled};
use s390x_asm::{Lowcore, Psw, asm};
use spin::Mutex;

/// Addresses of the CPUs that the SCLP reported; CPUs beyond this number are not used.
static CPUS: Mutex<heapless::Vec<u8, 248>> = Mutex::new(heapless::Vec::new());

/// How long another CPU may take to start or to stop.
const LIMIT_MILLIS: u64 = 10_000;

/// Remembers which CPUs there are.
pub(super) fn note(addresses: impl Iterator<Item = u8>) {
    let mut cpus = CPUS.lock();
    cpus.clear();
    let room = cpus.capacity();
    cpus.extend(addresses.take(room));
}

/// Another CPU than this one, if there is one.
fn another() -> Option<u16> {
    let this = asm::stap();
    CPUS.lock().iter().copied().map(u16::from).find(|cpu| *cpu != this)
}

/// The prefix area and the stacks of the other CPU.
#[repr(C, align(8192))]
struct Secondary {
    prefix_area: [u8; Lowcore::PREFIX_AREA],
    trap_stack: [u8; 16 << 10],
    stack: [u8; 64 << 10],
}

#[repr(transparent)]
struct Shared(UnsafeCell<Secondary>);

// SAFETY: this CPU touches it only while the other one is stopped.
unsafe impl Sync for Shared {}

static SECONDARY: Shared = Shared(UnsafeCell::new(Secondary {
    prefix_area: [0; Lowcore::PREFIX_AREA],
    trap_stack: [0; 16 << 10],
    stack: [0; 64 << 10],
}));

/// What the other CPU is to do, and whether it has done it.
static WORK: Mutex<Option<fn()>> = Mutex::new(None);
static DONE: AtomicBool = AtomicBool::new(false);
static MUST_END: AtomicBool = AtomicBool::new(false);

/// Why the other CPU did not do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OtherCpuError {
    /// There is one CPU.
    OneCpu,
    /// SIGNAL PROCESSOR did not do this.
    NotStarted(&'static str),
    /// The other CPU did not end in time.
    NotEnded,
}

impl core::fmt::Display for OtherCpuError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::OneCpu => f.write_str("there is one CPU"),
            Self::NotStarted(what) => write!(f, "the other CPU did not {what}"),
            Self::NotEnded => write!(f, "the other CPU did not end within {LIMIT_MILLIS} ms"),
        }
    }
}

/// Another CPU at work. [`OtherCpu::end`] must end it before anything else is started.
#[must_use]
pub(crate) struct OtherCpu(u16);

/// Starts another CPU with `work`, which returns once [`must_end`] says so.
pub(crate) fn start_other(work: fn()) -> Result<OtherCpu, OtherCpuError> {
    let cpu = another().ok_or(OtherCpuError::OneCpu)?;
    start(cpu, work)?;
    Ok(OtherCpu(cpu))
}

impl OtherCpu {
    /// Asks the other CPU to end, and waits until it has stopped.
    pub(crate) fn end(self) -> Result<(), OtherCpuError> {
        MUST_END.store(true, Ordering::SeqCst);
        let deadline = Deadline::in_millis(LIMIT_MILLIS);
        while !DONE.load(Ordering::SeqCst) || !is_stopped(self.0) {
            if deadline.is_over() {
                return Err(OtherCpuError::NotEnded);
            }
        }
        Ok(())
    }
}

/// Whether the work of the other CPU must end.
pub(crate) fn must_end() -> bool {
    MUST_END.load(Ordering::SeqCst)
}

fn is_stopped(cpu: u16) -> bool {
    // SAFETY: the order changes nothing.
    let Signalled { cc, status } = unsafe { asm::sigp(Order::SENSE, cpu, 0) };
    cc == 1 && status & Signalled::STOPPED != 0
}

fn start(cpu: u16, work: fn()) -> Result<(), OtherCpuError> {
    // SAFETY: boot/entry.S has it; only its address is taken.
    unsafe extern "C" {
        fn secondary_entry();
    }
    if !is_stopped(cpu) {
        return Err(OtherCpuError::NotStarted("stand still before it was started"));
    }
    let secondary = SECONDARY.0.get();
    // SAFETY: the other CPU is stopped. The new PSWs of this CPU serve it as well; they stand in real storage that no
    // Rust object has.
    unsafe {
        let area = (&raw mut (*secondary).prefix_area).cast::<u8>();
        for at in Lowcore::NEW_PSWS {
            area.add(at).write_volatile(core::ptr::with_exposed_provenance::<u8>(at).read_volatile());
        }
        let top = |stack: *mut u8, size: usize| (stack.expose_provenance() + size - 160) as u64;
        let trap_stack = top((&raw mut (*secondary).trap_stack).cast(), size_of_val(&(*secondary).trap_stack));
        let stack = top((&raw mut (*secondary).stack).cast(), size_of_val(&(*secondary).stack));
        area.add(offset_of!(Lowcore, trap_stack)).cast::<u64>().write_volatile(trap_stack);
        area.add(offset_of!(Lowcore, restart_stack)).cast::<u64>().write_volatile(stack);
        let restart = Psw::supervisor(secondary_entry as *const () as u64);
        area.add(offset_of!(Lowcore, restart_new)).cast::<Psw>().write_volatile(restart);
    }
    *WORK.lock() = Some(work);
    DONE.store(false, Ordering::SeqCst);
    MUST_END.store(false, Ordering::SeqCst);
    let prefix = secondary.expose_provenance() as u32;
    // SAFETY: the prefix area was made ready above, and the other CPU then runs `kaput_secondary`.
    let orders = unsafe {
        [(asm::sigp(Order::SET_PREFIX, cpu, prefix), "take its prefix"), (asm::sigp(Order::RESTART, cpu, 0), "restart")]
    };
    match orders.iter().find(|(signalled, _)| signalled.cc != 0) {
        None => Ok(()),
        Some((_, what)) => Err(OtherCpuError::NotStarted(what)),
    }
}

/// Where the other CPU begins.
// SAFETY: nothing else has this name, which boot/entry.S calls.
#[unsafe(no_mangle)]
extern "C" fn kaput_secondary() -> ! {
    let work = WORK.lock().take();
    if let Some(work) = work {
        work();
    }
    DONE.store(true, Ordering::SeqCst);
    stop_this()
}

/// Stops every CPU but this one. QEMU ends only when none runs.
pub(super) fn stop_others() {
    let this = asm::stap();
    let Some(cpus) = CPUS.try_lock() else { return };
    for cpu in cpus.iter().copied().map(u16::from).filter(|cpu| *cpu != this) {
        // SAFETY: nothing that runs there is needed any more.
        let _ = unsafe { asm::sigp(Order::STOP, cpu, 0) };
    }
}

/// Stops this CPU; should it run on, it waits without end.
pub(super) fn stop_this() -> ! {
    // SAFETY: nothing that runs here is needed any more.
    let _ = unsafe { asm::sigp(Order::STOP, asm::stap(), 0) };
    disabled_wait(0)
}

/// Waits without end; `code` is what an operator sees.
pub(super) fn disabled_wait(code: u64) -> ! {
    // SAFETY: the CPU never leaves this PSW.
    unsafe { asm::lpswe(&Psw::disabled_wait(code)) }
}

/// QEMU without KVM can miss, about once in some thousand migrations of a busy host, that a guest writes to a page: its
/// list of dirty pages is read between two steps of such a write, and then the CPU's translation of that page reports
/// no further one. A translation that is looked up again does.
pub(crate) fn forget_translations() {
    asm::ptlb();
}
