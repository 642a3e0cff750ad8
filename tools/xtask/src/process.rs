// SPDX-License-Identifier: MIT OR Apache-2.0
//! Child processes, each with a deadline.
//!
//! A child that outlives its deadline is killed together with its descendants: cargo's test programs and QEMU are
//! grandchildren of ours. They stay in our process group, so that Ctrl-C at the terminal reaches all of them. What
//! the output means is for the callers to say.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// What is kept of one captured stream, in bytes; the rest is read and dropped.
const CAPTURE_LIMIT: u64 = 16 << 20;

/// What a child that says nothing may take without a word of ours, and the time between two.
const PATIENCE: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_secs(10);

/// How long what a child started may hold the child's output after the child's end.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// A finished child with all it said.
#[derive(Debug)]
pub(crate) struct Captured {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Its standard output; bytes that are not UTF-8 are replaced.
    pub(crate) stdout: String,
    /// Its standard error, likewise.
    pub(crate) stderr: String,
}

impl Captured {
    /// The last line of standard error that is not empty: where programs say why they gave up.
    pub(crate) fn complaint(&self) -> &str {
        self.stderr.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it gave no reason")
    }
}

enum Event {
    Line(String),
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    Exit(io::Result<ExitStatus>),
}

/// Runs `command` with our own standard streams.
///
/// # Errors
/// When it cannot be started, or was killed at its deadline.
pub(crate) fn run(command: &mut Command, deadline: Duration) -> Result<ExitStatus> {
    let mut watch = Watch::start(command, deadline, |_, _| ())?;
    Ok(watch.finish(1, |_| ())?.status)
}

/// Runs `command` with our own standard streams; it must succeed.
///
/// # Errors
/// As [`run`], and `failed` with the status where it does not succeed.
pub(crate) fn succeed(command: &mut Command, deadline: Duration, failed: &str) -> Result<()> {
    success(run(command, deadline)?, failed)
}

/// What ended with this status must have succeeded.
///
/// # Errors
/// `failed`, with the status.
pub(crate) fn success(status: ExitStatus, failed: &str) -> Result<()> {
    if status.success() { Ok(()) } else { bail!("{failed} ({status})") }
}

/// Runs `command`, which says nothing while it works: `doing` says what it does, on standard error and for how long.
///
/// # Errors
/// When it cannot be started, was killed at its deadline, or failed, with `failed`.
pub(crate) fn quiet(command: &mut Command, deadline: Duration, doing: &str, failed: &str) -> Result<()> {
    let mut watch = Watch::start(command, deadline, |_, _| ())?;
    watch.doing = Some(doing.to_owned());
    success(watch.finish(1, |_| ())?.status, failed)
}

/// Runs `command` and hands each line of its standard output to `on_line`; standard error stays ours.
///
/// # Errors
/// When it cannot be started, or was killed at its deadline.
pub(crate) fn lines(command: &mut Command, deadline: Duration, on_line: impl FnMut(&str)) -> Result<ExitStatus> {
    command.stdout(Stdio::piped());
    let mut watch = Watch::start(command, deadline, |child, sender| read_lines(child.stdout.take(), sender.clone()))?;
    Ok(watch.finish(2, on_line)?.status)
}

/// Runs `command`, feeds it `input`, and keeps what it says.
///
/// # Errors
/// When it cannot be started, or was killed at its deadline.
pub(crate) fn capture(command: &mut Command, input: &str, deadline: Duration) -> Result<Captured> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watch = Watch::start(command, deadline, |child, sender| {
        read_all(child.stdout.take(), sender.clone(), Event::Stdout);
        read_all(child.stderr.take(), sender.clone(), Event::Stderr);
        if let Some(mut stdin) = child.stdin.take() {
            let input = input.as_bytes().to_vec();
            // A child that ends without reading its input is no error of ours: its status and words tell.
            thread::spawn(move || stdin.write_all(&input));
        }
    })?;
    watch.finish(3, |_| ())
}

/// Runs `command` and hands each line of its standard output to `on_line`; keeps its standard error.
///
/// # Errors
/// When it cannot be started, or was killed at its deadline.
pub(crate) fn capture_lines(command: &mut Command, deadline: Duration, on_line: impl FnMut(&str)) -> Result<Captured> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watch = Watch::start(command, deadline, |child, sender| {
        read_lines(child.stdout.take(), sender.clone());
        read_all(child.stderr.take(), sender.clone(), Event::Stderr);
    })?;
    watch.finish(3, on_line)
}

/// A running child and the threads that listen to it.
struct Watch {
    name: String,
    /// As long as it runs.
    pid: Option<Pid>,
    events: Receiver<Event>,
    deadline: Duration,
    end: Instant,
    /// What it does, if it does not say so itself, and when that is said next.
    doing: Option<String>,
    due: Instant,
}

impl Watch {
    fn start(
        command: &mut Command,
        deadline: Duration,
        listen: impl FnOnce(&mut Child, &Sender<Event>),
    ) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let (sender, events) = mpsc::channel();
        listen(&mut child, &sender);
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        // Whoever stopped listening needs no answer, so a failing send is fine, here and in the readers.
        thread::spawn(move || sender.send(Event::Exit(child.wait())));
        let begun = Instant::now();
        Ok(Self { name, pid, events, deadline, end: begun + deadline, doing: None, due: begun + PATIENCE })
    }

    /// Waits for `ends` ends: that of the child and that of each stream listened to.
    fn finish(&mut self, ends: usize, mut on_line: impl FnMut(&str)) -> Result<Captured> {
        let (mut status, mut stdout, mut stderr) = (None, Vec::new(), Vec::new());
        let mut left = ends;
        while left > 0 {
            match self.next()? {
                Event::Line(line) => {
                    on_line(&line);
                    continue;
                }
                Event::Stdout(bytes) => stdout = bytes,
                Event::Stderr(bytes) => stderr = bytes,
                Event::Exit(exit) => {
                    status = Some(exit.with_context(|| format!("cannot wait for {}", self.name))?);
                    self.pid = None;
                    self.end = self.end.min(Instant::now() + LAST_WORDS);
                }
            }
            left -= 1;
        }
        let status = status.with_context(|| format!("{} ended without a status", self.name))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Captured { status, stdout: text(stdout), stderr: text(stderr) })
    }

    fn next(&mut self) -> Result<Event> {
        let until = if self.doing.is_some() { self.due.min(self.end) } else { self.end };
        match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(event) => Ok(event),
            Err(RecvTimeoutError::Timeout) if Instant::now() < self.end => {
                let lasts = self.deadline.saturating_sub(self.end.saturating_duration_since(Instant::now()));
                self.doing.iter().for_each(|doing| eprintln!("xtask: {doing}, {} s", lasts.as_secs()));
                self.due = Instant::now() + INTERVAL;
                self.next()
            }
            Err(RecvTimeoutError::Timeout) => {
                let Some(pid) = self.pid else {
                    bail!("{} ended, but something that it started still holds its output", self.name)
                };
                kill_tree(pid);
                bail!("{} did not end within {} s and was killed", self.name, self.deadline.as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => bail!("{} ended without a status", self.name),
        }
    }
}

fn read_all<R: Read + Send + 'static>(stream: Option<R>, sender: Sender<Event>, wrap: fn(Vec<u8>) -> Event) {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // A broken pipe ends the stream like its end does; the status says the rest.
            let _ = stream.by_ref().take(CAPTURE_LIMIT).read_to_end(&mut bytes);
            let _ = io::copy(&mut stream, &mut io::sink());
        }
        let _ = sender.send(wrap(bytes));
    });
}

fn read_lines<R: Read + Send + 'static>(stream: Option<R>, sender: Sender<Event>) {
    thread::spawn(move || {
        let mut stream = stream.map(BufReader::new);
        let mut bytes = Vec::new();
        while let Some(stream) = &mut stream {
            bytes.clear();
            match stream.by_ref().take(CAPTURE_LIMIT).read_until(b'\n', &mut bytes) {
                Ok(0) | Err(_) => break,
                Ok(_) => {
                    let line = String::from_utf8_lossy(&bytes);
                    let _ = sender.send(Event::Line(line.trim_end_matches(['\n', '\r']).to_owned()));
                }
            }
        }
        let _ = sender.send(Event::Stdout(Vec::new()));
    });
}

/// Kills `root` and all its descendants, as /proc lists them now.
fn kill_tree(root: Pid) {
    let mut children = BTreeMap::<i32, Vec<i32>>::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = fs::read_to_string(entry.path().join("stat")).ok().as_deref().and_then(parent_of) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut pending = vec![root.as_raw_nonzero().get()];
    while let Some(pid) = pending.pop() {
        pending.extend(children.remove(&pid).into_iter().flatten());
        if let Some(pid) = Pid::from_raw(pid) {
            // A process that ended meanwhile needs no signal.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// The parent's process id in a line of /proc/PID/stat; the program's name before it may hold anything.
fn parent_of(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_child_is_fed_and_heard() -> Result<()> {
        let heard = capture(Command::new("sh").args(["-c", "cat; echo why >&2; exit 3"]), "in\n", LONG)?;
        assert_eq!((heard.status.code(), heard.stdout.as_str(), heard.complaint()), (Some(3), "in\n", "why"));
        Ok(())
    }

    #[test]
    fn lines_come_one_by_one_and_without_their_ends() -> Result<()> {
        let mut seen = Vec::new();
        let status = lines(Command::new("printf").arg("a\\r\\nb"), LONG, |line| seen.push(line.to_owned()))?;
        assert!(status.success());
        assert_eq!(seen, ["a", "b"]);
        Ok(())
    }

    #[test]
    fn a_quiet_child_ends_as_any_other() {
        let end = |script: &str| {
            quiet(Command::new("sh").args(["-c", script]), Duration::from_secs(60), "working", "it failed")
        };
        assert!(end("exit 0").is_ok());
        assert!(end("exit 3").is_err_and(|error| error.to_string().contains("it failed")));
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let error = run(&mut Command::new("/nonexistent/program"), LONG).expect_err("cannot start");
        assert_eq!(error.to_string(), "cannot start /nonexistent/program");
    }

    #[test]
    fn at_the_deadline_grandchildren_die_too() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let pid_file = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", pid_file.display());
        let error = run(Command::new("sh").args(["-c", &script]), Duration::from_secs(1)).expect_err("killed");
        assert_eq!(error.to_string(), "sh did not end within 1 s and was killed");
        let pid = fs::read_to_string(pid_file)?;
        let alive = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
        };
        // The signal is sent; when it takes effect is the kernel's business.
        let end = Instant::now() + LONG;
        while alive() && Instant::now() < end {
            thread::yield_now();
        }
        assert!(!alive(), "the grandchild is still there");
        Ok(())
    }

    #[test]
    fn who_holds_the_output_of_a_child_that_ended_is_not_waited_for() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let script = format!("sleep 1000 & echo $! > {}", folder.path().join("pid").display());
        let error = capture(Command::new("sh").args(["-c", &script]), "", LONG * 10).expect_err("held");
        assert_eq!(error.to_string(), "sh ended, but something that it started still holds its output");
        let pid = fs::read_to_string(folder.path().join("pid"))?;
        run(Command::new("kill").arg(pid.trim()), LONG)?;
        Ok(())
    }

    #[test]
    fn the_parent_is_found_behind_any_program_name() {
        assert_eq!(parent_of("12 (a) b) (c)) S 7 12 12 0"), Some(7));
        assert_eq!(parent_of("nonsense"), None);
    }
}
