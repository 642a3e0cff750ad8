// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules about files as text: header, width of lines, place, size of the whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Finding;
use crate::files::Source;

/// Characters of the longest line.
const WIDTH: usize = 120;

/// At most so many lines of Rust without tests are in [`COUNTED`]. Lower it when lines are gone; raise it for a reason.
const LINES: usize = 56_700;

/// What there was when the figure was taken. What is new does more and answers for its own size; the rule is about the
/// same with less.
const COUNTED: [&str; 14] = [
    "src",
    "crates/ap-admin",
    "crates/ap-arch",
    "crates/ap-machine",
    "crates/preflight",
    "crates/s390x-asm",
    "crates/vfio-ap",
    "crates/vfio-mig",
    "tools/checks",
    "tools/fuzz",
    "tools/kaput",
    "tools/qemu-ap",
    "tools/witness",
    "tools/xtask",
];

/// What is new in there, file by file: the lab, the fleet, the agent, races, packages, and what else nobody had then.
/// What an old file does more than it did is counted.
const NEW: [&str; 47] = [
    "crates/ap-machine/src/machine_socket/frame.rs",
    "crates/preflight/src/fleet",
    "crates/preflight/src/foreign.rs",
    "crates/preflight/src/reserve.rs",
    "crates/vfio-ap/src/numbered.rs",
    "crates/vfio-ap/src/pause.rs",
    "crates/vfio-ap/src/sysfs/ap_card.rs",
    "crates/vfio-ap/src/sysfs/ap_driver.rs",
    "crates/vfio-ap/src/sysfs/ap_queue.rs",
    "crates/vfio-mig/src/catalogue/complaints.rs",
    "crates/vfio-mig/src/complaint.rs",
    "crates/vfio-mig/src/conformance/cases/races",
    "crates/vfio-mig/src/sequence",
    "tools/fuzz/src/target/agent.rs",
    "tools/fuzz/src/target/collect.rs",
    "tools/fuzz/src/target/fleet.rs",
    "tools/fuzz/src/target/preflight.rs",
    "tools/kaput/src/cli/driver.rs",
    "tools/kaput/src/cli/fleet.rs",
    "tools/kaput/src/cli/interrupts.rs",
    "tools/kaput/src/cli/lab.rs",
    "tools/kaput/src/conformance/agent_device.rs",
    "tools/kaput/src/conformance/junit.rs",
    "tools/kaput/src/conformance/stoppable.rs",
    "tools/kaput/src/conformance/unmodelled.rs",
    "tools/kaput/src/hosts/fleet.rs",
    "tools/kaput/src/lab",
    "tools/kaput/src/progress.rs",
    "tools/kaput/src/report/fleet",
    "tools/kaput/src/report/partition.rs",
    "tools/kaput/src/run/lpars.rs",
    "tools/kaput/src/scenario/driver.rs",
    "tools/qemu-ap/src/cpu/held_wait.rs",
    "tools/qemu-ap/src/emulation/lpar.rs",
    "tools/qemu-ap/src/emulation/wait.rs",
    "tools/qemu-ap/src/state/service_call.rs",
    "tools/witness/src/bus.rs",
    "tools/xtask/src/dist/container.rs",
    "tools/xtask/src/dist/debian.rs",
    "tools/xtask/src/installation.rs",
    "tools/xtask/src/programs.rs",
    "tools/xtask/src/setup/bare.rs",
    "tools/xtask/src/setup/kernel_source.rs",
    "tools/xtask/src/setup/lab_kernel.rs",
    "tools/xtask/src/setup/linux",
    "tools/xtask/src/setup/mdbook.rs",
    "tools/xtask/src/skips.rs",
];

const LICENCE: &str = "SPDX-License-Identifier:";

/// A source begins with its licence, then says what it is.
pub(super) fn header(source: &Source) -> Vec<Finding> {
    let mark = match source.path.extension().and_then(|ending| ending.to_str()) {
        Some("rs") => "//!",
        Some("S" | "sh") => "#",
        _ => return Vec::new(),
    };
    let mut lines = source.text.lines().filter(|line| !line.starts_with("#!"));
    let is_licensed = lines.next().is_some_and(|first| first.contains(LICENCE));
    let mut header = lines.map_while(|line| line.strip_prefix(mark));
    if is_licensed && header.any(|text| text.trim().len() > 10) {
        return Vec::new();
    }
    vec![Finding::new(source, 1, "no licence, or nothing that says what this is")]
}

/// Lines that a person has to scroll for, but for a word or a table's row that cannot be broken. TOML cannot break a
/// string or a table.
pub(super) fn width(source: &Source) -> Vec<Finding> {
    if !source.is_a(&["rs", "md", "S", "ld", "yml"]) {
        return Vec::new();
    }
    let is_row = |line: &str| line.starts_with("| ") && source.is_a(&["md"]);
    let is_long = |line: &str| line.chars().count() > WIDTH && !is_one_word(line) && !is_row(line);
    let long = source.lines().filter(|(_, line)| is_long(line));
    long.map(|(number, line)| Finding::new(source, number, format!("{} characters", line.chars().count()))).collect()
}

/// A link or a constant that is longer than a line.
fn is_one_word(line: &str) -> bool {
    line.split_whitespace().any(|word| word.chars().count() > WIDTH - 40)
}

/// `a.rs` beside a folder `a` hides that it is the folder's first file.
pub(super) fn folders(sources: &[Source]) -> Vec<Finding> {
    let rust = || sources.iter().filter(|source| source.is_a(&["rs"]));
    let folders: BTreeSet<PathBuf> = rust().filter_map(|source| Some(source.path.parent()?.to_owned())).collect();
    let is_beside = |source: &&Source| {
        let is_module = source.path.components().any(|part| part.as_os_str() == "src");
        is_module && folders.contains(&source.path.with_extension(""))
    };
    rust().filter(is_beside).map(|source| Finding::new(source, 1, "stands beside its folder, not in it")).collect()
}

/// How much Rust there is without tests.
pub(crate) fn lines(sources: &[Source]) -> usize {
    let is_in = |path: &Path, places: &[&str]| places.iter().any(|place| path.starts_with(place));
    let is_counted = |path: &Path| is_in(path, &COUNTED) && !is_in(path, &NEW);
    let counted = sources.iter().filter(|source| source.is_a(&["rs"]) && !source.is_test() && is_counted(&source.path));
    counted.map(|source| source.without_tests().lines().count()).sum()
}

pub(super) fn size(sources: &[Source]) -> Vec<Finding> {
    let lines = lines(sources);
    let what = format!("{lines} lines of Rust without tests; {LINES} are allowed");
    if lines <= LINES { Vec::new() } else { vec![Finding { file: PathBuf::from("."), line: 0, what }] }
}
