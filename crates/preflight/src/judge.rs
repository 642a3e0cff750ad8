// SPDX-License-Identifier: MIT OR Apache-2.0
//! Applies the rules to a pair of hosts: everything that is wrong and everything that is not known, never just the
//! first.

use std::collections::BTreeMap;
use std::fmt;

use ap_arch::{Apqi, Apqn, Mask256, Matrix};
use serde::Serialize;

use crate::fix::Fix;
use crate::message;
use crate::pair::Pair;
use crate::rules::{Check, Evidence, Outcome, Rule, Severity, Step};

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It will survive.
    Yes,
    /// It cannot be known.
    Unknown,
    /// It will not.
    No,
}

impl Verdict {
    /// What a program ends with.
    #[must_use]
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::Yes => 0,
            Self::No => 1,
            Self::Unknown => 3,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Yes => "yes",
            Self::Unknown => "unknown",
            Self::No => "no",
        })
    }
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Both hosts.
    Hosts,
    /// One queue.
    Queue(Apqn),
    /// One control domain.
    ControlDomain(Apqi),
}

/// One rule that does not hold, or of which that is not known.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// About what.
    pub subject: Subject,
    /// Whether it is violated, as opposed to not known.
    pub is_violated: bool,
    /// What was seen.
    pub evidence: Evidence,
}

/// Everything there is to say about one migration.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// Name of the guest's device on the source.
    pub source_mdev: String,
    /// Name of the one on the destination.
    pub destination_mdev: String,
    /// What the guest has; `None` if that is not known at all.
    pub guest: Option<Matrix>,
    /// Whether a guest runs with the device; `None` if that is not known.
    pub in_use: Option<bool>,
    /// All findings, in the order of the rules.
    pub findings: Vec<Finding>,
    /// Whether what merely breaks the guest's crypto counts as a refusal.
    pub strict: bool,
}

/// Applies `rules`.
#[must_use]
pub fn judge(pair: &Pair<'_>, rules: &[Rule], strict: bool) -> Judgement {
    let matrix = pair.matrix().ok();
    let guest = matrix.map(|matrix| Matrix { control_domains: pair.control_domains().0, ..matrix });
    let mut findings = Vec::new();
    let mut look = |rule: &Rule, subject, outcome| {
        let (is_violated, evidence) = match outcome {
            Outcome::Holds | Outcome::NotAsked => return,
            Outcome::Violated(evidence) => (true, *evidence),
            Outcome::Unknown(evidence) => (false, *evidence),
        };
        // Of a queue that the guest may not have at all, nothing is certain.
        let is_violated = is_violated && (subject == Subject::Hosts || pair.guest.guest.is_ok());
        findings.push(Finding { rule: *rule, subject, is_violated, evidence });
    };
    for rule in rules {
        match rule.check {
            Check::Once(check) => look(rule, Subject::Hosts, check(pair)),
            Check::Queue(check) => {
                for apqn in guest.iter().flat_map(Matrix::queues) {
                    look(rule, Subject::Queue(apqn), check(pair, apqn));
                }
            }
            Check::ControlDomain(check) => {
                for domain in guest.map_or(Mask256::EMPTY, |guest| guest.control_domains).iter().map(Apqi) {
                    look(rule, Subject::ControlDomain(domain), check(pair, domain));
                }
            }
        }
    }
    Judgement {
        source_mdev: pair.source_mdev.to_owned(),
        destination_mdev: pair.destination_mdev.to_owned(),
        guest,
        in_use: pair.guest.in_use.clone().ok(),
        findings,
        strict,
    }
}

impl Judgement {
    /// What a finding does to the answer: nothing if it only breaks or is only worth knowing.
    #[must_use]
    pub fn weight(&self, finding: &Finding) -> Verdict {
        match finding.rule.severity {
            Severity::Note => Verdict::Yes,
            Severity::Breaks if !self.strict => Verdict::Yes,
            _ if finding.is_violated => Verdict::No,
            _ => Verdict::Unknown,
        }
    }

    /// Whether the guest is known to have no queue at all: then there is nothing to say yes to.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.guest.is_some_and(|guest| guest.queue_count() == 0)
    }

    /// The answer for the whole migration.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let least = if self.is_empty() { Verdict::Unknown } else { Verdict::Yes };
        self.findings.iter().map(|finding| self.weight(finding)).max().unwrap_or(Verdict::Yes).max(least)
    }

    /// The answer for each queue and each control domain of the guest by itself.
    #[must_use]
    pub fn subjects(&self) -> BTreeMap<Subject, Verdict> {
        let guest = self.guest.unwrap_or_default();
        let queues = guest.queues().map(Subject::Queue);
        let domains = guest.control_domains.iter().map(|domain| Subject::ControlDomain(Apqi(domain)));
        let mut verdicts: BTreeMap<_, _> = queues.chain(domains).map(|subject| (subject, Verdict::Yes)).collect();
        for finding in &self.findings {
            if let Some(verdict) = verdicts.get_mut(&finding.subject) {
                *verdict = (*verdict).max(self.weight(finding));
            }
        }
        verdicts
    }

    /// What helps against everything that does not hold.
    pub fn fixes(&self) -> impl Iterator<Item = &Fix> {
        self.findings.iter().filter(|finding| finding.is_violated).flat_map(|finding| &finding.evidence.fix)
    }

    /// Where the migration is refused; `None` if it is not, or if a step before may refuse it as well.
    #[must_use]
    pub fn refused_at(&self) -> Option<Step> {
        let step = |finding: &&Finding| match finding.rule.severity {
            Severity::Refused(step) => Some((step, !finding.is_violated)),
            _ => None,
        };
        let first = self.findings.iter().filter_map(|finding| step(&finding)).min();
        first.filter(|(_, is_unknown)| !is_unknown).map(|(step, _)| step)
    }

    /// What the destination's kernel would log when it refuses, line by line in its order. Steps that are not reached
    /// log nothing; where an input of this step is not known, there may be more lines.
    #[must_use]
    pub fn kernel_log(&self) -> Vec<String> {
        let Some(step) = self.refused_at() else { return Vec::new() };
        let of_step = |finding: &&Finding| finding.rule.severity == Severity::Refused(step) && finding.is_violated;
        let mut findings: Vec<&Finding> = self.findings.iter().filter(of_step).collect();
        findings.sort_by_key(|finding| finding.subject);
        let mut lines: Vec<String> = Vec::new();
        let mut about = None;
        for finding in findings {
            if let (Step::Compatibility, Subject::Queue(apqn)) = (step, finding.subject)
                && about.replace(apqn) != Some(apqn)
            {
                lines.push(message::not_compatible(&self.destination_mdev, apqn));
            }
            for line in &finding.evidence.log {
                // One queue's bind state is one line, whichever side it is about.
                if lines.last() != Some(line) {
                    lines.push(line.clone());
                }
            }
        }
        lines
    }
}
