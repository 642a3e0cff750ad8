// SPDX-License-Identifier: GPL-2.0-or-later
//! From a logical address to an absolute one: addressing mode, dynamic address translation, prefixing, low-address and
//! page protection (z/Architecture Principles of Operation, chapter 3).
//!
//! The AP instructions name their operands by logical addresses, and QEMU's plugin API translates without telling why a
//! translation failed, ignores protection and stores the first page before it fails on the second. So the table walk is
//! done here, and every page is looked at before anything is stored. Not modelled: storage keys and fetch protection
//! (every access is made as with key 0), access-register mode (see [`Space::of`]), and the PSW's instruction space.

use ap_arch::ProgramCode;
use ap_machine::ProgramException;
use s390x_asm::PswMask;

/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;
const PAGE_MASK: u64 = !(PAGE - 1);

const PSW_SPACE_SHIFT: u32 = 46;
const PSW_31_BIT: u64 = 0x8000_0000;

const CR0_LOW_ADDRESS_PROTECTION: u64 = 1 << 28;
const CR0_ENHANCED_DAT: u64 = 1 << 23;

const ASCE_PRIVATE: u64 = 0x100;
const ASCE_REAL: u64 = 0x20;
const TABLE_TYPE: u64 = 0xc;
const TABLE_LENGTH: u64 = 0x3;
const TABLE_OFFSET: u64 = 0xc0;
const TABLE_INVALID: u64 = 0x20;
const LARGE_FRAME: u64 = 0x400;
const PROTECTED: u64 = 0x200;
const PAGE_INVALID: u64 = 0x400;
const PAGE_TABLE_ORIGIN: u64 = !0x7ff;

/// What the CPU says about addresses, as far as translation depends on it.
pub(crate) trait CpuState {
    /// The PSW mask.
    fn psw_mask(&self) -> PswMask;
    /// A control register: 0 (controls), 1 (primary ASCE), 7 (secondary ASCE) or 13 (home ASCE).
    fn control(&mut self, number: usize) -> u64;
    /// The prefix.
    fn prefix(&mut self) -> u64;
    /// A doubleword of absolute storage, `None` beyond its end.
    fn doubleword(&mut self, absolute: u64) -> Option<u64>;
}

/// What the access wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read.
    Fetch,
    /// Write.
    Store,
}

impl Access {
    /// The access's part of the translation-exception identification, bits 52-53.
    const fn identification(self) -> u64 {
        match self {
            Self::Fetch => 0x800,
            Self::Store => 0x400,
        }
    }
}

/// The address space an operand stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// DAT is off: logical addresses are real.
    Real,
    /// The space whose ASCE is in this control register.
    Virtual(usize),
}

impl Space {
    /// From the PSW mask; `None` in access-register mode, in which AP instructions are left to QEMU, which gives an
    /// operation exception.
    pub(crate) const fn of(psw_mask: PswMask) -> Option<Self> {
        if !psw_mask.contains(PswMask::DAT) {
            return Some(Self::Real);
        }
        match psw_mask.bits() >> PSW_SPACE_SHIFT & 3 {
            0 => Some(Self::Virtual(1)),
            2 => Some(Self::Virtual(7)),
            3 => Some(Self::Virtual(13)),
            _ => None,
        }
    }
}

/// An address as the addressing mode sees it: 64, 31 or 24 bits.
pub(crate) const fn wrap(psw_mask: PswMask, address: u64) -> u64 {
    if psw_mask.contains(PswMask::MODE_64) {
        address
    } else if psw_mask.bits() & PSW_31_BIT != 0 {
        address & 0x7fff_ffff
    } else {
        address & 0x00ff_ffff
    }
}

/// A real address as an absolute one: the first two pages and the prefix area change places.
pub(crate) const fn prefixed(real: u64, prefix: u64) -> u64 {
    match real & !0x1fff {
        0 => prefix | real,
        area if area == prefix => real & 0x1fff,
        _ => real,
    }
}

/// The absolute address of one byte, checked for this access. `address` is already wrapped.
pub(crate) fn translate(cpu: &mut impl CpuState, address: u64, access: Access) -> Result<u64, ProgramException> {
    let psw_mask = cpu.psw_mask();
    let Some(space) = Space::of(psw_mask) else {
        return Err(ProgramException { code: ProgramCode::OPERATION, translation_address: 0 });
    };
    let identification = (address & PAGE_MASK) | access.identification() | (psw_mask.bits() >> PSW_SPACE_SHIFT & 3);
    let fault = |code| ProgramException { code, translation_address: identification };

    let asce = match space {
        Space::Real => None,
        Space::Virtual(register) => Some(cpu.control(register)),
    };
    let private = asce.is_some_and(|asce| asce & ASCE_PRIVATE != 0);
    let low = matches!(address & !0x11ff, 0) && address & 0xfff < 512;
    if access == Access::Store && low && !private && cpu.control(0) & CR0_LOW_ADDRESS_PROTECTION != 0 {
        let code = ProgramCode::PROTECTION;
        return Err(ProgramException { code, translation_address: identification | 0x84 });
    }
    let Some(asce) = asce.filter(|asce| asce & ASCE_REAL == 0) else {
        return Ok(prefixed(address, cpu.prefix()));
    };
    let enhanced = cpu.control(0) & CR0_ENHANCED_DAT != 0;
    let page = walk(cpu, asce, address, enhanced).map_err(fault)?;
    if access == Access::Store && page.protected {
        let code = ProgramCode::PROTECTION;
        return Err(ProgramException { code, translation_address: identification | 4 });
    }
    Ok(prefixed(page.real, cpu.prefix()))
}

struct Page {
    real: u64,
    protected: bool,
}

/// One level of tables: where its index stands in an address, and what a missing entry is called.
struct Level {
    table_type: u64,
    index_shift: u32,
    missing: ProgramCode,
}

const LEVELS: [Level; 4] = [
    Level { table_type: 0xc, index_shift: 53, missing: ProgramCode::REGION_FIRST_TRANSLATION },
    Level { table_type: 0x8, index_shift: 42, missing: ProgramCode::REGION_SECOND_TRANSLATION },
    Level { table_type: 0x4, index_shift: 31, missing: ProgramCode::REGION_THIRD_TRANSLATION },
    Level { table_type: 0x0, index_shift: 20, missing: ProgramCode::SEGMENT_TRANSLATION },
];

fn walk(cpu: &mut impl CpuState, asce: u64, address: u64, enhanced: bool) -> Result<Page, ProgramCode> {
    let first = LEVELS.iter().position(|level| level.table_type == asce & TABLE_TYPE).unwrap_or(3);
    let reach = LEVELS[first].index_shift + 11;
    if reach < 64 && address >> reach != 0 {
        return Err(ProgramCode::ASCE_TYPE);
    }
    let mut designation = asce & !TABLE_OFFSET;
    let mut protected = false;
    for level in &LEVELS[first..] {
        let index = address >> level.index_shift & 0x7ff;
        let quarter = index >> 9;
        if quarter > designation & TABLE_LENGTH || quarter < (designation & TABLE_OFFSET) >> 6 {
            return Err(level.missing);
        }
        let entry = cpu.doubleword((designation & PAGE_MASK) + index * 8).ok_or(ProgramCode::ADDRESSING)?;
        if entry & TABLE_INVALID != 0 {
            return Err(level.missing);
        }
        if entry & TABLE_TYPE != level.table_type {
            return Err(ProgramCode::TRANSLATION_SPECIFICATION);
        }
        protected |= entry & PROTECTED != 0 && (enhanced || level.table_type == 0);
        let is_frame = enhanced && entry & LARGE_FRAME != 0 && level.table_type <= 0x4;
        if is_frame {
            let inside = (1 << level.index_shift) - 1;
            return Ok(Page { real: (entry & !inside) | (address & inside), protected });
        }
        designation = entry;
    }
    let entry_at = (designation & PAGE_TABLE_ORIGIN) + (address >> 12 & 0xff) * 8;
    let entry = cpu.doubleword(entry_at).ok_or(ProgramCode::ADDRESSING)?;
    if entry & PAGE_INVALID != 0 {
        return Err(ProgramCode::PAGE_TRANSLATION);
    }
    protected |= entry & PROTECTED != 0;
    Ok(Page { real: (entry & PAGE_MASK) | (address & !PAGE_MASK), protected })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const DAT_PRIMARY_64: PswMask = PswMask::DAT.union(PswMask::MODE_64);

    struct Cpu {
        psw_mask: PswMask,
        control: HashMap<usize, u64>,
        prefix: u64,
        storage: HashMap<u64, u64>,
    }

    impl CpuState for Cpu {
        fn psw_mask(&self) -> PswMask {
            self.psw_mask
        }
        fn control(&mut self, number: usize) -> u64 {
            self.control.get(&number).copied().unwrap_or(0)
        }
        fn prefix(&mut self) -> u64 {
            self.prefix
        }
        fn doubleword(&mut self, absolute: u64) -> Option<u64> {
            (absolute < 0x100_0000).then(|| self.storage.get(&absolute).copied().unwrap_or(0x400 | 0x20))
        }
    }

    impl Cpu {
        fn new() -> Self {
            Self { psw_mask: PswMask::empty(), control: HashMap::new(), prefix: 0, storage: HashMap::new() }
        }

        fn code(&mut self, address: u64, access: Access) -> ProgramCode {
            translate(self, address, access).expect_err("it translated").code
        }
    }

    /// A segment table at 0x10000 for the first 2 GiB, with one page table at 0x20000 for the first MiB.
    fn paged() -> Cpu {
        let mut cpu = Cpu { psw_mask: DAT_PRIMARY_64, prefix: 0x8_0000, ..Cpu::new() };
        cpu.control.insert(1, 0x1_0000 | TABLE_LENGTH);
        cpu.storage.insert(0x1_0000, 0x2_0000);
        cpu.storage.insert(0x2_0000 + 5 * 8, 0x77_7000);
        cpu.storage.insert(0x2_0000 + 6 * 8, 0x66_6000 | PROTECTED);
        cpu
    }

    #[test]
    fn a_mapped_page_translates_for_fetch_and_store() {
        let mut cpu = paged();
        assert_eq!(translate(&mut cpu, 0x5123, Access::Fetch), Ok(0x77_7123));
        assert_eq!(translate(&mut cpu, 0x5fff, Access::Store), Ok(0x77_7fff));
    }

    #[test]
    fn a_protected_page_can_be_fetched_but_not_stored_into() {
        let mut cpu = paged();
        assert_eq!(translate(&mut cpu, 0x6000, Access::Fetch), Ok(0x66_6000));
        let fault = translate(&mut cpu, 0x6008, Access::Store).expect_err("stored");
        assert_eq!(fault, ProgramException { code: ProgramCode::PROTECTION, translation_address: 0x6404 });
    }

    #[test]
    fn what_is_missing_is_named_by_its_level() {
        let mut cpu = paged();
        assert_eq!(cpu.code(0x7000, Access::Fetch), ProgramCode::PAGE_TRANSLATION);
        assert_eq!(cpu.code(0x10_0000, Access::Fetch), ProgramCode::SEGMENT_TRANSLATION);
        assert_eq!(cpu.code(0x8000_0000, Access::Fetch), ProgramCode::ASCE_TYPE);
        cpu.control.insert(1, 0x1_0000);
        assert_eq!(cpu.code(0x2000_0000, Access::Fetch), ProgramCode::SEGMENT_TRANSLATION);
        cpu.storage.insert(0x1_0000, 0x200_0000);
        assert_eq!(cpu.code(0x5000, Access::Fetch), ProgramCode::ADDRESSING);
    }

    #[test]
    fn an_entry_of_the_wrong_table_type_is_a_translation_specification() {
        let mut cpu = paged();
        cpu.storage.insert(0x1_0000, 0x2_0000 | 0x4);
        assert_eq!(cpu.code(0x5000, Access::Fetch), ProgramCode::TRANSLATION_SPECIFICATION);
    }

    #[test]
    fn five_levels_are_walked_from_a_region_first_table() {
        let mut cpu = Cpu { psw_mask: DAT_PRIMARY_64, ..Cpu::new() };
        cpu.control.insert(1, 0x1_0000 | 0xc | TABLE_LENGTH);
        let address = (1 << 53) | (2 << 42) | (3 << 31) | (4 << 20) | (5 << 12) | 0x678;
        cpu.storage.insert(0x1_0000 + 8, 0x1_4000 | 0xc | TABLE_LENGTH);
        cpu.storage.insert(0x1_4000 + 16, 0x1_8000 | 0x8 | TABLE_LENGTH);
        cpu.storage.insert(0x1_8000 + 24, 0x1_c000 | 0x4 | TABLE_LENGTH);
        cpu.storage.insert(0x1_c000 + 32, 0x2_0000);
        cpu.storage.insert(0x2_0000 + 40, 0x55_5000);
        assert_eq!(translate(&mut cpu, address, Access::Store), Ok(0x55_5678));
    }

    #[test]
    fn a_large_frame_counts_only_with_enhanced_dat() {
        let mut cpu = paged();
        cpu.storage.insert(0x1_0008, 0x30_0000 | LARGE_FRAME);
        assert_ne!(translate(&mut cpu, 0x10_1234, Access::Fetch), Ok(0x30_1234));
        cpu.control.insert(0, CR0_ENHANCED_DAT);
        assert_eq!(translate(&mut cpu, 0x10_1234, Access::Fetch), Ok(0x30_1234));
    }

    #[test]
    fn real_addresses_are_prefixed_both_ways() {
        let mut cpu = Cpu { psw_mask: PswMask::MODE_64, prefix: 0x8_0000, ..Cpu::new() };
        assert_eq!(translate(&mut cpu, 0x1fff, Access::Fetch), Ok(0x8_1fff));
        assert_eq!(translate(&mut cpu, 0x8_0010, Access::Fetch), Ok(0x10));
        assert_eq!(translate(&mut cpu, 0x2000, Access::Fetch), Ok(0x2000));
    }

    #[test]
    fn low_address_protection_covers_two_half_kilobytes_for_stores() {
        let mut cpu = Cpu { psw_mask: PswMask::MODE_64, ..Cpu::new() };
        cpu.control.insert(0, CR0_LOW_ADDRESS_PROTECTION);
        for protected in [0, 511, 4096, 4607] {
            assert_eq!(cpu.code(protected, Access::Store), ProgramCode::PROTECTION, "{protected}");
            assert!(translate(&mut cpu, protected, Access::Fetch).is_ok());
        }
        for free in [512, 4095, 4608, 8192] {
            assert!(translate(&mut cpu, free, Access::Store).is_ok(), "{free}");
        }
    }

    #[test]
    fn a_private_space_has_no_low_address_protection() {
        let mut cpu = paged();
        cpu.storage.insert(0x2_0000, 0x44_4000);
        cpu.control.insert(0, CR0_LOW_ADDRESS_PROTECTION);
        assert_eq!(cpu.code(0x10, Access::Store), ProgramCode::PROTECTION);
        cpu.control.insert(1, 0x1_0000 | TABLE_LENGTH | ASCE_PRIVATE);
        assert_eq!(translate(&mut cpu, 0x10, Access::Store), Ok(0x44_4010));
    }

    #[test]
    fn the_home_space_is_that_of_control_register_13() {
        let mut cpu = paged();
        let asce = cpu.control(1);
        cpu.control = HashMap::from([(13, asce)]);
        cpu.psw_mask |= PswMask::from_bits_retain(3 << PSW_SPACE_SHIFT);
        assert_eq!(translate(&mut cpu, 0x5000, Access::Fetch), Ok(0x77_7000));
    }

    #[test]
    fn access_register_mode_is_left_alone() {
        let mut cpu = paged();
        cpu.psw_mask |= PswMask::from_bits_retain(1 << PSW_SPACE_SHIFT);
        assert_eq!(cpu.code(0x5000, Access::Fetch), ProgramCode::OPERATION);
    }

    #[test]
    fn addresses_wrap_as_the_addressing_mode_says() {
        assert_eq!(wrap(PswMask::MODE_64, u64::MAX), u64::MAX);
        assert_eq!(wrap(PswMask::from_bits_retain(PSW_31_BIT), 0x1_8000_0010), 0x10);
        assert_eq!(wrap(PswMask::empty(), 0x0123_4567), 0x23_4567);
    }
}
