// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kaput report`: runs that are over, from the JSON that was kept of them, reported once more in any form.

use std::io::Read;
use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic, Result, WrapErr, miette};

use super::reports::{Reports, Target};
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

Exit status: that of the runs in it, as `kaput run` had it; 2 where a file is no report.
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
    let mut files = Vec::new();
    for file in &given.files {
        let read = read(file, is_merged);
        files.push(read.wrap_err_with(|| format!("cannot read the report {}", file.display()))?);
    }
    if is_merged {
        let help = "each runner runs `kaput run '*' --partition M/N --report json=part-M.json`";
        partition::check(&files.iter().map(|kept| shares(kept)).collect::<Vec<_>>())
            .map_err(|why| miette!(help = help, "these reports are not the parts of one whole: {why}"))?;
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
fn read(file: &Path, may_be_empty: bool) -> Result<Vec<Kept>> {
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
    let reports = json::read(&text).map_err(|error| miette!(help = help, "it is no report: {error}"))?;
    if reports.is_empty() && !may_be_empty {
        return Err(miette!(help = help, "it is empty"));
    }
    let kept = |report: json::Report| {
        let part = report.part;
        let (loaded, finished) = report.into_run()?;
        Ok(Kept { loaded, finished, part })
    };
    reports.into_iter().map(kept).collect()
}
