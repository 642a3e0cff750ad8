// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory that goes from host to host by TCP: over the link between them, at the address and ports that were named, and
//! what is reported when that link is cut while ssh still reaches both.

use std::path::PathBuf;

use crate::Step;
use crate::bed::{Bed, Said};
use crate::real::{ASSIGN, SOON, files, unchanged};

pub(crate) const STEPS: &[(&str, Step)] = &[
    ("memory_goes_from_host_to_host_by_tcp", by_tcp),
    ("memory_goes_by_tcp_with_real_queues_too", with_queues),
    ("a_host_that_refuses_or_swallows_connections_is_named_with_the_fix", cut),
];

const THERE: [&str; 4] = ["--source", "ssh:a", "--destination", "ssh:b"];

/// Runs with a run folder that stays; what was said to the QEMU of a host, by the beginning of its files.
fn told_qemu(bed: &Bed, arguments: &[&str], file: &str) -> Result<String, String> {
    let runs = bed.path("tcp-runs");
    _ = std::fs::remove_dir_all(&runs);
    std::fs::create_dir_all(&runs).map_err(|error| error.to_string())?;
    let output = bed.kaput(arguments).env("KAPUT_RUNS", &runs).arg("--keep").output().map_err(|e| e.to_string())?;
    let said = Said::of(&output);
    if said.status != Some(0) {
        return Err(format!("{arguments:?}: {}{}", said.out, said.err));
    }
    let folder: Option<PathBuf> =
        std::fs::read_dir(&runs).into_iter().flatten().flatten().map(|entry| entry.path()).next();
    let folder = folder.ok_or("no run folder")?;
    std::fs::read_to_string(folder.join(file)).map_err(|error| format!("{file}: {error}"))
}

/// The port to which a source was told to migrate, at this address.
fn port(transcript: &str, address: &str) -> Result<u16, String> {
    let words = format!("tcp:{address}:");
    let told = transcript.lines().find(|line| line.contains("\"execute\":\"migrate\""));
    let after = told.and_then(|line| line.split_once(&words));
    let digits: Option<String> = after.map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect());
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| format!("no {words} in {transcript}"))
}

fn by_tcp(bed: &Bed) -> Result<(), String> {
    let run =
        |scenario, way, file| told_qemu(bed, &[&["run", scenario, "--migrate-over", way], &THERE[..]].concat(), file);
    port(&run("survive", "tcp", "00-A.qmp")?, "198.18.0.3")?;
    let named = port(&run("survive", "tcp:198.18.0.3:49152-49160", "00-A.qmp")?, "198.18.0.3")?;
    if !(49152..=49160).contains(&named) {
        return Err(format!("port {named}"));
    }
    // There by the address that was named, and back by the one of the source.
    port(&run("ping-pong", "tcp:198.18.0.3", "01-B.qmp")?, "198.18.0.2")?;
    let mixed = ["run", "survive", "--migrate-over", "tcp", "--source", "ssh:a"];
    port(&told_qemu(bed, &mixed, "00-A.qmp")?, "198.18.0.1")?;
    port(&told_qemu(bed, &["run", "survive", "--migrate-over", "tcp"], "00-A.qmp")?, "127.0.0.1")?;
    bed.cleared(SOON)
}

fn with_queues(bed: &Bed) -> Result<(), String> {
    bed.drivers.iter().try_for_each(|driver| driver.renew(true))?;
    let before = files(bed);
    let arguments = [&["run", "survive", "--migrate-over", "tcp", "--engine", "qemu"], &THERE[..], &ASSIGN].concat();
    port(&told_qemu(bed, &arguments, "00-A.qmp")?, "198.18.0.3")?;
    unchanged(bed, &before)
}

fn cut(bed: &Bed) -> Result<(), String> {
    let scenario = bed.path("impatient.toml");
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/survive.toml"))
        .map_err(|error| error.to_string())?;
    std::fs::write(&scenario, text + "\n[deadlines]\nmigration = 5\n").map_err(|error| error.to_string())?;
    let scenario = scenario.display().to_string();
    // Refused, and dropped without a word: what comes back to the source is lost.
    for (host, route) in [("a", "unreachable 198.18.0.3/32"), ("b", "blackhole 198.18.0.2/32")] {
        bed.route(host, "add", route);
        let said = bed.run(&[&["run", &scenario, "--migrate-over", "tcp"], &THERE[..]].concat());
        bed.route(host, "del", route);
        let words = [
            "NOT AS EXPECTED (host-lost): host A (ssh:a) cannot reach host B (ssh:b) by TCP",
            "must be reachable from ssh:a: look at the firewalls",
        ];
        if said.status != Some(3) || words.iter().any(|word| !said.out.contains(word)) {
            return Err(format!("{host}: {:?}: {}{}", said.status, said.out, said.err));
        }
    }
    // An address that is not the destination's.
    let said = bed.run(&[&["run", "survive", "--migrate-over", "tcp:198.18.0.99"], &THERE[..]].concat());
    let words = ["QEMU of host B", "it is made to listen at tcp:198.18.0.99:0", "must be one of the destination's own"];
    if said.status != Some(3) || words.iter().any(|word| !said.out.contains(word)) {
        return Err(format!("{:?}: {}{}", said.status, said.out, said.err));
    }
    bed.cleared(SOON)
}
