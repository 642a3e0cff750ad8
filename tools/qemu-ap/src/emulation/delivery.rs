// SPDX-License-Identifier: GPL-2.0-or-later
//! Adapter interruptions: the notification byte is stored, then the interruption is made pending and delivered when the
//! PSW and control register 6 allow (AP reference 5.3).
//!
//! Delivery happens at the start of a translation block that leads back or anywhere, by a callback that generated code takes
//! only while this vCPU's flag is raised. A plugin cannot wake a CPU in an enabled wait, so the way into the wait is watched: an LPSW, LPSWE or
//! LPSWEY that would wait with an interruption pending takes the interruption at once, with the waiting PSW as the old
//! one; with a request still in an engine it is executed again in slices of at most [`WAIT_SLICE`], so that the monitor
//! can stop the machine in between.

use std::ffi::{c_uint, c_void};
use std::mem::offset_of;
use std::sync::atomic::{AtomicU8, Ordering, fence};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use ap_machine::{Configuration, Notification, OperandMemory};
use s390x_asm::Lowcore;

use crate::cpu::dat;
use crate::cpu::storage::GuestStorage;
use crate::cpu::vcpu::{Registers, Vcpu};
use crate::emulation::reset;
use crate::ffi::{self, Exchange, VcpuFlag};
use crate::plugin::{Plugin, plugin};
use crate::state::sites::Site;

/// How long one execution of a waiting LPSWE waits for an engine.
const WAIT_SLICE: Duration = Duration::from_millis(1);

const PSW_IO: u64 = 1 << 57;
const PSW_WAIT: u64 = 1 << 49;
const PSW_PROBLEM_STATE: u64 = 1 << 48;
const SHORT_PSW_BIT_12: u64 = 1 << 51;
const SHORT_PSW_ADDRESS: u64 = 0x7fff_ffff;

/// Where the CPU stores and finds what belongs to an I/O interruption, relative to the prefix.
const IO_INTERRUPTION_CODE: u64 = offset_of!(Lowcore, io_subsystem) as u64;
const IO_OLD_PSW: u64 = offset_of!(Lowcore, io_old) as u64;
const IO_NEW_PSW: u64 = offset_of!(Lowcore, io_new) as u64;

/// Interruption-identification word of an adapter interruption, but for the subclass in bits 2-4.
const ADAPTER_INTERRUPTION: u32 = 0x8000_0000;

/// The interruptions that are pending for the guest, and the flags by which its vCPUs learn of them.
pub(crate) struct Interruptions {
    /// One bit a subclass, subclass 0 leftmost: several events of one subclass coalesce.
    subclasses: AtomicU8,
    /// Raised while something may be pending.
    flag: VcpuFlag,
    /// Raised while a wait may have something to wait for, be it pending or still in an engine.
    waits: VcpuFlag,
    /// Signalled when the machine has a notification for the guest.
    ready: Condvar,
    gate: Mutex<()>,
}

impl Interruptions {
    pub(crate) fn new() -> Self {
        let (flag, waits) = (VcpuFlag::new(), VcpuFlag::new());
        Self { subclasses: AtomicU8::new(0), flag, waits, ready: Condvar::new(), gate: Mutex::new(()) }
    }

    /// The flag that generated code looks at in blocks.
    pub(crate) const fn flag(&self) -> VcpuFlag {
        self.flag
    }

    /// The flag that generated code looks at before it loads a PSW.
    pub(crate) const fn waits(&self) -> VcpuFlag {
        self.waits
    }

    /// Makes every vCPU look for interruptions at its next block. Callable from any thread.
    pub(crate) fn announce(&self, plugin: &Plugin) {
        for vcpu in plugin.vcpus.initialised() {
            // SAFETY: the init callback of this vCPU has run.
            unsafe { self.flag.set(vcpu, 1) }
        }
        self.expect(plugin);
        drop(self.gate.lock());
        self.ready.notify_all();
    }

    /// Makes every vCPU look, before it waits, whether there is something to wait for. Callable from any thread.
    pub(crate) fn expect(&self, plugin: &Plugin) {
        for vcpu in plugin.vcpus.initialised() {
            // SAFETY: the init callback of this vCPU has run.
            unsafe { self.waits.set(vcpu, 1) }
        }
    }

    /// Makes one vCPU, whose init callback has run, come here before its next block.
    pub(crate) fn look(&self, vcpu: usize) {
        // SAFETY: callers are that vCPU's own callbacks, so it exists.
        unsafe { self.flag.set(vcpu, 1) }
    }

    /// Waits for the machine's next notification, one slice at most.
    fn wait(&self, guest: &Configuration) {
        let quiet = |_: &mut ()| guest.pending().load(Ordering::SeqCst) == 0;
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.ready.wait_timeout_while(gate, WAIT_SLICE, quiet));
    }

    /// Forgets what is pending: the guest was reset.
    pub(crate) fn clear(&self) {
        self.subclasses.store(0, Ordering::SeqCst);
    }

    /// The lowest pending subclass that CR6 allows, taken.
    fn take(&self, cr6: u64) -> Option<u8> {
        let enabled = (cr6 >> 24) as u8;
        let claim = |pending: u8| {
            let first = (pending & enabled).leading_zeros();
            (first < 8).then(|| pending & !(0x80 >> first))
        };
        let before = self.subclasses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, claim).ok()?;
        Some((before & enabled).leading_zeros() as u8)
    }
}

/// Lowers a flag, before anything that is looked at afterwards: else whoever raises it in between would go unheard.
///
/// # Safety
/// The vCPU exists.
unsafe fn lower(flag: VcpuFlag, vcpu: usize) {
    // SAFETY: the caller's.
    unsafe { flag.set(vcpu, 0) }
    fence(Ordering::SeqCst);
}

/// Stores the notification bytes of replies that became ready, then makes their interruptions pending.
pub(crate) fn collect(plugin: &Plugin, exchange: &mut Exchange) {
    let Some(interruptions) = &plugin.interruptions else { return };
    let guest = plugin.host.guest();
    if guest.pending().load(Ordering::SeqCst) == 0 {
        return;
    }
    for Notification { nib, isc } in guest.take_notifications() {
        // An address that lost its storage since AQIC checked it has nothing to be told.
        exchange.write_absolute(nib, &[Notification::INDICATOR]);
        interruptions.subclasses.fetch_or(0x80 >> (isc & 7), Ordering::SeqCst);
    }
    interruptions.announce(plugin);
}

/// Block callback, taken while this vCPU's flag is raised; `block` is the block's logical address.
pub(crate) extern "C" fn on_block(vcpu: c_uint, block: *mut c_void) {
    let Some(plugin) = plugin() else { return };
    // SAFETY: this is a callback of that vCPU; the borrow ends in `deliver_at_block`.
    let next = match unsafe { plugin.vcpus.current(vcpu as usize) } {
        Some((own, registers)) => {
            if vcpu == reset::FIRST {
                reset::notice(plugin, own, registers);
            }
            deliver_at_block(plugin, vcpu as usize, own, registers, block as u64)
        }
        None => None,
    };
    if let Some(next) = next {
        // SAFETY: registered with registers and PC writable; pswm was written; nothing here has a destructor.
        unsafe { ffi::resume_at(next) }
    }
}

fn deliver_at_block(plugin: &Plugin, index: usize, vcpu: &mut Vcpu, registers: &Registers, block: u64) -> Option<u64> {
    let interruptions = plugin.interruptions.as_ref()?;
    // Lowered first and looked at afterwards: whoever makes something pending in between raises it again.
    // SAFETY: this is that vCPU's callback, so it exists.
    unsafe { lower(interruptions.flag, index) }
    collect(plugin, &mut vcpu.exchange);
    if interruptions.subclasses.load(Ordering::SeqCst) == 0 {
        return None;
    }
    let psw_mask = vcpu.exchange.read_register(registers.psw_mask);
    let next = deliver(interruptions, vcpu, registers, psw_mask, block);
    if interruptions.subclasses.load(Ordering::SeqCst) != 0 {
        // SAFETY: as above.
        unsafe { interruptions.flag.set(index, 1) }
    }
    next
}

/// Takes one interruption if the PSW (the current one, or the one about to be loaded) and CR6 allow one, and returns
/// the address to go on at.
fn deliver(
    interruptions: &Interruptions,
    vcpu: &mut Vcpu,
    registers: &Registers,
    psw_mask: u64,
    psw_address: u64,
) -> Option<u64> {
    if psw_mask & PSW_IO == 0 {
        return None;
    }
    let exchange = &mut vcpu.exchange;
    let subclass = interruptions.take(exchange.read_register(registers.control[6]))?;
    let lowcore = exchange.read_register(registers.prefix);
    let identification = ADAPTER_INTERRUPTION | u32::from(subclass) << 27;
    let mut code = [0; 12];
    code[8..].copy_from_slice(&identification.to_be_bytes());
    let mut new_psw = [0; 16];
    // The prefix area always has storage behind it, so these accesses cannot fail.
    exchange.write_absolute(lowcore + IO_INTERRUPTION_CODE, &code);
    exchange.write_absolute(lowcore + IO_OLD_PSW, &psw_bytes(psw_mask, psw_address));
    exchange.read_absolute(lowcore + IO_NEW_PSW, &mut new_psw);
    let (new_mask, new_address) = psw_words(new_psw);
    exchange.write_register(registers.psw_mask, new_mask);
    Some(new_address)
}

fn psw_bytes(mask: u64, address: u64) -> [u8; 16] {
    (u128::from(mask) << 64 | u128::from(address)).to_be_bytes()
}

const fn psw_words(bytes: [u8; 16]) -> (u64, u64) {
    let whole = u128::from_be_bytes(bytes);
    ((whole >> 64) as u64, whole as u64)
}

/// A short PSW (LPSW) as the long one it stands for.
const fn long_psw(short: u64) -> (u64, u64) {
    ((short & !SHORT_PSW_BIT_12) & !SHORT_PSW_ADDRESS, short & SHORT_PSW_ADDRESS)
}

/// The instructions that load a PSW from storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PswLoad {
    base: u8,
    displacement: i32,
    short: bool,
}

impl PswLoad {
    /// LPSW `82`, LPSWE `B2B2`, LPSWEY `EB..71`; `None` for anything else.
    pub(crate) const fn decode(bytes: [u8; 6]) -> Option<Self> {
        let base = bytes[2] >> 4;
        let low = (bytes[2] as i32 & 0xf) << 8 | bytes[3] as i32;
        match bytes {
            [0x82, ..] => Some(Self { base, displacement: low, short: true }),
            [0xb2, 0xb2, ..] => Some(Self { base, displacement: low, short: false }),
            [0xeb, .., high, 0x71] => Some(Self { base, displacement: (high as i8 as i32) << 12 | low, short: false }),
            _ => None,
        }
    }
}

/// Execution callback of an instruction that may enter a wait; `site` is its [`Site`].
pub(crate) extern "C" fn on_psw_load(vcpu: c_uint, site: *mut c_void) {
    let Some(plugin) = plugin() else { return };
    // SAFETY: the table of sites keeps each site until the code cache, and with it this callback, is thrown away.
    let site = unsafe { &*site.cast::<Site<PswLoad>>() };
    // SAFETY: this is a callback of that vCPU; the borrow ends in `enter_wait`.
    let next = match unsafe { plugin.vcpus.current(vcpu as usize) } {
        Some((own, registers)) => enter_wait(plugin, vcpu as usize, own, registers, site),
        None => None,
    };
    if let Some(next) = next {
        // SAFETY: registered with registers and PC writable; pswm was written; nothing here has a destructor.
        unsafe { ffi::resume_at(next) }
    }
}

fn enter_wait(
    plugin: &Plugin,
    index: usize,
    vcpu: &mut Vcpu,
    registers: &Registers,
    site: &Site<PswLoad>,
) -> Option<u64> {
    let interruptions = plugin.interruptions.as_ref()?;
    let guest = plugin.host.guest();
    // SAFETY: this is that vCPU's callback, so it exists.
    unsafe { lower(interruptions.waits, index) }
    // Looked at before what is pending: a notification that is made in between is seen there.
    let expected = guest.machine().expects_notification();
    let nothing = interruptions.subclasses.load(Ordering::SeqCst) == 0 && guest.pending().load(Ordering::SeqCst) == 0;
    if nothing && !expected {
        return None;
    }
    // SAFETY: as above.
    unsafe { interruptions.waits.set(index, 1) }
    let psw_mask = vcpu.exchange.read_register(registers.psw_mask);
    if psw_mask & PSW_PROBLEM_STATE != 0 {
        return None;
    }
    let (mask, address) = operand(vcpu, registers, psw_mask, site.instruction)?;
    if mask & (PSW_IO | PSW_WAIT) != PSW_IO | PSW_WAIT {
        return None;
    }
    collect(plugin, &mut vcpu.exchange);
    if let Some(next) = deliver(interruptions, vcpu, registers, mask, address) {
        return Some(next);
    }
    if !expected {
        return None;
    }
    interruptions.wait(guest);
    // Executed again. The PSW written back may carry a stale condition code, but the next one comes from storage.
    vcpu.exchange.write_register(registers.psw_mask, psw_mask);
    Some(site.address)
}

/// The PSW that is about to be loaded; `None` if it cannot be fetched, which QEMU then says itself.
fn operand(vcpu: &mut Vcpu, registers: &Registers, psw_mask: u64, load: PswLoad) -> Option<(u64, u64)> {
    let base = match load.base {
        0 => 0,
        number => vcpu.exchange.read_register(registers.general[usize::from(number & 15)]),
    };
    let at = dat::wrap(psw_mask, base.wrapping_add_signed(i64::from(load.displacement)));
    let mut storage = GuestStorage::new(&mut vcpu.exchange, registers, psw_mask);
    if load.short {
        let mut short = [0; 8];
        storage.fetch(at, &mut short).ok()?;
        Some(long_psw(u64::from_be_bytes(short)))
    } else {
        let mut long = [0; 16];
        storage.fetch(at, &mut long).ok()?;
        Some(psw_words(long))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_ways_to_load_a_psw_decode() {
        let short = PswLoad { base: 1, displacement: 0x234, short: true };
        assert_eq!(PswLoad::decode([0x82, 0, 0x12, 0x34, 0, 0]), Some(short));
        assert_eq!(PswLoad::decode([0xb2, 0xb2, 0x12, 0x34, 0, 0]), Some(PswLoad { short: false, ..short }));
        let far = PswLoad { base: 15, displacement: -0x1000 + 0x0a0, short: false };
        assert_eq!(PswLoad::decode([0xeb, 0x00, 0xf0, 0xa0, 0xff, 0x71]), Some(far));
        assert_eq!(PswLoad::decode([0xb2, 0xb0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn a_short_psw_reads_as_the_long_one() {
        assert_eq!(long_psw(0x020a_0001_8001_2345), (0x0202_0001_8000_0000, 0x0001_2345));
    }
}
