// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kaput soak`: random scenarios until enough migrations were made or the time is over. It stops at the first surprise
//! and leaves behind what brings it about again.

mod held;
mod judge;

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use held::{Held, Lpars};
use judge::{Outcome, Runs};
use miette::{IntoDiagnostic, Result, WrapErr, miette};
use vfio_mig::conformance::NoHost;

use super::driver;
use super::interrupts::Interrupts;
use super::live::Live;
use super::paint;
use super::print::print;
use super::reports::{Form, Reports, Target};
use crate::lab::host::LabHost;
use crate::lab::kept::Kept;
use crate::machine::all_ended;
use crate::machine::run_folder::RunFolder;
use crate::outcome::events::Event;
use crate::outcome::verdict::Exit;
use crate::progress::busy;
use crate::report::soak::{self as page, Measured};
use crate::report::timeline;
use crate::run::tools::{Named, Tools};
use crate::scenario::load::{Loaded, ScenarioError};
use crate::scenario::random::{Behind, Generator};
use crate::scenario::{DriverName, Scenario};

pub(super) const HELP: &str = "\
Examples:
  kaput soak --migrations 1000        a thousand migrations
  kaput soak --for 1h -j 2            an hour, two runs at a time
  kaput soak --seed 2a --migrations 50
                                      the same fifty as anybody else's with this seed

  kaput soak --migrations 1000 --driver lab
                                      the same on the real driver, in LPARs that live for 100 migrations

  kaput soak --migrations 1000 --driver lab:BZIMAGE --expect model:v3
                                      other hosts, and a driver that must do what the model of a series does

  kaput soak --migrations 5000 --report html=soak.html
                                      and charts of how long guests stood still

At the first run that is not as expected its scenario is written to soak-SEED-NUMBER.toml, for `kaput run`. It also
ends where the harness holds more memory, threads, descriptors, files or processes than after its first runs, and where
an LPAR's memory grows.
";

/// How long guests that are ended may take.
const LAST_GOODBYE: Duration = Duration::from_secs(10);

/// How often the figures are reported, at most.
const INTERVAL: Duration = Duration::from_secs(5);

/// After how many runs the harness looks at what it holds.
const BETWEEN_LOOKS: usize = 40;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    named: Named,
    /// Ends after this many migrations
    #[arg(long, value_name = "N", default_value = "100")]
    migrations: NonZeroU64,
    /// Ends after so long, whatever was done by then: 90s, 10m, 1h30m; a number alone is seconds
    #[arg(long = "for", value_name = "TIME", value_parser = super::print::duration)]
    time: Option<Duration>,
    /// Where the scenarios come from, in hex; without it another one each time
    #[arg(long, value_parser = super::print::seed)]
    seed: Option<u64>,
    /// Runs this many scenarios at the same time
    #[arg(short, long, value_name = "N", default_value = "1")]
    jobs: std::num::NonZeroUsize,
    #[command(flatten)]
    driver: driver::Options,
    /// What this driver does with the same scenario must happen: model:v3, say, where the other is of that series. The
    /// scenarios are then such that nobody else knows it
    #[arg(long, value_name = "DRIVER")]
    expect: Option<DriverName>,
    /// Charts of what was measured, at the end: html=FILE
    #[arg(long, value_name = "FORM=FILE")]
    report: Vec<Target>,
}

/// What was counted so far.
#[derive(Default)]
struct Figures {
    runs: u64,
    migrations: u64,
    refused: u64,
    /// Those of the last long run, or of the first in which they grew.
    lpars: Lpars,
    measured: Measured,
    /// How often each verdict came, where two drivers are compared.
    verdicts: BTreeMap<&'static str, u64>,
}

impl Figures {
    fn count(&mut self, outcome: &Outcome) {
        self.runs += 1;
        if outcome.reference.is_some() {
            *self.verdicts.entry(outcome.finished.verdict.kind.name()).or_default() += 1;
        }
        let events: &[Event] = &outcome.finished.events;
        let lpars = Lpars::of(events);
        if !lpars.is_empty() && self.lpars.growth().is_none() {
            self.lpars = lpars;
        }
        for migration in timeline::migrations(events) {
            self.migrations += 1;
            self.refused += u64::from(!migration.accepted);
            self.measured.add(&migration);
        }
    }

    fn line(&self, since: Instant) -> String {
        let (still, longest) = self.measured.still.median_and_greatest();
        let (hand_over, _) = self.measured.hand_over.median_and_greatest();
        let verdicts: Vec<String> = self.verdicts.iter().map(|(name, count)| format!("; {count} {name}")).collect();
        format!(
            "{} runs, {} migrations ({} refused, as they must be{}) in {:.0} s; guest stood still {still:.0} ms \
             (median), {longest:.0} at most; AP hand-over {hand_over:.1} ms (median); the harness used {:.1} ms of \
             CPU a run",
            self.runs,
            self.migrations,
            self.refused,
            verdicts.concat(),
            since.elapsed().as_secs_f64(),
            held::cpu_seconds() * 1e3 / self.runs.max(1) as f64,
        )
    }

    /// What a line of a terminal has room for.
    fn brief(&self) -> String {
        let (still, longest) = self.measured.still.median_and_greatest();
        let Self { runs, migrations, refused, .. } = self;
        format!(
            "{runs} runs, {migrations} migrations, {refused} refused; stood still {still:.0} ms, {longest:.0} at most"
        )
    }

    async fn report(&self, reports: Reports, seed: u64, since: Instant, surprise: Option<&str>) -> Result<()> {
        let render = |_| {
            let page = page::page(&format!("{seed:x}"), self.migrations, &self.line(since), &self.measured, surprise);
            page.map_err(|error| miette!("the HTML report: {error}"))
        };
        reports.deliver(render).await
    }
}

pub(super) async fn soak(options: &Options) -> Result<Exit> {
    let folder = tempfile::Builder::new().prefix("kaput-soak-").tempdir_in(RunFolder::base()).into_diagnostic()?;
    let interrupts = Interrupts::listen().into_diagnostic()?;
    let exit = interrupts.unless(runs(options, folder.path())).await;
    // Until then their folders are in use.
    all_ended(LAST_GOODBYE).await;
    if matches!(exit, Ok(Exit::NotAsExpected | Exit::Infrastructure))
        && fs::read_dir(folder.path()).is_ok_and(|mut runs| runs.next().is_some())
    {
        _ = folder.keep();
    }
    exit
}

async fn runs(options: &Options, folder: &Path) -> Result<Exit> {
    let mut tools: Tools = options.named.find().await?;
    let reports = Reports::open_of(&options.report, &[Form::Html])?;
    if reports.screen.is_some() {
        let help = "give it a file: --report html=soak.html";
        return Err(miette!(help = help, "standard output is for the figures, not for a page"));
    }
    let seed = options.seed.unwrap_or_else(rand::random);
    print(format!("seed {seed:x}\n")).await?;
    let behind = busy("an LPAR boots", behind(options, seed, folder, &mut tools)).await?;
    let live = Live::new(None);
    let figures_live = live.line("soak");
    let mut generator = Generator::new(seed).behind(behind);
    // In the lab one run is long.
    let is_long = matches!(behind, Behind::Lab | Behind::LabByHand);
    let between_looks = if is_long { options.jobs.get() } else { BETWEEN_LOOKS };
    let begun = Instant::now();
    let end = options.time.and_then(|time| begun.checked_add(time));
    let wanted = if options.time.is_some() { u64::MAX } else { options.migrations.get() };
    let mut planned = 0;
    // Scenarios are made one by one, in the order of the seed, and only as they are run.
    let mut scenarios = std::iter::from_fn(|| {
        let over = planned >= wanted || end.is_some_and(|end| Instant::now() >= end);
        (!over).then(|| {
            let left = usize::try_from(wanted - planned).unwrap_or(usize::MAX);
            let mut loaded = generator.next(left);
            if let Ok(loaded) = &mut loaded {
                options.driver.choose(std::slice::from_mut(loaded));
            }
            planned += loaded.as_ref().map_or(0, |loaded| loaded.scenario.hops().len() as u64);
            loaded
        })
    });
    let runs = Runs { live: &live, folder, tools: &tools, reference: options.expect.as_ref() };
    let start = |loaded: Result<Loaded, ScenarioError>| async { runs.both(loaded?).await };
    let on = options.words();
    let mut figures = Figures::default();
    let mut reported = begun;
    let mut first: Option<Held> = None;
    loop {
        // Only between runs is it known what the harness holds for good.
        let some = scenarios.by_ref().take(between_looks);
        let mut running = futures_util::stream::iter(some).map(start).buffered(options.jobs.get());
        let before = figures.runs;
        while let Some(run) = running.next().await {
            let outcome = run?;
            figures.count(&outcome);
            if let Some(surprise) = outcome.surprise() {
                let file = outcome.loaded.path.clone();
                let written = fs::write(&file, &outcome.loaded.text).into_diagnostic();
                written.wrap_err_with(|| format!("the scenario {} cannot be written", file.display()))?;
                figures_live.finish_and_clear();
                paint::print(&surprise).await?;
                let again = |driver: &str| format!("again: kaput run ./{}{driver}\n", file.display());
                let reference = options.expect.as_ref().map_or(String::new(), |it| again(&format!(" --driver {it}")));
                let again = reference + &again(&options.driver.words());
                print(format!("{}\n{again}", figures.line(begun))).await?;
                figures.report(reports, seed, begun, Some(&surprise)).await?;
                return Ok(outcome.finished.verdict.kind.exit().max(Exit::NotAsExpected));
            }
            outcome.forget();
            if live.is_drawn {
                figures_live.set_message(figures.brief());
            } else if reported.elapsed() >= INTERVAL {
                reported = Instant::now();
                live.pause(print(figures.line(begun) + "\n")).await?;
            }
        }
        drop(running);
        let held = Held::now(folder);
        let of_harness = first.as_ref().and_then(|first| held.growth(first));
        if let Some(growth) = figures.lpars.growth().or(of_harness) {
            let again = format!("again: kaput soak --seed {seed:x} --migrations {}{on}", figures.migrations);
            let surprise = format!("memory grows: {growth}\n{again}\n");
            figures_live.finish_and_clear();
            print(format!("{}\n{surprise}", figures.line(begun))).await?;
            figures.report(reports, seed, begun, Some(&surprise)).await?;
            return Ok(Exit::Infrastructure);
        }
        first.get_or_insert(held);
        if figures.runs == before {
            figures_live.finish_and_clear();
            let Figures { lpars, .. } = &figures;
            let lpars = if lpars.is_empty() { String::new() } else { format!("; in the last run {lpars}") };
            let line = figures.line(begun);
            let all =
                if options.expect.is_some() { "both drivers always did the same" } else { "every verdict as expected" };
            print(format!("{line}; {all}; the harness holds {held}{lpars}\n")).await?;
            figures.report(reports, seed, begun, None).await?;
            return Ok(Exit::AsExpected);
        }
    }
}

impl Options {
    /// What was given, for a command line that does the same again.
    fn words(&self) -> String {
        let reference = self.expect.as_ref().map_or(String::new(), |driver| format!(" --expect {driver}"));
        self.driver.words() + &reference
    }
}

/// Finds what the lab needs, where it stands between the hosts, and looks once whether its driver migrates.
async fn behind(options: &Options, seed: u64, folder: &Path, tools: &mut Tools) -> Result<Behind> {
    let mut all = vec![Generator::new(seed).next(1)?];
    options.driver.choose(&mut all);
    if let Some(reference) = &options.expect {
        all.extend(all.first().cloned());
        all[1].scenario.choose(reference.clone());
    }
    options.driver.find(&all, true, tools)?;
    let mut behind = Behind::Model;
    for Loaded { scenario, .. } in &all {
        let (DriverName::Lab(kernel), Some(supply)) = (&scenario.driver, &tools.lab) else { continue };
        let migrates = migrates(&supply.kept(kernel.as_deref())?, scenario, folder).await?;
        behind = if migrates { Behind::Lab } else { Behind::LabByHand };
        if options.expect.is_some() && !migrates {
            let help = "leave out --expect";
            return Err(miette!(help = help, "the driver of this kernel cannot migrate: {}", scenario.driver));
        }
    }
    Ok(if options.expect.is_some() { Behind::Either } else { behind })
}

/// Whether the driver of a kernel can migrate.
async fn migrates(kept: &Arc<Kept>, scenario: &Scenario, folder: &Path) -> Result<bool> {
    let spec = scenario.host(scenario.start()).cloned().ok_or_else(|| miette!("a scenario without a host"))?;
    let (kept, folder) = (Arc::clone(kept), RunFolder::create_in(folder)?);
    let look = move || LabHost::start(&kept, "A", &spec, &folder);
    let host = tokio::task::spawn_blocking(look).await.into_diagnostic()?;
    let host = host.map_err(|error| {
        let (NoHost::Unfit(reason) | NoHost::Broken(reason)) = error;
        miette!("there is no LPAR: {reason}")
    })?;
    let migrates = host.kernel().migrates;
    host.end().await;
    Ok(migrates)
}
