// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program-status word: what the CPU does next and under which rules. Principles of Operation, "Control".

bitflags::bitflags! {
    /// Bits 0-63 of the PSW. Bits without a name are kept as they are.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PswMask: u64 {
        /// Bit 5: dynamic address translation.
        const DAT = 1 << 58;
        /// Bit 6: I/O interruptions are taken.
        const IO = 1 << 57;
        /// Bit 7: external interruptions are taken.
        const EXTERNAL = 1 << 56;
        /// Bit 13: machine-check interruptions are taken.
        const MACHINE_CHECK = 1 << 50;
        /// Bit 14: the CPU waits for an interruption.
        const WAIT = 1 << 49;
        /// Bit 15: problem state.
        const PROBLEM = 1 << 48;
        /// Bits 18 and 19: the condition code.
        const CONDITION_CODE = 3 << 44;
        /// Bits 31 and 32: 64-bit addressing.
        const MODE_64 = 1 << 32 | 1 << 31;
        /// All other bits.
        const _ = !0;
    }
}

impl PswMask {
    /// The condition code, bits 18 and 19.
    #[must_use]
    pub const fn condition_code(self) -> u8 {
        (self.bits() >> 44) as u8 & 3
    }
}

/// A 16-byte PSW, as it stands in storage.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Psw {
    /// Bits 0-63.
    pub mask: PswMask,
    /// The address of the next instruction.
    pub address: u64,
}

impl Psw {
    /// 64-bit supervisor state with every interruption masked off, from `address` on.
    #[must_use]
    pub const fn supervisor(address: u64) -> Self {
        Self { mask: PswMask::MODE_64, address }
    }

    /// A wait that no interruption ends; `code` is shown to the operator as the address.
    #[must_use]
    pub const fn disabled_wait(code: u64) -> Self {
        Self { mask: PswMask::MODE_64.union(PswMask::WAIT), address: code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_are_counted_from_the_left() {
        assert_eq!(Psw::supervisor(0x11000).mask.bits(), 0x0000_0001_8000_0000);
        assert_eq!(Psw::disabled_wait(0).mask.bits(), 0x0002_0001_8000_0000);
        assert_eq!(PswMask::PROBLEM.bits(), 0x0001_0000_0000_0000);
        assert_eq!(PswMask::from_bits_retain(0x0000_3001_8000_0000).condition_code(), 3);
        assert_eq!(size_of::<Psw>(), 16);
    }
}
