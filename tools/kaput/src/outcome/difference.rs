// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two runs of one scenario with different drivers: what the guest and the devices said otherwise the second time. It
//! needs no expectation: where one driver is known, it is what the other is held against.

use ap_arch::report::CaseVerdict;

use crate::guest::report::Case;
use crate::outcome::events::Event;
use crate::outcome::finished::Finished;
use crate::outcome::transfer::Transfer;
use crate::outcome::verdict::Exit;

/// The first thing that was otherwise, in words; `None` where both drivers did the same.
#[must_use]
pub fn difference(one: &Finished, other: &Finished) -> Option<String> {
    let transfers = |events: &[Event]| Transfer::all(events).iter().map(in_words).collect::<Vec<_>>();
    let cases = |cases: &[Case]| cases.iter().map(line).collect::<Vec<_>>();
    first(&transfers(&one.events), &transfers(&other.events))
        .or_else(|| first(&cases(&one.cases), &cases(&other.cases)))
        .or_else(|| first(&[ending(one)], &[ending(other)]))
}

fn first(one: &[String], other: &[String]) -> Option<String> {
    let at = (0..one.len().max(other.len())).find(|at| one.get(*at) != other.get(*at))?;
    let shown = |lines: &[String]| lines.get(at).cloned().unwrap_or_else(|| "nothing more".to_owned());
    Some(format!("{}\nand: {}", shown(one), shown(other)))
}

fn in_words(transfer: &Transfer) -> String {
    let to = &transfer.to;
    transfer.refused.as_ref().map_or_else(
        || format!("host {to} was given the guest"),
        |refused| format!("host {to} refused with {}: {}", refused.errno, refused.messages.join("; ")),
    )
}

/// A failure with its reason: that of others may have figures that are never the same.
fn line(case: &Case) -> String {
    let Case { name, verdict, detail } = case;
    let reason =
        detail.as_ref().filter(|_| *verdict == CaseVerdict::Fail).map_or(String::new(), |detail| format!(": {detail}"));
    format!("{} {name}{reason}", verdict.word())
}

/// How the run ended. What depends on the scenario's expectation stands in the cases and refusals already.
fn ending(finished: &Finished) -> String {
    let verdict = &finished.verdict;
    match verdict.kind.exit() {
        Exit::AsExpected => "as expected".to_owned(),
        _ => format!("{}: {}", verdict.kind, verdict.happened),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::events::What;
    use crate::outcome::verdict::{Kind, RunVerdict};

    fn finished(kind: Kind, refused: bool, case: (CaseVerdict, &str)) -> Finished {
        let mut all = vec![What::MigrationBegun { migration: 1, to: "B".into() }];
        if refused {
            let messages = vec!["Queue 05.0033 missing".to_owned()];
            all.push(What::Refused { errno: "ENODEV".into(), reason: String::new(), messages });
        }
        let events = all.into_iter().map(|what| Event { at: 0.0, host: None, what }).collect();
        let cases = vec![Case { name: "a/b".into(), verdict: case.0, detail: Some(case.1.to_owned()) }];
        let verdict = RunVerdict::new(kind, "it happened");
        Finished { scenario: "x".into(), verdict, events, cases, trace: None }
    }

    #[test]
    fn the_first_thing_that_is_otherwise_is_named() {
        let usual = || finished(Kind::AsExpected, false, (CaseVerdict::Pass, "1 us"));
        assert_eq!(difference(&usual(), &finished(Kind::AsExpected, false, (CaseVerdict::Pass, "2 us"))), None);
        let words = |other: &Finished| difference(&usual(), other).expect("they differ");
        insta::assert_snapshot!(words(&finished(Kind::RefusedUnexpectedly, true, (CaseVerdict::Fail, "x"))), @r"
        host B was given the guest
        and: host B refused with ENODEV: Queue 05.0033 missing
        ");
        insta::assert_snapshot!(words(&finished(Kind::GuestFailed, false, (CaseVerdict::Fail, "lost"))), @r"
        PASS a/b
        and: FAIL a/b: lost
        ");
        insta::assert_snapshot!(words(&finished(Kind::DeviceFailed, false, (CaseVerdict::Pass, ""))), @r"
        as expected
        and: device-failed: it happened
        ");
    }

    #[test]
    fn failures_for_another_reason_differ() {
        let [one, other] =
            ["05 lost", "06 lost"].map(|why| finished(Kind::GuestFailed, false, (CaseVerdict::Fail, why)));
        assert!(difference(&one, &other).is_some() && difference(&one, &one).is_none());
    }
}
