// SPDX-License-Identifier: MIT OR Apache-2.0
//! The image as kvm-unit-tests' runner sees it, in the real QEMU: a small stand-in for that runner, with its command
//! line, its handshake on the console and its reading of the last line. The sections are those of
//! `kvm-unit-tests/s390x/unittests.cfg`. The runner knows nothing of AP: nothing is handed over, and a destination has
//! what its own command line gives it.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use ap_arch::report::{CaseVerdict, Line};
use kaput::scenario::load::Loaded;

use support::named;

/// How long something that must happen may take before a test gives up. No test depends on it being short.
const PATIENCE: Duration = Duration::from_secs(300);

/// A section of unittests.cfg.
struct Section {
    smp: String,
    test_args: String,
    migrates: bool,
}

impl Section {
    fn all() -> Vec<(String, Self)> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kvm-unit-tests/s390x/unittests.cfg");
        let text = fs::read_to_string(path).expect("the sections");
        let sections = text.split("\n[").skip(1).map(|section| {
            let (name, body) = section.split_once(']').expect("a name");
            let value = |key: &str| {
                let line = body.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='));
                line.unwrap_or_default().trim().trim_matches('\'').to_owned()
            };
            let migrates = value("groups").split(' ').any(|group| group == "migration");
            (name.to_owned(), Self { smp: value("smp"), test_args: value("test_args"), migrates })
        });
        sections.collect()
    }

    fn named(name: &str) -> Self {
        let mut sections = Self::all();
        sections.retain(|(other, _)| other == name);
        sections.pop().unwrap_or_else(|| panic!("there is no section {name}")).1
    }
}

/// What `QEMU=` names: QEMU itself, or a wrapper that loads the plugin.
struct Wrapper {
    folder: tempfile::TempDir,
    plugin: Option<String>,
}

impl Wrapper {
    fn without_plugin() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), plugin: None }
    }

    /// With cards of each mode, all assigned, and replies after this many nanoseconds.
    fn with_plugin(engine_ns: u64) -> Self {
        let scenario = format!(
            r#"
summary = "cards"
[guest]
suites = ["presence"]
[hosts.A]
mdev = {{ adapters = ["05", "06", "07"], domains = ["33", "3a"] }}
[hosts.A.topology]
adapters = {{ 05 = "cex8a", 06 = "cex8c", 07 = "cex8p" }}
domains = ["33", "3a"]
facilities = {{ apqi = true }}
timing = {{ engine = {engine_ns} }}
[expect]
result = "pass"
"#
        );
        let loaded = Loaded::from_text(Path::new("cards.toml"), scenario).expect("a scenario");
        let config = loaded.scenario.host("A").expect("host A").config("A");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("host.json");
        fs::write(&path, serde_json::to_string(&config).expect("JSON")).expect("written");
        let plugin = named().emulator.plugin.expect("named");
        Self { folder, plugin: Some(format!("{},config={}", plugin.display(), path.display())) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts QEMU as the runner does.
    fn start(&self, kernel: &Path, smp: &str, test_args: &str, more: &[String]) -> Guest {
        let mut command = Command::new(named().emulator.qemu.expect("named"));
        let own = more.iter().any(|argument| argument == "-accel");
        let machine = if own { "s390-ccw-virtio" } else { "s390-ccw-virtio,accel=tcg" };
        command.args(["-nodefaults", "-nographic", "-machine", machine]);
        command.args(["-chardev", "stdio,id=con0", "-device", "sclpconsole,chardev=con0"]);
        command.arg("-kernel").arg(kernel).args(["-smp", smp, "-append", test_args]).args(more);
        command.args(self.plugin.iter().flat_map(|plugin| ["-plugin", plugin]));
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("started");
        let console = BufReader::new(process.stdout.take().expect("a console"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || console.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let keyboard = process.stdin.take();
        Guest { process, keyboard, lines, report: Vec::new() }
    }
}

fn elf() -> PathBuf {
    named().image.expect("named")
}

/// One QEMU that ends with us.
struct Guest {
    process: Child,
    keyboard: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    report: Vec<String>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

impl Guest {
    /// Reads the console up to a line that begins so; false if it came to its end before.
    fn read_to(&mut self, begin: &str) -> bool {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    let found = line.starts_with(begin);
                    self.report.push(line);
                    if found {
                        return true;
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return false,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("nothing came after {:?}", self.report.last()),
            }
        }
    }

    /// Its report to the end; QEMU must end by itself.
    fn end(mut self) -> Report {
        self.read_to("nothing begins so");
        assert!(self.process.wait().expect("an end").success(), "QEMU ended with an error");
        Report(std::mem::take(&mut self.report))
    }
}

struct Report(Vec<String>);

impl Report {
    /// The exit status as the runner reads it.
    fn status(&self) -> i32 {
        let last = self.0.iter().rev().find_map(|line| line.strip_prefix("EXIT: STATUS="));
        last.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no last line in {:#?}", self.0))
    }

    fn count(&self, verdict: CaseVerdict) -> usize {
        let is = |line: &&String| matches!(Line::parse(line), Line::Case(case) if case.verdict == verdict);
        self.0.iter().filter(is).count()
    }

    fn require_passed(&self) {
        let failed: Vec<&String> = self.0.iter().filter(|line| line.starts_with("FAIL")).collect();
        assert_eq!((self.status(), failed.len()), (PASSED, 0), "{failed:#?}");
        assert!(self.count(CaseVerdict::Pass) > 0);
    }
}

/// What the runner takes for passed and for skipped.
const PASSED: i32 = 1;
const SKIPPED: i32 = 77;

/// QMP, as far as the runner needs it.
struct Qmp(BufReader<UnixStream>);

impl Qmp {
    /// Takes the connection of a QEMU that was told to make one.
    fn accept(listener: &UnixListener) -> Self {
        let (stream, _) = listener.accept().expect("QEMU connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        let mut qmp = Self(BufReader::new(stream));
        qmp.line();
        qmp.execute(r#"{"execute": "qmp_capabilities"}"#);
        qmp
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer in time");
        assert!(!line.is_empty(), "QMP ended");
        line
    }

    fn execute(&mut self, command: &str) -> String {
        self.0.get_mut().write_all(command.as_bytes()).expect("a command goes out");
        loop {
            let line = self.line();
            if !line.contains("\"event\"") {
                assert!(line.contains("\"return\""), "{command}: {line}");
                return line;
            }
        }
    }

    fn wait_for_migration(&mut self) {
        loop {
            let answer = self.execute(r#"{"execute": "query-migrate"}"#);
            assert!(!answer.contains("\"failed\""), "{answer}");
            if answer.contains("\"completed\"") {
                return;
            }
        }
    }
}

/// One migration in the runner's way.
fn migrated(wrapper: &Wrapper, section: &Section) -> Report {
    let listener = UnixListener::bind(wrapper.path("qmp")).expect("a socket");
    let qmp = ["-qmp".to_owned(), format!("unix:{},server=off", wrapper.path("qmp").display())];
    let channel = format!("unix:{}", wrapper.path("migration").display());
    let mut source = wrapper.start(&elf(), &section.smp, &section.test_args, &qmp);
    let mut at_source = Qmp::accept(&listener);
    let mut incoming = qmp.to_vec();
    incoming.extend(["-incoming".to_owned(), channel.clone()]);
    let mut destination = wrapper.start(&elf(), &section.smp, &section.test_args, &incoming);
    let mut at_destination = Qmp::accept(&listener);

    let asked = source.read_to("Now migrate the VM") || source.report.iter().any(|line| line.starts_with("Skipped VM"));
    assert!(asked, "the guest asked for nothing: {:#?}", source.report);
    at_source.execute(&format!(r#"{{"execute": "migrate", "arguments": {{"uri": "{channel}"}}}}"#));
    at_source.wait_for_migration();
    // A key that came before the guest would be overwritten by the state of the console that comes with it.
    at_destination.wait_for_migration();
    let keyboard = destination.keyboard.as_mut().expect("a keyboard");
    keyboard.write_all(b"\n").expect("the key is pressed");
    let mut report = std::mem::take(&mut source.report);
    report.extend(destination.end().0);
    Report(report)
}

#[test]
fn every_section_is_listed_with_two_cpus_and_in_its_groups() {
    let sections = Section::all();
    let names: Vec<(&str, bool)> = sections.iter().map(|(name, section)| (name.as_str(), section.migrates)).collect();
    assert_eq!(names, [("kaput", false), ("kaput-migration", true), ("kaput-continuous", true)]);
    assert!(sections.iter().all(|(_, section)| section.smp == "2"));
}

#[test]
fn without_a_wrapper_every_case_is_skipped() {
    let section = Section::named("kaput");
    let report = Wrapper::without_plugin().start(&elf(), &section.smp, &section.test_args, &[]).end();
    assert_eq!((report.status(), report.count(CaseVerdict::Pass), report.count(CaseVerdict::Fail)), (SKIPPED, 0, 0));
    assert!(report.count(CaseVerdict::Skip) > 100);
}

#[test]
fn with_the_wrapper_the_image_passes_in_both_its_forms() {
    let (section, raw) = (Section::named("kaput"), elf().with_extension("bin"));
    assert!(raw.is_file(), "there is no raw form at {}", raw.display());
    for kernel in [elf(), raw] {
        let wrapper = Wrapper::with_plugin(0);
        wrapper.start(&kernel, &section.smp, "expect=05,06,07/33,3a/", &[]).end().require_passed();
    }
}

#[test]
fn the_migration_sections_pass_without_an_ap_hand_over() {
    for name in ["kaput-migration", "kaput-continuous"] {
        migrated(&Wrapper::with_plugin(0), &Section::named(name)).require_passed();
    }
}

#[test]
fn the_image_has_at_most_192_kib() {
    /// Where the image begins; in the raw form little more than the first PSW stands below it.
    const BEGIN: u64 = 0x10000;
    let raw = fs::metadata(elf().with_extension("bin")).expect("the raw form").len();
    assert!(raw - BEGIN <= 192 << 10, "{} bytes", raw - BEGIN);
}

/// Instructions that kvm-unit-tests' own `selftest` executes in QEMU 11.1 up to its first line.
const SELFTEST: usize = 67_656;

#[test]
fn the_first_line_of_the_report_comes_early() {
    const SERVICE_CALL: &str = "b220";
    /// Two to find out about the machine, and the one that takes the line.
    const CALLS: usize = 3;
    let wrapper = Wrapper::without_plugin();
    let log = wrapper.path("log");
    let options = ["-accel", "tcg,one-insn-per-tb=on", "-d", "exec,nochain,in_asm", "-D"].map(str::to_owned);
    let more = [&options[..], &[log.display().to_string()]].concat();
    let report = wrapper.start(&elf(), "1", "suites=presence", &more).end();
    assert_eq!(report.status(), SKIPPED);
    let (mut executed, mut calls, mut call_at) = (0, 0, None);
    for line in BufReader::new(fs::File::open(log).expect("a log")).lines().map_while(Result::ok) {
        if let Some((address, bytes)) = line.strip_prefix("0x").and_then(|line| line.split_once(':')) {
            // Shown once, when it is translated.
            if bytes.trim_start().starts_with(SERVICE_CALL) {
                call_at = u64::from_str_radix(address, 16).ok();
            }
        } else if let Some((_, rest)) = line.strip_prefix("Trace").and_then(|line| line.split_once('/')) {
            executed += 1;
            let address = rest.split('/').next().and_then(|address| u64::from_str_radix(address, 16).ok());
            calls += usize::from(address.is_some() && address == call_at);
            if calls == CALLS {
                break;
            }
        }
    }
    assert_eq!(calls, CALLS, "the log shows no line going out");
    assert!(executed <= SELFTEST / 2, "{executed} instructions");
}

#[test]
fn a_guest_that_loads_itself_anew_finds_its_queues_reset() {
    // Replies become available after the re-IPL, for whoever would still be armed.
    let report = Wrapper::with_plugin(100_000_000).start(&elf(), "1", "suites=reipl", &[]).end();
    report.require_passed();
    assert_eq!(report.count(CaseVerdict::Pass), 4);
    let anew = report.0.iter().filter(|line| line.contains("loading the guest anew")).count();
    assert_eq!(anew, 1, "it was loaded anew once");
}
