// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs over ssh: the verdicts, the time, what is reported of a host that cannot be reached, and what is left when
//! somebody is killed.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::Step;
use crate::bed::{Bed, Said, kill};

pub(crate) const STEPS: &[(&str, Step)] = &[
    ("every_scenario_has_the_verdict_that_it_has_here", every_scenario),
    ("a_host_may_be_this_one_and_both_may_be_the_same", mixed),
    ("a_remote_run_takes_less_than_a_second_more", added_time),
    ("who_cannot_be_reached_is_named_with_the_fix", unreachable),
    ("a_full_disk_is_told_and_nothing_stays", full_disk),
    ("what_qemu_said_there_is_in_the_run_folder_here", run_folder),
    ("a_killed_harness_leaves_nothing_there", killed_harness),
    ("a_host_that_goes_away_ends_the_run_as_such", host_goes_away),
    ("a_cut_cable_ends_the_run_and_clears_the_host", cut_cable),
];

const THERE: [&str; 4] = ["--source", "ssh:a", "--destination", "ssh:b"];
const SOON: Duration = Duration::from_secs(10);

fn with<'a>(first: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [first, more].concat()
}

/// Here each is as expected, which is a test of its own; so it must be there.
fn every_scenario(bed: &Bed) -> Result<(), String> {
    let said = bed.run(&with(&["run", "*", "-j", "2", "--report", "json"], &THERE));
    let mut number = 0;
    for line in said.out.lines() {
        let report: Value = serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
        if report["verdict"]["kind"] != "as-expected" {
            return Err(format!("{}: {}", report["scenario"], report["verdict"]));
        }
        number += 1;
    }
    println!("{number} scenarios, all as expected");
    if number < 20 {
        return Err(format!("only {number} scenarios ran: {}", said.err));
    }
    bed.cleared(SOON)
}

fn mixed(bed: &Bed) -> Result<(), String> {
    for (source, destination) in [("local", "ssh:b"), ("ssh:a", "local"), ("ssh:a", "ssh:a")] {
        // It moves there and back.
        let said = bed.run(&["run", "ping-pong", "--source", source, "--destination", destination]);
        if said.status != Some(0) {
            return Err(format!("from {source} to {destination}: {}{}", said.out, said.err));
        }
    }
    bed.cleared(SOON)
}

/// The medians of so many runs, in turns.
fn added_time(bed: &Bed) -> Result<(), String> {
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..5 {
        for (times, where_to) in times.iter_mut().zip([&[][..], &THERE]) {
            let begin = Instant::now();
            let said = bed.run(&with(&["run"], where_to));
            times.push(begin.elapsed());
            if said.status != Some(0) {
                return Err(format!("{}{}", said.out, said.err));
            }
        }
        times[2].push(bed.login());
    }
    let [here, there, login] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    let added = there.saturating_sub(here);
    println!("median of 5: here {here:.2?}, there {there:.2?}, {added:.2?} more; a login alone takes {login:.2?}");
    // Two logins at the same time, and little else, on however slow a machine.
    let bound = Duration::from_secs(1).max(login * 4);
    if added < bound { Ok(()) } else { Err(format!("{added:.2?} more, a login alone takes {login:.2?}")) }
}

fn refuses(bed: &Bed, host: &str, words: &[&str]) -> Result<(), String> {
    let said = bed.run(&["run", "--source", "ssh:a", "--destination", host]);
    if said.status != Some(2) {
        return Err(format!("{host}: status {:?}: {}", said.status, said.err));
    }
    match words.iter().find(|word| !said.err.contains(**word)) {
        Some(word) => Err(format!("no {word:?} in: {}", said.err)),
        None => bed.cleared(SOON),
    }
}

fn unreachable(bed: &Bed) -> Result<(), String> {
    refuses(bed, "ssh:nowhere", &["host ssh:nowhere cannot be reached", "Could not resolve", "Host nowhere"])?;
    refuses(bed, "ssh:stranger", &["ssh:stranger", "Permission denied", "ssh-add -l"])?;
    refuses(bed, "ssh:closed", &["ssh:closed", "Connection refused", "does its sshd run"])?;
    refuses(bed, "ssh:", &["ssh: [USER@]NAME"])?;
    refuses(bed, "there", &["`local` or `ssh:[USER@]NAME`"])?;
    refuses(bed, "ssh:-oProxyCommand=touch", &["ssh:-oProxyCommand=touch cannot be reached"])
}

fn full_disk(bed: &Bed) -> Result<(), String> {
    refuses(bed, "ssh:full", &["host ssh:full could not take the file image", "No space left on device", "TMPDIR"])
}

fn run_folder(bed: &Bed) -> Result<(), String> {
    let runs = bed.path("runs");
    std::fs::create_dir_all(&runs).map_err(|error| error.to_string())?;
    let mut command = bed.kaput(&with(&["run", "survive", "--keep"], &THERE));
    let output = command.env("KAPUT_RUNS", &runs).output().map_err(|error| error.to_string())?;
    let said = Said::of(&output);
    let folder = std::fs::read_dir(&runs).into_iter().flatten().flatten().next().ok_or(said.err)?.path();
    for file in ["00-A.command", "00-A.qmp", "00-A.control", "01-B.stderr", "01-B.control", "log", "console"] {
        let text = std::fs::read_to_string(folder.join(file)).map_err(|error| format!("{file}: {error}"))?;
        if text.is_empty() && !file.ends_with("stderr") {
            return Err(format!("{file} is empty"));
        }
    }
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    if log.contains("no log") {
        return Err(log);
    }
    bed.cleared(SOON)
}

/// A run that goes on until somebody ends it: its guest works without end while memory must not converge.
fn endless(bed: &Bed) -> Result<std::process::Child, String> {
    let scenario = bed.path("endless.toml");
    let text = "summary = \"It goes on\"\n[guest]\nsuites = [\"migration-continuous\"]\ncpus = 2\n\
                [hosts.A]\ntopology = \"05=cex8a/33\"\nmdev = { adapters = [\"05\"], domains = [\"33\"] }\n\
                [hosts.B]\ntopology = \"05=cex8a/33\"\n[[migrations]]\nto = \"B\"\nwith = \
                { bandwidth = 100_000, downtime = 0 }\n\
                [deadlines]\nmigration = 120\n[expect]\nresult = \"pass\"\n";
    std::fs::write(&scenario, text).map_err(|error| error.to_string())?;
    let path = scenario.display().to_string();
    let mut command = bed.kaput(&with(&["run", &path], &THERE));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    // Both QEMUs run once each host has more than one program.
    let deadline = Instant::now() + Duration::from_secs(30);
    while ["a", "b"].iter().any(|host| !bed.has_qemu(host)) {
        if Instant::now() > deadline {
            return Err("the QEMUs do not start".to_owned());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(child)
}

fn killed_harness(bed: &Bed) -> Result<(), String> {
    let mut child = endless(bed)?;
    child.kill().map_err(|error| error.to_string())?;
    _ = child.wait();
    bed.cleared(SOON)
}

fn ended_as(child: std::process::Child, words: &[&str]) -> Result<(), String> {
    let said = Said::of(&child.wait_with_output().map_err(|error| error.to_string())?);
    if said.status != Some(3) {
        return Err(format!("status {:?}: {}{}", said.status, said.out, said.err));
    }
    match words.iter().find(|word| !said.out.contains(**word)) {
        Some(word) => Err(format!("no {word:?} in {}", said.out)),
        None => Ok(()),
    }
}

fn host_goes_away(bed: &Bed) -> Result<(), String> {
    let child = endless(bed)?;
    for pid in bed.programs("b") {
        kill(pid, Signal::KILL);
    }
    // What was killed cannot clean up; the folder is all that is left.
    ended_as(child, &["the connection to host ssh:b ended"])?;
    for file in bed.left_behind() {
        _ = std::fs::remove_dir_all(file);
    }
    bed.cleared(SOON)
}

fn cut_cable(bed: &Bed) -> Result<(), String> {
    let child = endless(bed)?;
    bed.cable("b", false);
    // The host hears nothing, not even an end: it has to notice that by itself.
    let ended =
        ended_as(child, &["the connection to host ssh:b ended"]).and_then(|()| bed.cleared(Duration::from_secs(60)));
    bed.cable("b", true);
    ended
}
