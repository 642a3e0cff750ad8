// SPDX-License-Identifier: MIT OR Apache-2.0
//! Masks as the AP bus reads them: a whole one, or changes to the present one. They are taken and refused as Linux's
//! `ap_hex2bitmap` and `modify_bitmap` do, odd forms included: `0x`, `ff` and an empty line are masks.

use ap_arch::Mask256;
use vfio_mig::DeviceError;

use super::invalid;

const WHOLE: &str = "a mask, 0x and up to 64 hex digits, leftmost bit number 0";
const CHANGES: &str = "changes such as -0x14,+5 or -0-0xff, numbers 0 to 255";

/// A mask, or `+n`, `-n`, `+n-m`, `-n-m` with commas between them, applied to `present`.
pub(super) fn parse(text: &str, present: Mask256) -> Result<Mask256, DeviceError> {
    if text.starts_with(['+', '-']) { changes(text, present) } else { whole(text) }
}

/// Up to 64 hex digits, `0x` or not before them; missing ones on the right are zero.
pub(super) fn whole(text: &str) -> Result<Mask256, DeviceError> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix('x')).unwrap_or(text);
    let digits = digits.strip_suffix('\n').unwrap_or(digits);
    if digits.len() > 64 {
        return Err(invalid(text, WHOLE));
    }
    let mut mask = Mask256::EMPTY;
    for (index, digit) in (0u8..).zip(digits.chars()) {
        let bits = digit.to_digit(16).ok_or_else(|| invalid(text, WHOLE))?;
        (0..4).filter(|bit| bits & (8 >> bit) != 0).for_each(|bit| mask.insert(index * 4 + bit));
    }
    Ok(mask)
}

fn changes(text: &str, mut mask: Mask256) -> Result<Mask256, DeviceError> {
    let mut rest = text;
    while !rest.is_empty() {
        let on = match rest.split_at_checked(1) {
            Some(("+", _)) => true,
            Some(("-", _)) => false,
            _ => return Err(invalid(text, CHANGES)),
        };
        let (first, after) = number(&rest[1..]).ok_or_else(|| invalid(text, CHANGES))?;
        let (last, after) = match after.strip_prefix('-') {
            Some(range) => number(range).filter(|(last, _)| *last >= first).ok_or_else(|| invalid(text, CHANGES))?,
            None => (first, after),
        };
        for n in first..=last {
            if on { mask.insert(n) } else { mask.remove(n) }
        }
        rest = after.trim_start_matches([',', '\n']);
    }
    Ok(mask)
}

/// A number at the start of a text, decimal, octal or hex as `simple_strtoul` takes it, and what follows.
fn number(text: &str) -> Option<(u8, &str)> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match hex.filter(|hex| hex.starts_with(|c: char| c.is_ascii_hexdigit())) {
        Some(digits) => (digits, 16),
        None if text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let (number, after) = digits.split_at(end);
    Some((u8::from_str_radix(number, radix).ok()?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(numbers: &[u8]) -> Mask256 {
        numbers.iter().copied().collect()
    }

    #[test]
    fn a_mask_is_read_from_the_left() {
        for text in ["0x8", "8", "x8\n", "0x80"] {
            assert_eq!(parse(text, Mask256::FULL).unwrap(), mask(&[0]), "{text}");
        }
        assert_eq!(parse("0x0000000000001020", Mask256::FULL).unwrap(), mask(&[51, 58]));
        let all = Mask256::FULL;
        assert_eq!(parse(&all.to_string(), Mask256::EMPTY).unwrap(), all);
        for none in ["", "\n", "0x", "0x\n"] {
            assert_eq!(parse(none, all).unwrap(), Mask256::EMPTY, "{none:?}");
        }
    }

    #[test]
    fn changes_apply_to_what_is_there() {
        let present = mask(&[0, 1, 20, 22]);
        for text in ["-0,-0x14,-22,+0x30-0x32", "-0-0,-024-20\n-22+0x30-50,\n"] {
            assert_eq!(parse(text, present).unwrap(), mask(&[1, 0x30, 0x31, 0x32]), "{text}");
        }
    }

    #[test]
    fn what_is_no_mask_is_refused() {
        for bad in [
            "0xg",
            "0x1\n\n",
            "+",
            "+256",
            "+1,2",
            "-1--2",
            "-2-1",
            "+0xg",
            "+08",
            "+18446744073709551617",
            &format!("0x{}", "0".repeat(65)),
        ] {
            assert!(parse(bad, Mask256::EMPTY).is_err(), "{bad} was read");
        }
    }
}
