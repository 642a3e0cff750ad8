// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kaput lab`: the real driver in an emulated LPAR.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use clap::Subcommand;
use miette::{IntoDiagnostic, Result, WrapErr, miette};
use vfio_ap::model::ModelFactory;
use vfio_ap::profile::Profile;
use vfio_linux::Driver;
use vfio_mig::conformance::{Case, DeviceFactory, Options, Progress, run, run_several};

use super::interrupts::Interrupts;
use super::judge::no_case;
use super::print::{complain, note, print};
use super::qemu::Hardware;
use super::reports::{self, Reports, Target};
use crate::conformance::stoppable::Stoppable;
use crate::conformance::{Judged, json};
use crate::hosts::qemu::machine_type;
use crate::lab::compare::{Verdicts, compare};
use crate::lab::kept::Kept;
use crate::lab::kernel::{self, Builder, Kind, settings};
use crate::lab::lpar::LparError;
use crate::lab::machines::LabMachines;
use crate::lab::parts::{self, Parts};
use crate::lab::prepared::LabFactory;
use crate::lab::shell::First;
use crate::lab::{busybox, cache, shell};
use crate::machine::emulator;
use crate::machine::run_folder::RunFolder;
use crate::outcome::verdict::{Exit, word};
use crate::progress::{Steps, busy, busy_thread};
use crate::report::partition::Partition;
use crate::run::tools::{NamedEmulator, beside};

mod hunt;

/// How long the case that runs may take to let go of its LPARs after a signal: nobody needs them again.
const GOODBYE: Duration = Duration::from_millis(500);
/// More do not wait for a CPU on most machines, and each takes some hundred megabytes.
const MOST_JOBS: NonZero<usize> = NonZero::new(4).unwrap();

pub(super) const HELP: &str = "\
Examples:
  kaput lab run                                judges the driver of the kernel that `cargo xtask lab` built
  kaput lab run --kernel arch/s390/boot/bzImage --report human --report html=report.html
                                               yours, and a page to read afterwards
  kaput lab run --partition 1/4 --report json=part-1.json
                                               a quarter of the cases, for `kaput report merge`
  kaput lab hunt --for 20m --kernel arch/s390/boot/bzImage
                                               random calls, until its checkers complain; shrunk
  kaput lab shell --ap 05=cex8a,06=cex8c/33,3a an LPAR at the terminal, with cards and vfio_ap
  kaput lab busybox                            the shell for it, once
  kaput lab compare before.json after.json     what got better with a kernel, and what worse
  kaput lab compare model:v3 arch/s390/boot/bzImage
                                               what the model says of a driver against what the driver does
  kaput lab build --source ~/linux             a kernel for the lab from your tree; its path is printed
  kaput lab build --source ~/linux --checkers  one with KASAN and lockdep
  kaput lab config                             the settings that a kernel of your own needs
";

/// The kernel of an LPAR.
#[derive(Debug, clap::Args)]
struct NamedKernel {
    /// The kernel: arch/s390/boot/bzImage of a built tree [default: that of `cargo xtask lab`]
    #[arg(long, value_name = "BZIMAGE", env = "KAPUT_LAB_KERNEL")]
    kernel: Option<PathBuf>,
}

impl NamedKernel {
    /// The kernel, if it is one.
    fn find(&self) -> Result<&Path> {
        let kernel = self.kernel.as_deref().ok_or_else(|| {
            miette!(
                help = "`kaput lab build --source TREE` builds one from your tree, or from that of Debian's package \
                    linux-source; `cargo xtask lab` does all of it in a checkout",
                "there is no kernel for the lab: name one by --kernel"
            )
        })?;
        kernel::check(kernel)?;
        Ok(kernel)
    }
}

const RUN: &str = "\
Exit status:
  0  no case failed
  1  a case failed
  2  usage or set-up: nothing was judged
  3  an LPAR does not boot, its kernel lacks something, or it is lost
";

#[derive(Debug, Subcommand)]
pub(super) enum Lab {
    /// Builds a kernel for the lab from a source tree of Linux, outside of the tree, and prints its path
    Build(Build),
    /// Judges the driver of a kernel by the conformance suite, each case on fresh LPARs
    #[command(after_help = RUN)]
    Run(Box<Run>),
    /// Draws calls of the driver at random until its kernel complains, and shrinks them
    #[command(after_help = hunt::HUNT)]
    Hunt(Box<hunt::Hunt>),
    /// Makes the calls of a case file again
    #[command(after_help = hunt::REPLAY)]
    Replay(Box<hunt::Replay>),
    /// Becomes an LPAR at the terminal: cards, vfio_ap, KVM and a shell
    Shell(Box<Shell>),
    /// Fetches the shell for that, Debian's static busybox for s390x, into the cache, and prints its path
    Busybox,
    /// Says what got better and what worse from one kernel to another
    Compare(Box<Compare>),
    /// Prints the settings of the lab's kernel: a fragment on top of `make allnoconfig`
    Config(Which),
}

#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Which {
    /// With the kernel's own checkers: KASAN, lockdep, failing allocations
    #[arg(long, conflicts_with = "pattern")]
    checkers: bool,
    /// With a stack that is filled by a pattern, and traced slabs
    #[arg(long)]
    pattern: bool,
}

impl Which {
    const fn kind(self) -> Kind {
        match self {
            Self { checkers: true, .. } => Kind::Checkers,
            Self { pattern: true, .. } => Kind::Pattern,
            Self { .. } => Kind::Usual,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Build {
    /// The source tree of Linux
    #[arg(long, value_name = "TREE")]
    source: PathBuf,
    #[command(flatten)]
    which: Which,
    /// Where the objects go; what is there is used again [default: a folder of the cache for this tree]
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
}

impl Lab {
    pub(super) async fn start(&self, interrupts: &Interrupts) -> Result<u8> {
        match self {
            Self::Build(options) => interrupts.unless(options.build()).await,
            Self::Run(options) => options.start(interrupts).await,
            Self::Hunt(options) => options.start(interrupts).await,
            Self::Replay(options) => options.start(interrupts).await,
            Self::Shell(options) => interrupts.unless(options.start()).await,
            Self::Busybox => interrupts.unless(fetch_busybox()).await,
            Self::Compare(options) => options.start(interrupts).await,
            Self::Config(which) => interrupts.unless(print(settings(which.kind()))).await,
        }
    }
}

async fn fetch_busybox() -> Result<u8> {
    let place = busy("Debian's busybox for s390x is fetched", busybox::fetch()).await?;
    print(format!("{}\n", place.display())).await
}

impl Build {
    async fn build(&self) -> Result<u8> {
        let kind = self.which.kind();
        let tree = std::path::absolute(&self.source).unwrap_or_else(|_| self.source.clone());
        let objects = self.into.clone().map_or_else(|| cache::objects(&tree, kind), Ok)?;
        let built = Builder { tree, objects, kind }.build().await?;
        if !built.lacking.is_empty() {
            note(format!("this tree does not have {}; cases that need it are skipped\n", built.lacking.join(", ")))
                .await;
        }
        print(format!("{}\n", built.kernel.display())).await
    }
}

/// What LPARs come from besides a kernel.
#[derive(Debug, clap::Args)]
struct Lpars {
    #[command(flatten)]
    named: NamedEmulator,
    /// The program that gives the LPAR's system calls away [default: kaput-agent next to this program]
    #[arg(long, value_name = "FILE", env = "KAPUT_AGENT")]
    agent: Option<PathBuf>,
}

impl Lpars {
    /// The parts of LPARs with this kernel; their files stand in a folder.
    async fn parts(&self, kernel: &Path, interrupts: &Interrupts, folder: &Path) -> Result<Parts> {
        let emulator = async {
            let (qemu, plugin) = self.named.find().await?;
            let machine = machine_type(&qemu).await?;
            Ok((qemu, machine, plugin))
        };
        let emulator = interrupts.unless(emulator).await?;
        let agent = self.agent.clone().unwrap_or_else(|| beside("kaput-agent"));
        Ok(Parts::new(emulator, kernel, &agent, folder)?)
    }
}

/// How a kernel is judged.
#[derive(Debug, clap::Args)]
struct Judging {
    #[command(flatten)]
    lpars: Lpars,
    /// Only cases whose name contains this; may be given more than once
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// Judges the cases in another order, by this seed in hex: the order must not matter
    #[arg(long, value_name = "SEED", value_parser = crate::cli::print::seed)]
    shuffle: Option<u64>,
    /// How many cases run at a time, each with its own LPARs [default: one for each CPU, but 4 at most]
    #[arg(short, long, value_name = "NUMBER")]
    jobs: Option<NonZero<usize>>,
    /// Keeps the folder with the consoles of the LPARs, and says where it is
    #[arg(long)]
    keep: bool,
}

impl Judging {
    fn options(&self) -> Options {
        Options { only: self.only.clone(), dangerous: true, shuffle: self.shuffle }
    }

    /// What every case says of a kernel's driver, or every case of a share, and a line on what that took; nothing where
    /// no LPAR says anything.
    async fn judge(
        &self,
        kernel: &Path,
        (driver, part): (Driver, Option<Partition>),
        interrupts: &Interrupts,
    ) -> Result<Option<(Judged, String)>> {
        let options = self.options();
        let cases = options.cases();
        if cases.is_empty() {
            return Err(no_case(&self.only));
        }
        let cases = match part {
            Some(part) => part.take(cases),
            None => cases,
        };
        let folder = RunFolder::create()?;
        let parts = self.lpars.parts(kernel, interrupts, folder.path()).await?;
        let (kept, place) = (cache::folder()?.join("kept"), folder.path().to_owned());
        let jobs = self.jobs.unwrap_or_else(usual_jobs);
        // The folder is this function's alone: whatever ends it, the folder goes, and nobody puts an LPAR there.
        let judge = move |stop: &AtomicBool| judge((parts, kept, place), driver, &cases, &options, jobs, stop);
        let judged = interrupts.unless_stopped(GOODBYE, judge).await?;
        if self.keep {
            folder.keep();
            note(format!("kept: {}\n", folder.path().display())).await;
        }
        match judged {
            Ok((judged, figures)) => Ok(Some((Judged { part, ..judged }, figures))),
            Err(error) => {
                complain(miette::Report::new(error)).await;
                Ok(None)
            }
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    #[command(flatten)]
    kernel: NamedKernel,
    #[command(flatten)]
    judging: Judging,
    /// Judges the kernel's sample driver `mtty` instead, which migrates and knows nothing of AP: what is found on it
    /// too is not vfio_ap's
    #[arg(long)]
    control: bool,
    /// Only the Mth share of N of the cases, for several runners: `kaput report merge` makes one report of all
    #[arg(long, value_name = "M/N")]
    partition: Option<Partition>,
    /// How to report, and into which file: human, json, tap, ktap, junit or html. May be given more than once; one of
    /// them may be without a file
    #[arg(long, value_name = "FORM[=FILE]", default_value = "human")]
    report: Vec<Target>,
}

impl Run {
    async fn start(&self, interrupts: &Interrupts) -> Result<u8> {
        let reports = Reports::open(&self.report)?;
        let driver = if self.control { Driver::MTTY } else { Driver::VFIO_AP };
        let Some((judged, figures)) =
            self.judging.judge(self.kernel.find()?, (driver, self.partition), interrupts).await?
        else {
            return Ok(Exit::Infrastructure.status());
        };
        interrupts.unless(reports.deliver(|form| reports::judged(form, &judged, &figures))).await?;
        Ok(judged.exit().status())
    }
}

/// A case keeps a CPU busy. Each LPAR has its storage, and a case may have several.
fn usual_jobs() -> NonZero<usize> {
    std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN).min(MOST_JOBS)
}

/// Runs the suite; with a line for people on what it took.
fn judge(
    (parts, kept, folder): (Parts, PathBuf, PathBuf),
    driver: Driver,
    cases: &[Case],
    options: &Options,
    jobs: NonZero<usize>,
    stop: &AtomicBool,
) -> Result<(Judged, String), LparError> {
    let begin = Instant::now();
    let lab = busy_thread("an LPAR boots", || LabMachines::new(Kept::new(parts, kept)?, folder))?;
    let ready = begin.elapsed();
    let factory = LabFactory::new(lab.with_driver(driver));
    let steps = Steps::new("cases", None);
    let show = |case: Progress<'_>| {
        steps.of(case.all);
        steps.done(&format!("{} {}", word(case.result.verdict), case.result.case));
    };
    let results = run_several(&Stoppable(&factory, stop), cases, options, jobs, &show);
    drop(steps);
    let judged = Judged { device: factory.name(), defects: None, part: None, results };
    let back = factory.machines.median().map_or_else(String::new, |median| {
        format!(", each of the others after {:.2} s in the median", median.as_secs_f64())
    });
    let figures = format!(
        "{} LPARs in {:.1} s, {} of them copies of prepared ones; the first ready after {:.1} s{back}\n",
        factory.machines.count(),
        begin.elapsed().as_secs_f64(),
        factory.copies(),
        ready.as_secs_f64()
    );
    Ok((judged, figures))
}

#[derive(Debug, clap::Args)]
pub(super) struct Shell {
    #[command(flatten)]
    named: NamedEmulator,
    #[command(flatten)]
    kernel: NamedKernel,
    #[command(flatten)]
    hardware: Hardware,
    /// A static busybox for s390x [default: what `kaput lab busybox` fetched]
    #[arg(long, value_name = "FILE", env = "KAPUT_BUSYBOX")]
    busybox: Option<PathBuf>,
    /// Instead of a shell: the static program for s390x that the LPAR runs and ends with
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// A file that is to be in /root there, executable; may be given more than once
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where the plugin listens: cards are plugged, configured and made to fail there
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
}

impl Shell {
    /// Becomes QEMU; returns only when that fails.
    async fn start(&self) -> Result<u8> {
        let kernel = self.kernel.find()?;
        let read = |path: &Path| {
            let content = std::fs::read(path).into_diagnostic();
            content.wrap_err_with(|| format!("{} cannot be read", path.display()))
        };
        let program = |path: &Path| {
            let content = read(path)?;
            let help = "a program for an LPAR is static and made for it: s390x-linux-gnu-gcc -static";
            parts::is_program(&content)
                .then_some(content)
                .ok_or_else(|| miette!(help = help, "{} is no program for s390x", path.display()))
        };
        let mut files = Vec::new();
        for path in &self.files {
            let name = path.file_name().ok_or_else(|| miette!("{} is no file", path.display()))?;
            files.push((name.to_string_lossy().into_owned(), read(path)?));
        }
        let first = match (&self.program, &self.busybox) {
            (Some(path), _) => program(path)?,
            (None, Some(path)) => program(path).wrap_err("there is no busybox for the shell")?,
            (None, None) => std::fs::read(busybox::place()?).map_err(|_| {
                miette!(
                    help = "`kaput lab busybox` fetches Debian's, 1 MB, without root; --busybox names another",
                    "there is no busybox for the shell"
                )
            })?,
        };
        let first = if self.program.is_some() { First::Program(&first) } else { First::Shell(&first) };
        let initramfs = shell::initramfs(first, &files).into_diagnostic()?;
        let wishes = emulator::Options {
            topology: self.hardware.topology()?,
            lpar: true,
            control: self.control.clone(),
            arguments: shell::arguments(kernel, &initramfs),
            ..emulator::Options::default()
        };
        let emulator = wishes.check()?;
        let (qemu, plugin) = self.named.find().await?;
        Err(emulator.start(&qemu, &plugin).into())
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Compare {
    /// The report of one kernel, from `kaput lab run --report json=FILE`; or a kernel, which is judged first; or
    /// `model:NAME`, the model as it imitates a driver: corrected, format-0, v3, later
    first: Side,
    /// The other, likewise
    second: Side,
    #[command(flatten)]
    judging: Judging,
}

/// One of the two that are compared.
#[derive(Clone, Debug)]
enum Side {
    Model(Profile),
    File(PathBuf),
}

impl FromStr for Side {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("model:") {
            Some(name) => Profile::from_name(name).map(Self::Model).map_err(|error| error.to_string()),
            None => Ok(Self::File(text.into())),
        }
    }
}

impl Compare {
    async fn start(&self, interrupts: &Interrupts) -> Result<u8> {
        let mut both = Vec::new();
        for side in [&self.first, &self.second] {
            let Some(verdicts) = self.verdicts(side, interrupts).await? else {
                return Ok(Exit::Infrastructure.status());
            };
            both.push(verdicts);
        }
        if both.iter().any(Verdicts::is_empty) {
            return Err(no_case(&self.judging.only));
        }
        let (_, worse, text) = compare(&both[0], &both[1]);
        print(text).await?;
        Ok(if worse == 0 { Exit::AsExpected } else { Exit::NotAsExpected }.status())
    }

    async fn verdicts(&self, side: &Side, interrupts: &Interrupts) -> Result<Option<Verdicts>> {
        let path = match side {
            Side::Model(profile) => {
                let driver = ModelFactory { profile: *profile, defects: Vec::new() };
                return Ok(Some(Verdicts::of(&run(&driver, &self.judging.options()))));
            }
            Side::File(path) => path,
        };
        if kernel::check(path).is_ok() {
            let judged = self.judging.judge(path, (Driver::VFIO_AP, None), interrupts).await?;
            return Ok(judged.map(|(judged, _)| Verdicts::of(&judged.results)));
        }
        let text = std::fs::read_to_string(path).into_diagnostic();
        let judged = text.and_then(|text| json::read(&text).map_err(|why| miette!(why)));
        let neither = || {
            let path = path.display();
            format!("{path} is neither a kernel for s390x nor a report of `kaput lab run --report json`")
        };
        Ok(Some(Verdicts::of(&judged.wrap_err_with(neither)?.results).with(&self.judging.only)))
    }
}
