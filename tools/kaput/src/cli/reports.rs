// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which reports are wanted and where they go. Files are opened before anything is started and written at the end; what
//! goes to standard output goes there as runs end, where its form allows.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use miette::{IntoDiagnostic, Result, WrapErr, miette};

use super::paint;
use super::print::print;
use crate::conformance::{self, Judged};
use crate::report::{ReportedRun, html, human, json, junit, tap};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// One screen for each run
    Human,
    /// One JSON object a line for each run
    Json,
    /// TAP version 13
    Tap,
    /// KTAP version 1, nested: for KernelCI and the kernel's own tools
    Ktap,
    /// JUnit's XML
    Junit,
    /// One self-contained page
    Html,
}

/// A report and where it goes.
#[derive(Clone, Debug)]
pub(super) struct Target {
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
pub(super) struct Reports {
    pub(super) screen: Option<Form>,
    files: Vec<(Form, PathBuf, File)>,
}

impl Reports {
    /// Of runs: every form is allowed.
    pub(super) fn open(targets: &[Target]) -> Result<Self> {
        Self::open_of(targets, Form::value_variants())
    }

    /// Of something that has not every form.
    pub(super) fn open_of(targets: &[Target], allowed: &[Form]) -> Result<Self> {
        if let Some(target) = targets.iter().find(|target| !allowed.contains(&target.form)) {
            let name =
                |form: &Form| form.to_possible_value().map_or_else(String::new, |name| name.get_name().to_owned());
            let help = format!("there is {}", allowed.iter().map(name).collect::<Vec<_>>().join(", "));
            return Err(miette!(help = help, "there is no report of this as {}", name(&target.form)));
        }
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
    pub(super) async fn ended(&self, run: ReportedRun<'_>) -> Result<()> {
        match self.screen {
            Some(Form::Human) => paint::print(&one(Form::Human, run)).await,
            Some(Form::Json) => print(one(Form::Json, run)).await.map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Whether nothing is shown before all runs have ended.
    pub(super) fn is_silent(&self) -> bool {
        !matches!(self.screen, Some(Form::Human | Form::Json))
    }

    /// Whether something goes into a file.
    pub(super) fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// All runs have ended.
    pub(super) async fn close(self, runs: &[ReportedRun<'_>]) -> Result<()> {
        let is_silent = self.is_silent();
        let rest = Self { screen: self.screen.filter(|_| is_silent), files: self.files };
        rest.deliver(|form| all(form, runs)).await
    }

    /// What is reported at the end only.
    pub(super) async fn deliver(self, render: impl Fn(Form) -> Result<String>) -> Result<()> {
        if let Some(form) = self.screen {
            print(render(form)?).await?;
        }
        for (form, path, mut file) in self.files {
            let written = file.write_all(render(form)?.as_bytes()).into_diagnostic();
            written.wrap_err_with(|| format!("the report {} cannot be written", path.display()))?;
        }
        Ok(())
    }
}

/// What the conformance suite said, in any form; `figures` are for people.
pub(super) fn judged(form: Form, judged: &Judged, figures: &str) -> Result<String> {
    match form {
        Form::Human => Ok(conformance::human::screen(judged) + figures),
        Form::Json => Ok(conformance::json::lines(judged)),
        Form::Tap => Ok(conformance::tap::document(judged)),
        Form::Ktap => Ok(conformance::tap::nested(judged)),
        Form::Junit => conformance::junit::document(judged).map_err(|error| miette!("the JUnit report: {error}")),
        Form::Html => conformance::page::page(judged).map_err(|error| miette!("the HTML report: {error}")),
    }
}

fn one(form: Form, run: ReportedRun<'_>) -> String {
    match form {
        Form::Json => json::line(run) + "\n",
        _ => human::screen(&run.loaded.scenario, run.finished),
    }
}

fn all(form: Form, runs: &[ReportedRun<'_>]) -> Result<String> {
    match form {
        Form::Human | Form::Json => Ok(runs.iter().map(|run| one(form, *run)).collect()),
        Form::Tap => Ok(tap::runs(runs)),
        Form::Ktap => Ok(tap::nested_runs(runs)),
        Form::Junit => junit::runs(runs).map_err(|error| miette!("the JUnit report: {error}")),
        Form::Html => html::runs(runs).map_err(|error| miette!("the HTML report: {error}")),
    }
}
