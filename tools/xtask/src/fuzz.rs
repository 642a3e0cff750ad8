// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask fuzz`: builds the fuzzer and lets its targets run side by side, as long as is wanted. What they do and
//! what they find is reported by the fuzzer itself.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::artifacts::host_cargo;
use crate::layout::Layout;
use crate::process;

/// Time to build.
const BUILD: Duration = Duration::from_secs(1800);
/// Time to start and to end.
const MARGIN: Duration = Duration::from_secs(120);

/// What reads input from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// Migration streams.
    Stream,
    /// Lines of the control socket.
    Control,
    /// AP hardware, in both forms.
    Topology,
    /// Scenario files.
    Scenario,
    /// Frames of the agent, and what a kernel answers by it.
    Agent,
    /// The snapshots of many hosts.
    Fleet,
    /// What preflight reads of a host and of a guest.
    Preflight,
    /// The files of a host.
    Collect,
}

/// Runs targets, or all of them, at the same time; the number that found something.
///
/// # Errors
/// When the fuzzer cannot be built or started.
pub(crate) fn run(layout: &Layout, targets: &[Target], seconds: u64, input: Option<&str>) -> Result<usize> {
    let mut build = host_cargo(layout, "build");
    build.args(["--release", "--package", "kaput-fuzz"]);
    process::succeed(&mut build, BUILD, "the fuzzer cannot be built, see above")?;
    let targets = if targets.is_empty() { Target::value_variants() } else { targets };
    let fuzzer = layout.target.join("release/kaput-fuzz");
    let one = |target: Target| {
        let mut command = std::process::Command::new(&fuzzer);
        command.args(target.to_possible_value().iter().map(|value| value.get_name()));
        command.args(["--seconds", &seconds.to_string()]);
        command.args(input.iter().flat_map(|path| ["--input", *path]));
        process::run(&mut command, Duration::from_secs(seconds) + MARGIN)
    };
    let ends: Vec<Result<_>> = thread::scope(|scope| {
        let started: Vec<_> = targets.iter().map(|target| scope.spawn(|| one(*target))).collect();
        let died = || Err(anyhow::anyhow!("a thread of ours ended"));
        started.into_iter().map(|target| target.join().unwrap_or_else(|_| died())).collect()
    });
    let mut wrong = 0;
    for end in ends {
        wrong += usize::from(!end?.success());
    }
    Ok(wrong)
}

/// How many targets there are.
pub(crate) fn count() -> usize {
    Target::value_variants().len()
}
