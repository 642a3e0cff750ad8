// SPDX-License-Identifier: MIT OR Apache-2.0
//! What people and programs read of a rule: the whole of each finding, and what the answer makes of it.

use std::fmt::Write as _;

use ap_arch::{Apqi, Apqn};
use preflight::Attribute;
use preflight::judge::{Judgement, Subject, Verdict};
use preflight::rules::Step;

use super::fixture::{DESTINATION, Hosts, SOURCE, UUID, config};
use super::{ROWS, findings};

/// One rule's first finding, and what the whole answer says.
fn told(hosts: &Hosts, id: &str) -> String {
    let found = findings(hosts, id);
    let evidence = &found[0].evidence;
    let (word, judgement) = (if found[0].is_violated { "broken" } else { "not known" }, hosts.judge());
    let errno = judgement.refused_at().and_then(|step| step.errno()).unwrap_or("-");
    let (verdict, severity) = (judgement.verdict(), found[0].rule.severity.name());
    let mut text = format!("{id}, {severity}, {word}, {} times: {verdict}, {errno}\n", found.len());
    let mut line = |what: &str, value: &str| _ = writeln!(text, "  {what:<12}{value}");
    line("source", &evidence.source);
    line("destination", &evidence.destination);
    evidence.fix.iter().for_each(|fix| line("fix", &fix.to_string()));
    evidence.log.iter().for_each(|log| line("log", log));
    // All but the first lines are the same of other queues.
    let kernel = judgement.kernel_log();
    kernel.iter().take(4).for_each(|log| line("kernel", log));
    line("in all", &format!("{} lines of the kernel", kernel.len()));
    text.replace(UUID, "GUEST")
}

#[test]
fn what_each_rule_says_where_it_is_broken_and_where_that_is_not_known() {
    let mut text = String::new();
    for (id, violate, withhold) in ROWS {
        for change in [Some(violate), withhold.as_ref()].into_iter().flatten() {
            let mut hosts = Hosts::new();
            change(&mut hosts);
            text += &told(&hosts, id);
        }
    }
    insta::assert_snapshot!(text);
}

/// Each rule that has a finding, with `!` where one is broken and `?` where none is.
fn marks(judgement: &Judgement) -> String {
    let mut marks: Vec<(&str, bool)> = Vec::new();
    for finding in &judgement.findings {
        match marks.last_mut() {
            Some((id, is_violated)) if *id == finding.rule.id => *is_violated |= finding.is_violated,
            _ => marks.push((finding.rule.id, finding.is_violated)),
        }
    }
    marks
        .iter()
        .map(|(id, is_violated)| format!("{id}{}", if *is_violated { '!' } else { '?' }))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The first queue is gone from the destination, which has these numbers at most.
fn limits(hosts: &mut Hosts, adapter: &str, domain: &str) {
    hosts.drop_queue(DESTINATION, "05.0033");
    hosts.set(DESTINATION, "bus", "ap_max_adapter_id", adapter);
    hosts.set(DESTINATION, "bus", "ap_max_domain_id", domain);
}

/// The first queue has no driver on the destination, whose masks are these.
fn unbound(hosts: &mut Hosts, adapters: &str, domains: &str) {
    hosts.unbind(DESTINATION, "05.0033");
    hosts.masks(DESTINATION, adapters, domains);
}

fn on_both(hosts: &mut Hosts, file: &'static str, text: &str) {
    [SOURCE, DESTINATION].into_iter().for_each(|side| hosts.queue(side, file, text));
}

#[test]
fn what_is_right_at_the_edges_of_the_rules() {
    type Change = fn(&mut Hosts);
    let situations: &[(&str, Change, &str)] = &[
        ("a stateless card to a native one", |h| h.flip(SOURCE, 8), "way-back!"),
        ("a card to an older type", |h| h.card_type(SOURCE, "15"), "ap-type!"),
        ("two stateless cards", |h| [SOURCE, DESTINATION].into_iter().for_each(|side| h.flip(side, 8)), ""),
        ("KubeVirt on the source alone", |h| h.set(SOURCE, "host", "kubevirt", "node"), "kubevirt-sweep!"),
        ("the highest numbers that there can be", |h| limits(h, "5", "51"), "queue-on-destination! master-keys?"),
        (
            "numbers above the highest",
            |h| limits(h, "4", "50"),
            "queue-on-destination! adapter-limit! domain-limit! master-keys?",
        ),
        ("adapters in the mask, domains not", |h| unbound(h, "04", "00"), "queue-bound!"),
        ("domains in the mask, adapters not", |h| unbound(h, "02", "ff"), "queue-bound! queue-given!"),
        (
            "domains in the mask, adapters not known",
            |h| {
                unbound(h, "04", "ff");
                h.hide(DESTINATION, "bus", "apmask");
            },
            "queue-released? queue-bound! queue-given? ap-check?",
        ),
        (
            "domains not in the mask, adapters not known",
            |h| {
                unbound(h, "04", "00");
                h.hide(DESTINATION, "bus", "apmask");
            },
            "queue-bound!",
        ),
        (
            "all is reserved, and an override may have given a queue",
            |h| {
                h.masks_full(DESTINATION);
                h.hide_drivers(DESTINATION);
            },
            "queue-released? ap-check!",
        ),
        (
            "all is reserved, and there are no overrides",
            |h| {
                h.masks_full(DESTINATION);
                h.without_overrides(DESTINATION);
                h.hide_drivers(DESTINATION);
            },
            "queue-released! ap-check!",
        ),
        (
            "what is not reserved is given by no override",
            |h| {
                h.masks(DESTINATION, "04", "ff");
                h.hide_drivers(DESTINATION);
            },
            "queue-released! queue-bound?",
        ),
        (
            "the destination has a part of what the guest brings",
            |h| h.mdev(DESTINATION, "ap_config", &config(&[5], &[0x33], &[0x33])),
            "",
        ),
        (
            "a control domain that the source does not have either",
            |h| {
                h.mdev(SOURCE, "ap_config", &config(&[5, 6], &[0x33, 0x3a], &[0x33, 0x3a, 0x99]));
                h.mdev(SOURCE, "control_domains", "0033\n003a\n0099");
            },
            "",
        ),
        (
            "control domains of which the source says nothing",
            |h| {
                h.hide(SOURCE, "bus", "ap_control_domain_mask");
                h.control_mask(DESTINATION, &[0x33]);
                h.set(DESTINATION, "bus", "ap_max_domain_id", "57");
            },
            "control-domain-available?",
        ),
        (
            "of queues that are assigned, and nobody knows whether given, nothing is certain",
            |h| {
                h.hide_mdev(SOURCE, "guest_matrix");
                h.set(SOURCE, "vfio-ap", "features", "guest_matrix");
                h.card_type(DESTINATION, "13");
            },
            "source-migratable! queue-list-is-product? ap-type? guest-not-filtered?",
        ),
        (
            "no facilities on one host, not known of the other",
            |h| {
                h.set(SOURCE, "host", "facilities", "0 1 12");
                h.hide(DESTINATION, "host", "facilities");
            },
            "facilities-reported!",
        ),
        (
            "nothing for ap-check to refuse",
            |h| {
                h.guest_without_domains();
                h.masks_full(DESTINATION);
            },
            "guest-has-queues!",
        ),
        (
            "accelerators have no master keys",
            |h| {
                on_both(h, "ap_functions", "0x8a800000");
                h.queue(DESTINATION, "mkvps", "AES CUR: valid 0x02");
            },
            "",
        ),
        (
            "a register that one side does not name",
            |h| h.queue(DESTINATION, "mkvps", "AES CUR: valid 0x01"),
            "master-keys?",
        ),
        ("no current register", |h| on_both(h, "mkvps", "AES OLD: valid 0x01"), "master-keys?"),
        (
            "keys that one side does not say",
            |h| h.each_of(DESTINATION, "queue", "mkvps", &Attribute::unreadable("Permission denied")),
            "master-keys?",
        ),
        (
            "a device that nobody has beside one of which nothing is known",
            |h| {
                h.other_mdev_hidden();
                h.add_mdev(DESTINATION, "another", "05.0033");
            },
            "queue-not-shared!",
        ),
    ];
    let seen = situations.iter().map(|(situation, change, _)| {
        let mut hosts = Hosts::new();
        change(&mut hosts);
        (*situation, marks(&hosts.judge()))
    });
    let expected = situations.iter().map(|(situation, _, expected)| (*situation, (*expected).to_owned()));
    assert_eq!(seen.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[test]
fn each_queue_and_each_control_domain_has_an_answer_of_its_own() {
    let queue = |adapter| Subject::Queue(Apqn::new(adapter, 0x33));
    let mut hosts = Hosts::new();
    hosts.drop_queue(DESTINATION, "05.0033");
    hosts.control_mask(DESTINATION, &[0x33]);
    hosts.queue_file(DESTINATION, "06.0033", "mkvps", "AES CUR: - -");
    let mut subjects = hosts.judge_strictly().subjects();
    let mut answer = |subject| subjects.remove(&subject).expect("an answer");
    assert_eq!([5, 6].map(|adapter| answer(queue(adapter))), [Verdict::No, Verdict::Unknown]);
    assert_eq!([0x33, 0x3a].map(|n| answer(Subject::ControlDomain(Apqi(n)))), [Verdict::Yes, Verdict::No]);
    let others: Vec<(Subject, Verdict)> = subjects.into_iter().collect();
    assert_eq!(others, [5, 6].map(|adapter| (Subject::Queue(Apqn::new(adapter, 0x3a)), Verdict::Yes)));
}

#[test]
fn where_it_is_refused_is_known_only_if_no_step_before_may_refuse_it() {
    let mut hosts = Hosts::new();
    assert_eq!((hosts.judge().refused_at(), hosts.judge().kernel_log()), (None, Vec::new()));
    hosts.queue(DESTINATION, "config", "0");
    assert_eq!(hosts.judge().refused_at(), None, "what breaks refuses nothing");
    hosts.card_type(DESTINATION, "13");
    assert_eq!(hosts.judge().refused_at(), Some(Step::Compatibility));
    hosts.hide_drivers(DESTINATION);
    assert_eq!((hosts.judge().refused_at(), hosts.judge().verdict()), (None, Verdict::No));
    hosts.drop_queue(SOURCE, "05.0033");
    assert_eq!(hosts.judge().refused_at(), Some(Step::Snapshot));
}

#[test]
fn the_exit_status_tells_the_answers_apart() {
    let all = [Verdict::Yes, Verdict::No, Verdict::Unknown];
    assert_eq!(
        all.map(|verdict| (verdict.exit_status(), verdict.to_string())),
        [(0, "yes"), (1, "no"), (3, "unknown")].map(|(status, word)| (status, word.to_owned()))
    );
}
