// SPDX-License-Identifier: MIT OR Apache-2.0
//! A share of the scenarios that were chosen, for several runners: as cargo-nextest's `count:`, the Mth of N takes
//! every Nth, beginning with the Mth. Whoever puts the shares together again must notice one that is missing.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The Mth share of N.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Partition {
    /// Which, from 1 on.
    pub part: usize,
    /// Of how many.
    pub of: usize,
}

impl FromStr for Partition {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split_once('/').and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
        let (part, of) = numbers.ok_or("expected M/N: 1/4 is the first share of four")?;
        if part == 0 || part > of { Err("a share is one of 1/N to N/N") } else { Ok(Self { part, of }) }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.part, self.of)
    }
}

impl Partition {
    /// Keeps what is of this share.
    #[must_use]
    pub fn take<T>(self, all: Vec<T>) -> Vec<T> {
        all.into_iter().skip(self.part - 1).step_by(self.of).collect()
    }
}

/// Looks whether reports are the shares of one whole, given for each report the shares and scenarios in it.
///
/// # Errors
/// What is missing, or there twice.
pub fn check(reports: &[Vec<(Option<Partition>, &str)>]) -> Result<(), String> {
    let mut parts = BTreeSet::new();
    let mut scenarios = BTreeSet::new();
    for report in reports {
        let mut of_report = BTreeSet::new();
        for (part, scenario) in report {
            of_report.insert(part.ok_or_else(|| format!("{scenario} was run without --partition"))?);
            if !scenarios.insert(*scenario) {
                return Err(format!("{scenario} is there twice"));
            }
        }
        for part in of_report {
            if !parts.insert(part) {
                return Err(format!("the share {part} is there twice"));
            }
        }
    }
    let Some(of) = parts.first().map(|first| first.of) else { return Ok(()) };
    if let Some(other) = parts.iter().find(|part| part.of != of) {
        return Err(format!("{other} is a share of another whole than those of {of}"));
    }
    // A share can be empty, and then so is its report.
    let empty = reports.iter().filter(|report| report.is_empty()).count();
    let missing: Vec<String> = (1..=of.min(parts.len() + empty + SHOWN))
        .map(|part| Partition { part, of })
        .filter(|part| !parts.contains(part))
        .map(|part| part.to_string())
        .collect();
    if parts.len() + empty < of { Err(format!("a share is missing: {}", missing.join(", "))) } else { Ok(()) }
}

/// Missing shares that are named at most.
const SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> Partition {
        text.parse().expect(text)
    }

    #[test]
    fn shares_are_disjoint_and_together_the_whole() {
        let all: Vec<usize> = (0..11).collect();
        let mut together: Vec<usize> = (1..=4).flat_map(|m| part(&format!("{m}/4")).take(all.clone())).collect();
        assert_eq!(part("2/4").take(all.clone()), [1, 5, 9]);
        together.sort_unstable();
        assert_eq!(together, all);
        for odd in ["", "1", "0/4", "5/4", "1/0", "a/b", "1/4/2"] {
            assert!(odd.parse::<Partition>().is_err(), "{odd}");
        }
    }

    #[test]
    fn a_share_that_is_missing_or_there_twice_is_noticed() {
        let first = || vec![(Some(part("1/3")), "a"), (Some(part("1/3")), "d")];
        let (second, third) = (vec![(Some(part("2/3")), "b")], vec![(Some(part("3/3")), "c")]);
        assert_eq!(check(&[third.clone(), first(), second.clone()]), Ok(()));
        assert_eq!(check(&[first(), second.clone(), Vec::new()]), Ok(()));
        assert_eq!(check(&[first(), third.clone()]), Err("a share is missing: 2/3".to_owned()));
        assert_eq!(check(&[first(), first(), third]), Err("a is there twice".to_owned()));
        let again = vec![(Some(part("2/3")), "x")];
        assert_eq!(check(&[first(), second, again]), Err("the share 2/3 is there twice".to_owned()));
        assert!(check(&[first(), vec![(Some(part("2/4")), "b")]]).is_err_and(|why| why.contains("another whole")));
        assert!(check(&[vec![(None, "b")]]).is_err_and(|why| why.contains("without --partition")));
        let one = vec![(Some(part(&format!("1/{}", usize::MAX))), "a")];
        assert!(check(&[one]).is_err_and(|why| why.len() < 1000));
    }
}
