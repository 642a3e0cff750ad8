// SPDX-License-Identifier: MIT OR Apache-2.0
//! A scenario: hosts, a guest, what is done, what must happen. The types are the file's grammar; `docs/scenarios.md` is
//! its reference. Unknown keys are errors. [`load`] finds and reads files and points at what is wrong in them.

pub mod action;
pub mod ask;
mod check;
mod driver;
mod hosts;
pub mod load;
mod moment;
pub mod pattern;
pub mod random;

pub(crate) use hosts::USUAL_UUID;

use std::collections::BTreeMap;
use std::num::{NonZeroU8, NonZeroU16, NonZeroUsize};
use std::time::Duration;

use ap_arch::image::Options;
use ap_arch::report::CaseVerdict;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use toml::Spanned;
use vfio_mig::Errno;

pub use action::{Action, ActionKind};
pub use driver::DriverName;
pub use hosts::{HostSpec, MdevSpec};
pub use moment::Moment;

/// One scenario file.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// Its name: the file's, without `.toml`.
    #[serde(skip)]
    pub name: String,
    /// One sentence for people.
    pub summary: String,
    /// Words to choose scenarios by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether QEMU runs with the plugin; without it there is no AP, and no migration of it.
    #[serde(default = "yes")]
    pub plugin: bool,
    /// Which driver stands between the hosts: `model`, `model:PROFILE`, `lab`, or `lab:BZIMAGE`.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "String"))]
    pub driver: DriverName,
    /// The guest.
    pub guest: GuestSpec,
    /// The hosts, by name.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, HostSpec>"))]
    pub hosts: BTreeMap<Spanned<String>, HostSpec>,
    /// What is migrated where, in this order.
    #[serde(default)]
    pub migrations: Vec<Step>,
    /// What happens at named moments.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// What hosts and bystanders are asked at named moments, and what they must answer.
    #[serde(default)]
    pub asks: Vec<ask::Ask>,
    /// What must happen.
    pub expect: Expect,
    /// How long each wait may take.
    #[serde(default)]
    pub deadlines: Deadlines,
}

const fn yes() -> bool {
    true
}

/// The guest.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GuestSpec {
    /// The image's suites, in this order.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub suites: Vec<Spanned<String>>,
    /// The host it starts on; without it the first by name.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub start: Option<Spanned<String>>,
    /// How many CPUs it has.
    #[serde(default = "one_cpu")]
    #[cfg_attr(test, schemars(with = "NonZeroU8"))]
    pub cpus: Spanned<NonZeroU8>,
    /// How many milliseconds it waits at most for what an adapter owes it, a reply for example; without it as long as
    /// each case has it.
    pub patience: Option<NonZeroU16>,
}

fn one_cpu() -> Spanned<NonZeroU8> {
    Spanned::new(0..0, NonZeroU8::MIN)
}

/// One or more migrations with the same settings.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// The destinations, one after the other.
    #[serde(deserialize_with = "one_or_more")]
    #[cfg_attr(test, schemars(schema_with = "crate::scenario::tests::schema::one_or_more"))]
    pub to: Vec<Spanned<String>>,
    /// How often the list is gone through.
    #[serde(default = "once")]
    pub rounds: NonZeroUsize,
    /// How the migrations are done.
    #[serde(default)]
    pub with: How,
}

const fn once() -> NonZeroUsize {
    NonZeroUsize::MIN
}

/// How a migration is done.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct How {
    /// Bytes a write to the destination's stream has; without it the stream is one write.
    pub write_chunk: Option<NonZeroUsize>,
    /// Bytes a read from the source's stream asks for; without it as many as there are.
    pub read_chunk: Option<NonZeroUsize>,
    /// Whether the guest must be seen to work while pages move.
    pub mid_run: bool,
    /// Bytes a second QEMU may send; without it there is no limit.
    pub bandwidth: Option<u64>,
    /// Milliseconds the guest may stand still.
    pub downtime: Option<u64>,
    /// Bytes of the stream after which the destination gets no more, as if the connection had ended there.
    pub cut: Option<usize>,
    /// A bit of the stream that the destination gets the wrong way round.
    pub flip: Option<Flip>,
    /// Whether the destination gets the whole stream a second time.
    pub twice: bool,
    /// The mediated device on the source whose stream the destination gets; without it the guest's own.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub stream_of: Option<Spanned<String>>,
}

/// One bit of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Flip {
    /// Which byte, from 0.
    pub byte: usize,
    /// Which of its bits; 0 is the leftmost.
    #[serde(deserialize_with = "bit")]
    pub bit: u8,
}

/// What must happen.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    /// The outcome.
    #[cfg_attr(test, schemars(with = "ExpectedOutcome"))]
    pub result: Spanned<ExpectedOutcome>,
    /// With `result = "refused"`: how.
    #[serde(default)]
    pub refused: Option<Refusal>,
    /// With `result = "guest-fails"`: the cases that fail, all of them, as `suite/case`; `*` stands for any text.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub failing: Vec<Spanned<String>>,
    /// The cases that are skipped, all of them, as `suite/case`; `*` stands for any text.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub skipped: Vec<Spanned<String>>,
    /// Texts that INFO lines of the guest must contain; `*` stands for any text.
    #[serde(default)]
    pub info: Vec<String>,
    /// The findings that this scenario shows.
    #[serde(default)]
    pub findings: Vec<String>,
}

impl Expect {
    /// The outcome.
    #[must_use]
    pub fn outcome(&self) -> ExpectedOutcome {
        *self.result.get_ref()
    }

    /// Whether a case must be skipped.
    #[must_use]
    pub fn skips(&self, case: &str) -> bool {
        self.skipped.iter().any(|pattern| pattern::fits(case, pattern.get_ref()))
    }

    /// Whether a case must notice damage: it fails at least once.
    #[must_use]
    pub fn must_fail(&self, case: &str) -> bool {
        self.outcome() == ExpectedOutcome::GuestFails
            && self.failing.iter().any(|pattern| pattern::fits(case, pattern.get_ref()))
    }

    /// Whether a line of the guest's report is as this scenario has it: the case passed, was skipped where it must be,
    /// or failed where it must notice damage.
    #[must_use]
    pub fn is_right(&self, case: &str, verdict: CaseVerdict) -> bool {
        match verdict {
            CaseVerdict::Pass => !self.skips(case),
            CaseVerdict::Skip => self.skips(case),
            CaseVerdict::Fail => self.must_fail(case),
            _ => false,
        }
    }
}

/// The outcome a scenario expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ExpectedOutcome {
    /// Every migration succeeds and every case of the guest passes.
    Pass,
    /// One migration is refused, the guest runs on where it was, and every case passes.
    Refused,
    /// Every migration succeeds and the guest notices damage.
    GuestFails,
}

/// A refusal.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Refusal {
    /// The error of the write that completes the stream.
    #[serde(deserialize_with = "errno")]
    #[cfg_attr(test, schemars(schema_with = "crate::scenario::tests::schema::errno"))]
    pub errno: Errno,
    /// Each error and warning of the destination's driver, in order, as a part of its text; `*` stands for any text.
    #[serde(default)]
    pub messages: Vec<String>,
    /// Which migration is refused, from 1; without it the last.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<NonZeroUsize>"))]
    pub migration: Option<Spanned<NonZeroUsize>>,
}

/// How long each wait may take, in seconds.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Deadlines {
    /// A QEMU's start, to its answer and the plugin's.
    #[serde(deserialize_with = "seconds")]
    #[cfg_attr(test, schemars(schema_with = "crate::scenario::tests::schema::seconds"))]
    pub start: Duration,
    /// The guest, from one of its milestones to the next: first line, each request for a migration, end.
    #[serde(deserialize_with = "seconds")]
    #[cfg_attr(test, schemars(schema_with = "crate::scenario::tests::schema::seconds"))]
    pub guest: Duration,
    /// Each step of a migration: memory up to the switch-over, the rest.
    #[serde(deserialize_with = "seconds")]
    #[cfg_attr(test, schemars(schema_with = "crate::scenario::tests::schema::seconds"))]
    pub migration: Duration,
    /// Each answer of QEMU or the plugin.
    #[serde(deserialize_with = "seconds")]
    #[cfg_attr(test, schemars(schema_with = "crate::scenario::tests::schema::seconds"))]
    pub answer: Duration,
}

impl Default for Deadlines {
    /// Generous: a loaded machine is slow, and a run that goes well waits for nothing.
    fn default() -> Self {
        let [start, guest, migration, answer] = [30, 60, 60, 20].map(Duration::from_secs);
        Self { start, guest, migration, answer }
    }
}

/// One migration of a run.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// The destination.
    pub to: &'a str,
    /// How it is done.
    pub with: &'a How,
}

impl Scenario {
    /// Puts this driver between the hosts.
    pub fn choose(&mut self, driver: DriverName) {
        let profile = if let DriverName::Model(profile) = driver { profile } else { None };
        self.hosts.values_mut().for_each(|host| host.of_driver = profile);
        self.driver = driver;
    }

    /// Makes the random numbers of all cards those of a seed, but on hosts whose topology has one: what a run with the
    /// same seed got, this one gets.
    pub fn sow(&mut self, seed: u64) {
        for (number, host) in (0..).zip(self.hosts.values_mut()) {
            host.topology.seed.get_or_insert(seed.wrapping_add(number));
        }
    }

    /// The host the guest starts on.
    #[must_use]
    pub fn start(&self) -> &str {
        let first = || self.hosts.keys().next().map_or("", |name| name.get_ref());
        self.guest.start.as_ref().map_or_else(first, |name| name.get_ref())
    }

    /// A host by its name.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&HostSpec> {
        self.hosts.iter().find(|(known, _)| known.get_ref() == name).map(|(_, host)| host)
    }

    /// All migrations, in order.
    #[must_use]
    pub fn hops(&self) -> Vec<Hop<'_>> {
        let steps = self.migrations.iter().flat_map(|step| (0..step.rounds.get()).map(move |_| step));
        steps.flat_map(|step| step.to.iter().map(|to| Hop { to: to.get_ref(), with: &step.with })).collect()
    }

    /// Where the guest is before a migration, counted from 0: it stays where one is refused or cancelled.
    #[must_use]
    pub fn home_before(&self, hop: usize) -> &str {
        let hops = self.hops();
        let last = (0..hop.min(hops.len())).rev().find(|earlier| !self.stays(*earlier));
        last.map_or(self.start(), |earlier| hops[earlier].to)
    }

    /// Whether the guest is to stay where it is in a migration, counted from 0.
    fn stays(&self, hop: usize) -> bool {
        let cancels = |action: &Action| {
            *action.kind.get_ref() == ActionKind::CancelMigration && action.migration.get_ref().get() == hop + 1
        };
        self.refused_hop().is_some_and(|(refused, _)| refused == hop) || self.actions.iter().any(cancels)
    }

    /// Whether a host has a QEMU that answers at a moment of a migration, counted from 1.
    fn answers(&self, host: &str, at: Moment, migration: usize) -> bool {
        match at {
            Moment::Boot => false,
            Moment::Suites | Moment::Waiting => host == self.start(),
            _ => match self.hops().get(migration - 1) {
                Some(hop) => host == hop.to || host == self.home_before(migration - 1),
                None => false,
            },
        }
    }

    /// What the image gets.
    #[must_use]
    pub fn command_line(&self) -> String {
        let suites = self.suites().join(",");
        let migrations = u16::try_from(self.hops().len().max(1)).unwrap_or(u16::MAX);
        let expect = self.host(self.start()).filter(|_| self.plugin).map(HostSpec::guest_matrix);
        let mut options = Options { suites: Some(&suites), migrations, expect, ..Options::default() };
        options.patience = self.guest.patience.map_or(options.patience, NonZeroU16::get);
        options.to_string()
    }

    /// The guest's suites.
    #[must_use]
    pub fn suites(&self) -> Vec<&str> {
        self.guest.suites.iter().map(|suite| suite.get_ref().as_str()).collect()
    }

    /// Which migration must be refused, from 0.
    #[must_use]
    pub fn refused_hop(&self) -> Option<(usize, &Refusal)> {
        let refusal = self.expect.refused.as_ref().filter(|_| self.expect.outcome() == ExpectedOutcome::Refused)?;
        let last = self.hops().len().checked_sub(1)?;
        Some((refusal.migration.as_ref().map_or(last, |n| n.get_ref().get() - 1), refusal))
    }
}

/// A list, or its only element.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Spanned<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "the name of a host, or a list of names")]
    enum OneOrMore {
        One(String),
        More(Vec<String>),
    }
    let spanned = Spanned::<OneOrMore>::deserialize(deserializer)?;
    let span = spanned.span();
    Ok(match spanned.into_inner() {
        OneOrMore::One(name) => vec![Spanned::new(span, name)],
        OneOrMore::More(names) => names.into_iter().map(|name| Spanned::new(span.clone(), name)).collect(),
    })
}

fn bit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let bit = u8::deserialize(deserializer)?;
    if bit < 8 { Ok(bit) } else { Err(D::Error::custom(format!("a byte has no bit {bit}, expected 0 to 7"))) }
}

fn errno<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Errno, D::Error> {
    let name = String::deserialize(deserializer)?;
    let known = || Errno::NAMED.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Errno::from_name(&name)
        .ok_or_else(|| D::Error::custom(format!("`{name}` is no error name, expected one of {}", known())))
}

/// Seconds, as a number that may have a fraction.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    let duration = Duration::try_from_secs_f64(seconds).ok().filter(|d| !d.is_zero() && d.as_secs() <= 3600);
    duration.ok_or_else(|| D::Error::custom(format!("{seconds} is no time, expected seconds above 0 and up to 3600")))
}

#[cfg(test)]
pub(crate) mod tests;
