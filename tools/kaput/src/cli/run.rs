// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kaput run`: which scenarios, how many at once, and who is told how. Everything is read and checked, and every report
//! file is opened, before anything is started.

use std::fs::File;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use futures::StreamExt;
use kaput::report::{Told, html, human, json, junit, tap};
use kaput::run::{self, Finished, Wishes};
use kaput::scenario::load::{self, Loaded};
use kaput::tools::{Named, Tools};
use kaput::verdict::Exit;
use miette::{IntoDiagnostic, Result, WrapErr, miette};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Names of scenarios, patterns such as 'missing-*', tag:WORD, or paths of scenario files
    #[arg(default_value = "survive", value_name = "SCENARIO")]
    chosen: Vec<String>,
    /// Keeps the run folder also when all is as expected
    #[arg(long)]
    keep: bool,
    /// Runs each scenario so often, and reports in figures
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: Option<u32>,
    /// Runs so many scenarios at the same time
    #[arg(short, long, value_name = "N", default_value = "1")]
    jobs: NonZeroUsize,
    /// How to report, and into which file: human, json, tap, junit or html. May be given more than once; one of them may
    /// be without a file
    #[arg(long, value_name = "FORM[=FILE]", default_value = "human")]
    report: Vec<Target>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One screen for each run
    Human,
    /// One JSON object a line for each run
    Json,
    /// TAP version 13
    Tap,
    /// JUnit's XML
    Junit,
    /// One self-contained page
    Html,
}

/// A report and where it goes.
#[derive(Clone, Debug)]
struct Target {
    form: Form,
    file: Option<PathBuf>,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (form, file) = match text.split_once('=') {
            Some((_, "")) => return Err("after `=` a file name is expected".to_owned()),
            Some((form, file)) => (form, Some(PathBuf::from(file))),
            None => (text, None),
        };
        let known = || {
            let names = Form::value_variants().iter().filter_map(ValueEnum::to_possible_value);
            names.map(|name| name.get_name().to_owned()).collect::<Vec<_>>().join(", ")
        };
        let form = Form::from_str(form, false).map_err(|_| format!("`{form}` is none of {}", known()))?;
        Ok(Self { form, file })
    }
}

/// The reports of one invocation: those into files are written at the end, the one on standard output as runs end where
/// its form allows.
struct Reports {
    screen: Option<Form>,
    files: Vec<(Form, PathBuf, File)>,
}

impl Reports {
    fn open(targets: &[Target]) -> Result<Self> {
        let mut reports = Self { screen: None, files: Vec::new() };
        for Target { form, file } in targets {
            let Some(path) = file else {
                if reports.screen.replace(*form).is_some() {
                    return Err(miette!(
                        help = "give all but one a file: --report html=report.html",
                        "two reports cannot both go to standard output"
                    ));
                }
                continue;
            };
            let open = File::create(path).into_diagnostic();
            let file = open.wrap_err_with(|| format!("the report {} cannot be written", path.display()))?;
            reports.files.push((*form, path.clone(), file));
        }
        Ok(reports)
    }

    /// A run has ended.
    fn ended(&self, told: Told<'_>) {
        if let Some(form @ (Form::Human | Form::Json)) = self.screen {
            print!("{}", one(form, told));
        }
    }

    /// All runs have ended.
    fn close(self, runs: &[Told<'_>]) -> Result<()> {
        if let Some(form @ (Form::Tap | Form::Junit | Form::Html)) = self.screen {
            print!("{}", all(form, runs)?);
        }
        for (form, path, mut file) in self.files {
            let written = file.write_all(all(form, runs)?.as_bytes()).into_diagnostic();
            written.wrap_err_with(|| format!("the report {} cannot be written", path.display()))?;
        }
        Ok(())
    }
}

fn one(form: Form, told: Told<'_>) -> String {
    match form {
        Form::Json => json::line(told.finished) + "\n",
        _ => human::screen(told.scenario, told.finished),
    }
}

fn all(form: Form, runs: &[Told<'_>]) -> Result<String> {
    match form {
        Form::Human | Form::Json => Ok(runs.iter().map(|told| one(form, *told)).collect()),
        Form::Tap => Ok(tap::runs(runs)),
        Form::Junit => junit::runs(runs).map_err(|error| miette!("the JUnit report: {error}")),
        Form::Html => html::runs(runs).map_err(|error| miette!("the HTML report: {error}")),
    }
}

pub(super) async fn run(named: &Named, options: &Options) -> Result<Exit> {
    let (tools, all) = prepare(named, &options.chosen).await?;
    let reports = Reports::open(&options.report)?;
    match options.repeat {
        Some(times) => {
            let mut exit = Exit::AsExpected;
            for loaded in &all {
                exit = exit.max(repeat(&tools, loaded, options, &reports, times).await?);
            }
            Ok(exit)
        }
        None => together(&tools, &all, options, reports).await,
    }
}

/// Reads and checks everything there is to read and check.
async fn prepare(named: &Named, words: &[String]) -> Result<(Tools, Vec<Loaded>)> {
    let folder = if words.iter().all(|word| load::is_file(word)) { Default::default() } else { named.scenarios()? };
    let all = load::choose(&folder, words)?;
    let tools = named.find().await?;
    for loaded in &all {
        loaded.check_against(&tools.image)?;
    }
    Ok((tools, all))
}

/// Runs each scenario once, some at the same time; reports keep the order in which they were chosen.
async fn together(tools: &Tools, all: &[Loaded], options: &Options, reports: Reports) -> Result<Exit> {
    let start = |loaded| run::run(tools, loaded, Wishes { keep: options.keep, discard: false });
    let mut running = futures::stream::iter(all).map(start).buffered(options.jobs.get());
    let mut finished: Vec<Finished> = Vec::new();
    while let Some(run) = running.next().await {
        finished.push(run?);
        if let (Some(finished), Some(loaded)) = (finished.last(), all.get(finished.len() - 1)) {
            reports.ended(Told { scenario: &loaded.scenario, finished });
        }
    }
    let exit = finished.iter().map(|finished| finished.verdict.kind.exit()).max();
    let told = all.iter().zip(&finished).map(|(loaded, finished)| Told { scenario: &loaded.scenario, finished });
    reports.close(&told.collect::<Vec<_>>())?;
    Ok(exit.unwrap_or(Exit::AsExpected))
}

/// Runs a scenario many times: the first run that is not as expected is shown whole, the others that are not in a line,
/// the rest in figures.
async fn repeat(tools: &Tools, loaded: &Loaded, options: &Options, reports: &Reports, times: u32) -> Result<Exit> {
    let mut exit = Exit::AsExpected;
    let mut seconds = Vec::new();
    let mut right = 0;
    let start = |_| run::run(tools, loaded, Wishes { keep: options.keep, discard: false });
    let mut running = futures::stream::iter(1..=times).map(start).buffered(options.jobs.get());
    let mut number = 0;
    while let Some(finished) = running.next().await {
        let finished = finished?;
        number += 1;
        seconds.extend(finished.events.last().map(|event| event.at));
        right += u32::from(finished.verdict.is_as_expected());
        let wrong = !finished.verdict.is_as_expected();
        if reports.screen == Some(Form::Json) || (wrong && right + 1 == number) {
            reports.ended(Told { scenario: &loaded.scenario, finished: &finished });
        } else if wrong {
            print!("{}", human::line(&finished));
        }
        exit = exit.max(finished.verdict.kind.exit());
    }
    let statistics = human::statistics(&loaded.scenario.name, times, right, seconds);
    if reports.screen == Some(Form::Json) {
        eprint!("{statistics}")
    } else {
        print!("{statistics}")
    }
    Ok(exit)
}
