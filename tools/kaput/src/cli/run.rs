// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kaput run`: which scenarios, how many at once, and which reports are made. Everything is read and checked, and
//! every report file is opened, before anything is started.

use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::StreamExt;
use miette::{IntoDiagnostic, Result, miette};

use super::driver;
use super::interrupts::Interrupts;
use super::live::Live;
use super::print::{complain, note, print};
use super::reports::{Form, Reports, Target};
use super::resources::{self, Held};
use crate::hosts::name::Site;
use crate::hosts::pair::Sites;
use crate::machine::all_ended;
use crate::machine::run_folder::RunFolder;
use crate::outcome::finished::Finished;
use crate::outcome::verdict::Exit;
use crate::progress::busy;
use crate::report::partition::Partition;
use crate::report::{ReportedRun, human};
use crate::run;
use crate::run::tools::{Named, Tools};
use crate::scenario::load::{self, Loaded};

/// How long guests that are ended may take.
const LAST_GOODBYE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    named: Named,
    /// Names of scenarios, patterns such as 'missing-*', tag:WORD, or paths of scenario files
    #[arg(default_value = "survive", value_name = "SCENARIO")]
    chosen: Vec<String>,
    /// Runs only the Mth share of N, for several runners: every Nth scenario, beginning with the Mth
    #[arg(long, value_name = "M/N")]
    partition: Option<Partition>,
    /// Keeps the run folder also when all is as expected
    #[arg(long)]
    keep: bool,
    /// Shows every AP instruction of the guest with its time, on whichever host, before the report
    #[arg(long, conflicts_with = "repeat")]
    trace: bool,
    /// Makes the cards' random numbers those of a seed, in hex, so that they come again
    #[arg(long, value_name = "HEX", value_parser = super::print::seed)]
    seed: Option<u64>,
    /// Runs each scenario so often, and reports in figures
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: Option<u32>,
    /// Runs this many scenarios at the same time
    #[arg(short, long, value_name = "N", default_value = "1")]
    jobs: NonZeroUsize,
    /// How to report, and into which file: human, json, tap, ktap, junit or html. May be given more than once; one of
    /// them may be without a file
    #[arg(long, value_name = "FORM[=FILE]", default_value = "human")]
    report: Vec<Target>,
    #[command(flatten)]
    driver: driver::Options,
    #[command(flatten)]
    sites: Sites,
    #[command(flatten)]
    resources: resources::Options,
}

pub(super) async fn run(options: &Options) -> Result<Exit> {
    let all = read(options)?;
    let interrupts = Interrupts::listen().into_diagnostic()?;
    let mut tools = interrupts.unless(prepare(options, &all)).await?;
    let reports = Reports::open(&options.report)?;
    if options.repeat.is_some() && reports.has_files() {
        let help = "--repeat reports figures, or with --report json each run; leave the file out";
        return Err(miette!(help = help, "--repeat keeps no runs for a report in a file"));
    }
    let mut held = Held::default();
    let runs = async {
        options.resources.take(&options.sites, &all, &mut tools, &mut held).await?;
        all_runs(&tools, &all, options, reports).await
    };
    let exit = interrupts.unless(runs).await;
    // Guests that were interrupted have the queues until they have ended.
    all_ended(LAST_GOODBYE).await;
    let given_back = busy("the hosts are put back", held.give_back()).await;
    // The connections end with the last who has them.
    tools.kernel_logs = None;
    resources::close(tools.engine).await;
    tools.hosts.close().await;
    match given_back {
        Ok(()) => exit,
        Err(error) => {
            complain(error).await;
            exit.map(|_| Exit::Infrastructure)
        }
    }
}

async fn all_runs(tools: &Tools, all: &[Loaded], options: &Options, reports: Reports) -> Result<Exit> {
    let Some(times) = options.repeat else { return together(tools, all, options, reports).await };
    let mut exit = Exit::AsExpected;
    for loaded in all {
        exit = exit.max(repeat(tools, loaded, options, &reports, times).await?);
    }
    Ok(exit)
}

/// Reads and checks what is to be run.
fn read(options: &Options) -> Result<Vec<Loaded>> {
    let words = &options.chosen;
    let folder = if words.iter().all(|word| load::is_file(word)) {
        Default::default()
    } else {
        options.named.scenarios.find()?
    };
    let mut all = load::choose(&folder, words)?;
    if let Some(partition) = options.partition {
        all = partition.take(all);
    }
    if let Some(seed) = options.seed {
        all.iter_mut().for_each(|loaded| loaded.scenario.sow(seed));
    }
    options.driver.choose(&mut all);
    options.resources.check(&options.sites, &all)?;
    Ok(all)
}

/// Finds and checks everything else.
async fn prepare(options: &Options, all: &[Loaded]) -> Result<Tools> {
    let mut tools = options.named.find_on(&options.sites, options.resources.is_emulated()).await?;
    let Sites { source, destination, .. } = &options.sites;
    let is_local = [source, destination].iter().all(|site| **site == Site::Local);
    options.driver.find(all, is_local && options.resources.is_usual(), &mut tools)?;
    for loaded in all {
        loaded.check_against(&tools.image)?;
    }
    Ok(tools)
}

/// Runs each scenario once, some at the same time; reports keep the order in which they were chosen.
async fn together(tools: &Tools, all: &[Loaded], options: &Options, reports: Reports) -> Result<Exit> {
    let wishes = run::Options { keep: options.keep, trace: options.trace, ..run::Options::default() };
    let part = options.partition;
    let (live, base) = (Live::new(Some(all.len())), RunFolder::base());
    let start = |loaded| live.run_in(&base, tools, loaded, wishes);
    let mut running = futures_util::stream::iter(all).map(start).buffered(options.jobs.get());
    let mut finished: Vec<Finished> = Vec::new();
    while let Some(run) = running.next().await {
        let ended = run?;
        if let Some(trace) = &ended.trace {
            live.pause(print_trace(&reports, trace.lines(&ended.events))).await?;
        }
        finished.push(ended);
        if let (Some(finished), Some(loaded)) = (finished.last(), all.get(finished.len() - 1)) {
            let reported = ReportedRun { loaded, finished, part };
            if !reports.is_silent() {
                live.pause(reports.ended(reported)).await?;
            }
        }
    }
    let exit = finished.iter().map(|finished| finished.verdict.kind.exit()).max();
    let reported = all.iter().zip(&finished).map(|(loaded, finished)| ReportedRun { loaded, finished, part });
    reports.close(&reported.collect::<Vec<_>>()).await?;
    Ok(exit.unwrap_or(Exit::AsExpected))
}

/// Before a report for people, and out of the way of one for programs.
async fn print_trace(reports: &Reports, lines: String) -> Result<()> {
    if reports.screen.is_none_or(|form| form == Form::Human) {
        return print(lines).await.map(|_| ());
    }
    note(lines).await;
    Ok(())
}

/// Runs a scenario many times: the first run that is not as expected is shown whole, the others that are not in a line,
/// the rest in figures.
async fn repeat(tools: &Tools, loaded: &Loaded, options: &Options, reports: &Reports, times: u32) -> Result<Exit> {
    let mut exit = Exit::AsExpected;
    let mut seconds = Vec::new();
    let mut right = 0;
    let (live, base) = (Live::new(Some(times as usize)), RunFolder::base());
    let line = live.line(&format!("--repeat {times}"));
    let wishes = run::Options { keep: options.keep, ..run::Options::default() };
    let start = |_| live.run_in(&base, tools, loaded, wishes);
    let mut running = futures_util::stream::iter(1..=times).map(start).buffered(options.jobs.get());
    let mut number = 0;
    while let Some(finished) = running.next().await {
        let finished = finished?;
        number += 1;
        seconds.extend(finished.events.last().map(|event| event.at));
        right += u32::from(finished.verdict.is_as_expected());
        line.set_message(format!("{number} runs, {right} as expected"));
        let wrong = !finished.verdict.is_as_expected();
        if reports.screen == Some(Form::Json) || (wrong && right + 1 == number) {
            live.pause(reports.ended(ReportedRun { loaded, finished: &finished, part: options.partition })).await?;
        } else if wrong {
            live.pause(print(human::line(&finished))).await?;
        }
        exit = exit.max(finished.verdict.kind.exit());
    }
    line.finish_and_clear();
    let statistics = human::statistics(&loaded.scenario.name, times, right, &seconds);
    if reports.screen == Some(Form::Json) {
        note(statistics).await;
    } else {
        print(statistics).await?;
    }
    Ok(exit)
}
