// SPDX-License-Identifier: MIT OR Apache-2.0
//! Linux as the witness: Debian's kernel, drivers and tools, unmodified, under `kaput qemu`. What they see and how they
//! fare is judged here; the AP machine has no part in the judgement.
//!
//! A boot takes seconds, so many checks share one: a story is a guest's life, each of its steps is a test. A story ends
//! at the first step that fails; the steps after it then fail as not reached.
//!
//! With `--bench` nothing is tested, and what the plugin costs is measured as often as `KAPUT_RUNS_OF_LINUX` says.

mod bus;
mod disk;
mod figures;
mod guest;
mod lines;
mod steps;
mod stories;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use guest::{Linux, Plan, Sources};
use libtest_mimic::{Arguments, Failed, Trial};

/// A guest's life.
pub(crate) struct Story {
    name: &'static str,
    plan: Plan,
    steps: &'static [(&'static str, Step)],
}

pub(crate) type Step = fn(&mut Linux) -> Result<(), String>;

/// A story and, once somebody has asked, how each step went.
struct Told {
    story: &'static Story,
    sources: Arc<Sources>,
    results: OnceLock<Vec<Result<(), String>>>,
}

impl Told {
    /// How a step went; the first who asks runs the whole story.
    fn result(&self, index: usize) -> Result<(), Failed> {
        let results = self.results.get_or_init(|| self.tell());
        results.get(index).cloned().unwrap_or_else(|| Err("not reached".to_owned())).map_err(Failed::from)
    }

    fn tell(&self) -> Vec<Result<(), String>> {
        let mut linux = match Linux::boot(&self.sources, self.story.plan) {
            Ok(linux) => linux,
            Err(error) => return vec![Err(format!("the guest does not boot: {error}"))],
        };
        let mut results = Vec::new();
        for (_, step) in self.story.steps {
            let result = catch_unwind(AssertUnwindSafe(|| step(&mut linux)));
            let result = result.unwrap_or_else(|_| Err("it panicked, see above".to_owned()));
            let failed = result.is_err();
            results.push(result);
            if failed {
                break;
            }
        }
        results
    }
}

/// The steps of all stories, the first ones first: so two guests run side by side.
fn trials(sources: Option<Sources>) -> Vec<Trial> {
    let skipped = sources.is_none();
    let sources = Arc::new(sources.unwrap_or_else(|| Sources { linux: PathBuf::new(), witness: PathBuf::new() }));
    let mut trials = Vec::new();
    for story in stories::ALL {
        let told = Arc::new(Told { story, sources: Arc::clone(&sources), results: OnceLock::new() });
        for (index, (step, _)) in story.steps.iter().enumerate() {
            let told = Arc::clone(&told);
            let trial = Trial::test(format!("{}::{step}", story.name), move || told.result(index));
            trials.push((index, trial.with_kind("linux").with_ignored_flag(skipped)));
        }
    }
    trials.sort_by_key(|(index, _)| *index);
    trials.into_iter().map(|(_, trial)| trial).collect()
}

fn measure(sources: Option<Sources>) -> ExitCode {
    let runs = std::env::var("KAPUT_RUNS_OF_LINUX").ok().and_then(|runs| runs.parse().ok()).unwrap_or(9);
    match sources.map(|sources| figures::print(&sources, runs)) {
        Some(Err(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        Some(Ok(())) | None => ExitCode::SUCCESS,
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(2);
    let named = |variable| std::env::var_os(variable).map(PathBuf::from);
    let sources = match (named("KAPUT_LINUX"), named("KAPUT_WITNESS")) {
        (Some(linux), Some(witness)) => Some(Sources { linux, witness }),
        _ => {
            let reason = std::env::var("KAPUT_LINUX_MISSING");
            let reason = reason.unwrap_or_else(|_| "use `cargo xtask test`, which fetches and names it".to_owned());
            println!("SKIP linux: {reason}");
            None
        }
    };
    if arguments.bench {
        return measure(sources);
    }
    libtest_mimic::run(&arguments, trials(sources)).exit_code()
}
