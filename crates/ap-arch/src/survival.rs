// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a guest may see change on a queue when it is migrated, and what not: vfio-ap migration spec 5.4 and 10, from
//! the guest's side. The host's own validation is written elsewhere, so that an error in one does not hide in the
//! other.

use crate::{BindState, HwInfo};
use core::fmt;

/// A queue survived; what its hardware is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// The same AP type as before.
    SameType,
    /// A newer AP type.
    NewerType,
}

/// A queue that is there but is not what it was. Each holds the hardware information of before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Facilities or mode, bits 0-7, changed.
    Facilities(HwInfo, HwInfo),
    /// The AP type is older than it was.
    OlderType(HwInfo, HwInfo),
    /// Full native card function is gone.
    NativeFunctionGone(HwInfo, HwInfo),
    /// The bind and associate state is not 0 on both sides.
    BindState(HwInfo, HwInfo),
}

/// Compares what TAPQ reported of one queue before and after a migration.
///
/// # Errors
/// The first of the four rules that is broken, in the order of [`Damage`].
pub fn compare(before: HwInfo, after: HwInfo) -> Result<Survival, Damage> {
    const FACILITIES_AND_MODE: u64 = 0xff00_0000_0000_0000;
    let usable = |info: HwInfo| info.bind_state() == BindState::USABLE;
    if (before.0 ^ after.0) & FACILITIES_AND_MODE != 0 {
        Err(Damage::Facilities(before, after))
    } else if after.ap_type() < before.ap_type() {
        Err(Damage::OlderType(before, after))
    } else if before.has(HwInfo::NATIVE) && !after.has(HwInfo::NATIVE) {
        Err(Damage::NativeFunctionGone(before, after))
    } else if !(usable(before) && usable(after)) {
        Err(Damage::BindState(before, after))
    } else if after.ap_type() > before.ap_type() {
        Ok(Survival::NewerType)
    } else {
        Ok(Survival::SameType)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, before, after) = match self {
            Self::Facilities(before, after) => ("facilities or mode changed", before, after),
            Self::OlderType(before, after) => ("the AP type is older", before, after),
            Self::NativeFunctionGone(before, after) => ("full native card function is gone", before, after),
            Self::BindState(before, after) => ("the bind state is not 0", before, after),
        };
        write!(f, "{what}: {before} became {after}")
    }
}

impl core::error::Error for Damage {}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    /// The vectors of vfio-ap migration spec 5.4, in its order.
    #[test]
    fn the_vectors_of_the_specification_are_judged_as_it_says() {
        for (number, before, after, survives) in [
            (1, 0xf380_0000_0e00_0000, 0xf380_0000_0e00_0000, true),
            (2, 0xf380_0000_0d00_0000, 0xf380_0000_0e00_0000, true),
            (3, 0xf380_0000_0e00_0000, 0xf380_0000_0d00_0000, false),
            (4, 0xf340_0000_0e00_0000, 0xf380_0000_0e00_0000, true),
            (5, 0xf380_0000_0e00_0000, 0xf340_0000_0e00_0000, false),
            (6, 0xf380_4000_0e00_0000, 0xf380_4000_0e00_0000, false),
            (7, 0xf380_4000_0e00_0000, 0xf380_0000_0e00_0000, false),
            (8, 0xf380_0000_0e00_0000, 0xf280_0000_0e00_0000, false),
            (9, 0xf380_0000_0e10_0003, 0xf380_0000_0e55_0607, true),
            (10, 0xf380_0001_0d00_0000, 0xf380_0000_0e00_0000, true),
            (11, 0xeb80_0000_0e00_0000, 0xf380_0000_0e00_0000, false),
        ] {
            assert_eq!(compare(HwInfo(before), HwInfo(after)).is_ok(), survives, "vector {number}");
        }
    }

    #[test]
    fn a_newer_card_is_told_from_the_same() {
        let (cex7, cex8) = (HwInfo(0x6a80_0000_0d00_0007), HwInfo(0x6a80_0000_0e00_0007));
        assert_eq!(compare(cex7, cex8), Ok(Survival::NewerType));
        assert_eq!(compare(cex8, cex8), Ok(Survival::SameType));
        let damage = compare(cex8, cex7).unwrap_err().to_string();
        assert_eq!(damage, "the AP type is older: CEX8A 6a8000000e000007 became CEX7A 6a8000000d000007");
    }
}
