// SPDX-License-Identifier: MIT OR Apache-2.0
//! SIGINT, SIGTERM and SIGHUP at any moment: each command that can take long ends, and leaves no process and no folder
//! behind. What such a command leaves on other hosts stands in `tests/hosts`.

#[path = "support/signals.rs"]
mod moments;
#[path = "support/program.rs"]
mod program;
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use moments::signals;

/// How late a signal may come: by then a command is in the middle of what it does.
const REACH: Duration = Duration::from_secs(2);

/// How long something that must happen may take before a test gives up. No test depends on it being short.
const PATIENCE: Duration = Duration::from_secs(60);

/// A guest that works without end while its memory must not converge.
const ENDLESS: &str = r#"
summary = "It goes on"
[guest]
suites = ["migration-continuous"]
cpus = 2
[hosts.A]
topology = "05=cex8a/33"
mdev = { adapters = ["05"], domains = ["33"] }
[hosts.B]
topology = "05=cex8a/33"
[[migrations]]
to = "B"
with = { bandwidth = 100_000, downtime = 0 }
[deadlines]
migration = 600
[expect]
result = "pass"
"#;

/// A folder for everything that a command makes.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder") };
        ["runs", "tmp", "bin", "state"].iter().for_each(|name| fs::create_dir(place.path(name)).expect("a folder"));
        place.write("endless.toml", ENDLESS);
        place.write("also.toml", ENDLESS);
        // An ssh that never gets through, and a QEMU that never answers.
        place.program("bin/ssh", "exec sleep 1000");
        place.program("slow-qemu", "exec sleep 1000");
        let record = serde_json::json!({"uuid": "11111111-2222-4333-8444-555555555555", "changes": []});
        let journal =
            serde_json::json!({"version": 1, "pid": 1, "host": "ssh:a", "ssh-config": null, "record": record});
        place.write("state/a.json", &journal.to_string());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    fn program(&self, name: &str, text: &str) {
        program::program(&self.path(name), &format!("#!/bin/sh\n{text}\n")).expect("written");
    }

    /// kaput, to which no signal is ignored but those that are named.
    fn kaput(&self, arguments: &[&str], ignored: &[&str]) -> Command {
        let named = support::named();
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP,INT,TERM"]);
        command.args(ignored.iter().map(|signal| format!("--ignore-signal={signal}")));
        command.arg(env!("CARGO_BIN_EXE_kaput")).args(arguments).current_dir(self.folder.path());
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.path("bin").display()));
        let tools = [named.emulator.qemu, named.emulator.plugin, named.image, named.scenarios.folder]
            .map(|path| path.expect("named"));
        command.envs(["KAPUT_QEMU", "KAPUT_PLUGIN", "KAPUT_IMAGE", "KAPUT_SCENARIOS"].into_iter().zip(tools));
        command.envs([("KAPUT_RUNS", self.path("runs")), ("KAPUT_STATE", self.path("state"))]);
        command.envs([("KAPUT_CACHE", self.folder.path().to_owned()), ("TMPDIR", self.path("tmp"))]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Processes that were started here, or by those, and what else should not be there.
    fn left_behind(&self) -> Vec<String> {
        let here = self.folder.path().display().to_string();
        let says = |path: &Path, name: &str| fs::read(path.join(name)).unwrap_or_default();
        let processes = fs::read_dir("/proc").expect("readable").flatten().map(|entry| entry.path());
        let ours = processes.filter(|path| String::from_utf8_lossy(&says(path, "environ")).contains(&here));
        let mut all: Vec<String> =
            ours.map(|path| String::from_utf8_lossy(&says(&path, "cmdline")).replace('\0', " ")).collect();
        for folder in ["runs", "tmp"] {
            let entries = fs::read_dir(self.path(folder)).expect("readable").flatten();
            all.extend(entries.map(|entry| entry.path().display().to_string()));
        }
        all
    }
}

fn send(process: &Child, signal: &str) {
    let sent = Command::new("kill").args(["-s", signal, &process.id().to_string()]).status();
    assert!(sent.expect("kill").success(), "it had ended before");
}

/// Starts a command and sends it a signal; asserts that it ends by that, and that nothing is left.
fn ends_at_signals(name: &str, command: impl Fn(&Place) -> Command) {
    let place = Place::new();
    let mut longest = Duration::ZERO;
    for ((signal, code), late) in signals(name) {
        let after = REACH.mul_f64(late);
        let mut process = command(&place).spawn().expect("started");
        std::thread::sleep(after);
        let told = format!("{name}: {signal} after {after:.3?}");
        let sent = Instant::now();
        send(&process, signal);
        let status = loop {
            match process.try_wait().expect("waited for") {
                Some(status) => break status,
                None => assert!(sent.elapsed() < PATIENCE, "{told}: it goes on"),
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        longest = longest.max(sent.elapsed());
        let mut said = String::new();
        process.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        // QEMU ends in order, and its status does not tell why.
        let by_signal =
            status.signal() == Some(code) || status.code() == Some(128 + code) || (name == "qemu" && status.success());
        assert!(by_signal, "{told}: {status}: {said}");
        while !place.left_behind().is_empty() {
            assert!(sent.elapsed() < PATIENCE, "{told}: {:?} left behind; {said}", place.left_behind());
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(place.path("state/a.json").exists(), "{told}: what is to be put back is forgotten");
    }
    println!("{name}: gone after {longest:.3?} at most");
}

#[test]
fn runs_end_at_signals() {
    ends_at_signals("run", |place| place.kaput(&["run", "./endless.toml", "./also.toml", "-j", "2"], &[]));
}

#[test]
fn a_run_whose_report_nobody_reads_ends_at_signals() {
    ends_at_signals("run, stdout full", |place| {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        // As much as a pipe takes; whoever writes more waits.
        writer.write_all(&[b'\n'; 65_536]).expect("written");
        // The reader lives as long as the process, which inherits it.
        let mut command = place.kaput(&["run", "limits", "--trace"], &[]);
        command.stdout(writer).stdin(reader);
        command
    });
}

#[test]
fn soaks_end_at_signals() {
    ends_at_signals("soak", |place| place.kaput(&["soak", "--migrations", "1000000", "-j", "2"], &[]));
}

#[test]
fn the_judgement_of_the_tests_ends_at_signals() {
    ends_at_signals("mutants", |place| place.kaput(&["mutants"], &[]));
}

#[test]
fn the_judgement_of_a_silent_device_ends_at_signals() {
    let folder = tempfile::tempdir().expect("a folder");
    let silent = UnixListener::bind(folder.path().join("silent")).expect("bound");
    let device = format!("control:{}", folder.path().join("silent").display());
    ends_at_signals("conformance", |place| place.kaput(&["conformance", "--device", &device], &[]));
    drop(silent);
}

#[test]
fn an_agent_that_does_not_answer_does_not_keep_a_command_that_is_to_end() {
    let device = "agent:cat > /dev/null";
    ends_at_signals("conformance by an agent", |place| place.kaput(&["conformance", "--device", device], &[]));
}

#[test]
fn a_report_from_a_pipe_that_stays_open_ends_at_signals() {
    ends_at_signals("report", |place| place.kaput(&["report", "-"], &[]));
}

#[test]
fn hosts_that_do_not_answer_do_not_keep_a_command_that_is_to_end() {
    ends_at_signals("collect", |place| place.kaput(&["collect", "ssh:a"], &[]));
    ends_at_signals("preflight", |place| place.kaput(&["preflight", "ssh:a", "local"], &[]));
    ends_at_signals("restore", |place| place.kaput(&["restore"], &[]));
    ends_at_signals("run by ssh", |place| place.kaput(&["run", "--destination", "ssh:a"], &[]));
    ends_at_signals("doctor --host", |place| place.kaput(&["doctor", "--host", "ssh:a"], &[]));
}

#[test]
fn a_qemu_that_does_not_answer_does_not_keep_the_doctor() {
    ends_at_signals("doctor", |place| {
        let slow = place.path("slow-qemu").display().to_string();
        place.kaput(&["doctor", "--qemu", &slow], &[])
    });
}

#[test]
fn the_qemu_that_kaput_becomes_ends_at_signals() {
    let guest = ["-m", "64M", "-nodefaults", "-display", "none"];
    ends_at_signals("qemu", |place| place.kaput(&[&["qemu", "--ap", "05=cex8a/33", "--"], &guest[..]].concat(), &[]));
}

#[test]
fn whoever_has_the_hang_up_ignored_is_not_ended_by_it() {
    let place = Place::new();
    let mut process = place.kaput(&["soak", "--migrations", "1000000"], &["HUP"]).spawn().expect("started");
    let mut first = String::new();
    BufReader::new(process.stdout.as_mut().expect("piped")).read_line(&mut first).expect("text");
    assert!(first.starts_with("seed "), "{first}");
    send(&process, "HUP");
    send(&process, "TERM");
    let status = process.wait().expect("waited for");
    assert_eq!(status.code(), Some(128 + 15), "{status}");
}
