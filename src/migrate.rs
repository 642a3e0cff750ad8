// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one place that asks for a migration and waits for it. Everything is observed and computed before, the harness is
//! told, the guest goes on computing until a key is pressed, and everything is observed and computed again. The guest
//! does not know whether it was migrated or the migration was refused: the same must hold either way.

use crate::ap::Ap;
use crate::exchange::Failure;
use crate::guest::Guest;
use crate::log;
use crate::machine::clock::Deadline;
use crate::machine::{console, progress};
use crate::observe::Observation;
use crate::report;
use crate::rsa::{self, Vector};
use crate::suites::{Stop, Subject, Suite};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use ap_arch::Apqn;
use ap_arch::image::Options;
use ap_arch::report::{Verdict, handshake};

/// A runner that was told there is nothing to migrate for presses the key at once, if at all.
const SKIP_KEY_LIMIT_MILLIS: u64 = 3000;
/// How often the key is looked for. Every look is a service call, which in QEMU takes the lock that the migration needs
/// too.
const KEY_INTERVAL_MILLIS: u64 = 1;

/// What was seen and computed around one migration.
pub(crate) struct Hop {
    before: Result<Observation, String>,
    after: Result<Observation, String>,
    /// How many accelerator queues there were before.
    pub(crate) accelerators: usize,
    /// RSA on each accelerator queue, before.
    pub(crate) rsa_before: Result<(), String>,
    /// RSA on the accelerator queues in turn, until the key was pressed.
    pub(crate) rsa_on_the_way: Result<(), String>,
    /// RSA on each accelerator queue, after.
    pub(crate) rsa_after: Result<(), String>,
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
}

/// The suite whose work is done while the guest is migrated.
const COMPUTING: &str = "migration-rsa";

/// Asks for the migrations of the command line and has the suites judge each.
pub(crate) fn run(guest: &Guest, suites: &[&Suite<Hop>], options: &Options<'_>) {
    if suites.is_empty() {
        return;
    }
    let ap = match guest.configuration().and_then(|_| guest.ap()) {
        Ok(ap) => ap,
        Err(stop) => return skip(suites, stop),
    };
    for number in 1..=options.migrations {
        if options.migrations > 1 {
            report::info(format_args!("migration {number} of {}", options.migrations));
        }
        match hop(&ap, suites.iter().any(|suite| suite.name == COMPUTING), options.timeout) {
            Ok(hop) => suites.iter().for_each(|suite| suite.run(&hop)),
            Err(NoKey) => {
                let reason = format!("no key was pressed within {} s", options.timeout);
                return suites.iter().for_each(|suite| suite.give_up(Verdict::Fail, &reason));
            }
        }
    }
}

/// Nobody pressed a key in time.
struct NoKey;

fn hop(ap: &Ap, computing: bool, timeout: u16) -> Result<Hop, NoKey> {
    let before = observe(ap);
    let queues = match &before {
        Ok(seen) if computing => rsa::accelerators(&seen.queues),
        _ => Vec::new(),
    };
    let rsa_before = compute_on_each(ap, &queues);

    log::migration_point();
    console::print(format_args!("{}\n", handshake::MIGRATE_NOW));
    let (start, mut work) = (progress::steps(), Work::new(&queues));
    wait_for_key(u64::from(timeout) * 1000, || work.step(ap))?;
    let operations = progress::steps() - start;
    log::key(operations);
    if computing {
        report::info(format_args!("{operations} RSA operations before the key, {} repeated", work.lost));
    }

    let after = observe(ap);
    let rsa_after = compute_on_each(ap, &queues);
    Ok(Hop { before, after, accelerators: queues.len(), rsa_before, rsa_on_the_way: work.result, rsa_after })
}

/// Works until a key is pressed.
fn wait_for_key(limit_millis: u64, mut work: impl FnMut()) -> Result<(), NoKey> {
    let deadline = Deadline::in_millis(limit_millis);
    while !deadline.is_over() {
        let next_look = Deadline::in_millis(KEY_INTERVAL_MILLIS);
        while !next_look.is_over() {
            work();
        }
        if console::key_pressed() {
            return Ok(());
        }
    }
    Err(NoKey)
}

fn observe(ap: &Ap) -> Result<Observation, String> {
    Observation::take(ap).map_err(|stop| match stop {
        Stop::Fail(reason) | Stop::Skip(reason) => reason,
    })
}

fn compute_on_each(ap: &Ap, queues: &[Apqn]) -> Result<(), String> {
    queues.iter().try_for_each(|apqn| {
        rsa::compute(ap, *apqn, Vector::PRIVATE).map_err(|failure| match failure {
            Failure::Lost => format!("{apqn}: the queue is empty, and there was no reply"),
            Failure::Wrong(reason) => reason,
        })
    })
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
            Err(Failure::Lost) if self.lost == 0 => {
                self.lost += 1;
                Ok(())
            }
            Err(Failure::Lost) => {
                Err(format!("{apqn}: the queue is empty, and there was no reply; not for the first time"))
            }
            Err(Failure::Wrong(reason)) => Err(reason),
        };
    }
}

/// Nothing can be judged: the suites say so, and a runner that waits to migrate is told not to.
fn skip(suites: &[&Suite<Hop>], stop: Stop) {
    let (verdict, reason) = match stop {
        Stop::Skip(reason) => (Verdict::Skip, reason),
        Stop::Fail(reason) => (Verdict::Fail, reason),
    };
    suites.iter().for_each(|suite| suite.give_up(verdict, &reason));
    console::print(format_args!("{}\n", handshake::MIGRATE_SKIPPED));
    // Without a key the guest goes on all the same.
    let _ = wait_for_key(SKIP_KEY_LIMIT_MILLIS, || ());
}
