// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every shipped scenario in the real QEMU, once. The scenario is a test, and so is each case of its guest: `survive`,
//! `survive::guest::presence/installed`. A scenario that shows a finding must show nothing without the defect:
//! `control-domains-dropped::without-its-defect`.

mod support;

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use ap_arch::report::CaseVerdict;
use kaput::conformance::mutants;
use kaput::outcome::finished::Finished;
use kaput::report::human;
use kaput::run;
use kaput::run::tools::Tools;
use kaput::scenario::load::{self, Loaded};
use libtest_mimic::{Arguments, Failed, Trial};

/// One scenario and, once somebody has asked, how it went.
struct Subject {
    tools: Arc<Tools>,
    loaded: Loaded,
    finished: OnceLock<Result<Finished, String>>,
}

impl Subject {
    /// Runs the scenario; the second and every later caller gets the same.
    fn finished(&self) -> Result<&Finished, Failed> {
        let finished = self.finished.get_or_init(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
            runtime.block_on(run::run(&self.tools, &self.loaded, run::Options::default())).map_err(|e| e.to_string())
        });
        finished.as_ref().map_err(|error| error.into())
    }

    fn verdict(&self) -> Result<(), Failed> {
        let finished = self.finished()?;
        if finished.verdict.is_as_expected() {
            Ok(())
        } else {
            Err(human::screen(&self.loaded.scenario, finished).into())
        }
    }

    /// Whether a case is as this scenario has it; it may have run more than once.
    fn case(&self, name: &str) -> Result<(), Failed> {
        let finished = self.finished()?;
        let expect = &self.loaded.scenario.expect;
        let mine: Vec<_> = finished.cases.iter().filter(|case| case.name == name).collect();
        if mine.is_empty() {
            return Err("the case left no line in the guest's report".into());
        }
        if expect.must_fail(name) {
            let noticed = mine.iter().any(|case| case.verdict == CaseVerdict::Fail);
            return if noticed { Ok(()) } else { Err("it passed, but must notice the scenario's damage".into()) };
        }
        let wrong = mine.iter().find(|case| !expect.is_right(name, case.verdict));
        match wrong {
            None => Ok(()),
            Some(case) => {
                Err(format!("{}: {}", case.verdict.word(), case.detail.as_deref().unwrap_or("no detail")).into())
            }
        }
    }
}

/// Runs a scenario without its defects; it must not be as expected, and for no reason of the machine's.
fn contrast(tools: &Tools, loaded: &Loaded) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let seen = runtime.block_on(mutants::show(tools, loaded)).map_err(|e| e.to_string())?;
    if seen.is_caught() { Ok(()) } else { Err(format!("{seen:?}").into()) }
}

fn trials(tools: &Arc<Tools>, folder: &Path) -> miette::Result<Vec<Trial>> {
    let mut trials = Vec::new();
    for name in load::names(folder)? {
        let loaded = load::find(folder, &name)?;
        loaded.check_against(&tools.image)?;
        let cases: Vec<String> =
            tools.image.cases_of(&loaded.scenario.suites()).iter().map(ToString::to_string).collect();
        if mutants::shows_a_finding(&loaded) {
            let (tools, loaded) = (Arc::clone(tools), loaded.clone());
            trials.push(Trial::test(format!("{name}::without-its-defect"), move || contrast(&tools, &loaded)));
        }
        let subject = Arc::new(Subject { tools: Arc::clone(tools), loaded, finished: OnceLock::new() });
        let whole = Arc::clone(&subject);
        trials.push(Trial::test(name.clone(), move || whole.verdict()));
        for case in cases {
            let subject = Arc::clone(&subject);
            trials.push(Trial::test(format!("{name}::guest::{case}"), move || subject.case(&case)));
        }
    }
    Ok(trials)
}

fn set_up() -> miette::Result<Vec<Trial>> {
    let named = support::named();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| miette::miette!("{e}"))?;
    let tools = Arc::new(runtime.block_on(named.find())?);
    trials(&tools, &named.scenarios.find()?)
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Two QEMUs are busy in each run; more runs at a time would only take time from each other.
    arguments.test_threads.get_or_insert(2);
    match set_up() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::from(2)
        }
    }
}
