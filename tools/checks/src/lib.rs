// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the harness prints and writes, as others take it: strict readers of each form, a browser, a terminal, people
//! who copy commands out of the documents. The harness is a program here, started as `cargo xtask` names it.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};

/// How long any program may take. Nothing depends on it being short.
const PATIENCE: Duration = Duration::from_secs(300);

/// A test, or why it cannot be done here.
pub type Outcome = Result<(), Failed>;

/// The folder of the checkout.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The harness as `cargo xtask test` names it, with QEMU, plugin, image and scenarios in the environment.
///
/// # Errors
/// When it is not named.
pub fn kaput() -> Result<Command, Failed> {
    let program = std::env::var_os("KAPUT_PROGRAM");
    let program =
        program.ok_or("use `cargo xtask test checks`, which builds and names the harness and all it needs")?;
    let mut command = Command::new(program);
    command.env("NO_COLOR", "1");
    Ok(command)
}

/// Runs a program to its end.
///
/// # Errors
/// When it cannot be started or does not end.
pub fn output(command: &mut Command) -> Result<Output, Failed> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.map_err(|error| format!("{name}: {error}"))?;
    let id = child.id();
    let (done, ended) = std::sync::mpsc::channel::<()>();
    // Whoever does not end is ended, by its id.
    let watch = std::thread::spawn(move || {
        if ended.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
            && let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw)
        {
            _ = kill_process(id, Signal::KILL);
        }
    });
    let output = child.wait_with_output();
    drop(done);
    _ = watch.join();
    output.map_err(|error| format!("{name}: {error}").into())
}

/// Runs the harness and returns its exit status and what it printed.
///
/// # Errors
/// When it cannot be started, or a signal ended it.
pub fn run<S: AsRef<OsStr>>(arguments: &[S]) -> Result<(i32, String, String), Failed> {
    let output = output(kaput()?.args(arguments))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let status = output.status.code().ok_or("a signal ended the harness")?;
    Ok((status, text(output.stdout), text(output.stderr)))
}

/// Whether a line says what a command does, which it does where it takes long: `  survive: boot, 3 s`.
#[must_use]
pub fn is_progress(line: &str) -> bool {
    let end = line.strip_suffix(" s").and_then(|line| line.rsplit_once(", ")).map(|(_, seconds)| seconds);
    // What reports say stands in columns.
    let is_sentence = line.strip_prefix("  ").is_some_and(|line| !line.contains("  "));
    is_sentence && end.is_some_and(|seconds| seconds.parse::<u64>().is_ok())
}

/// The first of these programs in `PATH`.
#[must_use]
pub fn in_path(names: &[&str]) -> Option<PathBuf> {
    names.iter().find_map(|name| which::which(name).ok())
}

/// A test that is done.
pub fn trial(name: &str, test: impl FnOnce() -> Outcome + Send + 'static) -> Trial {
    Trial::test(name, test)
}

/// A test of a group of which none can be done here, with the reason.
#[must_use]
pub fn skipped(group: &str, name: &str, reason: &str) -> Trial {
    println!("SKIP {group}: {reason}");
    Trial::test(name, || Ok(())).with_kind(group).with_ignored_flag(true)
}

/// Runs them.
#[must_use]
pub fn all(trials: Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(2);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Fails with the reason unless it holds.
///
/// # Errors
/// The reason.
pub fn ensure(holds: bool, reason: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(reason().into()) }
}
