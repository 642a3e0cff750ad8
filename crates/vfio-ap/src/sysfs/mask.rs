// SPDX-License-Identifier: MIT OR Apache-2.0
//! Masks as the AP bus reads them: a whole one, or changes to the present one.

use ap_arch::Mask256;
use vfio_mig::DeviceError;

use super::{invalid, number};

const WHOLE: &str = "a mask, 0x and up to 64 hex digits, leftmost bit number 0";
const CHANGES: &str = "changes such as -0x14,+5 or -0-0xff, numbers 0 to 255";

/// A mask, or `+n`, `-n`, `+n-m`, `-n-m` separated by commas, applied to `present`.
pub(super) fn parse(text: &str, present: Mask256) -> Result<Mask256, DeviceError> {
    if text.starts_with(['+', '-']) { changes(text, present) } else { whole(text) }
}

/// `0x` and up to 64 hex digits; missing ones on the right are zero.
pub(super) fn whole(text: &str) -> Result<Mask256, DeviceError> {
    let digits = text.strip_prefix("0x").filter(|digits| (1..=64).contains(&digits.len()));
    let digits = digits.ok_or_else(|| invalid(text, WHOLE))?;
    let mut mask = Mask256::EMPTY;
    for (index, digit) in (0u8..).zip(digits.chars()) {
        let bits = digit.to_digit(16).ok_or_else(|| invalid(text, WHOLE))?;
        (0..4).filter(|bit| bits & (8 >> bit) != 0).for_each(|bit| mask.insert(index * 4 + bit));
    }
    Ok(mask)
}

fn changes(text: &str, mut mask: Mask256) -> Result<Mask256, DeviceError> {
    for change in text.split(',') {
        let (on, range) = match change.split_at_checked(1) {
            Some(("+", range)) => (true, range),
            Some(("-", range)) => (false, range),
            _ => return Err(invalid(text, CHANGES)),
        };
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (small(first, text)?, small(last, text)?);
        for n in first..=last {
            if on { mask.insert(n) } else { mask.remove(n) }
        }
    }
    Ok(mask)
}

fn small(number_text: &str, whole_text: &str) -> Result<u8, DeviceError> {
    let value = number(number_text).ok().and_then(|value| u8::try_from(value).ok());
    value.ok_or_else(|| invalid(whole_text, CHANGES))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(numbers: &[u8]) -> Mask256 {
        numbers.iter().copied().collect()
    }

    #[test]
    fn a_mask_is_read_from_the_left() {
        assert_eq!(parse("0x8", Mask256::FULL).unwrap(), mask(&[0]));
        assert_eq!(parse("0x0000000000001020", Mask256::FULL).unwrap(), mask(&[51, 58]));
        let all = Mask256::FULL;
        assert_eq!(parse(&all.to_string(), Mask256::EMPTY).unwrap(), all);
    }

    #[test]
    fn changes_apply_to_what_is_there() {
        let changed = parse("-0,-0x14,-22,+0x30-0x32", mask(&[0, 1, 20, 22])).unwrap();
        assert_eq!(changed, mask(&[1, 0x30, 0x31, 0x32]));
    }

    #[test]
    fn what_is_no_mask_is_refused() {
        for bad in ["", "0x", "ff", "0xg", "+", "+256", "+1,2", "-1--2", &format!("0x{}", "0".repeat(65)), "+1,"] {
            assert!(parse(bad, Mask256::EMPTY).is_err(), "{bad} was read");
        }
    }
}
