// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent itself, as it is built for a Linux on s390x, in QEMU's emulation of one program. `KAPUT_AGENT` names it
//! and `KAPUT_EMULATOR` the emulator, as `cargo xtask test big-endian` does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use agent_protocol::Refusal;
use libtest_mimic::{Arguments, Failed, Trial};
use vfio_linux::{Agent, CallError, Linux, SystemCalls, Thread};
use vfio_mig::Errno;

const PATIENCE: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);
const PAGE: u64 = 4096;

/// System calls of s390x that only a test makes.
const GETPID: u64 = 20;
const GETTID: u64 = 236;
const PIPE2: u64 = 325;
const READ: u64 = 3;
const WRITE: u64 = 4;

/// An agent that ends with this.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(emulator: &Path, agent: &Path) -> Result<(Program, Arc<Agent>), Failed> {
    let mut child = Command::new(emulator).arg(agent).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (from, to) = (child.stdout.take().ok_or("no pipe")?, child.stdin.take().ok_or("no pipe")?);
    let program = Program(child);
    Ok((program, Arc::new(Agent::greet(from, to, PATIENCE)?)))
}

type Test = fn(&Arc<Agent>) -> Result<(), Failed>;

const TESTS: [(&str, Test); 5] = [
    ("memory_that_is_not_there_is_refused", memory),
    ("calls_return_on_their_threads", threads),
    ("a_call_that_waits_does_not_stop_the_others", waiting),
    ("calls_at_once_begin_and_end", at_once),
    ("files_folders_and_links_are_read_as_they_are", files),
];

fn memory(agent: &Arc<Agent>) -> Result<(), Failed> {
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(300_000).collect();
    let address = agent.map(bytes.len())?;
    agent.poke(address, &bytes)?;
    demand("memory", agent.peek(address, bytes.len())? == bytes)?;
    let fault = |result: Result<(), CallError>| {
        matches!(result, Err(CallError::Refused { refusal: Refusal::FAULT, errno: 14 }))
    };
    demand("a peek at 0x10", fault(agent.peek(0x10, 4).map(drop)))?;
    let end = address + 300_000u64.next_multiple_of(PAGE);
    demand("a poke across the end", fault(agent.poke(end - 10, &[1; 100_000])))?;
    demand("memory afterwards", agent.peek(address, 1000)? == bytes[..1000])
}

fn threads(agent: &Arc<Agent>) -> Result<(), Failed> {
    let process = agent.run(Thread(0), GETPID, [0; 6], PATIENCE)?;
    demand("getpid", process == Some(i64::from(agent.process())))?;
    let ids = [0, 1, 63].map(|thread| agent.run(Thread(thread), GETTID, [0; 6], PATIENCE));
    let again = agent.run(Thread(1), GETTID, [0; 6], PATIENCE)?;
    let [first, second, third] = ids.map(Result::ok);
    demand("thread ids", first != second && second != third && second == Some(again))?;
    let refused = agent.call(Thread(64), GETTID, [0; 6]);
    demand("a 65th thread", matches!(refused, Err(CallError::Refused { refusal: Refusal::NO_THREAD, .. })))
}

/// Both ends of a pipe.
fn pipe(agent: &Arc<Agent>) -> Result<[u64; 2], Failed> {
    let address = agent.map(8)?;
    demand("pipe2", agent.run(Thread(0), PIPE2, [address, 0, 0, 0, 0, 0], PATIENCE)? == Some(0))?;
    let ends = agent.peek(address, 8)?;
    let end = |at: usize| ends[at..].first_chunk().map_or(0, |end| u64::from(u32::from_be_bytes(*end)));
    Ok([end(0), end(4)])
}

fn waiting(agent: &Arc<Agent>) -> Result<(), Failed> {
    let [from, to] = pipe(agent)?;
    let buffer = agent.map(16)?;
    demand("an empty pipe", agent.run(Thread(1), READ, [from, buffer, 16, 0, 0, 0], SHORT)?.is_none())?;
    let busy = agent.call(Thread(1), GETPID, [0; 6]);
    demand("its thread", matches!(busy, Err(CallError::Refused { refusal: Refusal::BUSY, .. })))?;
    agent.poke(buffer + 8, b"matrix")?;
    demand("a write", agent.run(Thread(2), WRITE, [to, buffer + 8, 6, 0, 0, 0], PATIENCE)? == Some(6))?;
    demand("the read", agent.wait(Thread(1), PATIENCE)? == Some(6))?;
    demand("what was read", agent.peek(buffer, 6)? == b"matrix")
}

fn at_once(agent: &Arc<Agent>) -> Result<(), Failed> {
    let threads = [Thread(3), Thread(4), Thread(5)];
    for _ in 0..100 {
        for thread in threads {
            agent.call(thread, GETPID, [0; 6])?;
        }
        agent.start(&threads)?;
        for thread in threads {
            demand("getpid", agent.wait(thread, PATIENCE)? == Some(i64::from(agent.process())))?;
        }
    }
    let idle = agent.start(&threads);
    demand("nothing to start", matches!(idle, Err(CallError::Refused { refusal: Refusal::IDLE, .. })))
}

fn files(agent: &Arc<Agent>) -> Result<(), Failed> {
    let linux = Linux::new(Arc::clone(agent) as _, PATIENCE);
    let folder = std::env::temp_dir().join(format!("kaput-agent-{}", std::process::id()));
    fs::create_dir_all(folder.join("card04"))?;
    let text = "0x0c\n".repeat(30_000);
    fs::write(folder.join("apmask"), &text)?;
    std::os::unix::fs::symlink("../drivers/vfio_ap", folder.join("driver"))?;
    let path = |name: &str| folder.join(name).display().to_string();
    demand("a file", linux.read_file(&path("apmask"))? == text.as_bytes())?;
    linux.write_file(&path("apmask"), "0x0f")?;
    demand("what was written", fs::read(folder.join("apmask"))?.starts_with(b"0x0f"))?;
    let mut names = linux.list(&folder.display().to_string())?;
    names.sort();
    demand("a folder", names == ["apmask", "card04", "driver"])?;
    demand("a link", linux.read_link(&path("driver"))? == "../drivers/vfio_ap")?;
    let missing = linux.read_file(&path("nothing")).err().and_then(|error| error.errno());
    demand("a file that is not there", missing == Some(Errno::ENOENT))?;
    Ok(fs::remove_dir_all(&folder)?)
}

fn demand(what: &str, holds: bool) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(format!("{what}: not as expected").into()) }
}

fn main() -> ExitCode {
    let named = |variable| std::env::var_os(variable).map(PathBuf::from);
    let program = named("KAPUT_AGENT").zip(named("KAPUT_EMULATOR"));
    if program.is_none() {
        println!("SKIP agent: only `cargo xtask test big-endian` builds and emulates it");
    }
    let (agent, emulator) = program.clone().unwrap_or_default();
    let trials = TESTS.map(|(name, test)| {
        let (agent, emulator) = (agent.clone(), emulator.clone());
        let run = move || start(&emulator, &agent).and_then(|(_program, agent)| test(&agent));
        Trial::test(name, run).with_kind("agent").with_ignored_flag(program.is_none())
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}
