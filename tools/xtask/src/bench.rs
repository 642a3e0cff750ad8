// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask bench`: what the emulation costs, as ratios with the raw numbers beside.
//!
//! Four sources, each run several times: the guest's own suite `bench`, in the real QEMU; the same on the lab's driver,
//! where another process owns the machine; the machine in process; and Linux, with the plugin and without. All print
//! lines `bench: name=tapq … ns-each=500`. Figures of one run belong together: a ratio is taken in each run, and its
//! median over all runs is what counts, so that a machine that is slow for a while does no harm.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::artifacts::host_cargo;
use crate::launch::Ready;
use crate::layout::Layout;
use crate::process;
use crate::setup::lab_kernel;
use crate::state::State;
use crate::test::set_linux;

const DEADLINE: Duration = Duration::from_secs(1800);
/// Measured wherever there is a Linux for s390x.
const LINUX: &str = "linux-boot-bare";
/// Measured wherever there is a kernel for the lab.
const REMOTE: &str = "tapq-remote";

/// One line of the table.
struct Row {
    what: &'static str,
    of: &'static str,
    against: Against,
    /// The ratio, or the value, may be so much.
    limit: f64,
}

/// What a figure is held against.
enum Against {
    /// Another figure of the same run, or its median if that run has none.
    Figure(&'static str),
    /// Nothing: the limit is in this unit.
    Unit(&'static str),
}

use Against::{Figure, Unit};

const fn row(what: &'static str, of: &'static str, against: Against, limit: f64) -> Row {
    Row { what, of, against, limit }
}

const ROWS: &[Row] = &[
    row("TAPQ against STSI(0)", "tapq", Figure("stsi"), 4.5),
    row("TAPQ against an operation exception", "tapq", Figure("operation-exception"), 1.0),
    row("NQAP and DQAP of 64 bytes against TAPQ", "nqap-dqap-64", Figure("tapq"), 6.0),
    row("TAPQ on a remote owner against a local one", REMOTE, Figure("tapq"), 50.0),
    row("RSA-2048 CRT in a guest against the crate", "rsa-2048-crt", Figure("rsa-2048-crt-crate"), 1.2),
    row("RSA-2048 CRT in process against the crate", "rsa-2048-crt-machine", Figure("rsa-2048-crt-crate"), 1.2),
    row("Linux boot, CPU time, against no plugin", "linux-boot-polling", Figure("linux-boot-bare"), 1.10),
    row("the same with STFLE 65", "linux-boot-interrupts", Figure("linux-boot-bare"), 1.15),
    row("a load in Linux, CPU time, against no plugin", "linux-load-polling", Figure("linux-load-bare"), 1.03),
    row("the same with STFLE 65", "linux-load-interrupts", Figure("linux-load-bare"), 1.05),
    row("65,536 queues: time to build", "queues-build", Unit("ms"), 200.0),
    row("65,536 queues: memory", "queues-memory", Unit("KiB"), 65536.0),
];

/// Each figure by its name, one value a run.
#[derive(Default)]
struct Figures(BTreeMap<String, Vec<f64>>);

impl Figures {
    /// Takes a line if it is one of ours; the figure's name gets this end.
    fn take(&mut self, line: &str, end: &str) {
        let Some(words) = line.trim().strip_prefix("bench: ") else { return };
        let words: BTreeMap<&str, &str> = words.split(' ').filter_map(|word| word.split_once('=')).collect();
        let value = ["ns-each", "value"].iter().find_map(|key| words.get(key)?.parse().ok());
        if let (Some(name), Some(value)) = (words.get("name"), value) {
            self.0.entry(format!("{name}{end}")).or_default().push(value);
        }
    }

    fn all(&self, name: &str) -> Result<&[f64]> {
        self.0.get(name).map(Vec::as_slice).with_context(|| format!("nobody measured `{name}`"))
    }

    /// Value of a row in each run.
    fn of(&self, row: &Row) -> Result<Vec<f64>> {
        let all = self.all(row.of)?;
        let Figure(other) = row.against else { return Ok(all.to_vec()) };
        let others = self.all(other)?;
        let usual = median(others);
        // Figures of two sources have nothing to do with each other's runs.
        let paired = others.len() == all.len();
        Ok(all.iter().enumerate().map(|(run, value)| value / if paired { others[run] } else { usual }).collect())
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What of the harness's report is of interest here.
#[derive(Deserialize)]
struct Report {
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    /// What the guest printed, in an event of its console.
    #[serde(default)]
    line: String,
}

/// Measures and prints the table; true if no value is over its limit.
///
/// # Errors
/// When something cannot be had, built or run.
pub(crate) fn run(layout: &Layout, state: &mut State, runs: u32) -> Result<bool> {
    let ready = Ready::make(layout, state)?;
    state.save();
    let mut figures = Figures::default();
    in_the_guest(layout, &ready, runs, ("model", ""), &mut figures)?;
    match lab_kernel::cached(&layout.cache)? {
        Some(_) => in_the_guest(layout, &ready, runs, ("lab", "-remote"), &mut figures)?,
        None => println!("SKIP a remote owner: there is no kernel for the lab, `cargo xtask lab` builds one"),
    }
    in_process(layout, &mut figures)?;
    in_linux(layout, state, &ready, runs, &mut figures)?;
    print!("{}", table(&figures)?);
    let over = |row: &Row| figures.of(row).is_ok_and(|values| median(&values) > row.limit);
    Ok(!ROWS.iter().any(over))
}

/// With this driver between the hosts, by which the figures' names end otherwise.
fn in_the_guest(
    layout: &Layout,
    ready: &Ready,
    runs: u32,
    (driver, end): (&str, &str),
    figures: &mut Figures,
) -> Result<()> {
    let mut command = Command::new(&ready.host.harness);
    ready.environment(layout, &mut command).args(["run", "bench", "--driver", driver]);
    command.args(["--report", "json", "--repeat", &runs.to_string()]);
    let mut unread = None;
    let status = process::lines(&mut command, DEADLINE, |line| match serde_json::from_str::<Report>(line) {
        Ok(report) => {
            report
                .events
                .iter()
                .filter_map(|event| event.line.strip_prefix("INFO: "))
                .for_each(|line| figures.take(line, end));
        }
        Err(error) => unread = Some(error),
    })?;
    process::success(status, "`cargo xtask run bench` shows why the scenario was not as expected")?;
    unread.map_or(Ok(()), |error| Err(error).context("the harness reports in an unknown form"))
}

fn in_process(layout: &Layout, figures: &mut Figures) -> Result<()> {
    let mut command = host_cargo(layout, "run");
    command.args(["--release", "--quiet", "--package", "ap-machine", "--example", "cost"]);
    let status = process::lines(&mut command, DEADLINE, |line| figures.take(line, ""))?;
    process::success(status, "the machine could not be measured in process")
}

/// Without a Linux for s390x there is nothing to measure; the test program says why.
fn in_linux(layout: &Layout, state: &mut State, ready: &Ready, runs: u32, figures: &mut Figures) -> Result<()> {
    let mut command = host_cargo(layout, "test");
    command.args(["--quiet", "--package", "kaput", "--test", "linux", "--", "--bench"]);
    set_linux(layout, state, ready.environment(layout, &mut command))?;
    command.env("KAPUT_RUNS_OF_LINUX", runs.to_string());
    let status = process::lines(&mut command, DEADLINE, |line| {
        figures.take(line, "");
        if line.starts_with("SKIP ") {
            println!("{line}");
        }
    })?;
    process::success(status, "Linux could not be measured")
}

fn table(figures: &Figures) -> Result<String> {
    let mut text = format!("{:<44} {:>8} {:>8}  raw, median of all runs\n", "", "measured", "at most");
    let (no_linux, no_lab) = (figures.all(LINUX).is_err(), figures.all(REMOTE).is_err());
    let is_missing = |row: &&Row| (no_linux && row.of.starts_with("linux-")) || (no_lab && row.of == REMOTE);
    for row in ROWS.iter().filter(|row| !is_missing(row)) {
        let values = figures.of(row)?;
        let value = median(&values);
        let raw = match row.against {
            Figure(other) => format!(
                "{} {:.0} ns, {other} {:.0} ns, {} runs",
                row.of,
                median(figures.all(row.of)?),
                median(figures.all(other)?),
                values.len()
            ),
            Unit(unit) => format!("{unit}, {} runs", values.len()),
        };
        let mark = if value > row.limit { "OVER" } else { "" };
        text.push_str(&format!("{:<44} {value:>8.2} {:>8.2}  {raw} {mark}", row.what, row.limit));
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(lines: &[&str]) -> Figures {
        let mut figures = Figures::default();
        lines.iter().for_each(|line| figures.take(line, ""));
        figures
    }

    const PAIR: Row = Row { what: "", of: "a", against: Figure("b"), limit: 1.0 };

    #[test]
    fn figures_of_one_run_are_held_against_each_other() {
        // The second run was on a slow machine, which hurt both.
        let all = figures(&["bench: name=a count=1 ns-each=20", "bench: name=b ns-each=10", "no figure"]);
        assert_eq!(all.of(&PAIR).unwrap(), [2.0]);
        let all = figures(&[
            "bench: name=a ns-each=20",
            "bench: name=b ns-each=10",
            "bench: name=a ns-each=200",
            "bench: name=b ns-each=100",
        ]);
        assert_eq!(all.of(&PAIR).unwrap(), [2.0, 2.0]);
    }

    #[test]
    fn what_nobody_measured_is_named() {
        assert_eq!(figures(&[]).of(&PAIR).unwrap_err().to_string(), "nobody measured `a`");
    }

    #[test]
    fn the_median_is_the_value_in_the_middle() {
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
    }
}
