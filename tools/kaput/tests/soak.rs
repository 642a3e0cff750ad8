// SPDX-License-Identifier: MIT OR Apache-2.0
//! A soak of one driver against another, as a user starts it: it goes on while both do the same, and ends where they do
//! not, with both reports and a scenario that shows the difference again.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn kaput(folder: &Path, arguments: &[&str]) -> Output {
    let named = support::named();
    let tools = [named.emulator.qemu, named.emulator.plugin, named.image, named.scenarios.folder]
        .map(|path| path.expect("named"));
    Command::new(env!("CARGO_BIN_EXE_kaput"))
        .args(arguments)
        .current_dir(folder)
        .envs(["KAPUT_QEMU", "KAPUT_PLUGIN", "KAPUT_IMAGE", "KAPUT_SCENARIOS"].into_iter().zip(tools))
        .envs([("KAPUT_RUNS", folder), ("NO_COLOR", Path::new("1"))])
        .output()
        .expect("it can be started")
}

/// Soaks a driver against the model of v3.
fn soak(folder: &Path, driver: &str, migrations: &str) -> Output {
    let drivers = ["--driver", driver, "--expect", "model:v3"];
    kaput(folder, &[&["soak", "--seed", "1", "--migrations", migrations], &drivers[..]].concat())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

#[test]
fn a_driver_that_does_what_another_does_is_soaked_to_the_end_whatever_the_guest_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = soak(folder.path(), "model:v3", "12");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("both drivers always did the same") && said.contains(" guest-failed"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).map(Iterator::count).ok(), Some(0), "{said}");
}

#[test]
fn the_first_thing_that_two_drivers_do_otherwise_ends_a_soak_and_can_be_seen_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = soak(folder.path(), "model:corrected", "50");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the drivers differ: "), "{said}");
    let again = |line: &&str| line.starts_with("again: kaput run ./soak-1-");
    let mut verdicts = Vec::new();
    for line in said.lines().filter(again) {
        let words: Vec<&str> = line.split_whitespace().skip(2).collect();
        let once_more = kaput(folder.path(), &words);
        assert!(matches!(once_more.status.code(), Some(0 | 1)), "{line}: {}", self::said(&once_more));
        verdicts.push(once_more.stdout);
    }
    assert!(verdicts.len() == 2 && verdicts[0] != verdicts[1], "{said}");
}
