// SPDX-License-Identifier: GPL-2.0-or-later
//! The adapter interruptions that are pending for the guest, and the flags by which its vCPUs learn of them.
//!
//! Generated code looks at the flags and calls back only while one is raised, so a guest without interruptions pays
//! almost nothing for them.

use std::sync::atomic::{AtomicU8, Ordering, fence};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use ap_machine::Configuration;

use super::flag::{self, Flag};
use crate::cpu::vcpu::{Cpu, Vcpus};
use crate::ffi::VcpuFlag;

/// See the module's text.
pub(crate) struct Interruptions {
    /// One bit a subclass, subclass 0 leftmost: several events of one subclass coalesce.
    subclasses: AtomicU8,
    /// Raised while something may be pending.
    pub(crate) flag: VcpuFlag,
    /// Raised while a wait may have something to wait for, be it pending or still in an engine.
    pub(crate) waits: VcpuFlag,
    /// Signalled when the machine has a notification for the guest.
    ready: Condvar,
    gate: Mutex<()>,
}

/// The flag of one vCPU, which exists.
struct OfVcpu(VcpuFlag, usize);

impl Flag for OfVcpu {
    fn set(&self, raised: bool) {
        // SAFETY: made below only, of vCPUs whose init callback has run.
        unsafe { self.0.set(self.1, raised.into()) }
    }
}

fn full_fence() {
    fence(Ordering::SeqCst);
}

fn raise_for_all(flag: VcpuFlag, vcpus: &Vcpus) {
    flag::raise(vcpus.initialised().map(|vcpu| OfVcpu(flag, vcpu)), full_fence);
}

impl Interruptions {
    pub(crate) fn new() -> Self {
        let (flag, waits) = (VcpuFlag::new(), VcpuFlag::new());
        Self { subclasses: AtomicU8::new(0), flag, waits, ready: Condvar::new(), gate: Mutex::new(()) }
    }

    /// Makes every vCPU look for interruptions at its next block. Callable from any thread.
    pub(crate) fn announce(&self, vcpus: &Vcpus) {
        raise_for_all(self.flag, vcpus);
        self.expect(vcpus);
        drop(self.gate.lock());
        self.ready.notify_all();
    }

    /// Makes every vCPU look, before it waits, whether there is something to wait for. Callable from any thread.
    pub(crate) fn expect(&self, vcpus: &Vcpus) {
        raise_for_all(self.waits, vcpus);
    }

    /// Makes this vCPU look before its next block.
    pub(crate) fn look_again(&self, cpu: &Cpu<'_>) {
        flag::raise([OfVcpu(self.flag, cpu.index)], full_fence);
    }

    /// Makes this vCPU look before its next wait.
    pub(crate) fn look_again_before_waiting(&self, cpu: &Cpu<'_>) {
        flag::raise([OfVcpu(self.waits, cpu.index)], full_fence);
    }

    /// This vCPU is about to look at what is pending.
    pub(crate) fn looks(&self, cpu: &Cpu<'_>) {
        flag::lower(&OfVcpu(self.flag, cpu.index), full_fence);
    }

    /// This vCPU is about to look whether there is something to wait for.
    pub(crate) fn looks_before_waiting(&self, cpu: &Cpu<'_>) {
        flag::lower(&OfVcpu(self.waits, cpu.index), full_fence);
    }

    /// Waits for the machine's next notification, this long at most.
    pub(crate) fn wait(&self, guest: &Configuration, at_most: Duration) {
        let quiet = |_: &mut ()| guest.pending().load(Ordering::SeqCst) == 0;
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.ready.wait_timeout_while(gate, at_most, quiet));
    }

    /// Makes an interruption of this subclass pending; [`Self::announce`] follows.
    pub(crate) fn make_pending(&self, subclass: u8) {
        self.subclasses.fetch_or(0x80 >> (subclass & 7), Ordering::SeqCst);
    }

    /// Whether an interruption is pending, of whatever subclass.
    pub(crate) fn is_pending(&self) -> bool {
        self.subclasses.load(Ordering::SeqCst) != 0
    }

    /// Forgets what is pending: the guest was reset.
    pub(crate) fn clear(&self) {
        self.subclasses.store(0, Ordering::SeqCst);
    }

    /// The lowest pending subclass that control register 6 allows, taken.
    pub(crate) fn take(&self, cr6: u64) -> Option<u8> {
        let enabled = (cr6 >> 24) as u8;
        let claim = |pending: u8| {
            let first = (pending & enabled).leading_zeros();
            (first < 8).then(|| pending & !(0x80 >> first))
        };
        let before = self.subclasses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, claim).ok()?;
        Some((before & enabled).leading_zeros() as u8)
    }
}
