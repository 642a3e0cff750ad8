// SPDX-License-Identifier: MIT OR Apache-2.0
//! The formats of sysfs, one function each. vfio-ap migration spec 7.

use std::collections::BTreeMap;

use ap_arch::{Apid, Apqi, Mask256, Matrix};

/// A whole mask as sysfs prints it: `0x` and 64 hex digits, the leftmost bit being number 0. So
/// `0x0000000000001020…` is 51 and 58, 0x33 and 0x3a.
///
/// # Errors
/// What is expected.
pub fn mask(text: &str) -> Result<Mask256, &'static str> {
    const EXPECTED: &str = "0x and 64 hex digits";
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 64).ok_or(EXPECTED)?;
    let mut words = [0; 4];
    for (word, piece) in words.iter_mut().zip(digits.as_bytes().chunks(16)) {
        for digit in piece {
            let value = char::from(*digit).to_digit(16).ok_or(EXPECTED)?;
            *word = *word << 4 | u64::from(value);
        }
    }
    Ok(Mask256::from_words(words))
}

/// Three masks with commas between them: adapters, domains, control domains.
pub(crate) fn ap_config(text: &str) -> Result<Matrix, &'static str> {
    const EXPECTED: &str = "three masks, each 0x and 64 hex digits, with commas between them";
    let masks: Vec<&str> = text.split(',').collect();
    let [adapters, domains, control_domains] = masks[..] else { return Err(EXPECTED) };
    let one = |text: &str| mask(text.trim()).map_err(|_| EXPECTED);
    Ok(Matrix { adapters: one(adapters)?, domains: one(domains)?, control_domains: one(control_domains)? })
}

/// What a list of queues says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// Adapters and domains, every queue of their product.
    Product(Mask256, Mask256),
    /// Adapters and domains, but not every queue of their product: nothing that the driver prints.
    Holes(Mask256, Mask256),
    /// As much as one page holds: there may be more.
    Cut,
}

/// `matrix` and `guest_matrix`: one queue a line, `05.` or `.0033` where there are only adapters or only domains.
pub(crate) fn queue_list(text: &str) -> Result<Listed, &'static str> {
    const EXPECTED: &str = "one queue a line, such as 05.0033, or 05. or .0033";
    // The kernel cuts the list after one page, perhaps between two rows, where it still looks like a product.
    const PAGE: std::ops::RangeInclusive<usize> = 4086..=4096;
    if PAGE.contains(&text.len()) {
        return Ok(Listed::Cut);
    }
    let (mut adapters, mut domains, mut queues) = (Mask256::EMPTY, Mask256::EMPTY, 0);
    for line in text.lines() {
        let (adapter, domain) = line.split_once('.').ok_or(EXPECTED)?;
        if adapter.is_empty() && domain.is_empty() {
            return Err(EXPECTED);
        }
        if !adapter.is_empty() {
            adapters.insert(adapter.parse::<Apid>().map_err(|_| EXPECTED)?.0);
        }
        if !domain.is_empty() {
            domains.insert(domain.parse::<Apqi>().map_err(|_| EXPECTED)?.0);
        }
        queues += usize::from(!adapter.is_empty() && !domain.is_empty());
    }
    let whole = queues == adapters.len() * domains.len();
    Ok(if whole { Listed::Product(adapters, domains) } else { Listed::Holes(adapters, domains) })
}

/// `control_domains`: one domain a line.
pub(crate) fn domain_list(text: &str) -> Result<Mask256, &'static str> {
    let number =
        |line: &str| line.parse::<Apqi>().map(|domain| domain.0).map_err(|_| "one domain a line, such as 0033");
    text.lines().map(number).collect()
}

/// `ap_functions`: `0x` and eight hex digits, bits 0 to 31 of GR2 of TAPQ.
pub(crate) fn functions(text: &str) -> Result<u32, &'static str> {
    let digits = text.strip_prefix("0x").filter(|d| d.len() == 8 && d.bytes().all(|b| b.is_ascii_hexdigit()));
    digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or("0x and 8 hex digits")
}

/// A small number, decimal.
pub(crate) fn number(text: &str) -> Result<u8, &'static str> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain).ok_or("a number from 0 to 255")
}

/// `0` or `1`.
pub(crate) fn switch(text: &str) -> Result<bool, &'static str> {
    match text {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err("0 or 1"),
    }
}

/// What a card says of one register of master keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Register {
    /// It holds this key; of a new one, all its parts.
    Key(String),
    /// It holds none, or a part of one.
    NoKey,
    /// The card said nothing of it.
    Unknown,
}

impl std::fmt::Display for Register {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Key(pattern) => pattern,
            Self::NoKey => "no key",
            Self::Unknown => "- -",
        })
    }
}

/// The registers in `mkvps`, by name. Lines look like `AES CUR: valid 0x4b41…`, `ASYM OLD: invalid 0x00…`, or
/// `WK CUR: - -` where the card did not answer.
pub(crate) fn master_keys(text: &str) -> BTreeMap<String, Register> {
    let register = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        let (state, pattern) = value.split_once(' ')?;
        let register = match state {
            "valid" | "full" | "committed" | "uncommitted" => Register::Key(pattern.trim().to_owned()),
            "-" => Register::Unknown,
            _ => Register::NoKey,
        };
        Some((name.to_owned(), register))
    };
    text.lines().filter_map(register).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ap_arch::Apqn;

    #[test]
    fn the_documented_mask_is_control_domains_33_and_3a_and_not_58() {
        let text = format!("0x0000000000001020{}", "0".repeat(48));
        assert_eq!(mask(&text).unwrap().iter().collect::<Vec<_>>(), [0x33, 0x3a]);
        assert_eq!(mask(&Mask256::FULL.to_string()), Ok(Mask256::FULL));
    }

    #[test]
    fn a_mask_of_another_length_is_refused() {
        for bad in
            ["", "0x", "0x0", &format!("0x{}", "0".repeat(63)), &format!("0x{}", "0".repeat(65)), &"0".repeat(66)]
        {
            assert!(mask(bad).is_err(), "{bad} was read");
        }
        assert!(mask(&format!("0x{}g", "0".repeat(63))).is_err());
        assert!(ap_config("0x0,0x0").is_err());
    }

    #[test]
    fn a_list_is_a_product_or_has_holes_or_was_cut() {
        let product = |adapters: &[u8], domains: &[u8]| {
            Ok(Listed::Product(adapters.iter().copied().collect(), domains.iter().copied().collect()))
        };
        assert_eq!(queue_list("05.0033\n05.003a"), product(&[5], &[0x33, 0x3a]));
        assert_eq!(queue_list(""), product(&[], &[]));
        assert_eq!(queue_list("05.\n06."), product(&[5, 6], &[]));
        assert_eq!(queue_list(".0033"), product(&[], &[0x33]));
        assert!(matches!(queue_list("05.0033\n06.003a"), Ok(Listed::Holes(..))));
        let rows: Vec<String> = (0..8u8).flat_map(|a| (0..64u8).map(move |q| Apqn::new(a, q).to_string())).collect();
        assert_eq!(queue_list(&rows.join("\n")), Ok(Listed::Cut), "512 queues fill the page: there may be more");
        for bad in ["x", ".", "05.0033 ", "100.0033", "05.0100"] {
            assert!(queue_list(bad).is_err(), "{bad} was read");
        }
    }

    #[test]
    fn a_register_holds_a_key_or_none_or_is_not_known() {
        let keys = master_keys(
            "AES NEW: empty 0x00\nAES CUR: valid 0x4b41\nAPKA CUR: - -\nASYM CUR: invalid 0x00\nAES NEW: partial 0x01\n\
             WK CUR: invalid -\nWK NEW: committed 0x02\nnonsense",
        );
        assert_eq!(keys["AES CUR"], Register::Key("0x4b41".to_owned()));
        assert_eq!(keys["WK NEW"], Register::Key("0x02".to_owned()));
        assert_eq!(keys["APKA CUR"], Register::Unknown);
        for none in ["AES NEW", "ASYM CUR", "WK CUR"] {
            assert_eq!(keys[none], Register::NoKey, "{none}");
        }
        assert_eq!(keys.len(), 6);
    }

    #[test]
    fn small_values_are_read_strictly() {
        assert_eq!((functions("0x6A800000"), number("14"), switch("1")), (Ok(0x6a80_0000), Ok(14), Ok(true)));
        assert!(functions("0x6A80").is_err() && functions("6A800000").is_err() && functions("0x+A800000").is_err());
        assert!(number("+1").is_err() && number("256").is_err() && switch("2").is_err());
    }
}
