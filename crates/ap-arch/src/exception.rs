// SPDX-License-Identifier: MIT OR Apache-2.0
//! Program-interruption codes that an AP instruction can end with. AP reference 1.3.

use crate::open_value::open_value;

open_value! {
    /// Program-interruption code, as the CPU stores it at prefix + 0x8E.
    pub struct ProgramCode(u16) {
        /// The instruction is not installed, or not available to this configuration.
        OPERATION = 0x0001, "operation";
        /// Executed in the problem state.
        PRIVILEGED_OPERATION = 0x0002, "privileged operation";
        /// The target of EXECUTE is EXECUTE.
        EXECUTE = 0x0003, "execute";
        /// Low-address, page or key protection.
        PROTECTION = 0x0004, "protection";
        /// The address is outside of the configuration's storage.
        ADDRESSING = 0x0005, "addressing";
        /// An operand is not what the instruction allows.
        SPECIFICATION = 0x0006, "specification";
        /// DAT: the segment-table entry is invalid.
        SEGMENT_TRANSLATION = 0x0010, "segment translation";
        /// DAT: the page-table entry is invalid.
        PAGE_TRANSLATION = 0x0011, "page translation";
        /// DAT: a table entry has a wrong format.
        TRANSLATION_SPECIFICATION = 0x0012, "translation specification";
        /// DAT: the address-space-control element does not cover the address.
        ASCE_TYPE = 0x0038, "ASCE type";
        /// DAT: the region-first-table entry is invalid.
        REGION_FIRST_TRANSLATION = 0x0039, "region-first translation";
        /// DAT: the region-second-table entry is invalid.
        REGION_SECOND_TRANSLATION = 0x003a, "region-second translation";
        /// DAT: the region-third-table entry is invalid.
        REGION_THIRD_TRANSLATION = 0x003b, "region-third translation";
    }
}

impl ProgramCode {
    /// Whether the interruption nullifies its instruction: the old PSW then points at the instruction itself, not
    /// behind it. Principles of Operation, "Types of Instruction Ending" and "Program-Interruption Conditions".
    #[must_use]
    pub const fn is_nullifying(self) -> bool {
        matches!(
            self,
            Self::SEGMENT_TRANSLATION
                | Self::PAGE_TRANSLATION
                | Self::ASCE_TYPE
                | Self::REGION_FIRST_TRANSLATION
                | Self::REGION_SECOND_TRANSLATION
                | Self::REGION_THIRD_TRANSLATION
        )
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_missing_translation_nullifies_and_a_malformed_table_suppresses() {
        let codes = [0x10, 0x11, 0x38, 0x39, 0x3a, 0x3b];
        let nullifying: std::vec::Vec<u16> = (0..0x100).filter(|code| ProgramCode(*code).is_nullifying()).collect();
        assert_eq!(nullifying, codes);
    }

    #[test]
    fn a_code_prints_with_its_name() {
        assert_eq!(ProgramCode::SPECIFICATION.to_string(), "0006 (specification)");
        assert_eq!(ProgramCode(0x0119).to_string(), "0119 (unknown)");
    }
}
