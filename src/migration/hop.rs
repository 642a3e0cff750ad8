// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one place that asks for a migration and waits for it. Everything is observed and computed before; the guest asks
//! the harness to migrate it and goes on computing until a key is pressed; then everything is observed and computed
//! again. The guest does not know whether it was migrated or the migration was refused: that follows from what it finds
//! in its queues.

use crate::ap::exchange::Failure;
use crate::ap::guest::Guest;
use crate::ap::instructions::{Answer, Ap};
use crate::ap::interruption::aqic_missing;
use crate::ap::log;
use crate::ap::master_keys::{self, Patterns};
use crate::ap::observe::{self, Observation};
use crate::ap::queue::Queue;
use crate::ap::rsa::{self, Vector};
use crate::case::outcome::{Stop, failed, skipped};
use crate::case::report;
use crate::case::suite::{Subject, Suite};
use crate::machine::clock::Deadline;
use crate::machine::{console, cpus, io, progress};
use crate::migration::continuous::{Continuous, Leg};
use crate::migration::left_in_queues::{FoundInQueues, LeftInQueues};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use ap_arch::Apqn;
use ap_arch::image::Options;
use ap_arch::report::handshake;

/// A runner that reads that there is nothing to migrate for presses the key at once, if at all.
const SKIP_KEY_LIMIT_MILLIS: u64 = 3000;
/// How long the guest works between two looks for the key. Every look is a service call, which in QEMU takes the lock
/// that the migration needs too.
const WORK_MILLIS: u64 = 1;
/// How long it rests after a look: a guest that writes to its memory without a pause migrates only once its host has
/// measured how fast memory moves, which takes QEMU a tenth of a second.
const REST_MILLIS: u64 = 2;

/// What was seen and computed around one migration.
pub(crate) struct Hop {
    before: Result<Observation, String>,
    after: Result<Observation, String>,
    /// How many accelerator queues there were for RSA.
    pub(crate) accelerators: usize,
    /// RSA on each of them, before.
    pub(crate) rsa_before: Result<(), String>,
    /// RSA on them in turn, until the key was pressed.
    pub(crate) rsa_on_the_way: Result<(), String>,
    /// RSA on each of them, after.
    pub(crate) rsa_after: Result<(), String>,
    /// What master keys coprocessors had, before.
    pub(crate) keys_before: Vec<Patterns>,
    /// What they have, after.
    pub(crate) keys_after: Vec<Patterns>,
    found: Result<FoundInQueues, String>,
    continuous: Result<Leg, String>,
    /// The queues that held something or were at work meanwhile.
    busy: Vec<Apqn>,
}

impl Subject for Hop {}

impl Hop {
    /// What was seen before.
    pub(crate) fn before(&self) -> Result<&Observation, Stop> {
        self.before.as_ref().map_err(|reason| Stop::Fail(format!("before: {reason}")))
    }

    /// What was seen after.
    pub(crate) fn after(&self) -> Result<&Observation, Stop> {
        self.after.as_ref().map_err(|reason| Stop::Fail(format!("after: {reason}")))
    }

    /// What was found in the queues that had been loaded.
    pub(crate) fn found_in_queues(&self) -> Result<&FoundInQueues, Stop> {
        let found = self.found.as_ref().map_err(|reason| Stop::Fail(reason.clone()))?;
        if found.queues.is_empty() { Err(skipped!("no queue was free to be loaded")) } else { Ok(found) }
    }

    /// The same, where interruption was on; without AQIC a case is not judged.
    pub(crate) fn found_armed(&self) -> Result<&FoundInQueues, Stop> {
        let found = self.found_in_queues()?;
        if found.unprompted.is_none() { Err(aqic_missing()) } else { Ok(found) }
    }

    /// The figures of the work without pause.
    pub(crate) fn continuous(&self) -> Result<&Leg, Stop> {
        self.continuous.as_ref().map_err(|reason| Stop::Skip(reason.clone()))
    }

    /// Whether the queue was left alone: empty, with interruption off.
    pub(crate) fn was_idle(&self, apqn: Apqn) -> bool {
        !self.busy.contains(&apqn)
    }
}

/// What a suite needs to be done and observed, beside QCI and TAPQ before and after.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs(u8);

impl Needs {
    /// Nothing else.
    pub(crate) const NOTHING: Self = Self(0);
    /// RSA on accelerator queues, before, meanwhile and after.
    pub(crate) const RSA: Self = Self(1);
    /// TAPQ of the queues outside of the matrix, after.
    pub(crate) const OUTSIDE: Self = Self(2);
    /// Messages in queues and interruption on.
    pub(crate) const LEFT_IN_QUEUES: Self = Self(4);
    /// Another CPU at work without pause.
    pub(crate) const CONTINUOUS: Self = Self(8);
    /// The master keys of coprocessors, before and after.
    pub(crate) const MASTER_KEYS: Self = Self(16);

    fn has(self, need: Self) -> bool {
        self.0 & need.0 != 0
    }
}

/// A suite that judges migrations, and what it needs.
pub(crate) type Judge = (Suite<Hop>, Needs);

/// Asks for the migrations of the command line and has the suites judge each.
pub(crate) fn run(guest: &Guest, suites: &[&Judge], options: &Options<'_>) {
    if suites.is_empty() {
        return;
    }
    let ap = match guest.configuration().and_then(|_| guest.ap()) {
        Ok(ap) => ap,
        Err(stop) => return skip(suites, &stop),
    };
    let needs = Needs(suites.iter().fold(0, |all, (_, needs)| all | needs.0));
    let mut continuous = if needs.has(Needs::CONTINUOUS) {
        start_continuous(guest, ap)
    } else {
        Err(String::from("it was not asked for"))
    };
    for number in 1..=options.migrations {
        if options.migrations > 1 {
            report::info(format_args!("migration {number} of {}", options.migrations));
        }
        match hop(&ap, needs, &mut continuous, options.timeout) {
            Ok(hop) => suites.iter().for_each(|(suite, _)| suite.run(&hop)),
            Err(NoKey) => {
                let stop = failed!("no key was pressed within {} s", options.timeout);
                suites.iter().for_each(|(suite, _)| suite.give_up(&stop));
                break;
            }
        }
    }
    if let Some(error) = continuous.ok().and_then(|continuous| continuous.end().err()) {
        report::info(format_args!("{error}"));
    }
}

fn start_continuous(guest: &Guest, ap: Ap) -> Result<Continuous, String> {
    let accelerators = rsa::accelerators(&guest.queues().map_err(Stop::reason)?);
    let queue = accelerators.first().ok_or("no accelerator in the matrix")?;
    Continuous::start(ap, *queue).map_err(|error| format!("{error}"))
}

/// No key was pressed in time.
struct NoKey;

fn hop(ap: &Ap, needs: Needs, continuous: &mut Result<Continuous, String>, timeout: u16) -> Result<Hop, NoKey> {
    // No suite needs what the other queues answered before: the suite `queues` has judged them.
    let before = observe(ap, false);
    let seen = before.as_ref().map_or(&[][..], |seen| &seen.queues);
    let mut busy: Vec<Apqn> = continuous.iter().map(|continuous| continuous.queue).collect();
    let hold = if needs.has(Needs::LEFT_IN_QUEUES) { one_queue_a_card(seen, &busy) } else { Vec::new() };
    busy.extend(hold.iter().map(|queue| queue.apqn));
    let mut queues = if needs.has(Needs::RSA) { rsa::accelerators(seen) } else { Vec::new() };
    queues.retain(|queue| !busy.contains(queue));
    let rsa_before = compute_on_each(ap, &queues);
    let keys = |seen: &[(Apqn, Answer)]| match needs.has(Needs::MASTER_KEYS) {
        true => master_keys::patterns(ap, seen),
        false => Vec::new(),
    };
    let keys_before = keys(seen);
    let left = LeftInQueues::leave(ap, &hold);

    log::migration_point();
    if let Ok(continuous) = continuous {
        continuous.announced();
    }
    console::print(format_args!("{}\n", handshake::MIGRATE_NOW));
    let (start, mut work) = (progress::steps(), Work::new(&queues));
    wait_for_key(u64::from(timeout) * 1000, || work.step(ap))?;
    let operations = progress::steps() - start;
    log::key(operations);
    if needs.has(Needs::RSA) || continuous.is_ok() {
        report::info(format_args!("{operations} RSA operations before the key, {} repeated", work.lost));
    }

    let after = observe(ap, needs.has(Needs::OUTSIDE));
    let keys_after = keys(after.as_ref().map_or(&[], |seen| &seen.queues));
    let found = left.map(|left| left.find(ap)).map_err(Stop::reason);
    let continuous = continuous.as_mut().map(Continuous::leg).map_err(|reason| reason.clone());
    let rsa_after = compute_on_each(ap, &queues);
    let (accelerators, rsa_on_the_way) = (queues.len(), work.result);
    Ok(Hop {
        before,
        after,
        accelerators,
        rsa_before,
        rsa_on_the_way,
        rsa_after,
        keys_before,
        keys_after,
        found,
        continuous,
        busy,
    })
}

/// The last usable queue of each card that is not busy.
fn one_queue_a_card(seen: &[(Apqn, Answer)], busy: &[Apqn]) -> Vec<Queue> {
    let usable = seen.iter().rev().filter_map(|(apqn, answer)| Queue::usable(*apqn, answer));
    let mut queues: Vec<Queue> = usable.filter(|queue| !busy.contains(&queue.apqn)).collect();
    queues.dedup_by_key(|queue| queue.apqn.apid);
    queues
}

/// Works, with rests, until a key is pressed.
fn wait_for_key(limit_millis: u64, mut work: impl FnMut()) -> Result<(), NoKey> {
    let deadline = Deadline::in_millis(limit_millis);
    while !deadline.is_over() {
        let next_look = Deadline::in_millis(WORK_MILLIS);
        while !next_look.is_over() {
            work();
            cpus::forget_translations();
        }
        if console::key_pressed() {
            return Ok(());
        }
        io::rest(REST_MILLIS);
    }
    Err(NoKey)
}

fn observe(ap: &Ap, outside: bool) -> Result<Observation, String> {
    Observation::take(ap, outside).map_err(Stop::reason)
}

fn compute_on_each(ap: &Ap, queues: &[Apqn]) -> Result<(), String> {
    queues
        .iter()
        .try_for_each(|apqn| rsa::compute(ap, *apqn, Vector::PRIVATE).map_err(|failure| Stop::from(failure).reason()))
}

/// RSA on the accelerator queues in turn, as long as every answer is right.
struct Work<'a> {
    queues: core::iter::Cycle<core::slice::Iter<'a, Apqn>>,
    lost: u32,
    result: Result<(), String>,
}

impl<'a> Work<'a> {
    fn new(queues: &'a [Apqn]) -> Self {
        Self { queues: queues.iter().cycle(), lost: 0, result: Ok(()) }
    }

    fn step(&mut self, ap: &Ap) {
        if self.result.is_err() {
            return;
        }
        let Some(apqn) = self.queues.next() else { return };
        self.result = match rsa::compute(ap, *apqn, Vector::PUBLIC) {
            Ok(()) => Ok(()),
            // One request can have been on its way when the guest left the host; it is repeated with the next step.
            Err(Failure::Lost(_)) if self.lost == 0 => {
                self.lost += 1;
                observe::settled(ap, *apqn);
                Ok(())
            }
            Err(Failure::Lost(_)) => {
                Err(format!("{apqn}: the queue is empty, and there was no reply; not for the first time"))
            }
            Err(Failure::Wrong(reason)) => Err(reason),
        };
    }
}

/// Nothing can be judged: the suites report that, and a runner that waits to migrate is asked not to.
fn skip(suites: &[&Judge], stop: &Stop) {
    suites.iter().for_each(|(suite, _)| suite.give_up(stop));
    console::print(format_args!("{}\n", handshake::MIGRATE_SKIPPED));
    // The guest goes on with or without a key.
    let _ = wait_for_key(SKIP_KEY_LIMIT_MILLIS, || ());
}
