// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real driver of a Linux on s390x as the device under test: this machine's, or that of another where a command
//! starts the agent.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use vfio_linux::{Agent, Linux, LinuxFactory, Native};
use vfio_mig::conformance::{DeviceFactory, HostSetup, NoHost};
use vfio_mig::{Errno, HostControl};

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

/// The driver behind an agent that was started for it, and ends with it.
pub struct AgentFactory {
    factory: LinuxFactory<Native>,
    _running: Running,
}

/// The agent's process.
struct Running {
    process: Child,
    /// What it says, while it does.
    words: mpsc::Receiver<Vec<u8>>,
}

impl AgentFactory {
    /// The driver of this machine.
    ///
    /// # Errors
    /// Why it cannot be judged, and what to do.
    pub fn native() -> Result<Self, String> {
        if !cfg!(target_arch = "s390x") {
            let reason = "the real driver is on s390x only; `--device agent:COMMAND` judges the one of another machine";
            return Err(format!("{reason}, for example `agent:ssh HOST {AGENT}`"));
        }
        Self::start("this machine's driver", Command::new(beside().unwrap_or_else(|| AGENT.into())))
    }

    /// The driver where this command, of a shell, starts the agent.
    ///
    /// # Errors
    /// Why it cannot be judged, and what to do.
    pub fn by(command: &str) -> Result<Self, String> {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]);
        Self::start(&format!("the driver behind `{command}`"), shell)
    }

    fn start(name: &str, mut command: Command) -> Result<Self, String> {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut process = piped.map_err(|error| format!("{AGENT} cannot be started: {error}"))?;
        let (heard, words) = mpsc::channel();
        if let Some(stream) = process.stderr.take() {
            thread::spawn(move || listen(stream, &heard));
        }
        let (from, to) = (process.stdout.take(), process.stdin.take());
        let mut running = Running { process, words };
        let (Some(from), Some(to)) = (from, to) else { return Err(format!("{AGENT} has no pipes")) };
        let calls = match Agent::greet(from, to, PATIENCE) {
            Ok(agent) => Arc::new(agent),
            Err(error) => return Err(format!("{name}: {error}{}", running.words())),
        };
        match Linux::new(Arc::clone(&calls) as _, CALL).list(MATRIX) {
            Ok(_) => Ok(Self { factory: LinuxFactory(Native::new(name.to_owned(), calls)), _running: running }),
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

impl Running {
    /// What the process said of itself; it is ended for that.
    fn words(&mut self) -> String {
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

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

impl DeviceFactory for AgentFactory {
    fn name(&self) -> String {
        self.factory.name()
    }

    fn host(&self, setup: &HostSetup) -> Result<Box<dyn HostControl>, NoHost> {
        self.factory.host(setup)
    }
}
