// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real driver of a Linux on s390x as the device under test: this machine's, or that of another where a command
//! starts the agent.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use vfio_linux::{Agent, Linux, LinuxFactory, Native};
use vfio_mig::Errno;

/// How long the agent may take to come up, a slow connection included, and to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a call of the driver may take of a machine that runs.
const CALL: Duration = Duration::from_secs(5);

/// How long its last words may take once it has ended: a program that it started may still hold its standard error.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Bytes of what the command says of itself that are kept.
const MOST_WORDS: usize = 4096;

const AGENT: &str = "kaput-agent";
const MATRIX: &str = "/sys/devices/vfio_ap/matrix";

/// What a terminal sends to everybody is not for the agent: it is needed until the hosts are put back.
const KEPT: &str = "trap '' HUP INT";

/// The agent's process; it ends with this.
pub struct AgentProcess {
    process: Child,
    /// What it says, while it does.
    words: mpsc::Receiver<Vec<u8>>,
}

/// The way to an agent that has not been asked anything yet.
pub struct AgentPipes {
    name: String,
    from: ChildStdout,
    to: ChildStdin,
}

impl AgentProcess {
    /// That of this machine.
    ///
    /// # Errors
    /// Why it cannot be started, and what to do.
    pub fn native() -> Result<(Self, AgentPipes), String> {
        if !cfg!(target_arch = "s390x") {
            let reason = "the real driver is on s390x only; `--device agent:COMMAND` judges the one of another machine";
            return Err(format!("{reason}, for example `agent:ssh HOST {AGENT}`"));
        }
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{KEPT}; exec \"$0\"")]).arg(beside().unwrap_or_else(|| AGENT.into()));
        Self::start("this machine's driver", shell)
    }

    /// The one that this command of a shell starts.
    ///
    /// # Errors
    /// Why it cannot be started.
    pub fn by(command: &str) -> Result<(Self, AgentPipes), String> {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{KEPT}\n{command}")]);
        Self::start(&format!("the driver behind `{command}`"), shell)
    }

    fn start(name: &str, mut command: Command) -> Result<(Self, AgentPipes), String> {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut process = piped.map_err(|error| format!("{AGENT} cannot be started: {error}"))?;
        let (heard, words) = mpsc::channel();
        if let Some(stream) = process.stderr.take() {
            thread::spawn(move || listen(stream, &heard));
        }
        let (from, to) = (process.stdout.take(), process.stdin.take());
        let running = Self { process, words };
        let (Some(from), Some(to)) = (from, to) else { return Err(format!("{AGENT} has no pipes")) };
        Ok((running, AgentPipes { name: name.to_owned(), from, to }))
    }

    /// What the process said of itself; it is ended for that.
    pub fn words(&mut self) -> String {
        self.end();
        let (mut text, end) = (Vec::new(), Instant::now() + LAST_WORDS);
        while let Ok(part) = self.words.recv_timeout(end.saturating_duration_since(Instant::now())) {
            text.extend(part);
        }
        let said = String::from_utf8_lossy(&text).trim().to_owned();
        if said.is_empty() { String::new() } else { format!("; it said: {said}") }
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        self.end();
    }
}

impl AgentPipes {
    /// The driver there.
    ///
    /// # Errors
    /// Why it cannot be judged, and what to do.
    pub fn driver(self) -> Result<LinuxFactory<Native>, String> {
        let Self { name, from, to } = self;
        let calls = match Agent::greet(from, to, PATIENCE) {
            Ok(agent) => Arc::new(agent),
            Err(error) => return Err(format!("{name}: {error}")),
        };
        match Linux::new(Arc::clone(&calls) as _, CALL).list(MATRIX) {
            Ok(_) => Ok(LinuxFactory(Native::new(name, calls))),
            Err(error) if error.errno() == Some(Errno::ENOENT) => Err(format!(
                "{name}: that Linux has no vfio_ap, {MATRIX} is missing; it needs a kernel with CONFIG_VFIO_AP on a \
                 machine with AP, and where it is a module `modprobe vfio_ap`"
            )),
            Err(error) => Err(format!("{name}: {MATRIX}: {error}")),
        }
    }
}

/// The agent of an unpacked archive.
fn beside() -> Option<PathBuf> {
    let agent = std::env::current_exe().ok()?.with_file_name(AGENT);
    agent.is_file().then_some(agent)
}

/// Passes on what is said first; the rest is read too, so that whoever says it can go on.
fn listen(mut stream: ChildStderr, heard: &mpsc::Sender<Vec<u8>>) {
    let (mut part, mut left) = ([0; 512], MOST_WORDS);
    while let Ok(length @ 1..) = stream.read(&mut part) {
        let kept = length.min(left);
        left -= kept;
        // Nobody may want it any more.
        let _ = heard.send(part[..kept].to_vec());
    }
}
