// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kaput report`: runs that are over, or what cases said of a driver, from the JSON that was kept of them, reported
//! once more in any form.

use std::io::Read;
use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic, Result, WrapErr, miette};

use super::reports::{self, Reports, Target};
use crate::conformance::{self, Judged};
use crate::outcome::finished::Finished;
use crate::outcome::verdict::Exit;
use crate::report::partition::{self, Partition};
use crate::report::{ReportedRun, json};
use crate::scenario::load::Loaded;

pub(super) const HELP: &str = "\
Examples:
  kaput run '*' --report json=runs.json         the runs, and all that is known of them
  kaput report runs.json                        their screens again
  kaput report runs.json --report html=out.html a page of them
  kaput report RUN-FOLDER/verdict.json          that of a run folder
  kaput run survive --report json | kaput report - --report junit
  kaput report merge part-*.json --report junit=report.xml
                                                what several runners ran, each with --partition, as one

What `kaput conformance` and `kaput lab run` wrote as JSON is reported in the same way.

Exit status: that of the runs or cases in it, as `kaput run` or `kaput lab run` had it; 2 where a file is no report.
";

/// Bytes that a file of reports may have; a run has some hundred thousand.
const LARGEST: u64 = 256 << 20;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Options {
    #[command(flatten)]
    given: Given,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Reports the parts of several runners as one, and refuses where a part is missing
    Merge(Given),
}

#[derive(Debug, clap::Args)]
struct Given {
    /// What --report json wrote, or verdict.json of a run folder; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How to report, and into which file: human, json, tap, ktap, junit or html. May be given more than once; one of
    /// them may be without a file
    #[arg(long, value_name = "FORM[=FILE]", default_value = "human")]
    report: Vec<Target>,
}

/// What a file holds.
enum Content {
    Runs(Vec<Kept>),
    Cases(Judged),
}

/// A run that is over.
struct Kept {
    loaded: Loaded,
    finished: Finished,
    part: Option<Partition>,
}

pub(super) async fn report(options: &Options) -> Result<Exit> {
    let (given, is_merged) = match &options.verb {
        Some(Verb::Merge(given)) => (given, true),
        None => (&options.given, false),
    };
    let (mut files, mut of_cases) = (Vec::new(), Vec::new());
    for file in &given.files {
        let read = read(file, is_merged).wrap_err_with(|| format!("cannot read the report {}", file.display()))?;
        match read {
            Content::Runs(runs) => files.push(runs),
            Content::Cases(judged) => of_cases.push(judged),
        }
    }
    let not_one = |why: String| {
        let help = "each runner runs `kaput run '*' --partition M/N --report json=part-M.json`, or `kaput lab run`";
        miette!(help = help, "these reports are not the parts of one whole: {why}")
    };
    if !of_cases.is_empty() {
        if !files.is_empty() || (of_cases.len() > 1 && !is_merged) {
            return Err(miette!("what cases say of a driver is reported for each driver by itself"));
        }
        let merged = if is_merged { Judged::merge(of_cases).map_err(not_one)? } else { of_cases.remove(0) };
        Reports::open(&given.report)?.deliver(|form| reports::judged(form, &merged, "")).await?;
        return Ok(merged.exit());
    }
    if is_merged {
        partition::check(&files.iter().map(|kept| shares(kept)).collect::<Vec<_>>()).map_err(not_one)?;
    }
    let reports = Reports::open(&given.report)?;
    let kept: Vec<Kept> = files.into_iter().flatten().collect();
    let reported = kept.iter().map(|Kept { loaded, finished, part }| {
        let part = if is_merged { None } else { *part };
        ReportedRun { loaded, finished, part }
    });
    let reported: Vec<ReportedRun<'_>> = reported.collect();
    for reported in &reported {
        reports.ended(*reported).await?;
    }
    reports.close(&reported).await?;
    let exits = kept.iter().map(|kept| kept.finished.verdict.kind.exit());
    Ok(exits.max().unwrap_or(Exit::AsExpected))
}

fn shares(kept: &[Kept]) -> Vec<(Option<Partition>, &str)> {
    kept.iter().map(|kept| (kept.part, kept.finished.scenario.as_str())).collect()
}

/// The share of a runner may be empty, no other report.
fn read(file: &Path, may_be_empty: bool) -> Result<Content> {
    let mut text = String::new();
    let source: Box<dyn Read> = match file == Path::new("-") {
        true => Box::new(std::io::stdin()),
        false => Box::new(std::fs::File::open(file).into_diagnostic()?),
    };
    source.take(LARGEST + 1).read_to_string(&mut text).into_diagnostic()?;
    if text.len() as u64 > LARGEST {
        let help = "give it in parts: each line of --report json is one run";
        return Err(miette!(help = help, "it is longer than {} MiB", LARGEST >> 20));
    }
    let help = "expected what `kaput run --report json=FILE` writes; report.schema.json is its schema";
    let no_report = |why: String| miette!(help = help, "it is no report: {why}");
    if conformance::json::is_one(&text) {
        return conformance::json::read(&text).map(Content::Cases).map_err(no_report);
    }
    let reports = json::read(&text).map_err(|error| no_report(error.to_string()))?;
    if reports.is_empty() && !may_be_empty {
        return Err(miette!(help = help, "it is empty"));
    }
    let kept = |report: json::Report| {
        let part = report.part;
        let (loaded, finished) = report.into_run()?;
        Ok(Kept { loaded, finished, part })
    };
    Ok(Content::Runs(reports.into_iter().map(kept).collect::<Result<_>>()?))
}
