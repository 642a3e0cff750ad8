// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a CCA coprocessor says of itself: FQ with STATICSA (serial number, states and verification patterns of the
//! asymmetric and AES master keys) and STATICSB (the same for APKA). AP reference 7.9.
//!
//! Every domain has its current master keys set and no old or new ones. The patterns depend on the domain alone, so that
//! two machines agree on them as two hosts do whose keys were loaded alike. They are readable: `KAPUTASYM-CUR-33`.

use ap_arch::Apqi;

/// States of a master key, as characters.
const CURRENT_VALID: u8 = b'2';
const OLD_INVALID: u8 = b'1';
const NEW_EMPTY: u8 = b'1';

/// Rule elements of eight bytes and variable data, as the reply's two blocks with their lengths; `None` for another
/// rule.
pub(super) fn query(rule: Option<[u8; 8]>, serial: &str, domain: Apqi) -> Option<Vec<u8>> {
    let mut rules = [[b' '; 8]; 13];
    let mut data = [0; 240];
    for (element, byte) in rules[0].iter_mut().zip(serial.bytes()) {
        *element = byte;
    }
    let mut master_key = |elements: [usize; 3], current_at: usize, pattern: &[u8]| {
        for (element, state) in elements.into_iter().zip([NEW_EMPTY, CURRENT_VALID, OLD_INVALID]) {
            rules[element][0] = state;
        }
        data[current_at..current_at + pattern.len()].copy_from_slice(pattern);
    };
    let (rule_count, data_len) = match &rule? {
        b"STATICSA" => {
            master_key([4, 5, 6], 84, format!("KAPUTASYM-CUR-{}", Hex(domain)).as_bytes());
            master_key([7, 8, 9], 184, format!("KAPAES{}", Hex(domain)).as_bytes());
            (10, 204)
        }
        b"STATICSB" => {
            master_key([10, 11, 12], 220, format!("KAPKA-{}", Hex(domain)).as_bytes());
            (13, 240)
        }
        _ => return None,
    };
    let rules = rules[..rule_count].concat();
    let length = |content: usize| ((content + 2) as u16).to_be_bytes();
    Some([&length(rules.len())[..], &rules, &length(data_len), &data[..data_len]].concat())
}

/// A domain in two hex digits.
struct Hex(Apqi);

impl std::fmt::Display for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x}", self.0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_patterns_stand_where_the_reference_says() {
        let reply = query(Some(*b"STATICSA"), "KAPUT006", Apqi(0x33)).unwrap();
        let (rules, data) = (&reply[2..82], &reply[84..]);
        assert_eq!((&reply[..2], &reply[82..84], data.len()), (&[0, 82][..], &[0, 206][..], 204));
        assert_eq!(&rules[..8], b"KAPUT006");
        assert_eq!([4, 5, 6, 7, 8, 9].map(|element| rules[8 * element]), *b"121121");
        assert_eq!((&data[84..100], &data[184..192]), (&b"KAPUTASYM-CUR-33"[..], &b"KAPAES33"[..]));
        assert!(data[64..80].iter().chain(&data[104..120]).chain(&data[172..180]).all(|byte| *byte == 0));
        let reply = query(Some(*b"STATICSB"), "KAPUT006", Apqi(0x33)).unwrap();
        let (rules, data) = (&reply[2..106], &reply[108..]);
        assert_eq!(([10, 11, 12].map(|element| rules[8 * element]), data.len()), (*b"121", 240));
        assert_eq!(&data[220..228], b"KAPKA-33");
    }

    #[test]
    fn another_query_is_not_known() {
        assert_eq!(query(Some(*b"STATICSX"), "KAPUT006", Apqi(0)), None);
        assert_eq!(query(None, "KAPUT006", Apqi(0)), None);
    }
}
