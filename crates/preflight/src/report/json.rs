// SPDX-License-Identifier: MIT OR Apache-2.0
//! For programs: one JSON object.

use std::collections::BTreeMap;

use serde::Serialize;

use super::subject_name;
use crate::judge::{Finding, Judgement, Subject, Verdict};
use crate::rules::Evidence;

/// The whole answer.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Answer<'a> {
    verdict: Verdict,
    strict: bool,
    source: &'a str,
    destination: &'a str,
    source_mdev: &'a str,
    destination_mdev: &'a str,
    /// The driver's error code, where it is certain.
    errno: Option<&'static str>,
    /// What the destination's kernel logs until then.
    kernel_log: Vec<String>,
    queues: BTreeMap<String, Verdict>,
    control_domains: BTreeMap<String, Verdict>,
    findings: Vec<FindingRow<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct FindingRow<'a> {
    rule: &'a str,
    severity: &'static str,
    about: String,
    /// `no`: the rule does not hold; `unknown`: that is not known.
    holds: Verdict,
    #[serde(flatten)]
    evidence: &'a Evidence,
}

/// One line of JSON, with a newline.
///
/// # Errors
/// None in practice: strings and maps can always be written.
pub fn line(judgement: &Judgement, source: &str, destination: &str) -> serde_json::Result<String> {
    let subjects = judgement.subjects();
    let row = |finding: &'_ Finding| (finding.rule.id, finding.rule.severity.name(), subject_name(finding.subject));
    let answer = Answer {
        verdict: judgement.verdict(),
        strict: judgement.strict,
        source,
        destination,
        source_mdev: &judgement.source_mdev,
        destination_mdev: &judgement.destination_mdev,
        errno: judgement.refused_at().and_then(|step| step.errno()),
        kernel_log: judgement.kernel_log(),
        queues: subjects
            .iter()
            .filter_map(|(s, v)| if let Subject::Queue(apqn) = s { Some((apqn.to_string(), *v)) } else { None })
            .collect(),
        control_domains: subjects
            .iter()
            .filter_map(|(s, v)| if let Subject::ControlDomain(n) = s { Some((n.to_string(), *v)) } else { None })
            .collect(),
        findings: judgement
            .findings
            .iter()
            .map(|finding| {
                let (rule, severity, about) = row(finding);
                let holds = if finding.is_violated { Verdict::No } else { Verdict::Unknown };
                FindingRow { rule, severity, about, holds, evidence: &finding.evidence }
            })
            .collect(),
    };
    // A terminal that shows this may obey to more than ASCII's control characters, which JSON escapes by itself.
    let ascii = |text: String| -> String {
        text.chars()
            .map(|c| match c {
                ' '..='~' => c.to_string(),
                _ => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
            })
            .collect()
    };
    serde_json::to_string(&answer).map(|text| ascii(text) + "\n")
}
