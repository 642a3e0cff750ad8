// SPDX-License-Identifier: MIT OR Apache-2.0
//! The daemons of the test bed. One that ends is reported with the last lines that it said, as soon as anybody looks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

/// How long a daemon that goes on running may take until it serves.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many of its last lines are reported.
const LINES: usize = 5;

/// A program that runs as long as this value lives.
pub(crate) struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it; what it says on standard error goes to the file `log`.
    pub(crate) fn start(name: String, command: &mut Command, log: PathBuf) -> Result<Self, String> {
        let file = fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn();
        let child = child.map_err(|error| format!("{name} cannot be started: {error}"))?;
        Ok(Self { name, child, log })
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said.
    pub(crate) fn said(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until it serves, which `serves` says.
    pub(crate) fn wait(&mut self, serves: impl Fn(&Self) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while !serves(self) {
            self.runs()?;
            if Instant::now() > deadline {
                return Err(format!("{} does not serve after {} s: {}", self.name, PATIENCE.as_secs(), self.last()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Whether it still runs; else how it ended and what it said last.
    pub(crate) fn runs(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("{} ended ({status}): {}", self.name, self.last())),
            Err(error) => Err(format!("{}: {error}", self.name)),
        }
    }

    fn last(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines.iter().skip(lines.len().saturating_sub(LINES)).copied().collect::<Vec<_>>();
        if last.is_empty() { "it said nothing".to_owned() } else { last.join("; ") }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Tests of this file; they need no bed.
pub(crate) fn trials() -> Vec<Trial> {
    let start = |folder: &Path, script: &str| {
        Daemon::start("a daemon".to_owned(), Command::new("sh").args(["-c", script]), folder.join("log"))
    };
    let ends = move || {
        let folder = tempfile::tempdir()?;
        let script = "for i in 1 2 3 4 5 6 7; do echo line $i >&2; done; exit 3";
        let told = start(folder.path(), script)?.wait(|_| false).expect_err("it serves nothing");
        let expected = "a daemon ended (exit status: 3): line 3; line 4; line 5; line 6; line 7";
        if told == expected { Ok(()) } else { Err(told.into()) }
    };
    let silent = move || {
        let folder = tempfile::tempdir()?;
        let mut daemon = start(folder.path(), "echo ready >&2; exec sleep 1000")?;
        daemon.wait(|daemon| daemon.said().contains("ready"))?;
        Ok(daemon.runs()?)
    };
    vec![
        Trial::test("a_daemon_that_ends_is_told_with_its_last_lines", ends),
        Trial::test("a_daemon_that_runs_is_waited_for_until_it_serves", silent),
    ]
}
