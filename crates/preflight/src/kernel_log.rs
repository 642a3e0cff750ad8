// SPDX-License-Identifier: MIT OR Apache-2.0
//! The other way round: a line that the destination's kernel did log, and the rule that it is about. vfio-ap migration
//! spec 5.5. Spellings that will be tidied, a colon, an `in`, a blank too many, make no difference.

use ap_arch::{Apqi, Apqn, HwInfo, ResponseCode};

use crate::fix::Fix;
use crate::judge::{Judgement, Subject};
use crate::message;
use crate::rules::{RULES, Rule, Step};

/// What a line says.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The rule that does not hold; `None` for a line that only announces others, or that no rule is about.
    pub rule: Option<&'static Rule>,
    /// What it means, in a sentence.
    pub means: String,
    /// What helps, where something is known to.
    pub fix: Option<String>,
    /// Where the driver is when it logs this; the step has the error that goes with it.
    pub step: Step,
}

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One of these rules, of which the last is the one that says least.
    Rules(&'static [&'static str]),
    /// The heading of the lines about one queue.
    Heading,
    /// TAPQ failed; the response code stands at the end.
    Tapq,
    /// A mask was to take a queue that a mediated device has.
    Mask,
}

/// Words of a message with what differs from line to line taken out, and that.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shape {
    words: Vec<String>,
    queue: Option<Apqn>,
    /// The first number that is no queue's.
    number: Option<u8>,
}

fn shape(text: &str) -> Shape {
    let mut shape = Shape::default();
    let mut words = text.split_whitespace().peekable();
    // The driver's name and the device's, whichever of them a colon follows.
    if words.next_if(|word| word.trim_end_matches(':') == "vfio_ap_mdev").is_some() {
        words.next();
    }
    for word in words {
        let bare = word.trim_matches(['(', ')', ':']);
        let hex = |digits: &str| u16::from_str_radix(digits, 16).ok().and_then(|number| u8::try_from(number).ok());
        let number = match word.strip_prefix("rc=") {
            Some(decimal) => decimal.parse().ok(),
            None => hex(bare).filter(|_| word != bare || bare.len() == 4),
        };
        if let Some(queue) = bare.parse().ok().filter(|_| bare.contains('.')) {
            shape.queue = shape.queue.or(Some(queue));
            shape.words.push("%q".to_owned());
        } else if let Some(number) = number {
            shape.number = shape.number.or(Some(number));
            shape.words.push("%d".to_owned());
        } else if shape.words.ends_with(&["assigned".to_owned(), "to".to_owned()]) {
            shape.words.push("%s".to_owned());
        } else if !["in", "the"].contains(&word) {
            shape.words.push(if word == "destination" { "target".to_owned() } else { word.to_lowercase() });
        }
    }
    shape
}

/// Every message there is, made as a kernel makes it, with what it is about.
fn messages() -> impl Iterator<Item = (String, Kind)> {
    let (queue, rule) = (Apqn::new(0, 0), Kind::Rules);
    let facilities: [(u64, &'static [&'static str]); 8] = [
        (HwInfo::APSC, &["facility-apsc"]),
        (HwInfo::MEX4K, &["facility-mex4k"]),
        (HwInfo::CRT4K, &["facility-crt4k"]),
        (HwInfo::CCA, &["mode-cca"]),
        (HwInfo::ACCELERATOR, &["mode-accelerator"]),
        (HwInfo::EP11, &["mode-ep11"]),
        (HwInfo::APXA, &["facility-apxa"]),
        (HwInfo::SLCF, &["facility-slcf"]),
    ];
    let facilities = facilities.into_iter().flat_map(move |(bit, id)| {
        let lines = [true, false].into_iter().flat_map(move |on| message::facility("u", queue, bit, on));
        lines.map(move |line| (line, rule(id)))
    });
    let bind_state = &["source-bind-state", "destination-bind-state"];
    [
        (message::secure_execution("u"), rule(&["source-not-secure", "destination-not-secure"])),
        (message::queue_gone("u", queue), rule(&["queue-on-source", "queue-on-destination"])),
        (message::queue_failed("u", queue), Kind::Tapq),
        (message::not_available("u", queue), rule(&["queue-on-destination", "queue-released", "queue-bound"])),
        (message::not_compatible("u", queue), Kind::Heading),
        (message::control_domain("u", Apqi(0)), rule(&["control-domain-available"])),
        (message::already_assigned("u", queue, "v"), rule(&["queue-not-shared"])),
        (message::already_assigned_before(queue, "u"), rule(&["queue-not-shared"])),
        (message::in_use_by_mdev("u", queue), Kind::Mask),
        (message::ap_type("u", 0, 0), rule(&["ap-type"])),
        (message::bind_state("u", queue, 0, 0), rule(bind_state)),
        (message::does_not_work("u", queue, "deconfigured"), rule(&["queue-configured"])),
        (message::does_not_work("u", queue, "checkstopped"), rule(&["queue-not-checkstopped"])),
    ]
    .into_iter()
    .chain(message::class("u", queue).map(|line| (line, rule(&["class"]))))
    .chain(facilities)
}

/// What a line of the kernel's log says; `None` if it is none of the driver's about a migration. `judgement` of the
/// hosts as they are says which rule it is where the words alone do not, and what helps.
#[must_use]
pub fn explain(line: &str, judgement: Option<&Judgement>) -> Option<Explained> {
    let seen = shape(line);
    let (_, kind) = messages().find(|(message, _)| shape(message).words == seen.words)?;
    let ids = match kind {
        Kind::Heading => {
            let means = "the cards of this queue differ; the lines that follow say in what".to_owned();
            return Some(Explained { rule: None, means, fix: None, step: Step::Compatibility });
        }
        Kind::Tapq => {
            let code = ResponseCode(seen.number.unwrap_or_default());
            let name = code.name().unwrap_or("of no known name");
            let means = format!("the queue answered with response code {:02x}, {name}", code.0);
            let fix = Some("look at the queue there with lszcrypt -V".to_owned());
            return Some(Explained { rule: None, means, fix, step: Step::Snapshot });
        }
        Kind::Mask => {
            let means = "apmask or aqmask was to take this queue from the mediated device, and was refused with EBUSY";
            let fix =
                Some("take adapter or domain from the device first: unassign_adapter, unassign_domain".to_owned());
            return Some(Explained { rule: None, means: means.to_owned(), fix, step: Step::InUse });
        }
        Kind::Rules(ids) => ids,
    };
    let about = |subject: Subject| match subject {
        Subject::Hosts => true,
        // A line about types names no queue.
        Subject::Queue(apqn) => seen.queue.is_none_or(|queue| queue == apqn),
        Subject::ControlDomain(domain) => seen.number == Some(domain.0),
    };
    let findings = judgement.into_iter().flat_map(|judgement| &judgement.findings);
    let found = findings.filter(|found| found.is_violated && about(found.subject)).find(|f| ids.contains(&f.rule.id));
    let id = found.map_or(ids.last().copied(), |found| Some(found.rule.id))?;
    let rule = RULES.iter().find(|rule| rule.id == id)?;
    let fixes: Vec<String> = found.into_iter().flat_map(|found| &found.evidence.fix).map(Fix::to_string).collect();
    let fix = if fixes.is_empty() { usual(rule, &seen) } else { Some(fixes.join("; ")) };
    let step = match rule.severity {
        crate::rules::Severity::Refused(step) => step,
        _ => Step::Snapshot,
    };
    Some(Explained { rule: Some(rule), means: format!("must hold: {} ({})", rule.statement, rule.source), fix, step })
}

/// What helps when the hosts do not show by now what was wrong.
fn usual(rule: &Rule, seen: &Shape) -> Option<String> {
    let fix = match (rule.id, seen.queue) {
        ("queue-bound" | "queue-on-destination", Some(queue)) => Fix::Bind { queue, from: None },
        ("control-domain-available", _) => crate::rules::NO_CONTROL_DOMAIN,
        ("source-bind-state" | "destination-bind-state", _) => crate::rules::UNBIND,
        _ if rule.severity == crate::rules::Severity::Refused(Step::Compatibility) => crate::rules::OTHER_CARD,
        _ => return None,
    };
    Some(fix.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(line: &str) -> Option<&'static str> {
        explain(line, None).and_then(|explained| explained.rule).map(|rule| rule.id)
    }

    #[test]
    fn every_message_of_a_rule_leads_back_to_a_rule_that_there_is() {
        for (message, kind) in messages() {
            let explained = explain(&message, None).unwrap_or_else(|| panic!("{message}"));
            match kind {
                Kind::Rules(ids) => {
                    assert!(ids.contains(&explained.rule.map_or("", |rule| rule.id)), "{message}");
                    assert!(ids.iter().all(|id| RULES.iter().any(|rule| rule.id == *id)), "{ids:?}");
                }
                Kind::Heading | Kind::Tapq | Kind::Mask => assert!(explained.rule.is_none(), "{message}"),
            }
        }
    }

    #[test]
    fn spellings_that_will_be_tidied_make_no_difference() {
        for line in [
            "vfio_ap_mdev 8a2f: APSC facility installed in target queue 05.0033",
            "vfio_ap_mdev 8a2f APSC facility installed in target queue 05.0033",
            "vfio_ap_mdev 8a2f:  APSC facility installed target queue 05.0033",
        ] {
            assert_eq!(rule(line), Some("facility-apsc"), "{line}");
        }
        for line in [
            "vfio_ap_mdev 8a2f: Control domain 0044 not available on target host",
            "vfio_ap_mdev: 8a2f: Control domain 0044 not available on the destination host",
        ] {
            assert_eq!(rule(line), Some("control-domain-available"), "{line}");
        }
    }

    #[test]
    fn what_old_and_new_kernels_say_of_a_queue_that_another_device_has_is_one_rule() {
        for line in [
            "vfio_ap_mdev 8a2f: Userspace may not assign queue 00.0033 to mdev: already assigned to 9b3f",
            "vfio_ap_mdev 9b3f: Userspace may not re-assign queue 00.0033 already assigned to 9b3f",
            "Userspace may not re-assign queue 00.0033 already assigned to 9b3f",
        ] {
            assert_eq!(rule(line), Some("queue-not-shared"), "{line}");
        }
        let masks = "vfio_ap_mdev 9b3f: Can not reserve queue 00.0033 for host driver: in use by mdev";
        assert!(explain(masks, None).is_some_and(|explained| explained.means.contains("EBUSY")));
    }

    #[test]
    fn a_response_code_is_told_by_its_name() {
        let line = "vfio_ap_mdev u: Failed to get hwinfo for queue 05.0033: TAPQ rc=4";
        let explained = explain(line, None).expect("a message");
        assert!(explained.means.contains("04, checkstopped"), "{}", explained.means);
    }

    #[test]
    fn what_the_driver_says_at_other_times_is_no_message_about_a_migration() {
        for line in ["vfio_ap_mdev 8a2f: Adding to iommu group 3", "vfio_ap matrix: MDEV: Registered", ""] {
            assert!(explain(line, None).is_none(), "{line}");
        }
    }
}
