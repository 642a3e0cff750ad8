// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs with queues of the hosts, as on KVM: what is taken, what is refused, and that every host is the same
//! afterwards, whoever was killed and when.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::Step;
use crate::bed::{Bed, Said, kill};
use crate::standin::{StandIn, TAKEN, kernel_log};

pub(crate) const STEPS: &[(&str, Step)] = &[
    ("queues_are_taken_for_a_run_and_given_back", taken_and_given_back),
    ("a_device_that_exists_is_used_and_not_changed", existing),
    ("what_cannot_be_had_is_refused_and_nothing_changes", refused),
    ("a_qemu_that_cannot_migrate_the_guest_is_a_skip_with_its_reason", unmigratable),
    ("after_a_refusal_the_destinations_kernel_is_asked_and_understood", refusal),
    ("a_refusal_that_is_expected_is_as_expected", expected_refusal),
    ("what_preflight_foresees_ends_the_run_before_it_begins", foreseen),
    ("contradictions_are_told_before_anything_is_connected", contradictions),
    ("a_journal_that_cannot_be_read_does_not_keep_the_others", odd_journal),
    ("whoever_is_killed_whenever_restore_makes_the_hosts_what_they_were", aborted),
];

const THERE: [&str; 6] = ["--source", "ssh:a", "--destination", "ssh:b", "--engine", "qemu"];
pub(crate) const ASSIGN: [&str; 2] = ["--assign", "05,06/33,3a/33,3a,44"];
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// After so much silence a host has cleared up by itself, and a little more.
const SILENCE: Duration = Duration::from_secs(60);

/// How often somebody is killed; `KAPUT_ABORTS` says otherwise.
const ABORTS: usize = 8;

pub(crate) type Files = Vec<BTreeMap<PathBuf, Option<String>>>;

pub(crate) fn files(bed: &Bed) -> Files {
    bed.drivers.iter().map(|driver| driver.files()).collect()
}

/// That the hosts are what they were, and no journal says otherwise.
pub(crate) fn unchanged(bed: &Bed, before: &Files) -> Result<(), String> {
    for (now, then) in files(bed).iter().zip(before) {
        let differs = then.iter().find(|(path, content)| now.get(*path) != Some(*content));
        let more = now.keys().find(|path| !then.contains_key(*path));
        if let Some((path, content)) = differs {
            return Err(format!("{}: {:?}, and it was {content:?}", path.display(), now.get(path)));
        }
        if let Some(path) = more {
            return Err(format!("{} was not there", path.display()));
        }
    }
    let journals: Vec<_> = std::fs::read_dir(bed.path("state")).into_iter().flatten().flatten().collect();
    if journals.is_empty() { Ok(()) } else { Err(format!("journals stay: {journals:?}")) }
}

fn run(bed: &Bed, more: &[&str]) -> Said {
    bed.run(&[&["run", "survive"], &THERE[..], more].concat())
}

fn taken_and_given_back(bed: &Bed) -> Result<(), String> {
    for by_masks in [true, false] {
        bed.drivers.iter().try_for_each(|driver| driver.renew(by_masks))?;
        let before = files(bed);
        let said = run(bed, &ASSIGN);
        if said.status != Some(0) {
            return Err(format!("by masks {by_masks}: {}{}", said.out, said.err));
        }
        unchanged(bed, &before)?;
    }
    bed.cleared(SOON)
}

/// A host with a mediated device that nobody uses.
pub(crate) fn make_device(driver: &StandIn, uuid: &str) -> Result<(), String> {
    driver.renew(true)?;
    driver.admin("/sys/bus/ap/apmask", "-0x05,-0x06")?;
    driver.admin("/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create", uuid)?;
    for (what, number) in [("adapter", 5), ("adapter", 6), ("domain", 0x33), ("domain", 0x3a)] {
        driver.admin(&format!("/sys/devices/vfio_ap/matrix/{uuid}/assign_{what}"), &number.to_string())?;
    }
    for number in [0x33, 0x3a, 0x44] {
        let path = format!("/sys/devices/vfio_ap/matrix/{uuid}/assign_control_domain");
        driver.admin(&path, &number.to_string())?;
    }
    Ok(())
}

fn existing(bed: &Bed) -> Result<(), String> {
    let uuid = "99999999-2222-4333-8444-555555555555";
    bed.drivers.iter().try_for_each(|driver| make_device(driver, uuid))?;
    let before = files(bed);
    let said = run(bed, &["--mdev", uuid]);
    if said.status != Some(0) {
        return Err(format!("{}{}", said.out, said.err));
    }
    unchanged(bed, &before)
}

fn refused(bed: &Bed) -> Result<(), String> {
    let nobody = "00000000-2222-4333-8444-555555555555";
    let cases: [(&[&str], &[&str]); 3] = [
        (&["--mdev", TAKEN], &["host ssh:a", "used by a guest", "end that guest"]),
        (&["--mdev", nobody], &["host ssh:a", "there is no mediated device", "--assign makes one"]),
        (&["--mdev", "a b"], &["expected the UUID of a mediated device"]),
    ];
    bed.drivers.iter().try_for_each(|driver| driver.renew(true))?;
    let before = files(bed);
    for (more, words) in cases {
        tells(&run(bed, more), words)?;
        unchanged(bed, &before)?;
    }
    // The second host refuses after the first has given.
    bed.drivers[1].admin("/sys/bus/ap/apmask", "-0x05")?;
    let create = "/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create";
    bed.drivers[1].admin(create, nobody)?;
    bed.drivers[1].admin(&format!("/sys/devices/vfio_ap/matrix/{nobody}/assign_adapter"), "5")?;
    bed.drivers[1].admin(&format!("/sys/devices/vfio_ap/matrix/{nobody}/assign_domain"), "0x33")?;
    let before = files(bed);
    tells(&run(bed, &ASSIGN), &["host ssh:b", "queue 05.0033 is assigned to the mediated device", "unassign_adapter"])?;
    unchanged(bed, &before)?;
    // A user who may not.
    bed.drivers.iter().try_for_each(|driver| driver.renew(true))?;
    let before = files(bed);
    bed.drivers[0].close(true);
    let said = run(bed, &ASSIGN);
    bed.drivers[0].close(false);
    tells(&said, &["host ssh:a could not write", "Permission denied", "it takes root"])?;
    unchanged(bed, &before)?;
    bed.cleared(SOON)
}

fn tells(said: &Said, words: &[&str]) -> Result<(), String> {
    if said.status != Some(2) {
        return Err(format!("status {:?}: {}{}", said.status, said.out, said.err));
    }
    match words.iter().find(|word| !said.err.contains(**word)) {
        Some(word) => Err(format!("no {word:?} in: {}", said.err)),
        None => Ok(()),
    }
}

fn unmigratable(bed: &Bed) -> Result<(), String> {
    bed.drivers.iter().try_for_each(|driver| driver.renew(true))?;
    let (before, flag) = (files(bed), bed.path("a-root.blocked"));
    std::fs::write(&flag, "").map_err(|error| error.to_string())?;
    let said = run(bed, &[ASSIGN[0], ASSIGN[1], "--report", "tap"]);
    std::fs::remove_file(&flag).map_err(|error| error.to_string())?;
    if said.status != Some(77) || !said.out.contains("ok 1 - survive # SKIP QEMU of host A cannot migrate this guest: ")
    {
        return Err(format!("{:?}: {}{}", said.status, said.out, said.err));
    }
    if !said.out.contains("The vvfat (rw) format") {
        return Err(format!("QEMU's reason is missing: {}", said.out));
    }
    unchanged(bed, &before)
}

/// As if the destination's driver, with a defect or without, had refused: what QEMU does then, and what the kernel
/// logs.
fn refusing(bed: &Bed, defect: &str, arguments: &[&str]) -> Result<Said, String> {
    let flags = [bed.path("a-root.refused"), bed.path("b-root.refuses")];
    flags.iter().try_for_each(|flag| std::fs::write(flag, defect)).map_err(|error| error.to_string())?;
    let said = bed.run(&[arguments, &THERE[..], &ASSIGN].concat());
    flags.iter().try_for_each(std::fs::remove_file).map_err(|error| error.to_string())?;
    Ok(said)
}

fn refusal(bed: &Bed) -> Result<(), String> {
    bed.drivers.iter().try_for_each(|driver| driver.renew(true))?;
    let before = files(bed);
    let file = bed.path("refusal.json");
    let json = format!("json={}", file.display());
    let said = refusing(bed, "", &["run", "survive", "--report", "human", "--report", &json])?;
    let words = [
        "NOT AS EXPECTED (refused-unexpectedly): host B refused migration 1 with EFAULT",
        "kernel log     vfio_ap_mdev ",
        "Migration failed: Source and target queue (05.0033) not compatible",
        "AP type of source (0e) not compatible with target (0d)",
        "rule           ap-type: must hold: the AP type on the destination is the source's or a newer one",
        "fix it by: no command changes a card",
    ];
    if said.status != Some(1) {
        return Err(format!("{:?}: {}{}", said.status, said.out, said.err));
    }
    if let Some(word) = words.iter().find(|word| !said.out.contains(**word)) {
        return Err(format!("no {word:?} in {}", said.out));
    }
    let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
    let report: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let rules: Vec<_> =
        report["verdict"]["kernel_log"].as_array().into_iter().flatten().map(|line| &line["rule"]).collect();
    if rules.len() != 2 || rules[1] != "ap-type" {
        return Err(format!("{}", report["verdict"]));
    }
    unchanged(bed, &before)?;
    // A driver with a known defect: the log shows which.
    let defect = "facility-word-equality-defeats-class-rule";
    let said = refusing(bed, defect, &["run", "survive"])?;
    let suspect = format!("looks like     {defect}: kaput explain {defect}");
    let has = |word: &str| said.out.contains(word);
    if !has(&suspect) || !has("queue (05.0033) not compatible") || has("  rule  ") {
        return Err(said.out);
    }
    bed.drivers.iter().try_for_each(|driver| driver.renew(true))?;
    unchanged(bed, &before)?;
    // A log that may not be read.
    let log = kernel_log(&bed.path("b-root"));
    let text = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
    std::fs::remove_file(&log).map_err(|error| error.to_string())?;
    let said = refusing(bed, "", &["run", "survive"])?;
    std::fs::write(&log, text).map_err(|error| error.to_string())?;
    let words = ["(migration-failed)", "host ssh:b could not show its kernel's log: ", "dmesg | grep vfio_ap"];
    match words.iter().find(|word| !said.out.contains(**word)) {
        Some(word) => Err(format!("no {word:?} in {}", said.out)),
        None => unchanged(bed, &before),
    }
}

fn expected_refusal(bed: &Bed) -> Result<(), String> {
    bed.drivers.iter().try_for_each(|driver| driver.renew(true))?;
    let before = files(bed);
    let scenario = bed.path("refusal.toml");
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/survive.toml"))
        .map_err(|error| error.to_string())?
        .replace("result = \"pass\"", "result = \"refused\"");
    let expected = "\n[expect.refused]\nerrno = \"EFAULT\"\nmessages = [\"queue (05.0033) not compatible\", \"AP type \
        of source\"]\n";
    std::fs::write(&scenario, text + expected).map_err(|error| error.to_string())?;
    let said = refusing(bed, "", &["run", &scenario.display().to_string()])?;
    if said.status != Some(0) || !said.out.contains("refused as it should be, and the guest ran on unharmed") {
        return Err(format!("{:?}: {}{}", said.status, said.out, said.err));
    }
    unchanged(bed, &before)?;
    bed.cleared(SOON)
}

fn foreseen(bed: &Bed) -> Result<(), String> {
    bed.drivers.iter().try_for_each(|driver| driver.renew(true))?;
    bed.drivers[1].renew_with("04=cex8c,05=cex7a,06=cex8c/33,3a/33,3a,44")?;
    let before = files(bed);
    tells(
        &run(bed, &ASSIGN),
        &["nothing was started", "NO, it does not survive", "ap-type: queues 05", "kaput preflight"],
    )?;
    unchanged(bed, &before)
}

fn contradictions(bed: &Bed) -> Result<(), String> {
    tells(&run(bed, &[]), &["needs a mediated device", "--assign"])?;
    tells(&run(bed, &["--assign", "05/33"]), &["other queues", "05,06/33,3a/33,3a,44"])?;
    tells(&run(bed, &["--assign", "05"]), &["--assign"])?;
    tells(&bed.run(&["run", "--assign", "05/33"]), &["--engine qemu"])?;
    tells(&bed.run(&["run", "--engine", "qemu", ASSIGN[0], ASSIGN[1]]), &["two hosts are needed"])
}

fn odd_journal(bed: &Bed) -> Result<(), String> {
    bed.drivers.iter().try_for_each(|driver| driver.renew(true))?;
    let before = files(bed);
    let mut command = bed.kaput(&[&["run", "survive"], &THERE[..], &ASSIGN].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|e| e.to_string())?;
    let deadline = Instant::now() + SILENCE;
    while journals(bed).is_empty() {
        if Instant::now() > deadline {
            let said = Said::of(&child.wait_with_output().map_err(|error| error.to_string())?);
            return Err(format!("no journal is written: {:?}: {}{}", said.status, said.out, said.err));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    abort(bed, Victim::Kaput, child)?;
    // The first by its name, as it was before anything was on the disk.
    let odd = bed.path("state").join("0.json");
    std::fs::write(&odd, "{\"version\": 1").map_err(|error| error.to_string())?;
    let said = bed.run(&["restore"]);
    std::fs::remove_file(&odd).map_err(|error| error.to_string())?;
    if said.status != Some(3) || !said.out.contains("ssh:a is as it was") || !said.err.contains("0.json") {
        return Err(format!("{:?}: {}{}", said.status, said.out, said.err));
    }
    unchanged(bed, &before)?;
    bed.cleared(SILENCE)
}

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Kaput,
    ByCtrlC,
    Ssh,
    FarEnd,
}

const VICTIMS: [Victim; 4] = [Victim::Kaput, Victim::ByCtrlC, Victim::Ssh, Victim::FarEnd];

fn aborted(bed: &Bed) -> Result<(), String> {
    let aborts = std::env::var("KAPUT_ABORTS").ok().and_then(|text| text.parse().ok()).unwrap_or(ABORTS);
    bed.drivers.iter().try_for_each(|driver| driver.renew(true))?;
    let begin = Instant::now();
    run(bed, &ASSIGN);
    let whole = begin.elapsed();
    let mut had_journals = 0;
    for number in 0..aborts {
        let (victim, by_masks) = (VICTIMS[number % VICTIMS.len()], (number / VICTIMS.len()).is_multiple_of(2));
        bed.drivers.iter().try_for_each(|driver| driver.renew(by_masks))?;
        let before = files(bed);
        let after = whole.mul_f64(rand::random_range(0.1..1.0));
        let told = format!("abort {number}: {victim:?} after {after:.2?} of {whole:.2?}, by masks {by_masks}");
        let mut command = bed.kaput(&[&["run", "survive"], &THERE[..], &ASSIGN].concat());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|e| e.to_string())?;
        std::thread::sleep(after);
        abort(bed, victim, child)?;
        had_journals += usize::from(!journals(bed).is_empty());
        let said = bed.run(&["restore"]);
        if said.status != Some(0) {
            return Err(format!("{told}: restore: {}{}", said.out, said.err));
        }
        unchanged(bed, &before).map_err(|error| format!("{told}: {error}"))?;
        for file in bed.left_behind() {
            _ = std::fs::remove_dir_all(file);
        }
        bed.cleared(SILENCE).map_err(|error| format!("{told}: {error}"))?;
    }
    println!("{aborts} aborts, {had_journals} with something to put back; identical every time");
    Ok(())
}

/// Those that are on the disk as a whole.
fn journals(bed: &Bed) -> Vec<PathBuf> {
    let files = std::fs::read_dir(bed.path("state")).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
}

fn abort(bed: &Bed, victim: Victim, mut child: Child) -> Result<(), String> {
    match victim {
        Victim::Kaput => kill(child.id(), Signal::KILL),
        Victim::ByCtrlC => kill(child.id(), Signal::INT),
        Victim::Ssh => {
            let programs = bed.programs("laptop").into_iter().filter(|pid| *pid != child.id());
            programs.for_each(|pid| kill(pid, Signal::KILL));
        }
        Victim::FarEnd => bed.programs("b").into_iter().for_each(|pid| kill(pid, Signal::KILL)),
    }
    child.wait().map(|_| ()).map_err(|error| error.to_string())
}
