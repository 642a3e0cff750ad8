// SPDX-License-Identifier: MIT OR Apache-2.0
//! AP instructions executed in ways that no driver uses: as the target of EXECUTE, with another access key, in another
//! address space. An emulation that works by looking at instructions as they come has its limits there.

use crate::ap::instructions::{Answer, Ap};
use crate::machine::trap::{ProgramInterruption, expect_exception};
use alloc::boxed::Box;
use ap_arch::{Apqn, FunctionCode, Gr0};
use s390x_asm::asm::{self, Under};

/// What stands in storage that nothing was stored into.
const UNTOUCHED: u64 = 0x6b61_7075_745f_6b61;
/// An entry of a translation table that leads nowhere.
const INVALID: u64 = 0x20;

/// One page, or one table.
#[repr(C, align(4096))]
struct Page([u64; 512]);

impl Page {
    fn new(doubleword: u64) -> Box<Self> {
        Box::new(Self([doubleword; 512]))
    }

    fn address(&self) -> u64 {
        (&raw const *self).expose_provenance() as u64
    }

    fn is_untouched(&self) -> bool {
        // SAFETY: it is in the page; the instruction stored there behind the compiler's back, hence the volatile read.
        unsafe { self.0.as_ptr().read_volatile() == UNTOUCHED }
    }
}

/// Where an operand was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Nowhere,
    InThePrimarySpace,
    InTheSecondarySpace,
}

impl Ap {
    /// TAPQ by way of another instruction.
    pub(crate) fn tapq_under(&self, under: Under, apqn: Apqn) -> Result<Answer, ProgramInterruption> {
        let gr0 = self.tapq_gr0(apqn).0;
        // SAFETY: TAPQ names no storage.
        expect_exception(|| unsafe { asm::pqap_under(under, gr0, asm::POISON_REGISTER, 0) }).map(Answer::from)
    }

    /// QCI with access key 1 into storage that has key 2 and is protected against fetching too: whether it stored.
    pub(crate) fn qci_with_wrong_key(&self) -> Result<bool, ProgramInterruption> {
        const KEY_2_FETCH_PROTECTED: u8 = 0x28;
        let page = Page::new(UNTOUCHED);
        // SAFETY: only the instruction accesses the page before its key is 0 again.
        let result = expect_exception(|| unsafe {
            asm::sske(KEY_2_FETCH_PROTECTED, page.address());
            asm::pqap_with_key_1(QCI, 0, page.address())
        });
        // SAFETY: this is the key that it had.
        unsafe { asm::sske(0, page.address()) };
        result.map(|_| !page.is_untouched())
    }

    /// QCI in secondary-space mode, with an address that means something else in either space.
    pub(crate) fn qci_in_secondary_space(&self) -> Result<Stored, ProgramInterruption> {
        let (primary, secondary) = (Page::new(UNTOUCHED), Page::new(UNTOUCHED));
        let (mut segments, mut pages) = (Page::new(INVALID), Page::new(INVALID << 5));
        let address = primary.address();
        pages.0[(address >> 12 & 0xff) as usize] = secondary.address();
        // The heap ends far below 512 MiB, which is as far as a table of one page goes.
        segments.0[(address >> 20 & 0x1ff) as usize] = pages.address();
        let asce = segments.address();
        // SAFETY: the operand is one of the two pages.
        expect_exception(|| unsafe { asm::pqap_in_secondary_space(asce, QCI, 0, address) })?;
        Ok(match (primary.is_untouched(), secondary.is_untouched()) {
            (true, false) => Stored::InTheSecondarySpace,
            (false, _) => Stored::InThePrimarySpace,
            (true, true) => Stored::Nowhere,
        })
    }
}

const QCI: u64 = Gr0::pqap(FunctionCode::QCI, Apqn::new(0, 0)).0;
