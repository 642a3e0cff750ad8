// SPDX-License-Identifier: GPL-2.0-or-later
//! A wait that the plugin holds off: the instruction that loads the waiting PSW is executed again and again, under a
//! PSW that is enabled for the same interruptions as the wait, so that timers, signals of other CPUs and devices get
//! through meanwhile. Whoever is interrupted must not see that: its old PSW is the waiting one.

use s390x_asm::{Psw, PswMask};

/// See the module's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldWait {
    /// The mask that the instruction was reached with.
    pub(crate) original: PswMask,
    /// The PSW under which it is executed again.
    pub(crate) executing: Psw,
    /// The PSW that it loads.
    pub(crate) waiting: Psw,
}

impl HeldWait {
    /// A wait with PSW `waiting`, which an instruction at `address` loads.
    pub(crate) fn new(original: PswMask, address: u64, waiting: Psw) -> Self {
        let interruptions = PswMask::IO | PswMask::EXTERNAL | PswMask::MACHINE_CHECK;
        let mask = original | (waiting.mask & interruptions);
        Self { original, executing: Psw { mask, address }, waiting }
    }

    /// What the guest is to see of a PSW: the waiting one instead of the one that holds the wait off. The condition
    /// code of the latter says nothing, because QEMU's copy is stale inside a block.
    pub(crate) fn shown(&self, psw: Psw) -> Option<Psw> {
        let without_cc = |mask: PswMask| mask.bits() & !PswMask::CONDITION_CODE.bits();
        let same = psw.address == self.executing.address && without_cc(psw.mask) == without_cc(self.executing.mask);
        same.then_some(self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_finds_the_waiting_psw_and_another_program_its_own() {
        let original = PswMask::MODE_64 | PswMask::DAT;
        let enabled = PswMask::IO | PswMask::EXTERNAL;
        let waiting = Psw { mask: original | enabled | PswMask::WAIT, address: 0x2000 };
        let held = HeldWait::new(original, 0x1000, waiting);
        assert_eq!(held.executing, Psw { mask: original | enabled, address: 0x1000 });
        let with_cc = Psw { mask: held.executing.mask | PswMask::CONDITION_CODE, address: 0x1000 };
        assert_eq!((held.shown(held.executing), held.shown(with_cc)), (Some(waiting), Some(waiting)));
        assert_eq!(held.shown(Psw { mask: original, address: 0x1000 }), None);
        assert_eq!(held.shown(Psw { mask: held.executing.mask, address: 0x1004 }), None);
    }
}
