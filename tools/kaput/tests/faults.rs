// SPDX-License-Identifier: MIT OR Apache-2.0
//! What goes wrong around a migration, done to the real QEMU: each fault has its own verdict within its deadline, and
//! no process is left behind.

#[path = "support/program.rs"]
mod program;
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use kaput::doctor::Check;
use kaput::outcome::events::What;
use kaput::outcome::finished::Finished;
use kaput::outcome::verdict::Kind;
use kaput::run;
use kaput::run::tools::{Named, NamedEmulator, Tools};
use kaput::scenario::load::Loaded;

use support::named;

/// How long something that must happen may take before a test gives up. No test depends on it being short.
const PATIENCE: Duration = Duration::from_secs(120);

const SCENARIO: &str = r#"
summary = "a migration that something happens to"
[guest]
suites = ["presence", "migration-apcb"]
[hosts.A]
topology = "05=cex8a/33"
mdev = { adapters = ["05"], domains = ["33"] }
[hosts.B]
topology = "05=cex8a/33"
[[migrations]]
to = "B"
[expect]
result = "pass"
"#;

fn action(at: &str, deed: &str) -> String {
    format!("{SCENARIO}\n[[actions]]\nat = \"{at}\"\ndo = \"{deed}\"\n")
}

/// Runs a scenario; asserts that every process it started is gone and that its folder has the account of it.
fn finished(tools: impl FnOnce(&mut Tools), scenario: String) -> Finished {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut found = runtime.block_on(named().find()).expect("tools");
    tools(&mut found);
    let loaded = Loaded::from_text(Path::new("fault.toml"), scenario).expect("a scenario");
    let finished = runtime.block_on(run::run(&found, &loaded, run::Options::default())).expect("a folder");
    let folder = finished.verdict.run_folder.clone();
    for event in &finished.events {
        if let What::Launched { pid } = event.what {
            let of_this_run =
                |text: String| folder.as_ref().is_some_and(|folder| text.contains(&*folder.to_string_lossy()));
            let alive = fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(of_this_run);
            assert!(!alive, "process {pid} is left behind after {}", finished.verdict.kind);
        }
    }
    if let Some(folder) = &folder {
        for file in ["verdict.json", "events.json", "00-A.command", "scenario.toml"] {
            assert!(folder.join(file).exists(), "the run folder has no {file}");
        }
        fs::remove_dir_all(folder).expect("the run folder can be removed");
    }
    finished
}

fn verdict_of(scenario: String) -> (Kind, String) {
    let verdict = finished(|_| (), scenario).verdict;
    assert!(!verdict.happened.is_empty() && verdict.run_folder.is_some());
    (verdict.kind, verdict.host.unwrap_or_default())
}

#[test]
fn without_a_fault_the_run_is_as_expected() {
    let verdict = finished(|_| (), SCENARIO.to_owned()).verdict;
    assert_eq!((verdict.kind, verdict.run_folder), (Kind::AsExpected, None), "{}\n{}", verdict.happened, verdict.seen);
}

#[test]
fn a_refused_guest_has_its_device_back_before_the_migration_is_cancelled() {
    let refused = SCENARIO
        .replace("to = \"B\"", "to = \"B\"\nwith = { cut = 8 }")
        .replace("result = \"pass\"", "result = \"refused\"\nrefused = { errno = \"EINVAL\" }");
    let finished = finished(|_| (), refused);
    let place = |wanted: &dyn Fn(&What) -> bool| finished.events.iter().rposition(|event| wanted(&event.what));
    let device = place(&|what| matches!(what, What::Device { state } if state == "running"));
    let first = |wanted: &dyn Fn(&What) -> bool| finished.events.iter().position(|event| wanted(&event.what));
    let cancelled = first(&|what| matches!(what, What::Migration { status } if status.starts_with("cancel")));
    let refused = first(&|what| matches!(what, What::Refused { .. }));
    assert!(refused.is_some() && refused < device && device < cancelled, "{refused:?} {device:?} {cancelled:?}");
}

#[test]
fn the_run_folder_has_the_trace_where_both_are_wanted() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let tools = runtime.block_on(named().find()).expect("tools");
    let loaded = Loaded::from_text(Path::new("traced.toml"), SCENARIO.to_owned()).expect("a scenario");
    for (keep, trace) in [(true, true), (true, false)] {
        let options = run::Options { keep, trace, ..run::Options::default() };
        let finished = runtime.block_on(run::run(&tools, &loaded, options)).expect("a folder");
        let folder = finished.verdict.run_folder.expect("kept");
        let kept = fs::read_to_string(folder.join("trace")).ok();
        assert_eq!(kept, finished.trace.map(|trace| trace.lines(&finished.events)));
        assert_eq!(kept.is_some_and(|text| text.contains("TAPQ 05.0033") && text.contains("-- device: ")), trace);
        fs::remove_dir_all(folder).expect("the run folder can be removed");
    }
}

#[test]
fn a_source_that_dies_is_named_whenever_it_dies() {
    assert_eq!(verdict_of(action("boot", "kill-source")), (Kind::SourceNeverStarted, "A".into()));
    for moment in ["suites", "asked", "active", "pre-switchover", "handed-over", "continued"] {
        assert_eq!(verdict_of(action(moment, "kill-source")), (Kind::QemuDied, "A".into()), "killed at {moment}");
    }
}

#[test]
fn a_destination_that_dies_is_named_whenever_it_dies() {
    for moment in ["asked", "active", "pre-switchover", "handed-over", "continued"] {
        assert_eq!(verdict_of(action(moment, "kill-destination")), (Kind::QemuDied, "B".into()), "killed at {moment}");
    }
}

/// QEMU restarts a source by itself when its migration fails after it was told to go on, faster than any client: the
/// vCPU's resume brings the device back before the guest's first instruction, and says so.
#[test]
fn a_device_runs_again_before_its_guest_when_the_migration_fails_at_the_last_moment() {
    let asks = r#"
[[asks]]
at = "continued"
host = "A"
request = { execute = "query-counters" }
answer = { resumed-by-vcpu = 1 }
repeat = true

[[asks]]
at = "continued"
host = "A"
request = { execute = "migration-get-state" }
answer = { state = "running" }
"#;
    let verdict = finished(|_| (), action("handed-over", "kill-destination") + asks).verdict;
    assert_eq!(verdict.kind, Kind::QemuDied, "{}: {}", verdict.happened, verdict.seen);
}

/// A program that does something first, and is QEMU then.
fn odd_qemu(folder: &Path, first: &str) -> PathBuf {
    let real = named().emulator.qemu.expect("named");
    let path = folder.join("qemu");
    program::program(&path, &format!("#!/bin/sh\n{first}\nexec '{}' \"$@\"\n", real.display())).expect("written");
    path
}

#[test]
fn a_destination_that_never_answers_or_ends_at_once_never_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let quick = format!("{SCENARIO}\n[deadlines]\nstart = 10\n");
    for (doing, scenario) in [("exec sleep 1000", quick.as_str()), ("echo no such machine >&2; exit 1", SCENARIO)] {
        let qemu = odd_qemu(folder.path(), &format!("case \"$*\" in *-incoming*) {doing};; esac"));
        let verdict = finished(|tools| tools.qemu = qemu, scenario.to_owned()).verdict;
        assert_eq!((verdict.kind, verdict.host.as_deref()), (Kind::DestinationNeverStarted, Some("B")));
        assert_eq!(verdict.seen.contains("no such machine"), doing.contains("echo"), "{}", verdict.seen);
    }
}

/// Puts another socket in the monitor's place, and writes down in the file `asked` where it should have been.
const MONITOR_ELSEWHERE: &str = r#"
left=$#
while [ "$left" -gt 0 ]; do
    word=$1; shift; left=$((left - 1))
    case $word in unix:*.qmp-socket,server=off)
        path=${word#unix:}; printf %s "${path%,server=off}" > FOLDER/new && mv FOLDER/new FOLDER/asked
        word=unix:FOLDER/monitor,server=on,wait=off ;;
    esac
    set -- "$@" "$word"
done"#;

/// Connects QEMU's monitor with the harness, a second after QEMU was started, and hands on until either ends.
fn connect_late(folder: &Path) {
    let until = |what: &str, ready: &mut dyn FnMut() -> Option<UnixStream>| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match ready() {
                Some(stream) => return stream,
                None => assert!(Instant::now() < deadline, "{what} is not there"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let asked = || fs::read_to_string(folder.join("asked")).ok().and_then(|path| UnixStream::connect(path).ok());
    let harness = until("the harness", &mut || {
        folder.join("asked").exists().then(|| std::thread::sleep(Duration::from_secs(1))).and_then(|()| asked())
    });
    let qemu = until("QEMU", &mut || UnixStream::connect(folder.join("monitor")).ok());
    let (mut from, mut to) = (qemu.try_clone().expect("cloned"), harness.try_clone().expect("cloned"));
    std::thread::spawn(move || {
        _ = std::io::copy(&mut from, &mut to);
        _ = to.shutdown(Shutdown::Both);
    });
    _ = std::io::copy(&mut &harness, &mut &qemu);
}

#[test]
fn a_guest_is_seen_to_end_though_its_qemus_monitor_is_connected_a_second_late() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = MONITOR_ELSEWHERE.replace("FOLDER", &folder.path().display().to_string());
    let qemu = odd_qemu(folder.path(), &text);
    // It has said everything, and is over, in less.
    let suites = SCENARIO.replace("\"migration-apcb\"", "\"limits\"");
    let stays = suites.replace("[[migrations]]\nto = \"B\"\n", "") + "[deadlines]\nguest = 15\n";
    let place = folder.path().to_owned();
    let relay = std::thread::spawn(move || connect_late(&place));
    let verdict = finished(|tools| tools.qemu = qemu, stays).verdict;
    assert!(verdict.is_as_expected(), "{}\n{}", verdict.happened, verdict.seen);
    relay.join().expect("it was asked for");
}

#[test]
fn a_guest_that_stands_still_is_silent() {
    // It waits for a domain to go, so it has not asked for its migration, however late the harness comes.
    let suites = SCENARIO.replace("\"migration-apcb\"", "\"hot-unplug\"");
    let stop = "[[actions]]\nat = \"waiting\"\ndo = \"stop-guest\"";
    let verdict = finished(|_| (), format!("{suites}\n{stop}\n[deadlines]\nguest = 5\n")).verdict;
    assert_eq!((verdict.kind, verdict.host.as_deref()), (Kind::GuestSilent, Some("A")), "{}", verdict.seen);
    assert!(verdict.seen.contains("the guest is stopped"), "{}", verdict.seen);
    assert!(!verdict.last_instructions.is_empty(), "its memory is still there, and so is its log");
}

#[test]
fn garbage_on_the_console_neither_stops_the_run_nor_passes() {
    for moment in ["suites", "asked", "handed-over"] {
        assert_eq!(verdict_of(action(moment, "garbage-on-console")).0, Kind::ConsoleGarbage, "at {moment}");
    }
}

#[test]
fn an_unknown_plugin_argument_or_host_is_told_with_qemus_own_words() {
    let finished = finished(|tools| tools.plugin = PathBuf::from("/nonexistent/libqemu_ap.so"), SCENARIO.to_owned());
    assert_eq!(finished.verdict.kind, Kind::SourceNeverStarted);
    assert!(finished.verdict.seen.contains("/nonexistent/libqemu_ap.so"), "{}", finished.verdict.seen);
}

#[test]
fn a_socket_that_a_killed_qemu_left_behind_is_in_nobodys_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("control");
    let scenario = SCENARIO.replace("[hosts.B]", &format!("[hosts.B]\ncontrol = \"{}\"", socket.display()));
    for _ in 0..2 {
        let verdict = finished(|_| (), scenario.clone()).verdict;
        assert!(verdict.is_as_expected(), "{}\n{}", verdict.happened, verdict.seen);
        assert!(socket.exists(), "the plugin listened there");
    }
}

#[test]
fn a_qemu_that_is_too_old_or_for_another_machine_is_refused_in_one_paragraph() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for (number, (machines, reason)) in
        [("s390-ccw-virtio-10.0 x", "older than 11.1"), ("pc-q35-11.1 x", "not for s390x")].into_iter().enumerate()
    {
        let qemu = folder.path().join(format!("qemu-{number}"));
        program::program(&qemu, &format!("#!/bin/sh\necho {machines}\n")).expect("written");
        let emulator = NamedEmulator { qemu: Some(qemu), ..named().emulator };
        let error = runtime.block_on(Named { emulator, ..named() }.find()).expect_err("of no use").to_string();
        assert!(error.contains("cannot be used") && error.contains(reason) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn qemu_is_shown_a_plugin_in_a_folder_with_a_comma() {
    let folder = tempfile::tempdir().expect("a folder");
    let odd = folder.path().join("a,b");
    fs::create_dir(&odd).expect("a folder");
    let plugin = odd.join("libqemu_ap.so");
    std::os::unix::fs::symlink(named().emulator.plugin.expect("named"), &plugin).expect("linked");
    let told = doctor_on_plugin(plugin);
    assert!(told.fix.is_none(), "{told}");
}

#[test]
fn a_damaged_plugin_is_not_said_to_be_the_fault_of_qemu_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = folder.path().join("libqemu_ap.so");
    let whole = fs::read(named().emulator.plugin.expect("named")).expect("read");
    fs::write(&plugin, &whole[..whole.len() / 2]).expect("written");
    let told = doctor_on_plugin(plugin);
    assert!(told.text.contains("it does not take the plugin"), "{told}");
    assert!(told.fix.as_ref().is_some_and(|fix| fix.contains("--plugin")), "{told}");
}

/// What the doctor says of QEMU and this plugin.
fn doctor_on_plugin(plugin: PathBuf) -> Check {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let emulator = NamedEmulator { plugin: Some(plugin), ..named().emulator };
    let checks = runtime.block_on(kaput::doctor::look(&Named { emulator, ..named() }));
    checks.into_iter().find(|check| check.what == "plugin API").expect("it is looked at")
}

/// A harness of its own whose QEMUs hold the writing end of a FIFO: its end is theirs.
struct Harness {
    process: Child,
    lines: mpsc::Receiver<String>,
    folder: tempfile::TempDir,
}

impl Harness {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let fifo = folder.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
        let real = named().emulator.qemu.expect("named");
        let qemu = folder.path().join("qemu");
        let text = format!(
            "#!/bin/sh\ncase \"$1\" in -machine) exec 9>'{}'; echo $$ >&9;; esac\nexec '{}' \"$@\"\n",
            fifo.display(),
            real.display()
        );
        program::program(&qemu, &text).expect("written");
        let scenario = folder.path().join("stands-still.toml");
        fs::write(&scenario, action("suites", "stop-guest")).expect("written");
        fs::create_dir(folder.path().join("runs")).expect("a folder");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let reader = BufReader::new(fs::File::open(fifo).expect("opened"));
            for line in reader.lines().map_while(Result::ok) {
                _ = sender.send(line);
            }
        });
        let process = Command::new(env!("CARGO_BIN_EXE_kaput"))
            .arg("run")
            .arg(&scenario)
            .env("KAPUT_QEMU", &qemu)
            .env("KAPUT_RUNS", folder.path().join("runs"))
            .env("KAPUT_CACHE", folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let harness = Self { process, lines, folder };
        for which in ["source", "destination"] {
            harness.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("the {which} was not started"));
        }
        harness
    }

    /// Sends a signal and asserts that the QEMUs end too: the FIFO comes to its end when the last of them is gone.
    fn end(&mut self, signal: &str) {
        let status = Command::new("kill").arg(signal).arg(self.process.id().to_string()).status();
        assert!(status.expect("kill").success());
        self.process.wait().expect("it ends");
        assert_eq!(
            self.lines.recv_timeout(PATIENCE),
            Err(mpsc::RecvTimeoutError::Disconnected),
            "a QEMU is left behind"
        );
    }
}

#[test]
fn a_harness_that_is_killed_takes_its_qemus_along() {
    Harness::start().end("-KILL");
}

#[test]
fn a_harness_that_is_asked_to_end_leaves_nothing_behind() {
    let mut harness = Harness::start();
    harness.end("-TERM");
    let runs = fs::read_dir(harness.folder.path().join("runs")).expect("a folder").count();
    assert_eq!(runs, 0, "the run folder is still there");
}
