// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the conformance suite says of a device, for people and for programs. The suite itself is
//! `vfio_mig::conformance`; nothing is judged here.

pub mod agent_device;
pub mod control_device;
pub mod evidence;
pub mod explain;
pub mod human;
pub mod json;
pub mod junit;
pub mod mutants;
pub mod page;
pub mod program;
pub mod stoppable;
pub mod tap;
pub mod unmodelled;

use std::fmt;

use vfio_mig::conformance::{CaseResult, Verdict};

use crate::outcome::verdict::Exit;
use crate::report::partition::{self, Partition};

/// A device and what every case said of it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What people call the device.
    pub device: String,
    /// The defects that are switched on, of a model; of any other device nobody knows them.
    pub defects: Option<Vec<&'static str>>,
    /// The share of the cases that it is, if not all were run.
    pub part: Option<Partition>,
    /// The cases, in their order.
    pub results: Vec<CaseResult>,
}

impl Judged {
    /// The findings of the catalogue that a case stands for, of a model those only that are switched on in it.
    pub fn findings<'a>(&self, result: &'a CaseResult) -> Vec<&'a str> {
        let is_there = |id: &&str| self.defects.as_ref().is_none_or(|defects| defects.contains(id));
        result.covers.iter().map(String::as_str).filter(is_there).collect()
    }

    /// All the shares of one whole as that.
    ///
    /// # Errors
    /// Which is missing or there twice, or that they are of different devices.
    pub fn merge(shares: Vec<Self>) -> Result<Self, String> {
        let mut named: Vec<Vec<_>> = Vec::new();
        for share in &shares {
            named.push(share.results.iter().map(|result| (share.part, result.case.as_str())).collect());
        }
        partition::check(&named)?;
        let device = shares.first().map_or_else(String::new, |share| share.device.clone());
        if let Some(other) = shares.iter().find(|share| share.device != device) {
            return Err(format!("one is of the device {device}, another of {}", other.device));
        }
        let shares = shares.into_iter().filter_map(|share| Some((share.part?, share.results)));
        Ok(Self { device, defects: None, part: None, results: partition::whole(shares) })
    }

    /// The cases by group, `arc` of `arc/…`, in their order.
    pub fn groups(&self) -> impl Iterator<Item = (&str, &[CaseResult])> {
        let groups = self.results.chunk_by(|a, b| group(a) == group(b));
        groups.map(|cases| (group(&cases[0]), cases))
    }

    /// How many cases ended so.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.results.iter().filter(|result| result.verdict == verdict).count()
    }

    /// The exit status that goes with it: a device that could not be asked counts more than one that is wrong.
    #[must_use]
    pub fn exit(&self) -> Exit {
        if self.count(Verdict::Broken) > 0 {
            Exit::Infrastructure
        } else if self.count(Verdict::Fail) > 0 {
            Exit::NotAsExpected
        } else {
            Exit::AsExpected
        }
    }
}

/// The counts, in words; kinds of verdict that did not occur are left out, but not passes and failures.
impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            (Verdict::Pass, "passed"),
            (Verdict::Differs, "differed"),
            (Verdict::Fail, "failed"),
            (Verdict::Skip, "skipped"),
            (Verdict::Broken, "not judged"),
        ];
        let always = [Verdict::Pass, Verdict::Fail];
        let counts = words.iter().map(|(verdict, word)| (verdict, self.count(*verdict), word));
        let shown = counts.filter(|(verdict, count, _)| *count > 0 || always.contains(verdict));
        let shown: Vec<String> = shown.map(|(_, count, word)| format!("{count} {word}")).collect();
        f.write_str(&shown.join(", "))
    }
}

/// The group of a case, which its name begins with.
fn group(result: &CaseResult) -> &str {
    result.case.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
