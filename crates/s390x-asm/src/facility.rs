// SPDX-License-Identifier: MIT OR Apache-2.0
//! The facility list that STORE FACILITY LIST EXTENDED stores. Principles of Operation, "Facility Indications".

/// Facility bits 0 to 255, bit 0 leftmost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FacilityList(pub [u64; 4]);

impl FacilityList {
    /// Whether the facility is installed; bits beyond the list are not.
    #[must_use]
    pub const fn has(&self, bit: u32) -> bool {
        let word = (bit / 64) as usize;
        word < self.0.len() && self.0[word] >> (63 - bit % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bit_0_is_leftmost_and_what_is_not_stored_is_not_installed() {
        let list = FacilityList([1 << 63 | 1 << (63 - 12), 1 << (63 - 1), 0, 0]);
        assert!(list.has(0) && list.has(12) && list.has(65));
        assert!(!list.has(15) && !list.has(255) && !list.has(256));
    }
}
