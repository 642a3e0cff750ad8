// SPDX-License-Identifier: MIT OR Apache-2.0
//! The QEMU of an LPAR, from its start until the agent in it answers. A dropped one is killed, and its sockets go.

use std::fs::{self, File};
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use vfio_linux::Agent;

use super::LparError;
use super::console;
use super::progress::Progress;
use crate::hosts::qemu::STARTED_BY_US;
use crate::machine::MOMENT;

/// How long an agent that has answered may take to answer again.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that a file of it may have. A kernel that fills its console ends its LPAR, not the disk.
const LARGEST_FILE: u64 = 1 << 30;
/// Between two looks whether a QEMU has connected, which it does at its start.
const LOOK: Duration = Duration::from_millis(10);

/// A QEMU.
pub struct Process {
    child: Mutex<Child>,
    qemu: PathBuf,
    console: PathBuf,
    stderr: PathBuf,
    /// What is of no use without it.
    files: Vec<PathBuf>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, and a file may never have been.
        self.kill();
        _ = self.child().wait();
        self.files.iter().for_each(|file| _ = fs::remove_file(file));
    }
}

impl Process {
    /// Starts it; `file` gives the path of one of its files.
    pub(super) fn start(qemu: &Path, arguments: &[String], file: &impl Fn(&str) -> PathBuf) -> Result<Self, LparError> {
        let stderr = file("stderr");
        let errors = File::create(&stderr).map_err(|error| LparError::Io("the file of errors", error))?;
        let mut command = Command::new(qemu);
        command.args(arguments).env(STARTED_BY_US, "1");
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).spawn();
        let child = started.map_err(|reason| LparError::Start { path: qemu.to_owned(), reason })?;
        let files = ["agent", "qmp", "host.json", "stderr"].map(file).to_vec();
        let pid = Pid::from_child(&child);
        let this = Self { child: Mutex::new(child), qemu: qemu.to_owned(), console: file("console"), stderr, files };
        let most = Rlimit { current: Some(LARGEST_FILE), maximum: Some(LARGEST_FILE) };
        prlimit(Some(pid), Resource::Fsize, most)
            .map_err(|error| LparError::Io("the limit of its files", error.into()))?;
        Ok(this)
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child().id()
    }

    /// Ends it, as a crash would.
    pub fn kill(&self) {
        _ = self.child().kill();
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        !matches!(self.child().try_wait(), Ok(None))
    }

    /// What can be seen of it from outside: how it ended, if it did, and what its console says.
    #[must_use]
    pub fn fate(&self) -> String {
        let how = match self.child().try_wait() {
            Ok(Some(status)) => format!("its QEMU ended ({status})"),
            Ok(None) => "its QEMU is still there".to_owned(),
            Err(error) => error.to_string(),
        };
        format!("{how}; its console says:\n{}", console::shown(&console::tail(&self.console)))
    }

    /// If it has ended, what its console says from the first trouble on.
    #[must_use]
    pub fn last_words(&self) -> Vec<String> {
        if self.ends_soon() { console::trouble(&console::tail(&self.console)) } else { Vec::new() }
    }

    /// Its connection to somebody who listens for it.
    pub(super) fn accept(&self, listener: &UnixListener) -> Result<UnixStream, LparError> {
        let socket = |error| LparError::Io("a socket", error);
        listener.set_nonblocking(true).map_err(socket)?;
        let mut progress = Progress::of(self.pid(), &self.console);
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).map_err(socket)?;
                    return Ok(stream);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(socket(error)),
            }
            if self.child().try_wait().map_err(socket)?.is_some() {
                return Err(self.ended());
            }
            if let Some(why) = progress.given_up() {
                return Err(LparError::Unconnected { path: self.qemu.clone(), why });
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Greets the agent, and waits for it as long as the LPAR gets on.
    pub(super) fn greet(&self, port: &UnixStream) -> Result<Agent, LparError> {
        let stream = || port.try_clone().map_err(|error| LparError::Io("the agent's port", error));
        let mut progress = Progress::of(self.pid(), &self.console);
        let mut given_up = None;
        let gets_on = || {
            given_up = progress.given_up();
            given_up.clone().map_or(Ok(()), Err)
        };
        let greeted = Agent::greet_while(stream()?, stream()?, PATIENCE, gets_on);
        greeted.map_err(|error| {
            if let Some(why) = given_up {
                let said = console::tail(&self.console);
                return LparError::Silent { why, said: console::shown(&said), help: console::help(&said) };
            }
            if self.ends_soon() { self.ended() } else { LparError::Agent(error.to_string()) }
        })
    }

    /// Whether it ends: a connection to it does so a moment before.
    fn ends_soon(&self) -> bool {
        let deadline = Instant::now() + MOMENT;
        while Instant::now() < deadline {
            if self.is_gone() {
                return true;
            }
            std::thread::sleep(LOOK);
        }
        false
    }

    /// It has ended; what it complained of itself counts more than a console.
    fn ended(&self) -> LparError {
        let how = self.child().wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        let (complaint, said) = (console::tail(&self.stderr), console::tail(&self.console));
        let help = console::help(&said);
        let said = if complaint.trim().is_empty() { console::shown(&said) } else { complaint.trim().to_owned() };
        LparError::Ended { how, said, help }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_writes_without_end_ends_and_the_disk_stays_free() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |kind: &str| folder.path().join(kind);
        let (begin, large) = (file("begin"), file("large"));
        let script = format!(
            "until [ -e {} ]; do sleep 0.01; done; exec dd if=/dev/zero of={} bs=1 count=1 seek={LARGEST_FILE}",
            begin.display(),
            large.display()
        );
        let process = Process::start(Path::new("sh"), &["-c".to_owned(), script], &file).expect("started");
        fs::write(&begin, "").expect("written");
        process.child().wait().expect("ended");
        assert!(process.fate().contains("its QEMU ended (signal"), "{}", process.fate());
        assert!(fs::metadata(&large).map_or(0, |large| large.len()) <= LARGEST_FILE);
    }
}
