// SPDX-License-Identifier: MIT OR Apache-2.0
//! The conformance suite on the driver inside a real QEMU, over the control socket. The QEMU has no guest: its process
//! is what is wanted.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use kaput::conformance::control_device::RemoteFactory;
use vfio_ap::control::Greeting;
use vfio_ap::defect::Defect;
use vfio_ap::model::ModelFactory;
use vfio_ap::profile::Profile;
use vfio_mig::conformance::{CaseResult, DeviceFactory, HostSetup, Options, Verdict, run};

const EVERYTHING: Options = Options { only: Vec::new(), dangerous: true, shuffle: None };

const HOST: &str = r#"{"name": "A", "topology": {"adapters": {"05": "cex8a"}, "domains": ["33"]},
    "mdev": {"uuid": "shared", "adapters": ["05"], "domains": ["33"]}}"#;

/// A QEMU with the plugin, stopped before its first instruction; killed when dropped.
struct Qemu {
    process: Child,
    folder: tempfile::TempDir,
}

impl Qemu {
    fn start() -> Self {
        let named = support::named().emulator;
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("host.json");
        fs::write(&config, HOST).expect("written");
        let plugin = format!(
            "{},config={},control={}",
            named.plugin.expect("a plugin").display(),
            config.display(),
            folder.path().join("control").display()
        );
        let mut process = Command::new(named.qemu.expect("a QEMU"))
            .args(["-S", "-nodefaults", "-display", "none", "-m", "64", "-qmp", "stdio", "-plugin", &plugin])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("QEMU starts");
        // It answers once everything is set up, the plugin's socket included.
        let mut stdin = process.stdin.as_ref().expect("piped");
        stdin.write_all(b"{\"execute\": \"qmp_capabilities\"}\n").expect("written");
        let mut lines = BufReader::new(process.stdout.as_mut().expect("piped")).lines();
        let answered = lines.any(|line| line.is_ok_and(|line| line.contains("\"return\"")));
        assert!(answered, "QEMU ended");
        Self { process, folder }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    fn factory(&self, profile: Profile, defects: Vec<Defect>) -> RemoteFactory {
        RemoteFactory::connect(&self.socket(), ModelFactory { profile, defects }).expect("a connection")
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

fn but_for_calls(results: &[CaseResult]) -> Vec<(&str, Verdict, &str, &str)> {
    results.iter().map(|r| (r.case.as_str(), r.verdict, r.expected.as_str(), r.seen.as_str())).collect()
}

#[test]
fn the_driver_in_a_qemu_is_judged_as_the_one_in_this_process() {
    let qemu = Qemu::start();
    let results = run(&qemu.factory(Profile::Corrected, Vec::new()), &EVERYTHING);
    // A control socket takes one call after the other.
    let is_race = |result: &&CaseResult| result.case.starts_with("races/");
    let wrong: Vec<_> = results.iter().filter(|one| one.verdict != Verdict::Pass && !is_race(one)).collect();
    assert!(wrong.is_empty() && results.len() >= 120, "{} cases: {wrong:#?}", results.len());
    assert!(results.iter().filter(is_race).all(|result| result.verdict == Verdict::Skip));
    let but_races = |mut results: Vec<CaseResult>| {
        results.retain(|result| !is_race(&result));
        results
    };
    let here = but_races(run(&ModelFactory { profile: Profile::V3, defects: Vec::new() }, &EVERYTHING));
    let there = but_races(run(&qemu.factory(Profile::V3, Vec::new()), &EVERYTHING));
    assert_eq!(but_for_calls(&there), but_for_calls(&here));
}

#[test]
fn a_device_that_goes_away_is_not_judged() {
    let mut qemu = Qemu::start();
    let factory = qemu.factory(Profile::Corrected, Vec::new());
    qemu.process.kill().expect("killed");
    qemu.process.wait().expect("gone");
    let results = run(&factory, &Options { only: vec!["arc/".to_owned()], dangerous: false, shuffle: None });
    assert!(results.iter().all(|result| result.verdict == Verdict::Broken), "{results:#?}");
}

#[test]
fn a_log_that_does_not_end_is_no_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("control");
    let listener = UnixListener::bind(&socket).expect("bound");
    let device = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        let mut writer = stream.try_clone().expect("a second handle");
        let greeting = Greeting::of("A");
        writeln!(writer, "{}", serde_json::to_string(&greeting).expect("JSON")).expect("written");
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let asked: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            let since = asked.pointer("/arguments/since").and_then(serde_json::Value::as_u64);
            let answer = since.map_or(serde_json::json!({}), |since| {
                let line = serde_json::json!({"number": since, "level": "info", "text": "x"});
                serde_json::json!({"lines": [line], "next": since + 1, "lost": 0})
            });
            writeln!(writer, "{}", serde_json::json!({"return": answer, "id": asked["id"]})).expect("written");
        }
    });
    let model = ModelFactory { profile: Profile::Corrected, defects: Vec::new() };
    let factory = RemoteFactory::connect(&socket, model).expect("a connection");
    let host = factory.host(&HostSetup::source()).expect("a host");
    assert!(host.log(0).is_err_and(|error| error.to_string().contains("does not end")));
    drop((host, factory));
    device.join().expect("it ends with the connection");
}

#[test]
fn hosts_of_one_case_do_not_see_each_other() {
    let qemu = Qemu::start();
    let factory = qemu.factory(Profile::Corrected, Vec::new());
    let [first, second] = [0, 1].map(|_| factory.host(&HostSetup::source()).expect("a host"));
    first.device("a").close_device().expect("closed");
    assert!(first.device("a").reset().is_err());
    second.device("a").reset().expect("it is open");
    assert!(first.device("shared").state().is_err(), "the shared host was reached");
}
