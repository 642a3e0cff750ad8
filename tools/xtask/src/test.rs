// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask test`: every check there is, each to its end, then one countable line.
//!
//! A step that fails does not stop the others. The last line is `N passed, N failed[, N skipped]` over all tests that
//! the steps ran; a step without tests of its own counts as one.

use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::artifacts::{self, guest_cargo, host_cargo, image_cargo};
use crate::launch::Ready;
use crate::layout::Layout;
use crate::process;
use crate::programs;
use crate::setup::lab_kernel::{self, Kind};
use crate::setup::{guest_library, linux, mdbook};
use crate::skips::Skips;
use crate::state::State;
use crate::{big_endian, dist, fuzz, installation, pages};

const DEADLINE: Duration = Duration::from_secs(1800);

/// How long each target of the fuzzer runs; `cargo xtask fuzz` takes longer.
const FUZZ_SECONDS: u64 = 20;

/// Programs that are built in release for use, and so for their tests too: what they are made of is built once.
const TOOLS: [&str; 3] = ["xtask", "tidy", "kaput-fuzz"];

/// One step of the whole test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// The formatting of all sources.
    Format,
    /// The layout of the sources: folders, arrows between them, and circles of files, of every crate.
    Tidy,
    /// Lints of everything that runs on this machine.
    LintHost,
    /// Lints of the image and of the program for Linux, for their own target.
    LintImage,
    /// The tests of everything but the harness; they need no QEMU.
    Libraries,
    /// The tests of the harness: all scenarios and guest cases in the real QEMU, with the plugin and without, and
    /// Linux.
    Harness,
    /// What is printed and written, as strict readers, a browser and a terminal take it; the commands of the documents.
    Checks,
    /// The documents as a book, without a warning, and the other pages that are kept: see `pages`.
    Book,
    /// The archive for people without cargo, unpacked elsewhere and used with an empty environment.
    Dist,
    /// Debian's Linux as a guest: a part of the tests of the harness, alone; only where it is named.
    Linux,
    /// The real driver in an emulated LPAR: a part of the tests of the harness, alone; only where it is named.
    Lab,
    /// The same, and the cases of races on kernels with checkers and with traced slabs, which are built if need be, or
    /// are those that KAPUT_LAB_CHECKERS and KAPUT_LAB_PATTERN name; only where it is named.
    LabCheckers,
    /// The tests of the libraries on an emulated big-endian machine; only where it is named.
    BigEndian,
    /// What CI installs, on a Debian with nothing on it: then every tool answers, and two hosts come up with a libvirt
    /// on each. The Debian package, and the image of a container that is made from it: then a run is as expected. In
    /// CI, or where it is named.
    Installation,
    /// Damaged input for every reader of input from outside, 20 seconds each, at the same time.
    Fuzz,
}

/// What a step's tests came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Count {
    const PASSED: Self = Self { passed: 1, failed: 0, skipped: 0 };

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Shows a line of a test program, and counts what it says.
    fn read(&mut self, line: &str, skips: &mut Skips) {
        println!("{line}");
        skips.read(line);
        self.add(result_line(line).unwrap_or_default());
    }

    /// A build that failed, or a test program that died before it could count, is a failure.
    fn end(&mut self, status: ExitStatus) {
        if !status.success() && self.failed == 0 {
            self.failed = 1;
        }
    }

    fn line(self) -> String {
        let Self { passed, failed, skipped } = self;
        let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
        format!("{passed} passed, {failed} failed{skipped}")
    }
}

/// Runs `steps`, or all but those on request; true when nothing failed. In CI what is skipped without leave has failed.
///
/// # Errors
/// Never for a failing step; those are counted.
pub(crate) fn run(layout: &Layout, state: &mut State, steps: &[Step], ci: bool) -> Result<bool> {
    let all = Step::value_variants().iter().copied();
    let all: Vec<Step> = all.filter(|step| !step.is_on_request() || (ci && *step == Step::Installation)).collect();
    let steps = if steps.is_empty() { &all } else { steps };
    let mut total = Count::default();
    let mut skips = Skips::default();
    let mut report = Vec::new();
    for step in steps {
        let name = step.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        println!("== {name}");
        let begin = Instant::now();
        let (count, verdict) = match step.run(layout, state, &mut skips) {
            Ok(count) if count.failed == 0 => (count, "passed".to_owned()),
            Ok(count) => (count, "FAILED".to_owned()),
            Err(error) => (Count { failed: 1, ..Count::default() }, format!("FAILED: {error:#}")),
        };
        state.save();
        total.add(count);
        report.push(format!("  {name:<12} {:>6.1} s  {:<30} {verdict}", begin.elapsed().as_secs_f64(), count.line()));
    }
    if ci {
        let wrong = skips.not_allowed();
        total.failed += wrong.len();
        report.extend(wrong.iter().map(|group| format!("  FAILED: skipped without leave: {group}")));
    }
    println!("\n{}\n{}\n{}", report.join("\n"), skips.block(), total.line());
    Ok(total.failed == 0)
}

impl Step {
    /// Whether it runs only where it is named.
    const fn is_on_request(self) -> bool {
        // Two are a part of another, one builds everything once more, and one fetches a whole system.
        matches!(self, Self::Linux | Self::Lab | Self::LabCheckers | Self::BigEndian | Self::Installation)
    }

    fn run(self, layout: &Layout, state: &mut State, skips: &mut Skips) -> Result<Count> {
        match self {
            Self::Format => plain(host_cargo(layout, "fmt").args(["--all", "--check"])),
            Self::Tidy => {
                let mut command = host_cargo(layout, "run");
                plain(command.args(["--release", "--quiet", "--package", "tidy", "--"]).arg(&layout.root))
            }
            Self::LintHost => {
                let mut command = host_cargo(layout, "clippy");
                plain(command.args([
                    "--workspace",
                    "--exclude",
                    "kaput-image",
                    "--all-targets",
                    "--",
                    "-D",
                    "warnings",
                ]))
            }
            Self::LintImage => {
                let library = guest_library::ready(layout, state)?;
                plain(image_cargo(layout, &library, "clippy").args(["--", "-D", "warnings"]))?;
                for program in artifacts::PROGRAMS {
                    plain(guest_cargo(layout, &library, "clippy", program).args(["--", "-D", "warnings"]))?;
                }
                Ok(Count::PASSED)
            }
            Self::Libraries => {
                let mut libraries = host_cargo(layout, "test");
                let others = ["kaput-image", "kaput", "checks"].iter().chain(&TOOLS);
                libraries.arg("--workspace").args(others.flat_map(|package| ["--exclude", package]));
                let mut commands = vec![libraries];
                // One by one: together they would have other features of what they share, and so other builds of it.
                commands.extend(TOOLS.map(|tool| {
                    let mut command = host_cargo(layout, "test");
                    command.args(["--release", "--package", tool]);
                    command
                }));
                side_by_side(commands.iter_mut(), skips)
            }
            Self::Harness | Self::Linux | Self::Lab | Self::LabCheckers => {
                let ready = Ready::make(layout, state)?;
                artifacts::raw(layout, &ready.image)?;
                let mut command = host_cargo(layout, "test");
                command.args(["--release", "--package", "kaput"]);
                match self {
                    Self::Linux => _ = command.args(["--test", "linux"]),
                    Self::Lab | Self::LabCheckers => _ = command.args(["--test", "lab"]),
                    _ => {}
                }
                ready.environment(layout, &mut command);
                if matches!(self, Self::Harness | Self::Linux) {
                    set_linux(layout, state, &mut command)?;
                }
                if self != Self::Linux {
                    set_lab(layout, &ready, &mut command);
                }
                if self == Self::LabCheckers {
                    for (variable, kind) in
                        [("KAPUT_LAB_CHECKERS", Kind::Checkers), ("KAPUT_LAB_PATTERN", Kind::Pattern)]
                    {
                        if std::env::var_os(variable).is_none() {
                            command.env(variable, lab_kernel::ready(layout, &ready.host.harness, kind)?);
                        }
                    }
                }
                side_by_side([&mut command], skips)
            }
            Self::Checks => {
                let ready = Ready::make(layout, state)?;
                let mut command = host_cargo(layout, "test");
                command.args(["--release", "--package", "checks"]).env("KAPUT_PROGRAM", &ready.host.harness);
                match mdbook::ready(layout) {
                    Ok(mdbook) => command.env("KAPUT_PAGES", pages::make(layout, &ready, &mdbook)?),
                    Err(error) => command.env("KAPUT_PAGES_MISSING", format!("{error:#}")),
                };
                side_by_side([ready.environment(layout, &mut command)], skips)
            }
            Self::BigEndian => match big_endian::command(layout, state)? {
                Ok(mut command) => tests(&mut command, skips),
                Err(reason) => Ok(skipped(skips, "big-endian", &reason)),
            },
            Self::Book => match mdbook::ready(layout) {
                Ok(mdbook) => pages::make(layout, &Ready::make(layout, state)?, &mdbook).map(|_| Count::PASSED),
                Err(error) => Ok(skipped(skips, "book", &format!("{error:#}"))),
            },
            Self::Installation => {
                if let Some(reason) = installation::missing() {
                    return Ok(skipped(skips, "installation", &reason));
                }
                let ready = Ready::make(layout, state)?;
                let mut count = tests(&mut installation::command(layout, &ready)?, skips)?;
                let packed = dist::make(layout, state)?;
                let package = packed.package.as_deref().context("there is no dpkg-deb")?;
                count.add(tests(&mut installation::package(layout, package)?, skips)?);
                let image = dist::image(layout, &packed)?;
                let unpacked = tempfile::tempdir_in(&layout.target)?;
                dist::container::unpack(&image, &unpacked.path().join("root"))?;
                count.add(tests(&mut installation::image(layout, &unpacked.path().join("root"))?, skips)?);
                Ok(count)
            }
            Self::Dist => dist::try_out(layout, state).map(|()| Count::PASSED),
            Self::Fuzz => {
                let failed = fuzz::run(layout, &[], FUZZ_SECONDS, None)?;
                Ok(Count { passed: fuzz::count() - failed, failed, skipped: 0 })
            }
        }
    }
}

/// Sets for the tests where Linux and the program for it are, or why there is no Linux: they are skipped with the
/// reason.
pub(crate) fn set_linux(layout: &Layout, state: &mut State, command: &mut Command) -> Result<()> {
    match linux::ready(&layout.cache) {
        Ok(folder) => {
            let library = guest_library::ready(layout, state)?;
            let witness = artifacts::program(layout, &library, "witness")?;
            command.env("KAPUT_LINUX", folder).env("KAPUT_WITNESS", witness);
        }
        Err(error) => {
            command.env("KAPUT_LINUX_MISSING", format!("{error:#}"));
        }
    }
    Ok(())
}

/// A command that is one test itself.
fn plain(command: &mut Command) -> Result<Count> {
    process::succeed(command, DEADLINE, "see above").map(|()| Count::PASSED)
}

/// A step that cannot be taken here.
fn skipped(skips: &mut Skips, group: &str, reason: &str) -> Count {
    println!("SKIP {group}: {reason}");
    skips.add(group, reason);
    Count { skipped: 1, ..Count::default() }
}

/// What each `cargo test` builds, several programs at the same time; they count their tests themselves.
fn side_by_side<'a>(commands: impl IntoIterator<Item = &'a mut Command>, skips: &mut Skips) -> Result<Count> {
    let mut count = Count::default();
    let mut all = Vec::new();
    for command in commands {
        all.append(&mut programs::build(command)?);
    }
    programs::run(all, |ended| {
        println!("\n     Running {} ({:.1} s)", ended.program.file.display(), ended.took.as_secs_f64());
        count.add(count_of(&ended.lines, ended.status, skips));
    })?;
    Ok(count)
}

/// What a test program came to. One that ended well and gave no result has not run its tests.
fn count_of(lines: &[String], status: Result<ExitStatus>, skips: &mut Skips) -> Count {
    let mut count = Count::default();
    lines.iter().for_each(|line| count.read(line, skips));
    let has_result = lines.iter().any(|line| result_line(line).is_some());
    let wrong = match status {
        Ok(status) if status.success() && !has_result => Some("it ended without a result".to_owned()),
        Ok(status) => {
            count.end(status);
            None
        }
        Err(error) => Some(format!("{error:#}")),
    };
    if let Some(wrong) = wrong {
        println!("{wrong}");
        count.failed += 1;
    }
    count
}

/// A command that runs tests, which are counted by what is said of them.
fn tests(command: &mut Command, skips: &mut Skips) -> Result<Count> {
    let mut count = Count::default();
    let status = process::lines(command, DEADLINE, |line| count.read(line, skips))?;
    count.end(status);
    Ok(count)
}

/// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
fn result_line(line: &str) -> Option<Count> {
    let counts = line.trim().strip_prefix("test result: ")?.split_once(". ")?.1;
    let number = |word: &str| {
        let part = counts.split(';').map(str::trim).find(|part| part.ends_with(word))?;
        part.split(' ').next()?.parse().ok()
    };
    Some(Count { passed: number(" passed")?, failed: number(" failed")?, skipped: number(" ignored")? })
}

/// Sets for the tests where the lab's kernel is, which is built if need be, or why there is none: they are skipped with
/// the reason.
fn set_lab(layout: &Layout, ready: &Ready, command: &mut Command) {
    let kernel = match lab_kernel::missing() {
        Some(reason) => Err(reason),
        None => lab_kernel::ready(layout, &ready.host.harness, Kind::Usual).map_err(|error| format!("{error:#}")),
    };
    match kernel {
        Ok(kernel) => command.env("KAPUT_LAB_KERNEL", kernel),
        Err(reason) => command.env_remove("KAPUT_LAB_KERNEL").env("KAPUT_LAB_MISSING", reason),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_test_programs_are_counted() {
        let line = "test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.00s";
        assert_eq!(result_line(line), Some(Count { passed: 12, failed: 2, skipped: 1 }));
        assert_eq!(result_line("test result: odd"), None);
        assert_eq!(result_line("test a::b ... ok"), None);
    }

    #[test]
    fn the_closing_line_names_the_skipped_only_where_there_are_some() {
        assert_eq!(Count { passed: 3, failed: 0, skipped: 0 }.line(), "3 passed, 0 failed");
        assert_eq!(Count { passed: 3, failed: 1, skipped: 2 }.line(), "3 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn a_test_program_that_dies_uncounted_is_a_failure() -> Result<()> {
        let mut skips = Skips::default();
        assert_eq!(tests(Command::new("sh").args(["-c", "exit 101"]), &mut skips)?.failed, 1);
        let counted = "echo 'test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured'; exit 101";
        assert_eq!(
            tests(Command::new("sh").args(["-c", counted]), &mut skips)?,
            Count { passed: 1, failed: 2, skipped: 0 }
        );
        let mut ends = |lines: &[&str], script: &str| {
            let status = process::run(Command::new("sh").args(["-c", script]), DEADLINE);
            count_of(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(), status, &mut skips)
        };
        let result = "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured";
        assert_eq!(ends(&[result], "exit 0"), Count::PASSED);
        assert_eq!(ends(&["running 1 test"], "exit 0"), Count { failed: 1, ..Count::default() });
        assert_eq!(ends(&[result], "kill -9 $$"), Count { failed: 1, ..Count::PASSED });
        Ok(())
    }
}
