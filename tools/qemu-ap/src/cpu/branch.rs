// SPDX-License-Identifier: GPL-2.0-or-later
//! Relative branches by their direction (Principles of Operation, "Branch Instructions"): a guest that stays anywhere
//! goes back now and then, or to where a register points.

/// Whether the instruction goes on behind itself, taken or not. `false` also for whatever is not known to.
pub(crate) const fn is_forward(bytes: [u8; 6]) -> bool {
    let short = i16::from_be_bytes([bytes[2], bytes[3]]);
    let long = i32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]);
    match (bytes[0], bytes[1] & 0xf, bytes[5]) {
        // BRC, BRAS, BRCT, BRCTG.
        (0xa7, 4..=7, _) => short > 0,
        // BRCL, BRASL.
        (0xc0, 4..=5, _) => long > 0,
        // Compare and branch relative: CGRJ, CLGRJ, CRJ, CLRJ, CGIJ, CLGIJ, CIJ, CLIJ.
        (0xec, _, 0x64 | 0x65 | 0x76 | 0x77 | 0x7c..=0x7f) => short > 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_lead_where_their_offsets_do() {
        for (forward, bytes) in [
            (true, [0xa7, 0x84, 0x00, 0x04, 0, 0]),
            (false, [0xa7, 0x84, 0xff, 0xfc, 0, 0]),
            (false, [0xa7, 0xf4, 0x00, 0x00, 0, 0]),
            (true, [0xc0, 0xe5, 0x00, 0x00, 0x12, 0x34]),
            (false, [0xc0, 0xf4, 0xff, 0xff, 0xff, 0x00]),
            (true, [0xec, 0x12, 0x00, 0x08, 0x80, 0x64]),
            (false, [0xec, 0x12, 0xff, 0xf8, 0x80, 0x7e]),
            (true, [0xec, 0x18, 0x00, 0x08, 0x05, 0x7f]),
        ] {
            assert_eq!(is_forward(bytes), forward, "{bytes:02x?}");
        }
    }

    #[test]
    fn what_goes_where_a_register_points_or_does_not_branch_is_not_known_to_go_forward() {
        // BR 14, LARL (another C0), AHI (another A7), BRXHG, SVC, LPSWE.
        for bytes in [
            [0x07, 0xfe, 0, 0, 0, 0],
            [0xc0, 0x10, 0, 0, 0, 8],
            [0xa7, 0x1a, 0, 8, 0, 0],
            [0xec, 0x13, 0, 8, 0, 0x44],
            [0x0a, 0x01, 0, 0, 0, 0],
            [0xb2, 0xb2, 0, 8, 0, 0],
        ] {
            assert!(!is_forward(bytes), "{bytes:02x?}");
        }
    }
}
