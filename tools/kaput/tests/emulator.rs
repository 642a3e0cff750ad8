// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kaput qemu` as a user, a wrapper script or libvirt starts it. The QEMU here is a program that prints how it was
//! started and what the plugin would read.

#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Answers what kaput asks QEMU; else prints each argument in a line, then the plugin's configuration.
const QEMU: &str = r#"#!/bin/sh
[ "$*" = "-M help" ] && echo "s390-ccw-virtio-11.1 x" && exit
[ "$*" = "-help" ] && echo "-plugin x" && exit
printf '%s\n' "$@"
case $2 in *,config=*) config=${2#*,config=}; cat "${config%%,*}";; esac
exit 7
"#;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder") };
        fs::write(place.file("plugin.so"), "a plugin").expect("written");
        place.program("qemu", QEMU);
        place
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        program::program(&path, text).expect("written");
        path
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> Output {
        Command::new(program)
            .args(arguments)
            .env("KAPUT_QEMU", self.file("qemu"))
            .env("KAPUT_PLUGIN", self.file("plugin.so"))
            .env("KAPUT_CACHE", self.folder.path())
            .env("NO_COLOR", "1")
            .output()
            .expect("it can be started")
    }

    fn kaput(&self, arguments: &[&str]) -> Output {
        self.run(Path::new(env!("CARGO_BIN_EXE_kaput")), arguments)
    }

    /// Asserts that nothing is started, for the reason given.
    fn refuses(&self, arguments: &[&str], words: &[&str]) {
        let output = self.kaput(arguments);
        let said = String::from_utf8_lossy(&output.stderr).replace('│', " ");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}: {said}");
        words.iter().for_each(|word| assert!(said.contains(word), "{arguments:?} does not say {word:?}: {said}"));
    }
}

#[test]
fn qemu_gets_what_the_user_said_and_the_plugin_with_its_configuration() {
    let place = Place::new();
    let ap = ["--ap", "05=cex8a/33,3a", "--guest", "05/33", "--interrupts", "--control", "/nowhere/c,d"];
    let user = ["-m", "1G", "-append", "a b  c", "-drive", "file=disk,if=virtio", "-smp", "4", ""];
    let output = place.kaput(&[&["qemu"], &ap[..], &["--"], &user[..]].concat());
    let said = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(7), "the exit status is QEMU's: {said}");
    let lines: Vec<&str> = said.lines().collect();
    let (started, configuration) = lines.split_at(lines.len() - 1);
    assert_eq!(started[0], "-plugin");
    assert!(started[1].ends_with(",control=/nowhere/c,,d"), "{}", started[1]);
    assert_eq!(started[2..], user);
    let host = vfio_ap::HostConfig::from_json(configuration[0]).expect("a host");
    assert_eq!((host.topology.matrix().queue_count(), host.mdev.matrix().queue_count()), (2, 1));
    assert!(host.topology.facilities.apqi && !host.topology.facilities.sie && host.mdev.open);
    let output = place.kaput(&["qemu", "--ap", "05=cex8a/33", "--lpar", "--", "-S"]);
    let said = String::from_utf8(output.stdout).expect("text");
    let host = vfio_ap::HostConfig::from_json(said.lines().last().expect("a line")).expect("a host");
    assert!(host.topology.facilities.apqi && host.topology.facilities.sie, "{said}");
}

#[test]
fn a_wrapper_script_stands_in_for_qemu_and_a_circle_is_noticed() {
    let place = Place::new();
    let (kaput, qemu) = (env!("CARGO_BIN_EXE_kaput"), place.file("qemu"));
    let script = format!("#!/bin/sh\nexec '{kaput}' qemu --qemu '{}' --ap 05=cex8a/33 -- \"$@\"\n", qemu.display());
    let wrapper = place.program("wrapper", &script);
    let domain = ["-name", "guest=x,debug-threads=on", "-machine", "s390-ccw-virtio-11.1,usb=off", "-accel", "tcg"];
    let output = place.run(&wrapper, &domain);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("-plugin\n") && said.contains(&domain.join("\n")), "{said}");
    let probe = ["-S", "-nodefaults", "-machine", "none,accel=kvm:tcg", "-qmp", "unix:/x,server=on", "-daemonize"];
    let output = place.run(&wrapper, &probe);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim_end(),
        probe.join("\n"),
        "libvirt's question is QEMU's alone"
    );

    let circle =
        place.program("circle", &format!("#!/bin/sh\nexec '{kaput}' qemu --qemu \"$0\" --ap 05=cex8a/33 -- \"$@\"\n"));
    let output = place.run(&circle, &["-m", "1G"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("was started as the QEMU of"), "{said}");
}

#[test]
fn a_topology_file_is_read_and_shown_where_it_is_wrong() {
    let place = Place::new();
    let file = place.file("cards.toml").display().to_string();
    fs::write(&file, "domains = [\"33\"]\n[adapters]\n\"05\" = { kind = \"cex7c\", depth = 4 }\n").expect("written");
    let output = place.kaput(&["qemu", "--topology", &file, "--", "-m", "1G"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"depth\":4"));
    fs::write(&file, "domains = [\"33\"]\n[adapters]\n\"05\" = \"cex9c\"\n").expect("written");
    place.refuses(&["qemu", "--topology", &file, "--"], &["cards.toml:3:", "cex4a to cex8p"]);
    fs::write(&file, "domains = [\"10\"]\napxa = false\n").expect("written");
    place.refuses(&["qemu", "--topology", &file, "--"], &["domains: 0010 is too high"]);
    place.refuses(&["qemu", "--topology", "/nowhere.toml", "--"], &["cannot read /nowhere.toml"]);
}

#[test]
fn what_cannot_be_is_told_before_anything_is_started() {
    let place = Place::new();
    place.refuses(&["qemu", "--", "-m", "1G"], &["--ap <SPEC>", "--topology <FILE>"]);
    place.refuses(&["qemu", "--ap", "05=cex8a/300", "--"], &["\"300\"", "05=cex8a,06=cex8c/33,3a"]);
    place.refuses(&["qemu", "--ap", "05=cex8a/33", "--guest", "06/33", "--"], &["adapter 06 is not in this machine"]);
    place.refuses(&["qemu", "--ap", "05=cex8a/33", "--", "-enable-kvm"], &["under TCG only", "accel=kvm"]);
    place.refuses(&["qemu", "--ap", "05=cex8a/33", "--control", "/", "--"], &["there is something at / already"]);
    place.refuses(&["qemu", "--ap", "05=cex8a/33", "--plugin", "/nowhere.so", "--"], &["there is no plugin"]);
}

#[test]
fn doctor_warns_of_a_qemu_whose_plugins_are_known_to_be_faulty() {
    let place = Place::new();
    for (version, faulty) in [("11.1.0", true), ("11.1.1", true), ("11.1.2", false)] {
        let told = format!("#!/bin/sh\n[ \"$*\" = --version ] && echo 'QEMU emulator version {version} (x)' && exit\n");
        place.program("qemu", &(told + QEMU.trim_start_matches("#!/bin/sh\n")));
        let output = place.kaput(&["doctor"]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&format!("QEMU emulator version {version}")), "{said}");
        assert_eq!(said.contains("which 11.1.2 fixed"), faulty, "{version}: {said}");
        // Who runs guests by it may take a line on stderr for a failure, as kvm-unit-tests does.
        let started = place.kaput(&["qemu", "--ap", "05=cex8a/33", "--", "-S"]);
        assert!(String::from_utf8_lossy(&started.stdout).contains("-S"), "it was started");
        assert!(!String::from_utf8_lossy(&started.stderr).contains("11.1.2"), "{version}");
    }
}
