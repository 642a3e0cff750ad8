// SPDX-License-Identifier: MIT OR Apache-2.0
//! The harness at a terminal and at a pipe: who watches sees what a run is at, who reads a pipe sees the report and
//! nothing else, and colours are as the usual variables say. The terminal is `script`'s, of Debian's essential
//! packages.

use std::path::Path;
use std::process::{Command, ExitCode};

use checks::{Outcome, all, ensure, in_path, is_progress, kaput, output, run, skipped, trial};
use libtest_mimic::Failed;

const NAMES: [&str; 5] = [
    "a_terminal_is_told_what_a_run_is_at",
    "a_pipe_gets_the_report_alone",
    "colours_obey",
    "a_dumb_terminal_gets_text",
    "a_question_for_a_password_stays",
];
const ESCAPE: char = '\u{1b}';
/// What decides about colours beside `TERM`: a test sets the one it is about, whatever runs the test may have set
/// others.
const USUAL: [&str; 6] = ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "COLORTERM", "CI"];

/// A terminal with colours, as far as the variables say, but for these.
fn set(command: &mut Command, variables: &[(&str, &str)]) {
    for name in USUAL {
        command.env_remove(name);
    }
    command.env("TERM", "xterm-256color").envs(variables.iter().copied());
}

/// What a terminal is sent by a run, with these variables.
fn at_terminal(script: &Path, variables: &[(&str, &str)]) -> Result<String, Failed> {
    let named = kaput()?;
    let program = named.get_program().to_string_lossy().into_owned();
    let mut command = Command::new(script);
    command.args(["-qec", &format!("stty cols 100; '{program}' run survive"), "/dev/null"]);
    set(&mut command, variables);
    let said = output(&mut command)?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    ensure(said.status.success() && text.contains("AS EXPECTED"), || text.clone())?;
    Ok(text)
}

/// What a pipe is sent.
fn at_pipe(variables: &[(&str, &str)]) -> Result<(String, String), Failed> {
    let mut command = kaput()?;
    command.args(["run", "survive"]);
    set(&mut command, variables);
    let said = output(&mut command)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(&said.stdout), text(&said.stderr)))
}

/// Whether a text sets colours or weight: `ESC [ ... m`, but not to put all as it was.
fn is_coloured(text: &str) -> bool {
    text.split("\u{1b}[").skip(1).any(|rest| {
        let digits: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == ';').collect();
        rest[digits.len()..].starts_with('m') && !digits.is_empty() && digits != "0"
    })
}

fn live(script: &Path) -> Outcome {
    let text = at_terminal(script, &[])?;
    for words in ["boot", "suites: ", "migration 1 to B: pages moving"] {
        ensure(text.contains(words), || format!("no {words:?} in {text:?}"))?;
    }
    // The line is gone before the report comes.
    let report = text.rfind("survive: A guest").ok_or("no report")?;
    ensure(!text[report..].contains("pages moving"), || format!("{:?}", &text[report..]))
}

fn piped() -> Outcome {
    let (told, said) = at_pipe(&[])?;
    // What takes long says so, but not there.
    ensure(said.lines().all(is_progress) && !told.contains([ESCAPE, '\r']), || format!("{told:?} {said:?}"))?;
    ensure(told.starts_with("survive: ") && !told.contains("pages moving"), || told.clone())?;
    let (exit, ..) = run(&["run", "survive", "--report", "tap"])?;
    ensure(exit == 0, || format!("{exit}"))
}

fn colours(script: &Path) -> Outcome {
    let painted = |text: &str| is_coloured(text.split("survive: A guest").last().unwrap_or_default());
    ensure(painted(&at_terminal(script, &[])?), || "a terminal gets no colours".to_owned())?;
    for off in [("NO_COLOR", "1"), ("CLICOLOR", "0")] {
        ensure(!painted(&at_terminal(script, &[off])?), || format!("colours in spite of {off:?}"))?;
    }
    ensure(is_coloured(&at_pipe(&[("CLICOLOR_FORCE", "1")])?.0), || "CLICOLOR_FORCE forces nothing".to_owned())
}

fn dumb(script: &Path) -> Outcome {
    let text = at_terminal(script, &[("TERM", "dumb")])?;
    ensure(!text.contains(ESCAPE) && !text.contains("pages moving"), || format!("{text:?}"))
}

/// An ssh that asks at the terminal, for longer than the harness keeps silent.
const SSH: &str = "#!/bin/sh\nprintf 'password: ' > /dev/tty\nsleep 3\necho no >&2\nexit 255\n";

fn question(script: &Path) -> Outcome {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("text"), SSH)?;
    let mut install = Command::new("install");
    output(install.args(["-m755", "text", "ssh"]).current_dir(folder.path()))?;
    let path = std::env::join_paths(
        std::iter::once(folder.path().to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )?;
    let program = kaput()?.get_program().to_string_lossy().into_owned();
    let mut command = Command::new(script);
    command.args(["-qec", &format!("'{program}' doctor --host ssh:far"), "/dev/null"]).env("PATH", path);
    set(&mut command, &[("NO_COLOR", "1")]);
    let said = output(&mut command)?;
    let text = String::from_utf8_lossy(&said.stdout);
    let (_, rest) = text.split_once("password: ").ok_or_else(|| format!("no question in {text:?}"))?;
    ensure(!rest.contains(ESCAPE), || format!("{text:?}"))
}

fn main() -> ExitCode {
    let piped = trial(NAMES[1], piped);
    let Some(script) = in_path(&["script"]) else {
        let names = NAMES.iter().filter(|name| **name != NAMES[1]);
        let reason = "there is no program `script` (Debian: bsdutils) to make a terminal";
        return all(names.map(|name| skipped("terminal", name, reason)).chain([piped]).collect());
    };
    let with = |name: &str, test: fn(&Path) -> Outcome| {
        let script = script.clone();
        trial(name, move || test(&script))
    };
    all(vec![with(NAMES[0], live), piped, with(NAMES[2], colours), with(NAMES[3], dumb), with(NAMES[4], question)])
}
