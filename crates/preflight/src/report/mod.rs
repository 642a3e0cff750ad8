// SPDX-License-Identifier: MIT OR Apache-2.0
//! What came of it, for people and for programs. Every text of a snapshot is made harmless on its way out.

pub mod human;
pub mod json;
pub mod picture;

use ap_arch::{Apqi, Apqn, Mask256};

use crate::fix::Fix;
use crate::judge::{Finding, Judgement, Subject};
use crate::ranges;
use crate::text::plain;

/// Findings of one rule that saw the same: one paragraph.
struct Group<'a> {
    first: &'a Finding,
    subjects: Vec<Subject>,
    /// What would help all of them, each step once.
    fix: Vec<&'a Fix>,
}

impl Group<'_> {
    /// `05.0033, 06 x 0033,003a`, or `control domains 0044`.
    fn about(&self) -> String {
        let queue = |subject: &Subject| if let Subject::Queue(apqn) = subject { Some(*apqn) } else { None };
        let domain = |subject: &Subject| if let Subject::ControlDomain(Apqi(n)) = subject { Some(*n) } else { None };
        let queues: Vec<Apqn> = self.subjects.iter().filter_map(queue).collect();
        let domains: Mask256 = self.subjects.iter().filter_map(domain).collect();
        match (queues.len(), domains.len()) {
            (0, 0) => "hosts".to_owned(),
            (0, _) => {
                format!("control domain{} {}", if domains.len() == 1 { "" } else { "s" }, ranges::domains(domains))
            }
            _ => format!("queue{} {}", if queues.len() == 1 { "" } else { "s" }, ranges::queues(queues)),
        }
    }
}

/// Findings that have rule and values in common, in the order of the rules.
fn groups(judgement: &Judgement) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut of_rule = 0;
    for finding in &judgement.findings {
        let same_rule = |group: &Group<'_>| group.first.rule.id == finding.rule.id;
        if !groups.last().is_some_and(same_rule) {
            of_rule = groups.len();
        }
        let same = |group: &&mut Group<'_>| {
            let (a, b) = (group.first, finding);
            a.is_violated == b.is_violated
                && (&a.evidence.source, &a.evidence.destination) == (&b.evidence.source, &b.evidence.destination)
        };
        match groups[of_rule..].iter_mut().find(same) {
            Some(group) => {
                group.subjects.push(finding.subject);
                // Queues follow each other by adapter, and most steps are about adapters.
                group.fix.extend(finding.evidence.fix.iter());
                group.fix.dedup();
            }
            None => groups.push(Group {
                first: finding,
                subjects: vec![finding.subject],
                fix: finding.evidence.fix.iter().collect(),
            }),
        }
    }
    groups
}

/// A name of the rule's subject in one word, for programs.
#[must_use]
pub fn subject_name(subject: Subject) -> String {
    match subject {
        Subject::Hosts => "hosts".to_owned(),
        Subject::Queue(apqn) => format!("queue {apqn}"),
        Subject::ControlDomain(domain) => format!("control domain {domain}"),
    }
}

/// A shell script for the destination that does what commands can do. Printed, never run.
#[must_use]
pub fn fix(judgement: &Judgement) -> String {
    let title = format!("What kaput preflight proposes for mediated device {}", plain(&judgement.destination_mdev));
    crate::fix::script(&title, judgement.fixes())
}
