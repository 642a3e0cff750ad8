// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verdict on a run that came to its end: what the guest and the devices said, held against what the scenario
//! expects. A pure function: same evidence, same verdict. `docs/verdicts.md` says in which order it asks.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use ap_arch::image::MIGRATION_SUITE_BEGINS;
use ap_arch::report::{CaseVerdict, ExitStatus};

use crate::guest::report::Guest;
use crate::outcome::symptoms;
use crate::outcome::transfer::Transfer;
use crate::outcome::verdict::{Kind, RunVerdict};
use crate::scenario::pattern::contains;
use crate::scenario::{ExpectedOutcome, Scenario};

/// Everything a verdict stands on.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// What must happen.
    pub scenario: &'a Scenario,
    /// The cases of the chosen suites, as the image exports them.
    pub cases: &'a [&'a str],
    /// What the guest said.
    pub guest: &'a Guest,
    /// What the devices did, one entry for each migration that came so far.
    pub transfers: &'a [Transfer],
    /// The host the guest ended on.
    pub host: &'a str,
    /// What stands on the console after the last complete line.
    pub unfinished_line: &'a str,
}

/// Judges. The first question that finds something decides.
#[must_use]
pub fn judge(evidence: &Evidence<'_>) -> RunVerdict {
    let questions: [fn(&Evidence<'_>) -> Option<RunVerdict>; 10] = [
        garbage,
        unexpected_failures,
        refusals,
        cut_off,
        migrations,
        never_ran,
        damage_not_noticed,
        skipped,
        figures,
        information,
    ];
    let found = questions.iter().find_map(|question| question(evidence));
    let mut verdict = found.unwrap_or_else(|| as_expected(evidence));
    verdict.host.get_or_insert_with(|| evidence.host.to_owned());
    verdict
}

fn as_expected(evidence: &Evidence<'_>) -> RunVerdict {
    let guest = evidence.guest;
    let passed = guest.count(CaseVerdict::Pass);
    let scenario = evidence.scenario;
    let happened = match scenario.expect.outcome() {
        ExpectedOutcome::Pass if evidence.transfers.is_empty() => {
            format!("the guest's cases are as they should be: {passed} passed")
        }
        ExpectedOutcome::Pass => format!("the guest kept its crypto: {passed} cases passed"),
        ExpectedOutcome::Refused => {
            format!("refused as it should be, and the guest ran on unharmed: {passed} cases passed")
        }
        ExpectedOutcome::GuestFails => "the guest noticed the damage, as it should".to_owned(),
    };
    let mut verdict = RunVerdict::new(Kind::AsExpected, happened);
    verdict.findings.clone_from(&scenario.expect.findings);
    verdict
}

fn garbage(evidence: &Evidence<'_>) -> Option<RunVerdict> {
    let first = evidence.guest.garbage.first()?;
    let happened = format!("lines of the guest's console are no text: {}", evidence.guest.garbage.len());
    Some(
        RunVerdict::new(Kind::ConsoleGarbage, happened)
            .expected("text, in the grammar of the report")
            .seen(format!("the first: {first}"))
            .next("the consoles are in the run folder, byte for byte"),
    )
}

fn unexpected_failures(evidence: &Evidence<'_>) -> Option<RunVerdict> {
    let fails = |verdict| matches!(verdict, CaseVerdict::Fail | CaseVerdict::Xpass);
    let expect = &evidence.scenario.expect;
    let failed = evidence.guest.cases.iter().filter(|case| fails(case.verdict) && !expect.must_fail(&case.name));
    let failed: Vec<String> = failed.map(|case| with_detail(&case.name, case.detail.as_deref())).collect();
    if failed.is_empty() && evidence.guest.abort.is_none() {
        return None;
    }
    let gave_up = evidence.guest.abort.iter().map(|reason| format!("the guest gave up: {reason}"));
    let seen: Vec<String> = failed.iter().cloned().chain(gave_up).collect();
    let happened = match failed.as_slice() {
        [] => "the guest gave up".to_owned(),
        [one] => format!("the guest's case {one} failed"),
        many => format!("{} of the guest's cases failed", many.len()),
    };
    let mut verdict =
        RunVerdict::new(Kind::GuestFailed, happened).expected("these cases pass").seen(seen.join("\n")).next(
            "the guest's last AP instructions stand above, its console and its whole log are in the run folder; \
            --trace \
               shows every instruction of a run, decoded",
        );
    let names = evidence.guest.cases.iter().filter(|case| fails(case.verdict)).map(|case| case.name.as_str());
    verdict.suspects = symptoms::suspects(&names.collect::<Vec<_>>()).into_iter().map(str::to_owned).collect();
    Some(verdict)
}

fn refusals(evidence: &Evidence<'_>) -> Option<RunVerdict> {
    let expected = evidence.scenario.refused_hop();
    for (number, transfer) in evidence.transfers.iter().enumerate() {
        let wanted = expected.filter(|(hop, _)| *hop == number).map(|(_, refusal)| refusal);
        let migration = number + 1;
        match (&transfer.refused, wanted) {
            (None, None) => {}
            (None, Some(refusal)) => {
                let happened = format!("host {} accepted migration {migration}", transfer.to);
                let verdict = RunVerdict::new(Kind::NotRefused, happened).on(&transfer.to);
                return Some(
                    verdict.expected(format!("refused with {}", refusal.errno)).next(
                        "the guest may now use queues that were never checked: compare the hosts of the scenario",
                    ),
                );
            }
            (Some(refused), None) => {
                let happened = format!("host {} refused migration {migration} with {}", transfer.to, refused.errno);
                let verdict = RunVerdict::new(Kind::RefusedUnexpectedly, happened).on(&transfer.to);
                let seen = said(&refused.desc, &refused.messages);
                return Some(verdict.expected("accepted").seen(seen).next("compare the hosts of the scenario"));
            }
            (Some(refused), Some(refusal)) => {
                let right_messages = refused.messages.len() == refusal.messages.len()
                    && refused.messages.iter().zip(&refusal.messages).all(|(seen, pattern)| contains(seen, pattern));
                if refused.errno != refusal.errno || !right_messages {
                    let happened = format!("host {} refused migration {migration}, but not as it should", transfer.to);
                    let expected = said(&refusal.errno.to_string(), &refusal.messages);
                    let seen = said(&refused.errno.to_string(), &refused.messages);
                    let next =
                        "the error and the driver's messages are what an administrator has: compare them line by line";
                    let verdict = RunVerdict::new(Kind::WrongRefusal, happened).on(&transfer.to);
                    return Some(verdict.expected(expected).seen(seen).next(next));
                }
            }
        }
    }
    None
}

fn cut_off(evidence: &Evidence<'_>) -> Option<RunVerdict> {
    let guest = evidence.guest;
    let missing = match (guest.summary, guest.exit) {
        (Some(_), Some(_)) => return None,
        (None, Some(_)) => "SUMMARY",
        (_, None) if evidence.guest.asked > evidence.scenario.hops().len() => return None,
        (Some(_), None) => "EXIT",
        (None, None) => "SUMMARY and EXIT",
    };
    let happened = format!("the guest ended without {missing}");
    let mut seen = format!("its last line was {}", guest.last_words());
    if !evidence.unfinished_line.is_empty() {
        seen.push_str(&format!(", then `{}` without an end", evidence.unfinished_line));
    }
    let next = "the guest crashed or was cut off: see the end of the console and the last AP instructions";
    Some(RunVerdict::new(Kind::NoSummary, happened).expected("a report with its last words").seen(seen).next(next))
}

fn migrations(evidence: &Evidence<'_>) -> Option<RunVerdict> {
    let (asked, hops) = (evidence.guest.asked, evidence.scenario.hops().len());
    let kind = match asked.cmp(&hops) {
        Ordering::Less => Kind::NeverAsked,
        Ordering::Equal => return None,
        Ordering::Greater => Kind::AskedTooOften,
    };
    let happened = format!("the guest asked for {asked} migrations, the scenario has {hops}");
    let next =
        format!("the suites `{MIGRATION_SUITE_BEGINS}…` ask for them; image and scenario may not belong together");
    Some(RunVerdict::new(kind, happened).expected(format!("{hops}")).seen(format!("{asked}")).next(next))
}

fn never_ran(evidence: &Evidence<'_>) -> Option<RunVerdict> {
    let told: BTreeSet<&str> = evidence.guest.cases.iter().map(|case| case.name.as_str()).collect();
    let missing: Vec<&str> = evidence.cases.iter().copied().filter(|case| !told.contains(case)).collect();
    let first = missing.first()?;
    let happened = match missing.len() {
        1 => format!("the case {first} never ran"),
        n => format!("{n} cases never ran"),
    };
    let next = "the image exports these cases for the chosen suites, and the report has no line of them";
    Some(RunVerdict::new(Kind::CaseNeverRan, happened).expected("a line for each").seen(missing.join("\n")).next(next))
}

fn damage_not_noticed(evidence: &Evidence<'_>) -> Option<RunVerdict> {
    let failed =
        |name: &str| evidence.guest.cases.iter().any(|case| case.name == name && case.verdict == CaseVerdict::Fail);
    let must_fail = |case: &&str| evidence.scenario.expect.must_fail(case);
    let quiet: Vec<&str> = evidence.cases.iter().copied().filter(must_fail).filter(|case| !failed(case)).collect();
    let first = quiet.first()?;
    let happened = format!("the guest did not notice the damage: {first} did not fail");
    Some(
        RunVerdict::new(Kind::GuestPassedButShouldFail, happened)
            .expected("these cases fail, because the scenario does damage that they look for")
            .seen(quiet.join("\n"))
            .next("a test that cannot fail is worth nothing: look at what these cases compare"),
    )
}

fn skipped(evidence: &Evidence<'_>) -> Option<RunVerdict> {
    let expect = &evidence.scenario.expect;
    let wrong =
        evidence.guest.cases.iter().filter(|case| (case.verdict == CaseVerdict::Skip) != expect.skips(&case.name));
    let wrong: Vec<String> = wrong
        .map(|case| match case.verdict {
            CaseVerdict::Skip => format!("{} was skipped", with_detail(&case.name, case.detail.as_deref())),
            _ => format!("{} ran", case.name),
        })
        .collect();
    let first = wrong.first()?;
    let happened = match wrong.len() - 1 {
        0 => format!("the case {first}, and the scenario says otherwise"),
        more => format!("the case {first}, and the scenario says otherwise; so it is with {more} more"),
    };
    let next = "a case that is skipped checks nothing; what must be skipped stands under `skipped` in the scenario";
    Some(
        RunVerdict::new(Kind::CaseSkipped, happened)
            .expected("a skip of each case that the scenario names, and no other")
            .seen(wrong.join("\n"))
            .next(next),
    )
}

fn figures(evidence: &Evidence<'_>) -> Option<RunVerdict> {
    let guest = evidence.guest;
    let summary = guest.summary?;
    let mut counted = ap_arch::report::Summary::default();
    guest.cases.iter().for_each(|case| counted.count(case.verdict));
    let exit = guest.exit.unwrap_or(ExitStatus::ABORT);
    if (counted, counted.exit_status()) == (summary, exit) {
        return None;
    }
    let happened = "the guest's figures do not agree with its lines";
    let seen = format!("{summary}, {exit}");
    let next = "lines were lost on the way, or the image counts wrong: compare the consoles in the run folder";
    let expected = format!("{counted}, {}", counted.exit_status());
    Some(RunVerdict::new(Kind::Contradiction, happened).expected(expected).seen(seen).next(next))
}

fn information(evidence: &Evidence<'_>) -> Option<RunVerdict> {
    let unsaid = |text: &&String| !evidence.guest.info.iter().any(|info| contains(info, text));
    let missing = evidence.scenario.expect.info.iter().find(unsaid)?;
    let seen = if evidence.guest.info.is_empty() { "no INFO line".to_owned() } else { evidence.guest.info.join("\n") };
    let happened = "the guest did not report what it should have noticed";
    let next =
        "the INFO lines of the whole report are in the run folder; `info` of the scenario names what must be there";
    let verdict = RunVerdict::new(Kind::InfoMissing, happened).expected(format!("an INFO line with `{missing}`"));
    Some(verdict.seen(seen).next(next))
}

fn with_detail(name: &str, detail: Option<&str>) -> String {
    detail.map_or_else(|| name.to_owned(), |detail| format!("{name} ({detail})"))
}

fn said(first: &str, messages: &[String]) -> String {
    std::iter::once(first).chain(messages.iter().map(String::as_str)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
