// SPDX-License-Identifier: MIT OR Apache-2.0
//! SIGINT, SIGTERM and SIGHUP at any moment, to commands that are at work on other hosts: these are what they were as
//! soon as the command has ended, without anybody's help.

#[path = "../support/signals.rs"]
mod moments;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use moments::signals;

use crate::Step;
use crate::bed::{Bed, Said};
use crate::real::{ASSIGN, SOON, files, unchanged};

pub(crate) const STEPS: &[(&str, Step)] = &[
    ("a_run_with_queues_that_is_interrupted_gives_them_back", with_queues),
    ("commands_on_other_hosts_end_at_signals", others),
];

pub(crate) const LIBVIRT_STEPS: &[(&str, Step)] =
    &[("a_run_by_libvirt_that_is_interrupted_leaves_no_domain", by_libvirt)];

/// How long something that must happen may take.
const PATIENCE: Duration = Duration::from_secs(60);

const THERE: [&str; 4] = ["--source", "ssh:a", "--destination", "ssh:b"];

fn start(bed: &Bed, arguments: &[&str]) -> Result<Child, String> {
    let mut command = bed.kaput(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|error| error.to_string())
}

/// Sends a signal, and returns after how long the command was gone because of it. One that was done before, with this
/// status, is no fault.
fn interrupt(child: Child, (signal, code): (&str, i32), done: Option<i32>) -> Result<Duration, String> {
    let sent = Instant::now();
    _ = Command::new("kill").args(["-s", signal, &child.id().to_string()]).output();
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let gone = sent.elapsed();
    let by_signal = std::os::unix::process::ExitStatusExt::signal(&output.status) == Some(code);
    let said = Said::of(&output);
    match by_signal || [done, Some(128 + code)].contains(&said.status) {
        true => Ok(gone),
        false => Err(format!("{:?}: {}{}", said.status, said.out, said.err)),
    }
}

fn in_words(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    format!("gone after {median:.3?}, the median, {:.3?} at most", times.last().copied().unwrap_or_default())
}

/// Half of the signals come after the first host was written to.
fn with_queues(bed: &Bed) -> Result<(), String> {
    let arguments = [&["run", "survive", "--engine", "qemu"], &THERE[..], &ASSIGN].concat();
    bed.drivers.iter().try_for_each(|driver| driver.renew(true))?;
    let begin = Instant::now();
    let whole = bed.run(&arguments);
    if whole.status != Some(0) {
        return Err(format!("{}{}", whole.out, whole.err));
    }
    let whole = begin.elapsed();
    let (mut times, mut after_writes) = (Vec::new(), 0);
    let all = signals("run with queues");
    let twice = all.iter().flat_map(|signal| [(true, signal), (false, signal)]);
    for (number, (waits, (signal, late))) in twice.enumerate() {
        bed.drivers.iter().try_for_each(|driver| driver.renew(number % 4 < 2))?;
        let before = files(bed);
        let written = || bed.drivers.iter().map(|driver| driver.writes()).sum::<usize>();
        let at_first = written();
        let child = start(bed, &arguments)?;
        let deadline = Instant::now() + PATIENCE;
        while waits && written() == at_first && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        let after = whole.mul_f64(0.8 * late);
        std::thread::sleep(after);
        after_writes += usize::from(written() != at_first);
        let told = format!("try {number}: {} after {after:.3?}", signal.0);
        times.push(interrupt(child, *signal, Some(0)).map_err(|error| format!("{told}: {error}"))?);
        unchanged(bed, &before).map_err(|error| format!("{told}: {error}"))?;
        bed.cleared(SOON).map_err(|error| format!("{told}: {error}"))?;
    }
    let tries = 2 * all.len();
    println!("{tries} tries, {after_writes} after the first write to a host: {}", in_words(times));
    if after_writes >= tries / 2 { Ok(()) } else { Err(format!("only {after_writes} came after a write")) }
}

fn others(bed: &Bed) -> Result<(), String> {
    let cleared = |bed: &Bed| bed.cleared(SOON);
    ends(bed, "run by ssh", &[&["run", "survive"], &THERE[..]].concat(), cleared)?;
    ends(bed, "doctor", &["doctor", "--host", "ssh:a", "--host", "ssh:b"], cleared)?;
    ends(bed, "preflight", &["preflight", "ssh:a", "ssh:b"], cleared)?;
    ends(bed, "collect", &["collect", "ssh:a"], cleared)
}

fn by_libvirt(bed: &Bed) -> Result<(), String> {
    let arguments = [&["run", "survive", "--engine", "libvirt"], &THERE[..]].concat();
    ends(bed, "run by libvirt", &arguments, crate::virt::clear)
}

/// Interrupts a command that changes nothing of the hosts' queues.
fn ends(bed: &Bed, name: &str, arguments: &[&str], cleared: impl Fn(&Bed) -> Result<(), String>) -> Result<(), String> {
    bed.drivers.iter().try_for_each(|driver| driver.renew(true))?;
    let before = files(bed);
    let begin = Instant::now();
    let done = bed.run(arguments).status;
    let whole = begin.elapsed();
    let mut times = Vec::new();
    for (signal, late) in signals(name) {
        let child = start(bed, arguments)?;
        let after = whole.mul_f64(0.9 * late);
        std::thread::sleep(after);
        let told = |error: String| format!("{name}: {} after {after:.3?}: {error}", signal.0);
        times.push(interrupt(child, signal, done).map_err(told)?);
        unchanged(bed, &before).map_err(told)?;
        cleared(bed).map_err(told)?;
    }
    println!("{name}: {}", in_words(times));
    Ok(())
}
