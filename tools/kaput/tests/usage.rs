// SPDX-License-Identifier: MIT OR Apache-2.0
//! Wrong usage, as a user meets it: a message that says where and what is allowed, exit status 2, and nothing started.
//! The QEMU here is a program that leaves a note if anybody starts it.

#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const SCENARIO: &str = "summary = \"x\"\n[guest]\nsuites = [\"presence\"]\n[hosts.A]\ntopology = \"05=cex8a/33\"\n\
                        [expect]\nresult = \"pass\"\n";

/// A folder with everything the harness looks for, of which nothing is what it should be.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Self { folder };
        place.write("libqemu_ap.so", "no plugin");
        place.write("kaput-image", "no image");
        place.write("scenarios/good.toml", SCENARIO);
        place.write("scenarios/bad.toml", &SCENARIO.replace("/33", "/300"));
        let note = place.path().join("started");
        let qemu = format!("#!/bin/sh\ntouch '{}'\necho s390-ccw-virtio-10.0\n", note.display());
        program::program(&place.path().join("qemu"), &qemu).expect("written");
        place
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn kaput(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_kaput"))
            .args(arguments)
            .env("KAPUT_QEMU", self.path().join("qemu"))
            .env("KAPUT_PLUGIN", self.path().join("libqemu_ap.so"))
            .env("KAPUT_IMAGE", self.path().join("kaput-image"))
            .env("KAPUT_SCENARIOS", self.path().join("scenarios"))
            .env("KAPUT_CACHE", self.path())
            .env("KAPUT_RUNS", self.path())
            .env_remove("KAPUT_LAB_KERNEL")
            .env_remove("KAPUT_BUSYBOX")
            .env("NO_COLOR", "1")
            .output()
            .expect("kaput can be started")
    }

    /// Asserts that this is refused with all these words and without QEMU.
    fn refuses(&self, arguments: &[&str], words: &[&str]) {
        let output = self.kaput(arguments);
        // Whatever the width of the terminal: a line that was broken reads as one.
        let said = String::from_utf8_lossy(&output.stderr).replace('│', " ");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{arguments:?} does not say {word:?}: {said}");
        }
        assert!(!self.path().join("started").exists(), "{arguments:?} started QEMU");
        assert!(output.stdout.is_empty(), "{arguments:?} reported something");
    }
}

#[test]
fn an_unknown_scenario_is_answered_with_those_there_are() {
    Place::new().refuses(&["run", "surive"], &["there is no scenario `surive`", "the scenarios are bad, good"]);
    Place::new().refuses(&["run", "./nowhere.toml"], &["cannot read ./nowhere.toml", "kaput list"]);
    let said = Place::new().kaput(&["run", "./nowhere.toml"]).stderr;
    assert_eq!(String::from_utf8_lossy(&said).matches("No such file").count(), 1, "said once");
}

#[test]
fn a_wrong_scenario_is_shown_where_it_is_wrong() {
    Place::new().refuses(&["run", "bad"], &["bad.toml:5:", "\"300\": expected a domain number in hex, 0000 to 00ff"]);
}

#[test]
fn one_bad_scenario_among_good_ones_starts_nothing() {
    Place::new().refuses(&["run", "good", "bad"], &["bad.toml:5:"]);
}

#[test]
fn an_image_that_is_not_ours_is_refused() {
    let place = Place::new();
    place.refuses(&["run", "good"], &["kaput-image is not an image of ours", "no ELF file", ".kaput.cases"]);
    let own = std::env::current_exe().expect("this test");
    place.refuses(&["run", "good", "--image", &own.display().to_string()], &["is not an image of ours"]);
}

#[test]
fn what_is_missing_is_named_with_the_option_that_names_it() {
    let place = Place::new();
    place.refuses(&["run", "good", "--plugin", "/nowhere.so"], &["there is no plugin at /nowhere.so", "--plugin"]);
    place.refuses(
        &["run", "good", "--scenarios", "/nowhere"],
        &["there is no scenario folder at /nowhere", "--scenarios"],
    );
    place.refuses(&["run", "good", "--image", "/nowhere"], &["cannot read the image /nowhere", "--image"]);
}

#[test]
fn an_unknown_option_is_refused_with_the_usage() {
    Place::new().refuses(&["run", "--colour"], &["unexpected argument '--colour'", "Usage: kaput run"]);
    Place::new().refuses(&["run", "--repeat", "0"], &["invalid value '0'"]);
}

#[test]
fn the_scenarios_can_be_listed_without_anything_else() {
    let place = Place::new();
    fs::remove_file(place.path().join("scenarios/bad.toml")).expect("removed");
    let output = place.kaput(&["list"]);
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).trim()), (Some(0), "good x"));
}

#[test]
fn an_unknown_finding_is_answered_with_what_was_probably_meant() {
    Place::new().refuses(&["explain", "control-domain-dropped"], &["did you mean control-domains-dropped"]);
    let wrong = ["conformance", "--defect", "control-domain-dropped"];
    Place::new().refuses(&wrong, &["did you mean control-domains-dropped"]);
    Place::new().refuses(
        &["conformance", "--only", "nowhere/"],
        &["no case has nowhere/ in its name", "begins with its group"],
    );
    Place::new().refuses(&["conformance", "--profile", "v4"], &["corrected, format-0, v3, later"]);
    let devices = "expected `model`, `control:SOCKET`, `linux` or `agent:COMMAND`";
    for device in ["vfio", "agent:", "control:"] {
        Place::new().refuses(&["conformance", "--device", device], &[devices]);
    }
}

#[test]
fn a_device_is_judged_with_an_exit_status_for_programs() {
    let place = Place::new();
    let status = |arguments: &[&str]| place.kaput(&[&["conformance"], arguments].concat()).status.code();
    assert_eq!(status(&["--only", "guest/"]), Some(0));
    assert_eq!(status(&["--only", "guest/", "--defect", "control-domains-dropped"]), Some(1));
    assert_eq!(status(&["--device", "control:/nowhere.sock"]), Some(3));
    let tap = place.kaput(&["conformance", "--only", "guest/", "--report", "tap"]).stdout;
    assert!(tap.starts_with(b"TAP version 13\n1.."), "{}", String::from_utf8_lossy(&tap));
}

#[test]
fn parts_of_several_runners_become_one_report_unless_one_is_missing() {
    let place = Place::new();
    let write = |name: &str, part: usize| {
        let text = serde_json::json!({
            "version": 2, "scenario": name, "part": { "part": part, "of": 2 }, "events": [], "scenario-file": SCENARIO,
            "verdict": { "kind": "as-expected", "happened": "all well" },
        });
        place.write(&format!("{part}.json"), &text.to_string());
        place.path().join(format!("{part}.json")).display().to_string()
    };
    let (one, two) = (write("a", 1), write("b", 2));
    let merged = place.kaput(&["report", "merge", &two, &one, "--report", "ktap"]);
    assert_eq!(String::from_utf8_lossy(&merged.stdout).lines().last(), Some("# 2 of 2 runs as expected"), "{merged:?}");
    place.refuses(&["report", "merge", &one], &["a share is missing: 2/2", "--partition M/N"]);
    place.refuses(&["report", "merge", &one, &one], &["a is there twice"]);
    for odd in ["0/4", "5/4", "four"] {
        place.refuses(&["run", "--partition", odd], &["M/N"]);
    }
}

#[test]
fn a_real_driver_that_cannot_be_asked_is_an_error_that_says_why() {
    let place = Place::new();
    let said = |device: &str| {
        let output = place.kaput(&["conformance", "--device", device]);
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(3), &b""[..]), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let no_program = said("agent:echo there is no such host >&2; exit 255");
    assert!(no_program.contains("the connection ended; it said: there is no such host"), "{no_program}");
    let no_agent = said("agent:echo Welcome to this host; exec cat > /dev/null");
    assert!(no_agent.contains("what answers there is no kaput-agent"), "{no_agent}");
    if cfg!(not(target_arch = "s390x")) {
        assert!(said("linux").contains("agent:ssh HOST kaput-agent"));
    }
}

#[test]
fn findings_are_explained_without_anything_else() {
    let output = Place::new().kaput(&["explain", "incomplete-resume-accepted"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    assert!(said.contains("RESUMING to STOP succeeds") && said.contains("S:->stop = ok"), "{said}");
}

#[test]
fn help_tells_the_exit_status() {
    let output = Place::new().kaput(&["run", "--help"]);
    let said = String::from_utf8_lossy(&output.stdout);
    for line in ["0  everything was as the scenarios say", "2  usage or set-up", "3  infrastructure"] {
        assert!(said.contains(line), "{said}");
    }
}

#[test]
fn every_command_shows_examples() {
    let place = Place::new();
    let said = |arguments: &[&str]| {
        let output = place.kaput(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let help = said(&["--help"]);
    let list = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a list of commands");
    let commands: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands.into_iter().filter(|command| *command != "help") {
        let help = said(&[command, "--help"]);
        let examples = help.split("Examples:\n").nth(1).unwrap_or_else(|| panic!("{command} has no examples"));
        assert!(examples.contains(&format!("kaput {command}")), "{help}");
    }
}

#[test]
fn the_doctor_names_what_is_missing_and_the_fix() {
    let place = Place::new();
    fs::remove_file(place.path().join("libqemu_ap.so")).expect("removed");
    let output = place.kaput(&["doctor"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for word in ["MISSING  QEMU", "MISSING  plugin ", "MISSING  image", "MISSING  scenarios", "ok       run folders"] {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
    assert_eq!(said.matches("MISSING").count(), said.matches("fix it by: ").count(), "{said}");
}

#[test]
fn what_is_no_report_is_refused() {
    let place = Place::new();
    place.write("text.json", "{\"scenario\":");
    place.write("empty.json", "");
    let path = |name: &str| place.path().join(name).display().to_string();
    place.refuses(&["report", &path("text.json")], &["text.json", "it is no report: EOF", "kaput run --report json"]);
    place.refuses(&["report", &path("empty.json")], &["it is empty"]);
    place.refuses(&["report", "/nowhere.json"], &["cannot read the report /nowhere.json"]);
}

#[test]
fn what_never_ends_is_read_no_further_than_it_may_be_long() {
    let place = Place::new();
    place.refuses(&["run", "/dev/zero"], &["cannot read /dev/zero", "such a file has at most 1 MiB"]);
    place.refuses(&["report", "/dev/zero"], &["cannot read the report /dev/zero", "it is longer than 256 MiB"]);
    let zeros = fs::File::open("/dev/zero").expect("opened");
    let output =
        Command::new(env!("CARGO_BIN_EXE_kaput")).args(["report", "-"]).stdin(zeros).output().expect("started");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_tree_that_is_none_and_a_kernel_that_is_none_are_refused() {
    let place = Place::new();
    let there = |name: &str| place.path().join(name).display().to_string();
    place.refuses(&["lab", "build", "--source", &there("scenarios")], &["no source tree of Linux", "Kconfig"]);
    place.write("bzImage", "no kernel");
    place.write("busybox", "no busybox");
    let shell = ["lab", "shell", "--ap", "05=cex8a/33", "--busybox", &there("busybox")];
    place.refuses(&[&shell[..], &["--kernel", &there("bzImage")]].concat(), &["no Linux kernel for s390x", "bzImage"]);
    place.refuses(&[&shell[..], &["--kernel", &there("none")]].concat(), &["cannot be read", "cargo xtask lab"]);
    let nothing = ["lab", "shell", "--ap", "05=cex8a/33"];
    place.refuses(&nothing, &["no kernel for the lab", "kaput lab build --source TREE"]);
    let head = [&[0; 0x10008][..], b"S390EP"].concat();
    fs::write(place.path().join("bzImage"), head).expect("a head of a kernel");
    place.refuses(&[&nothing[..], &["--kernel", &there("bzImage")]].concat(), &["no busybox", "`kaput lab busybox`"]);
    let program = ["--kernel", &there("bzImage"), "--program", &there("busybox")];
    place.refuses(&[&nothing[..], &program].concat(), &["busybox is no program for s390x", "-static"]);
    place.write("bzImage", "no kernel");
    place.refuses(
        &["lab", "compare", &there("bzImage"), &there("bzImage")],
        &["bzImage", "neither a kernel for s390x nor a report"],
    );
}

#[test]
fn what_a_command_cannot_use_is_named_with_what_it_expects() {
    let place = Place::new();
    place.write("odd", "odd");
    let odd = place.path().join("odd").display().to_string();
    place.refuses(&["qemu", "--topology", "/nowhere"], &["cannot read /nowhere", "--ap 05=cex8a/33"]);
    place.refuses(&["lab", "replay", &odd], &["odd is no case file", "`kaput lab hunt` wrote"]);
    place.refuses(&["soak", "--for", "soon"], &["expected a time such as 90s, 10m or 1h30m"]);
    place.refuses(&["conformance", "--only", "nowhere/"], &["races/"]);
}

#[test]
fn a_reader_that_went_away_is_no_reason_to_complain() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_kaput")).arg("explain").stdout(writer).output().expect("started");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}
