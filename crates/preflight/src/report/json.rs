// SPDX-License-Identifier: MIT OR Apache-2.0
//! For programs: one JSON object. A queue is described in the words of the CEX DRA driver: `apid`, `apqi`, `type`,
//! `generation`, `queue_status`, `mkvp_state`.

use std::collections::BTreeMap;

use ap_arch::{Apqn, CardMode, HwInfo};
use serde::Serialize;

use super::subject_name;
use crate::host::Host;
use crate::judge::{Finding, Judgement, Subject, Verdict};
use crate::pair::Pair;
use crate::reserve::VFIO_AP;
use crate::rules::Evidence;

/// The version of the object's form: `fix` was once called `mend`, and a queue was its verdict alone.
const VERSION: u32 = 2;

/// The whole answer.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Answer<'a> {
    version: u32,
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
    queues: BTreeMap<String, QueueRow>,
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

/// One queue of the guest.
#[derive(Serialize)]
struct QueueRow {
    apid: String,
    apqi: String,
    verdict: Verdict,
    source: Described,
    destination: Described,
}

/// What a host says of a queue.
#[derive(Serialize)]
struct Described {
    /// `cca`, `ep11`, `accel`.
    #[serde(rename = "type")]
    kind: Option<&'static str>,
    /// `CEX8`.
    generation: Option<&'static str>,
    /// `online`, `offline`, `bound-vfio`, `unbound`, `unknown`.
    queue_status: &'static str,
    /// `known`: as the card says; `cached`: read before vfio_ap got the queue; `unknown`.
    mkvp_state: &'static str,
}

fn described(host: &Host, apqn: Apqn) -> Described {
    let bits = [HwInfo::CCA, HwInfo::EP11, HwInfo::ACCELERATOR];
    let word = bits.into_iter().filter(|bit| host.bit(apqn, *bit) == Ok(true)).fold(0, |word, bit| word | bit);
    let kind = HwInfo(word).mode().map(|mode| match mode {
        CardMode::Cca => "cca",
        CardMode::Ep11 => "ep11",
        CardMode::Accelerator => "accel",
    });
    let card = host.card(apqn.apid).ok().flatten();
    let generation = card.and_then(|card| card.ap_type.clone().ok()).and_then(|ap_type| ap_type.name());
    let queue = host.queue(apqn).ok().flatten();
    let driver = host.driver(apqn);
    let queue_status = match (queue, &driver) {
        (None, _) | (_, Err(_)) => "unknown",
        (_, Ok(Some(VFIO_AP))) => "bound-vfio",
        (_, Ok(None)) => "unbound",
        (Some(queue), Ok(Some(_))) => match queue.online {
            Ok(true) => "online",
            Ok(false) => "offline",
            Err(_) => "unknown",
        },
    };
    let mkvp_state = match (queue.map(|queue| &queue.master_keys), driver) {
        (Some(Ok(keys)), Ok(Some(VFIO_AP))) if !keys.is_empty() => "cached",
        (Some(Ok(keys)), _) if !keys.is_empty() => "known",
        _ => "unknown",
    };
    Described { kind, generation, queue_status, mkvp_state }
}

/// One line of JSON, with a newline.
///
/// # Errors
/// None in practice: strings and maps can always be written.
pub fn line(pair: &Pair<'_>, judgement: &Judgement, source: &str, destination: &str) -> serde_json::Result<String> {
    let subjects = judgement.subjects();
    let row = |finding: &'_ Finding| (finding.rule.id, finding.rule.severity.name(), subject_name(finding.subject));
    let queue = |apqn: Apqn, verdict: Verdict| QueueRow {
        apid: apqn.apid.to_string(),
        apqi: apqn.apqi.to_string(),
        verdict,
        source: described(pair.source, apqn),
        destination: described(pair.destination, apqn),
    };
    let answer = Answer {
        version: VERSION,
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
            .filter_map(
                |(s, v)| if let Subject::Queue(apqn) = s { Some((apqn.to_string(), queue(*apqn, *v))) } else { None },
            )
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
    serde_json::to_string(&answer).map(|text| ascii(&text) + "\n")
}

/// JSON without anything but ASCII: a terminal that shows it may obey to more than ASCII's control characters, which
/// are escaped anyway.
#[must_use]
pub fn ascii(json: &str) -> String {
    let escaped = |c: char| match c {
        ' '..='~' => c.to_string(),
        _ => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    };
    json.chars().map(escaped).collect()
}
