// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the guest could reach before and after a run, as a table of adapters and domains with the differences marked.
//! The masks are those the host had given the guest.

use ap_arch::{Apqn, Mask256, Matrix};

use crate::outcome::events::{Event, What};

/// Columns and rows that are shown of each; more are counted.
const SHOWN: usize = 32;

/// What became of one queue or control domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was there and is there.
    Kept,
    /// It was there and is gone.
    Lost,
    /// It was not there and is.
    Gained,
    /// It never was there.
    Absent,
}

impl Fate {
    const fn of(before: bool, after: bool) -> Self {
        match (before, after) {
            (true, true) => Self::Kept,
            (true, false) => Self::Lost,
            (false, true) => Self::Gained,
            (false, false) => Self::Absent,
        }
    }

    /// The mark in the table, which does not rely on colours.
    #[must_use]
    pub const fn mark(self) -> &'static str {
        match self {
            Self::Kept => "●",
            Self::Lost => "✗",
            Self::Gained => "+",
            Self::Absent => "·",
        }
    }

    /// Class in the style sheet, and the word for who cannot see it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Lost => "lost",
            Self::Gained => "gained",
            Self::Absent => "absent",
        }
    }
}

/// The table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Numbers of the domains, in hex.
    pub domains: Vec<String>,
    /// Each adapter's number, and the fate of its queues.
    pub rows: Vec<(String, Vec<Fate>)>,
    /// The fate of the control domains, in the same columns.
    pub control: Vec<Fate>,
    /// Columns and rows that are not shown.
    pub left_out: usize,
    /// Queues and control domains lost, and gained.
    pub lost: usize,
    /// Gained.
    pub gained: usize,
}

impl Picture {
    /// The first and the last matrix of a run; `None` where it was never known.
    #[must_use]
    pub fn of(events: &[Event]) -> Option<Self> {
        let mut known = events.iter().filter_map(|event| match &event.what {
            What::Matrix { adapters, domains, control_domains } => Some(Matrix {
                adapters: mask(adapters),
                domains: mask(domains),
                control_domains: mask(control_domains),
            }),
            _ => None,
        });
        let before = known.next()?;
        Some(Self::between(&before, &known.next_back().unwrap_or(before)))
    }

    fn between(before: &Matrix, after: &Matrix) -> Self {
        let adapters: Vec<u8> = before.adapters.union(after.adapters).iter().collect();
        let columns = before.domains.union(after.domains);
        let columns: Vec<u8> = columns.union(before.control_domains).union(after.control_domains).iter().collect();
        let control =
            |domain| Fate::of(before.control_domains.contains(domain), after.control_domains.contains(domain));
        let fates = |adapter: u8| {
            let fate = move |domain: &u8| {
                let apqn = Apqn::new(adapter, *domain);
                Fate::of(before.contains(apqn), after.contains(apqn))
            };
            columns.iter().map(fate)
        };
        let count = |wanted| {
            let queues = adapters.iter().flat_map(|adapter| fates(*adapter)).filter(|fate| *fate == wanted).count();
            queues + columns.iter().filter(|domain| control(**domain) == wanted).count()
        };
        let left_out = adapters.len().saturating_sub(SHOWN) + columns.len().saturating_sub(SHOWN);
        Self {
            domains: columns.iter().take(SHOWN).map(|domain| format!("{domain:02x}")).collect(),
            rows: adapters
                .iter()
                .take(SHOWN)
                .map(|adapter| (format!("{adapter:02x}"), fates(*adapter).take(SHOWN).collect()))
                .collect(),
            control: columns.iter().take(SHOWN).map(|domain| control(*domain)).collect(),
            left_out,
            lost: count(Fate::Lost),
            gained: count(Fate::Gained),
        }
    }
}

/// `0x` and 64 hex digits; what is no digit counts as none.
fn mask(text: &str) -> Mask256 {
    let digits = text.trim_start_matches("0x");
    let word = |n: usize| digits.get(16 * n..16 * n + 16).and_then(|word| u64::from_str_radix(word, 16).ok());
    Mask256::from_words(std::array::from_fn(|n| word(n).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(adapters: &[u8], domains: &[u8], control: &[u8]) -> Matrix {
        let mask = |numbers: &[u8]| {
            let mut mask = Mask256::EMPTY;
            numbers.iter().for_each(|n| mask.insert(*n));
            mask
        };
        Matrix { adapters: mask(adapters), domains: mask(domains), control_domains: mask(control) }
    }

    #[test]
    fn what_was_lost_and_gained_is_marked() {
        let before = matrix(&[5, 6], &[0x33, 0x3a], &[0x33, 0x44]);
        let after = matrix(&[5, 7], &[0x33, 0x3a], &[0x33]);
        let picture = Picture::between(&before, &after);
        assert_eq!(picture.domains, ["33", "3a", "44"]);
        assert_eq!(picture.rows[0], ("05".to_owned(), vec![Fate::Kept, Fate::Kept, Fate::Absent]));
        assert_eq!(picture.rows[1].1, [Fate::Lost, Fate::Lost, Fate::Absent]);
        assert_eq!(picture.rows[2].1, [Fate::Gained, Fate::Gained, Fate::Absent]);
        assert_eq!(picture.control, [Fate::Kept, Fate::Absent, Fate::Lost]);
        assert_eq!((picture.lost, picture.gained, picture.left_out), (3, 2, 0));
    }

    #[test]
    fn the_largest_matrix_is_cut_and_counted() {
        let full = Matrix { adapters: Mask256::FULL, domains: Mask256::FULL, control_domains: Mask256::FULL };
        let picture = Picture::between(&full, &matrix(&[], &[], &[]));
        assert_eq!((picture.rows.len(), picture.domains.len(), picture.left_out), (SHOWN, SHOWN, 2 * (256 - SHOWN)));
        assert_eq!(picture.lost, 65_536 + 256);
    }

    #[test]
    fn a_mask_is_read_as_the_host_tells_it() {
        let text = format!("0x{}{}", "8", "0".repeat(63));
        assert!(mask(&text).contains(0) && mask(&text).len() == 1);
        assert_eq!(mask("nonsense"), Mask256::EMPTY);
    }
}
