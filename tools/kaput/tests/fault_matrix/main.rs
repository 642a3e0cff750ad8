// SPDX-License-Identifier: MIT OR Apache-2.0
//! The fault matrix, in the real QEMU: what can go wrong, at each moment at which it can, and the verdict that is to
//! name it. A cell is a test. [`whole`] has cells that are a run each; [`stream`] offers every damaged stream to one
//! destination, which must refuse it and be as it was before. When all is done no process may be left.

#[path = "../support/program.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod stream;
mod whole;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use kaput::outcome::events::What;
use kaput::outcome::finished::Finished;
use kaput::run;
use kaput::run::tools::Tools;
use kaput::scenario::load::Loaded;
use libtest_mimic::{Arguments, Conclusion, Failed};

/// Cells that the matrix has at least.
const LEAST: usize = 300;

/// Runs a scenario; nothing of it is kept. Every process that it started must be gone.
fn finished(tools: &Tools, text: &str) -> Result<Finished, Failed> {
    let loaded = Loaded::from_text(Path::new("fault.toml"), text.to_owned()).map_err(|error| format!("{error:?}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let options = run::Options { discard: true, ..run::Options::default() };
    let finished = runtime.block_on(run::run(tools, &loaded, options))?;
    let children = children();
    let left = finished.events.iter().filter_map(|event| match event.what {
        What::Launched { pid } => Some(pid).filter(|pid| children.contains(pid)),
        _ => None,
    });
    match left.count() {
        0 => Ok(finished),
        count => Err(format!("{count} processes are left behind after {}", finished.verdict.kind).into()),
    }
}

/// The processes that this one has started and that are still there.
fn children() -> Vec<u32> {
    let ours = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        let parent = after_name.split(' ').nth(1).and_then(|parent| parent.parse().ok());
        parent == Some(std::process::id())
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(ours).collect()
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Two QEMUs are busy in each run.
    arguments.test_threads.get_or_insert(2);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let tools = Arc::new(runtime.block_on(support::named().find()).expect("tools"));
    drop(runtime);
    let mut trials = whole::trials(&tools);
    trials.extend(stream::trials(&tools));
    assert!(trials.len() >= LEAST, "the matrix has {} cells, expected {LEAST} at least", trials.len());
    let conclusion: Conclusion = libtest_mimic::run(&arguments, trials);
    let left = children();
    if !left.is_empty() {
        eprintln!("{} processes are left behind: {left:?}", left.len());
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}
