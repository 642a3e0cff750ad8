// SPDX-License-Identifier: MIT OR Apache-2.0
//! Preflight against the model of the driver: random pairs of hosts, snapshots taken from the model's sysfs, and then
//! the migration itself. "Yes" must be a migration that succeeds, "no" one that is refused with the error and the lines
//! that were foretold, and "unknown" must be said only where an input was withheld.
//!
//! `KAPUT_PAIRS=100000 cargo test --release -p preflight --test model` tries that many pairs instead of a few thousand.

mod fleet;
mod hosts;
mod migration;

use std::collections::BTreeSet;
use std::sync::Arc;

use preflight::fix::{Fix, Write};
use preflight::judge::{Judgement, Verdict, judge};
use preflight::rules::{Check, Outcome, Rule, Severity};
use preflight::{Host, Pair, RULES, collect};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestRunner};

use hosts::{Case, MDEV, ModelTree, case};
use migration::Truth;

fn pairs() -> u32 {
    std::env::var("KAPUT_PAIRS").ok().and_then(|text| text.parse().ok()).unwrap_or(3_000)
}

/// Both hosts as preflight sees them, and what their migration comes to.
struct Seen {
    source: Host,
    destination: Host,
    truth: Truth,
    withheld: bool,
}

fn read(tree: &ModelTree) -> Host {
    Host::new(&collect::collect(tree)).expect("the model prints what the kernel prints")
}

/// `None` for a case that no administrator could set up.
fn look(case: &Case) -> Option<Seen> {
    let (source, destination) = (case.source()?, case.destination()?);
    let (a, b) = (read(&case.tree(&source, 0)), read(&case.tree(&destination, 1)));
    let truth = migration::migrate(&source, &destination);
    Some(Seen { source: a, destination: b, truth, withheld: !case.withheld.is_empty() })
}

fn judged(seen: &Seen, rules: &[Rule]) -> Judgement {
    let pair = Pair::new(&seen.source, &seen.destination, Some(MDEV), None).expect("the source has the device");
    judge(&pair, rules, false)
}

/// What is wrong with a judgement, if anything is.
fn disagreement(judgement: &Judgement, seen: &Seen) -> Result<(), String> {
    let verdict = judgement.verdict();
    match (verdict, &seen.truth.refused) {
        (Verdict::Unknown, _) if seen.withheld || judgement.is_empty() => return Ok(()),
        (Verdict::Unknown, _) => return Err("unknown, and nothing was withheld".to_owned()),
        (Verdict::Yes, Some(errno)) => return Err(format!("yes, and the model refuses with {errno}")),
        (Verdict::No, None) => return Err("no, and the model migrates".to_owned()),
        _ => {}
    }
    if let (Some(step), Some(errno)) = (judgement.refused_at(), &seen.truth.refused) {
        if step.errno() != Some(errno) {
            return Err(format!("{step:?} was foretold, and the model refuses with {errno}"));
        }
        let foretold = judgement.kernel_log();
        let logged = &seen.truth.errors;
        let mut rest = logged.iter();
        let all_came = foretold.iter().all(|line| rest.any(|logged| logged == line));
        // Where something is withheld, lines may be missing; wrong ones and wrong order are wrong even then.
        if !all_came || (foretold != *logged && !seen.withheld) {
            return Err(format!("foretold {foretold:#?}, logged {logged:#?}"));
        }
    }
    if verdict == Verdict::No && !seen.withheld && judgement.refused_at().is_none() {
        return Err("no, and nobody says where".to_owned());
    }
    if verdict == Verdict::Yes && !seen.withheld {
        let breaks = judgement.findings.iter().filter(|f| f.rule.severity == Severity::Breaks && f.is_violated);
        let foretold: BTreeSet<&String> = breaks.flat_map(|finding| &finding.evidence.log).collect();
        if foretold != seen.truth.warnings.iter().collect() {
            return Err(format!("foretold {foretold:#?}, warned {:#?}", seen.truth.warnings));
        }
    }
    Ok(())
}

#[test]
fn what_is_foretold_is_what_happens() {
    let mut counts = [0u32; 4];
    let mut runner = TestRunner::new(Config { cases: pairs(), failure_persistence: None, ..Config::default() });
    let counted = std::cell::RefCell::new(&mut counts);
    let result = runner.run(&case(), |case| {
        let Some(seen) = look(&case) else {
            counted.borrow_mut()[3] += 1;
            return Ok(());
        };
        let judgement = judged(&seen, RULES);
        counted.borrow_mut()[judgement.verdict() as usize] += 1;
        let wrong = |reason| proptest::test_runner::TestCaseError::fail(format!("{reason}\n{:#?}", judgement.findings));
        disagreement(&judgement, &seen).map_err(wrong)
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let [yes, unknown, no, impossible] = counts;
    println!("{yes} yes, {no} no, {unknown} unknown, {impossible} could not be set up");
    assert!(counts.iter().take(3).all(|count| *count > pairs() / 30), "one answer hardly ever came: {counts:?}");
    assert!(impossible < pairs() / 4, "{impossible} pairs could not be set up");
}

/// Gives the destination what `--fix` proposes, what is a comment in it included, until it proposes nothing any more.
/// What the model's sysfs cannot do is left out.
fn apply(source: &Host, case: &Case, destination: &Arc<vfio_ap::Host>) -> Judgement {
    for _ in 0..3 {
        let host = read(&case.tree(destination, 1));
        let pair = Pair::new(source, &host, Some(MDEV), None).expect("the source has the device");
        let judgement = judge(&pair, RULES, false);
        let violated = judgement.findings.iter().filter(|finding| finding.is_violated);
        let steps: BTreeSet<Fix> = violated.flat_map(|finding| finding.evidence.fix.clone()).collect();
        let steps = steps.iter().filter(|step| !matches!(step, Fix::Configure(_)));
        let writes: Vec<Write> = steps.flat_map(Fix::writes).collect();
        if writes.is_empty() {
            return judgement;
        }
        for Write { value, path, .. } in &writes {
            destination.sysfs_write(path, value).unwrap_or_else(|error| panic!("{value} > {path}: {error}"));
        }
    }
    panic!("the third round still proposes something");
}

#[test]
fn what_is_proposed_helps_against_what_was_found() {
    let mut runner = TestRunner::deterministic();
    let strategy = case();
    let (mut helped, mut refused) = (0, 0);
    while refused < 300 {
        let mut case = strategy.new_tree(&mut runner).expect("a case").current();
        case.withheld.clear();
        let (Some(source), Some(destination)) = (case.source(), case.destination()) else { continue };
        let before = read(&case.tree(&source, 0));
        let host = read(&case.tree(&destination, 1));
        let pair = Pair::new(&before, &host, Some(MDEV), None).expect("the source has the device");
        let judgement = judge(&pair, RULES, false);
        if judgement.verdict() == Verdict::Yes || judgement.is_empty() {
            continue;
        }
        refused += 1;
        let after = apply(&before, &case, &destination);
        if after.verdict() == Verdict::Yes {
            helped += 1;
            assert_eq!(migration::migrate(&source, &destination).refused, None);
        }
    }
    println!("{helped} of {refused} refused migrations could be made possible by commands");
    assert!(helped > 50, "{helped}");
}

/// A rule that always holds: what an author gets wrong who forgets it.
fn without(rules: &[Rule], id: &str) -> Vec<Rule> {
    let blind = |check| match check {
        Check::Once(_) => Check::Once(|_| Outcome::Holds),
        Check::Queue(_) => Check::Queue(|_, _| Outcome::Holds),
        Check::ControlDomain(_) => Check::ControlDomain(|_, _| Outcome::Holds),
    };
    let mutate = |rule: &Rule| if rule.id == id { Rule { check: blind(rule.check), ..*rule } } else { *rule };
    rules.iter().map(mutate).collect()
}

/// Rules that no pair of hosts of the model can break: it has no QEMU, and always a driver that migrates and the
/// device; its queue lists are products, and a number above a maximum is unavailable first.
const OUT_OF_REACH: [&str; 11] = [
    "qemu-not-blocked",
    "qemu-can-migrate",
    "source-migratable",
    "destination-driver",
    "destination-migratable",
    "destination-mdev",
    "queue-on-source",
    "queue-list-is-product",
    "adapter-limit",
    "domain-limit",
    "control-domain-limit",
];

#[test]
fn every_rule_that_is_forgotten_is_noticed() {
    let mut runner = TestRunner::deterministic();
    let strategy = case();
    let mut seen = Vec::new();
    while seen.len() < 2_000 {
        let mut case = strategy.new_tree(&mut runner).expect("a case").current();
        case.withheld.clear();
        seen.extend(look(&case));
    }
    let agrees = |rules: &[Rule]| seen.iter().all(|seen| disagreement(&judged(seen, rules), seen).is_ok());
    assert!(agrees(RULES), "the rules as they are must agree");
    let counts =
        |rule: &&Rule| rule.severity != Severity::Note && rule.id != "master-keys" && !OUT_OF_REACH.contains(&rule.id);
    let forgotten: Vec<&str> = RULES.iter().filter(counts).map(|rule| rule.id).collect();
    assert!(forgotten.len() >= 20, "{} rules can be asked of the model", forgotten.len());
    for id in &forgotten {
        assert!(!agrees(&without(RULES, id)), "nobody noticed that {id} was forgotten");
    }
    println!("{} rules forgotten one at a time, each noticed", forgotten.len());
}
