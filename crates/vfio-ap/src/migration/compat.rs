// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether a queue of the source may be continued on a queue of the destination. vfio-ap migration spec 5.4.

use ap_arch::{BindState, HwInfo};

use crate::defect::{Defect, Defects};

/// Bits 0 to 7: facilities and mode.
const FACILITIES: u64 = 0xff00_0000_0000_0000;

/// What the posted driver compares for its short cut: bits 0 to 17 and the AP type.
const POSTED_SHORT_CUT: u64 = 0xffff_c000_ff00_0000;

/// Whether all four rules hold.
pub(crate) fn is_compatible(source: HwInfo, target: HwInfo, defects: &Defects) -> bool {
    let differing = source.0 ^ target.0;
    if differing & POSTED_SHORT_CUT == 0 && defects.on(Defect::BindStateCheckBypassed) {
        return true;
    }
    let compared =
        if defects.on(Defect::FacilityWordEqualityDefeatsClassRule) { HwInfo::FACILITY_WORD } else { FACILITIES };
    let usable = |info: HwInfo| info.bind_state() == BindState::USABLE;
    differing & compared == 0
        && source.ap_type() <= target.ap_type()
        && (!source.has(HwInfo::NATIVE) || target.has(HwInfo::NATIVE))
        && usable(source)
        && usable(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of vfio-ap migration spec 5.4: source, destination, what the posted driver says, what is right.
    const VECTORS: [(u64, u64, bool, bool); 11] = [
        (0xf380_0000_0e00_0000, 0xf380_0000_0e00_0000, true, true),
        (0xf380_0000_0d00_0000, 0xf380_0000_0e00_0000, true, true),
        (0xf380_0000_0e00_0000, 0xf380_0000_0d00_0000, false, false),
        (0xf340_0000_0e00_0000, 0xf380_0000_0e00_0000, false, true),
        (0xf380_0000_0e00_0000, 0xf340_0000_0e00_0000, false, false),
        (0xf380_4000_0e00_0000, 0xf380_4000_0e00_0000, true, false),
        (0xf380_4000_0e00_0000, 0xf380_0000_0e00_0000, false, false),
        (0xf380_0000_0e00_0000, 0xf280_0000_0e00_0000, false, false),
        (0xf380_0000_0e10_0003, 0xf380_0000_0e55_0607, true, true),
        (0xf380_0001_0d00_0000, 0xf380_0000_0e00_0000, false, true),
        (0xeb80_0000_0e00_0000, 0xf380_0000_0e00_0000, false, false),
    ];

    #[test]
    fn every_vector_is_judged_as_the_specification_says() {
        let defects = Defects::default();
        for (number, (source, target, _, right)) in (1..).zip(VECTORS) {
            assert_eq!(is_compatible(HwInfo(source), HwInfo(target), &defects), right, "vector {number}");
        }
    }

    #[test]
    fn with_both_defects_every_vector_is_judged_as_the_posted_driver_did() {
        let defects = Defects::default();
        defects.set(Defect::BindStateCheckBypassed, true);
        defects.set(Defect::FacilityWordEqualityDefeatsClassRule, true);
        for (number, (source, target, posted, _)) in (1..).zip(VECTORS) {
            assert_eq!(is_compatible(HwInfo(source), HwInfo(target), &defects), posted, "vector {number}");
        }
    }
}
