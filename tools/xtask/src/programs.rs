// SPDX-License-Identifier: MIT OR Apache-2.0
//! Test programs: which ones cargo has built, and their runs, some at the same time. Many of them wait for a host, for
//! a guest or for a time to pass, and another one works meanwhile. What a program says is shown as a whole, at its end.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// How long a build may take, and how long a program.
const DEADLINE: Duration = Duration::from_secs(1800);

/// How many run at the same time: for two processors one more than those that work, because one waits.
const AT_A_TIME: usize = 3;

/// Those that take longest, in this order: they are started first, so that none is left to run alone at the end.
const LONGEST: [&str; 6] = ["linux", "hosts", "lab", "fault_matrix", "planted_faults", "pages"];

/// A test program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// The name of its target.
    pub(crate) name: String,
    /// The program.
    pub(crate) file: PathBuf,
    /// The folder of its package, where it runs.
    folder: PathBuf,
    /// What it finds in its environment besides, or does not find.
    environment: Vec<(OsString, Option<OsString>)>,
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Which one.
    pub(crate) program: Program,
    /// What it said, on both streams.
    pub(crate) lines: Vec<String>,
    /// How long it took.
    pub(crate) took: Duration,
    /// How it ended; an error where it could not be started or was killed.
    pub(crate) status: Result<ExitStatus>,
}

/// What cargo says of something that it has built.
#[derive(Deserialize)]
struct Artifact {
    executable: Option<PathBuf>,
    manifest_path: PathBuf,
    target: Target,
    profile: Profile,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Builds the programs of a `cargo test`. They will run in its environment.
///
/// # Errors
/// When cargo fails; it has said why.
pub(crate) fn build(command: &mut Command) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    command.args(["--no-run", "--message-format", "json-render-diagnostics"]);
    let status = process::lines(command, DEADLINE, |line| programs.extend(program(line)))?;
    process::success(status, "the tests cannot be built, see above")?;
    let environment: Vec<_> =
        command.get_envs().map(|(name, value)| (name.to_owned(), value.map(OsStr::to_owned))).collect();
    programs.iter_mut().for_each(|program| program.environment.clone_from(&environment));
    Ok(programs)
}

fn program(line: &str) -> Option<Program> {
    let built: Artifact = serde_json::from_str(line).ok()?;
    let folder = built.manifest_path.parent()?.to_owned();
    built.executable.filter(|_| built.profile.test).map(|file| Program {
        name: built.target.name,
        file,
        folder,
        environment: Vec::new(),
    })
}

/// Runs programs, and reports the end of each.
///
/// # Errors
/// Never for a program that fails.
pub(crate) fn run(mut programs: Vec<Program>, mut on_end: impl FnMut(Ended)) -> Result<()> {
    let rank = |program: &Program| LONGEST.iter().position(|name| *name == program.name).unwrap_or(LONGEST.len());
    programs.sort_by_cached_key(|program| (rank(program), program.folder.clone(), program.name.clone()));
    let number = programs.len();
    let pending = Mutex::new(VecDeque::from(programs));
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME.min(number) {
            let (pending, sender) = (&pending, sender.clone());
            scope.spawn(move || {
                let next = || pending.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                while let Some(program) = next() {
                    let mut command = program.command();
                    let (mut lines, begin) = (Vec::new(), Instant::now());
                    let status = process::lines(&mut command, DEADLINE, |line| lines.push(line.to_owned()));
                    _ = sender.send(Ended { program, lines, took: begin.elapsed(), status });
                }
            });
        }
        drop(sender);
        for _ in 0..number {
            on_end(receiver.recv().context("a thread that runs tests has ended")?);
        }
        Ok(())
    })
}

impl Program {
    /// As cargo starts it, with one stream for all that it says, in its order.
    fn command(&self) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" 2>&1"]).arg(&self.file).current_dir(&self.folder);
        command.env("CARGO_MANIFEST_DIR", &self.folder);
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_scripts(scripts: &[&str]) -> Result<Vec<(String, Vec<String>, bool)>> {
        let folder = tempfile::tempdir()?;
        let mut programs = Vec::new();
        for (number, script) in scripts.iter().enumerate() {
            let file = folder.path().join(number.to_string());
            std::fs::write(&file, format!("#!/bin/sh\n{script}\n"))?;
            process::run(Command::new("chmod").arg("+x").arg(&file), DEADLINE)?;
            let environment = vec![("KAPUT_WORD".into(), Some("word".into()))];
            programs.push(Program { name: number.to_string(), file, folder: folder.path().to_owned(), environment });
        }
        let mut all = Vec::new();
        run(programs, |ended| {
            all.push((ended.program.name, ended.lines, ended.status.is_ok_and(|status| status.success())));
        })?;
        all.sort();
        Ok(all)
    }

    #[test]
    fn every_program_runs_once_and_what_it_says_is_reported_in_its_order() -> Result<()> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let all = run_scripts(&["echo $KAPUT_WORD; echo wrong >&2; echo last", "exit 3", "true", "echo d", "echo e"])?;
        let expected = [
            ("0".to_owned(), words(&["word", "wrong", "last"]), true),
            ("1".to_owned(), words(&[]), false),
            ("2".to_owned(), words(&[]), true),
            ("3".to_owned(), words(&["d"]), true),
            ("4".to_owned(), words(&["e"]), true),
        ];
        assert_eq!(all, expected);
        assert!(run_scripts(&[])?.is_empty());
        Ok(())
    }

    #[test]
    fn a_test_program_is_told_from_what_else_is_built() {
        let artifact = |test: bool, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/w/tools/kaput/Cargo.toml","target":{{"kind":["test"],
                   "name":"hosts"}},"profile":{{"test":{test}}},"executable":{executable}}}"#
            )
        };
        let (name, folder) = ("hosts".to_owned(), "/w/tools/kaput".into());
        let expected = Program { name, file: "/t/hosts-8b".into(), folder, environment: Vec::new() };
        assert_eq!(program(&artifact(true, r#""/t/hosts-8b""#)), Some(expected));
        assert_eq!(program(&artifact(false, r#""/t/kaput""#)), None);
        assert_eq!(program(&artifact(true, "null")), None);
        assert_eq!(program(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
