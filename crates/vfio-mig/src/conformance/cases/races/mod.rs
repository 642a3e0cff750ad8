// SPDX-License-Identifier: MIT OR Apache-2.0
//! What only calls at the same time show, or the kernel's own checkers: lifetimes, locks, leaks. The cases are data: a
//! sequence of calls, how often, and who judges. A call that never ends is a finding in all of them, and so is whatever
//! the kernel complains about.

mod table;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::super::fixture::{A, B};
use super::super::record::Stop;
use super::super::script::Script;
use super::super::side::Side;
use super::Case;
use crate::catalogue::elsewhere;
use crate::sequence::{Done, Player, Sequence, devices};
use crate::{Answered, Capability, DeviceError};

pub use table::RACES;

/// One case.
pub struct Race {
    /// Its name, behind `races/`.
    pub name: &'static str,
    /// Findings of the catalogue that it catches by itself.
    pub covers: &'static [&'static str],
    /// Where the rule stands.
    pub source: &'static str,
    /// How often at most: until something is found.
    pub rounds: u32,
    /// Who judges besides the kernel.
    pub judge: Judge,
    /// What it needs besides.
    pub needs: &'static [Capability],
    /// The calls of one round.
    pub steps: &'static str,
}

/// Who judges besides the kernel's complaints, by the last two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// Nobody: that every call ends is enough.
    Kernel,
    /// At most one may succeed.
    OneSucceeds,
    /// They may not be the same bytes.
    TheyDiffer,
    /// If the second ended while the first waited, the first may not succeed.
    NothingLate,
    /// The kernel's memory: nothing of it may become more with every round.
    NoLeak,
}

/// The case that judges drivers without migration as well.
const FIRST_OF_ALL: &str = "failing-allocations-of-a-new-device";

/// Live allocations of a function that became more in so many of a hundred rounds are a leak: others come and go.
const LEAKS_OF_100: u64 = 80;

pub(super) fn cases() -> Vec<Case> {
    let case = |race: &'static Race| {
        let case = Case::new(format!("races/{}", race.name), race.source, move |script| judge(script, race));
        let migrates = race.name != FIRST_OF_ALL;
        let case = case.covers(race.covers).needs(race.needs).dangerous();
        if migrates { case } else { case.without_migration() }
    };
    RACES.iter().map(case).collect()
}

/// The sequence of a case, by its name without `races/`.
#[must_use]
pub fn sequence(race: &Race) -> Sequence {
    // A test reads all of them.
    race.steps.parse().unwrap_or_default()
}

fn broken(error: &DeviceError) -> Stop {
    Stop::Broken(error.to_string())
}

fn judge(script: &Script<'_>, race: &Race) -> Result<(), Stop> {
    let side = script.source()?;
    let before = allocations(&side, race)?;
    let (sequence, devices) = (sequence(race), devices(&*side.host, &[A, B]));
    let mut player = Player::new(&*side.host, &devices).map_err(|error| match error {
        DeviceError::Transport(reason) => Stop::Broken(reason),
        error => super::super::side::unprepared("reading the stream", &error.to_string()),
    })?;
    let mut round = 0;
    let is_over = loop {
        round += 1;
        let mut ended = Vec::new();
        for step in &sequence.0 {
            ended.extend(player.step(step, round).map_err(|error| broken(&error))?);
        }
        ended.extend(player.finish().map_err(|error| broken(&error))?);
        if round == 1
            && let Some(set) = ended.iter().find(|done| done.call.starts_with("set "))
            && matches!(set.result, Err(DeviceError::Refused { .. }))
        {
            break Err(super::super::side::unprepared(&set.call, &set.answer()));
        }
        let verdict = look(race.judge, &ended);
        // When the number is higher than the calls have allocations, none fails, and all were tried.
        let mut failing = ended.iter().filter(|done| done.call.starts_with("fail ")).peekable();
        let all_tried = failing.peek().is_some() && failing.all(|done| !done.failed);
        let complaints = side.host.complaints().map_err(|error| broken(&error))?;
        let complains = complaints.iter().any(|complaint| elsewhere(complaint).is_none());
        if all_tried && round == 1 && verdict.is_ok() && !complains {
            break Err(Stop::Skip("no allocation could be made to fail".to_owned()));
        }
        if verdict.is_err() || complains || all_tried || round >= race.rounds {
            note(script, race, round, &ended);
            break verdict;
        }
    };
    drop(player);
    is_over?;
    match before {
        // After a few rounds whatever grew would be a leak.
        Some(before) if round >= race.rounds => leaks(&before, &allocations(&side, race)?.unwrap_or_default(), round),
        _ => Ok(()),
    }
}

/// Puts the calls of the round on record by which it was decided.
fn note(script: &Script<'_>, race: &Race, round: u32, ended: &[Done]) {
    if race.rounds > 1 {
        script.call(format!("round {round} of {}:", race.rounds));
    }
    for done in ended {
        script.call(format!("source: {} = {}", done.call, done.answer()));
    }
}

/// What the answers of a round say.
fn look(judge: Judge, ended: &[Done]) -> Result<(), Stop> {
    let finding = |what: &str, expected: &str, seen: String| {
        Err(Stop::Finding { what: what.to_owned(), expected: expected.to_owned(), seen })
    };
    if let Some(Done { call, result: Err(error @ DeviceError::Hung(_)), .. }) =
        ended.iter().find(|done| matches!(done.result, Err(DeviceError::Hung(_))))
    {
        return finding(call, "an answer", error.to_string());
    }
    let [.., first, second] = ended else { return Ok(()) };
    match (judge, &first.result, &second.result) {
        (Judge::OneSucceeds, Ok(_), Ok(_)) => {
            finding(&second.call, "an error of one of the two", "both succeed".into())
        }
        (Judge::TheyDiffer, Ok(Answered::Bytes(one)), Ok(Answered::Bytes(other)))
            if one == other && !one.is_empty() =>
        {
            finding(&second.call, "other bytes than the first has", format!("the same {} bytes twice", one.len()))
        }
        (Judge::NothingLate, Ok(_), Ok(_)) if second.overtook => {
            finding(&first.call, "an error: its session is over", "it succeeds".to_owned())
        }
        _ => Ok(()),
    }
}

/// Live allocations, if the case is about them.
fn allocations(side: &Side<'_>, race: &Race) -> Result<Option<BTreeMap<String, u64>>, Stop> {
    if race.judge != Judge::NoLeak {
        return Ok(None);
    }
    match side.host.allocations() {
        Ok(alive) => Ok(Some(alive)),
        Err(DeviceError::Refused { detail, .. }) => Err(Stop::Skip(detail)),
        Err(error) => Err(broken(&error)),
    }
}

/// What became more with nearly every round.
fn leaks(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>, rounds: u32) -> Result<(), Stop> {
    let mut after = after.clone();
    for (function, count) in before {
        if let Entry::Occupied(mut more) = after.entry(function.clone()) {
            *more.get_mut() = more.get().saturating_sub(*count);
        }
    }
    let least = u64::from(rounds) * LEAKS_OF_100 / 100;
    let leaks: Vec<String> = after
        .iter()
        .filter(|(_, more)| **more > 0 && **more >= least)
        .map(|(function, more)| format!("{more} allocations of {function}"))
        .collect();
    if leaks.is_empty() {
        return Ok(());
    }
    let what = format!("memory of the kernel after {rounds} rounds");
    Err(Stop::Finding { what, expected: "as before".to_owned(), seen: format!("more: {}", leaks.join(", ")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequences_of_all_cases_are_read() {
        for race in RACES {
            let sequence: Sequence = race.steps.parse().unwrap_or_else(|error| panic!("{}: {error}", race.name));
            assert!(!sequence.0.is_empty(), "{}", race.name);
        }
    }

    fn done(result: Result<Answered, DeviceError>, overtook: bool) -> Done {
        Done { call: "a call".to_owned(), result, overtook, failed: false }
    }

    #[test]
    fn each_judge_finds_what_it_is_for_and_nothing_else() {
        let bytes = |byte: u8| done(Ok(Answered::Bytes(vec![byte; 24])), false);
        let written = |overtook| done(Ok(Answered::Written(80)), overtook);
        let refused = done(Err(crate::Errno::EIO.into()), false);
        let hung = done(Err(DeviceError::Hung("it does".to_owned())), false);
        let found = |judge, ended: &[Done]| look(judge, ended).is_err();
        assert!(found(Judge::Kernel, &[hung]));
        assert!(!found(Judge::Kernel, &[written(false), written(true)]));
        assert!(found(Judge::OneSucceeds, &[written(false), written(false)]));
        assert!(!found(Judge::OneSucceeds, &[written(false), refused.clone()]));
        assert!(found(Judge::TheyDiffer, &[bytes(1), bytes(1)]));
        assert!(!found(Judge::TheyDiffer, &[bytes(1), bytes(2)]));
        assert!(found(Judge::NothingLate, &[written(false), written(true)]));
        assert!(!found(Judge::NothingLate, &[refused, written(true)]));
        assert!(!found(Judge::NothingLate, &[written(false), written(false)]));
    }

    #[test]
    fn a_leak_is_what_grows_with_the_rounds() {
        let alive = |count| BTreeMap::from([("f".to_owned(), count), ("g".to_owned(), 7)]);
        assert!(leaks(&alive(10), &alive(60), 50).is_err());
        assert!(leaks(&alive(10), &alive(30), 50).is_ok());
        assert!(leaks(&BTreeMap::new(), &alive(0), 50).is_ok());
    }
}
