// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kaput report`: runs that are over, from the JSON that was kept of them, reported once more in any form.

use std::io::Read;
use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic, Result, WrapErr, miette};

use super::reports::{Reports, Target};
use crate::outcome::finished::Finished;
use crate::outcome::verdict::Exit;
use crate::report::{ReportedRun, json};
use crate::scenario::load::Loaded;

pub(super) const HELP: &str = "\
Examples:
  kaput run '*' --report json=runs.json         the runs, and all that is known of them
  kaput report runs.json                        their screens again
  kaput report runs.json --report html=out.html a page of them
  kaput report RUN-FOLDER/verdict.json          that of a run folder
  kaput run survive --report json | kaput report - --report junit

Exit status: that of the runs in it, as `kaput run` had it; 2 where a file is no report.
";

/// Bytes that a file of reports may have; a run has some hundred thousand.
const LARGEST: u64 = 256 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// What --report json wrote, or verdict.json of a run folder; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How to report, and into which file: human, json, tap, junit or html. May be given more than once; one of them
    /// may be without a file
    #[arg(long, value_name = "FORM[=FILE]", default_value = "human")]
    report: Vec<Target>,
}

pub(super) async fn report(options: &Options) -> Result<Exit> {
    let mut runs = Vec::new();
    for file in &options.files {
        runs.extend(read(file).wrap_err_with(|| format!("cannot read the report {}", file.display()))?);
    }
    let reports = Reports::open(&options.report)?;
    let reported: Vec<ReportedRun<'_>> =
        runs.iter().map(|(loaded, finished)| ReportedRun { loaded, finished }).collect();
    for reported in &reported {
        reports.ended(*reported).await?;
    }
    reports.close(&reported).await?;
    let exits = runs.iter().map(|(_, finished)| finished.verdict.kind.exit());
    Ok(exits.max().unwrap_or(Exit::AsExpected))
}

fn read(file: &Path) -> Result<Vec<(Loaded, Finished)>> {
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
    if reports.is_empty() {
        return Err(miette!(help = help, "it is empty"));
    }
    reports.into_iter().map(|report| report.into_run().map_err(Into::into)).collect()
}
