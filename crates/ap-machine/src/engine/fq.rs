// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a CCA coprocessor says of itself: FQ with STATICSA (serial number, states and verification patterns of the
//! asymmetric and AES master keys) and STATICSB (the same for APKA). AP reference 7.9.
//!
//! Every domain has its current master keys set and no new ones; old ones only once the keys were changed. The patterns
//! depend on the domain and the number of changes alone, so that two machines agree on them as two hosts do whose keys
//! were loaded alike. They are readable: `KAPUTASYM-CUR-33`, after the first change `KAPUTASYM-001-33`.

use ap_arch::Apqi;

/// States of a master key, as characters.
const CURRENT_VALID: u8 = b'2';
const OLD_INVALID: u8 = b'1';
const OLD_VALID: u8 = b'2';
const NEW_EMPTY: u8 = b'1';

/// Rule elements of eight bytes and variable data, as the reply's two blocks with their lengths; `None` for another
/// rule. `changes` says how often the master keys were changed.
pub(super) fn query(rule: Option<[u8; 8]>, serial: &str, domain: Apqi, changes: u8) -> Option<Vec<u8>> {
    let mut rules = [[b' '; 8]; 13];
    let mut data = [0; 240];
    for (element, byte) in rules[0].iter_mut().zip(serial.bytes()) {
        *element = byte;
    }
    let domain = domain.0;
    let mut master_key = |elements: [usize; 3], [old_at, current_at]: [usize; 2], pattern: &dyn Fn(u8) -> String| {
        let old = if changes > 0 { OLD_VALID } else { OLD_INVALID };
        for (element, state) in elements.into_iter().zip([NEW_EMPTY, CURRENT_VALID, old]) {
            rules[element][0] = state;
        }
        let mut put = |at: usize, text: String| data[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(current_at, pattern(changes));
        if let Some(before) = changes.checked_sub(1) {
            put(old_at, pattern(before));
        }
    };
    let (rule_count, data_len) = match &rule? {
        b"STATICSA" => {
            master_key([4, 5, 6], [64, 84], &|changes| match changes {
                0 => format!("KAPUTASYM-CUR-{domain:02x}"),
                _ => format!("KAPUTASYM-{changes:03}-{domain:02x}"),
            });
            master_key([7, 8, 9], [172, 184], &|changes| match changes {
                0 => format!("KAPAES{domain:02x}"),
                _ => format!("AES{changes:03}{domain:02x}"),
            });
            (10, 204)
        }
        b"STATICSB" => {
            master_key([10, 11, 12], [208, 220], &|changes| match changes {
                0 => format!("KAPKA-{domain:02x}"),
                _ => format!("PKA{changes:03}{domain:02x}"),
            });
            (13, 240)
        }
        _ => return None,
    };
    let rules = rules[..rule_count].concat();
    let length = |content: usize| ((content + 2) as u16).to_be_bytes();
    Some([&length(rules.len())[..], &rules, &length(data_len), &data[..data_len]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_patterns_stand_where_the_reference_says() {
        let reply = query(Some(*b"STATICSA"), "KAPUT006", Apqi(0x33), 0).unwrap();
        let (rules, data) = (&reply[2..82], &reply[84..]);
        assert_eq!((&reply[..2], &reply[82..84], data.len()), (&[0, 82][..], &[0, 206][..], 204));
        assert_eq!(&rules[..8], b"KAPUT006");
        assert_eq!([4, 5, 6, 7, 8, 9].map(|element| rules[8 * element]), *b"121121");
        assert_eq!((&data[84..100], &data[184..192]), (&b"KAPUTASYM-CUR-33"[..], &b"KAPAES33"[..]));
        assert!(data[64..80].iter().chain(&data[104..120]).chain(&data[172..180]).all(|byte| *byte == 0));
        let reply = query(Some(*b"STATICSB"), "KAPUT006", Apqi(0x33), 0).unwrap();
        let (rules, data) = (&reply[2..106], &reply[108..]);
        assert_eq!(([10, 11, 12].map(|element| rules[8 * element]), data.len()), (*b"121", 240));
        assert_eq!(&data[220..228], b"KAPKA-33");
    }

    #[test]
    fn what_was_current_before_a_change_is_old_afterwards() {
        let reply = query(Some(*b"STATICSA"), "KAPUT006", Apqi(0x33), 2).unwrap();
        let (rules, data) = (&reply[2..82], &reply[84..]);
        assert_eq!([4, 5, 6, 7, 8, 9].map(|element| rules[8 * element]), *b"122122");
        assert_eq!((&data[64..80], &data[84..100]), (&b"KAPUTASYM-001-33"[..], &b"KAPUTASYM-002-33"[..]));
        assert_eq!((&data[172..180], &data[184..192]), (&b"AES00133"[..], &b"AES00233"[..]));
        let reply = query(Some(*b"STATICSB"), "KAPUT006", Apqi(0x33), 1).unwrap();
        assert_eq!((&reply[108 + 208..][..8], &reply[108 + 220..][..8]), (&b"KAPKA-33"[..], &b"PKA00133"[..]));
    }

    #[test]
    fn another_query_is_not_known() {
        assert_eq!(query(Some(*b"STATICSX"), "KAPUT006", Apqi(0), 0), None);
        assert_eq!(query(None, "KAPUT006", Apqi(0), 0), None);
    }
}
