// SPDX-License-Identifier: MIT OR Apache-2.0
//! A share of the scenarios or cases that were chosen, for several runners: as cargo-nextest's `count:`, the Mth of N
//! takes every Nth, beginning with the Mth. Whoever puts the shares together again must notice one that is missing.

use std::collections::{BTreeMap, BTreeSet};
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

/// All shares as the whole that they were taken from, in its order.
#[must_use]
pub fn whole<T>(shares: impl IntoIterator<Item = (Partition, Vec<T>)>) -> Vec<T> {
    let place = |(share, items): (Partition, Vec<T>)| {
        items.into_iter().enumerate().map(move |(number, item)| ((number, share.part), item))
    };
    let mut all: Vec<_> = shares.into_iter().flat_map(place).collect();
    all.sort_by_key(|(place, _)| *place);
    all.into_iter().map(|(_, item)| item).collect()
}

/// Looks whether reports are the shares of one whole, given for each report the shares and scenarios in it. How many
/// scenarios a share has follows from how many all have, so a report that was cut short is noticed as well.
///
/// # Errors
/// What is missing, or there twice.
pub fn check(reports: &[Vec<(Option<Partition>, &str)>]) -> Result<(), String> {
    let mut sizes = BTreeMap::new();
    let mut scenarios = BTreeSet::new();
    for report in reports {
        let mut of_report = BTreeMap::new();
        for (part, scenario) in report {
            let part = part.ok_or_else(|| format!("{scenario} was run without --partition"))?;
            *of_report.entry(part).or_insert(0_usize) += 1;
            if !scenarios.insert(*scenario) {
                return Err(format!("{scenario} is there twice"));
            }
        }
        for (part, size) in of_report {
            if sizes.insert(part, size).is_some() {
                return Err(format!("the share {part} is there twice"));
            }
        }
    }
    let Some(of) = sizes.keys().next().map(|first| first.of) else { return Ok(()) };
    if let Some(other) = sizes.keys().find(|part| part.of != of) {
        return Err(format!("{other} is a share of another whole than those of {of}"));
    }
    // A share beyond the number of scenarios is empty, and then so is its report.
    let all = scenarios.len();
    let wanted = |part: usize| if part > all { 0 } else { (all - part) / of + 1 };
    let size = |part: usize| sizes.get(&Partition { part, of }).copied().unwrap_or(0);
    let named = |is_meant: &dyn Fn(usize) -> bool| {
        let parts = (1..=of).filter(|part| is_meant(*part)).take(SHOWN);
        parts.map(|part| Partition { part, of }.to_string()).collect::<Vec<_>>().join(", ")
    };
    let empty = reports.iter().filter(|report| report.is_empty()).count();
    if sizes.len() + empty < of || (1..=all.min(of)).any(|part| size(part) == 0) {
        return Err(format!("a share is missing: {}", named(&|part| size(part) == 0)));
    }
    if sizes.iter().any(|(part, size)| *size != wanted(part.part)) {
        return Err(format!("a share is incomplete: {}", named(&|part| size(part) != wanted(part))));
    }
    Ok(())
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
        let shares = [3, 1, 4, 2].map(|m| part(&format!("{m}/4")));
        assert_eq!(whole(shares.map(|share| (share, share.take(all.clone())))), all);
        for odd in ["", "1", "0/4", "5/4", "1/0", "a/b", "1/4/2"] {
            assert!(odd.parse::<Partition>().is_err(), "{odd}");
        }
    }

    #[test]
    fn a_share_that_is_missing_or_there_twice_is_noticed() {
        let first = || vec![(Some(part("1/3")), "a"), (Some(part("1/3")), "d")];
        let (second, third) = (vec![(Some(part("2/3")), "b")], vec![(Some(part("3/3")), "c")]);
        assert_eq!(check(&[third.clone(), first(), second.clone()]), Ok(()));
        assert_eq!(check(&[first(), second.clone(), Vec::new()]), Err("a share is missing: 3/3".to_owned()));
        let only = |text, scenario| vec![(Some(part(text)), scenario)];
        assert_eq!(check(&[only("1/3", "a"), second.clone(), Vec::new()]), Ok(()));
        let torn = check(&[only("1/2", "a"), vec![(Some(part("2/2")), "b"), (Some(part("2/2")), "d")]]);
        assert!(torn.is_err_and(|why| why.contains("incomplete")));
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
