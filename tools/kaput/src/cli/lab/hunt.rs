// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kaput lab hunt` and `kaput lab replay`.

use std::fmt::Write as _;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use vfio_mig::catalogue::finding_of;
use vfio_mig::conformance::{DeviceFactory, NoHost};
use vfio_mig::sequence::Sequence;

use super::{GOODBYE, Lpars, NamedKernel, usual_jobs};
use crate::cli::interrupts::Interrupts;
use crate::cli::print::{complain, print};
use crate::conformance::stoppable::Stoppable;
use crate::lab::cache;
use crate::lab::hunt::{Found, News, Plan, Played, hunt, play};
use crate::lab::kept::Kept;
use crate::lab::lpar::LparError;
use crate::lab::machines::LabMachines;
use crate::lab::prepared::LabFactory;
use crate::machine::run_folder::RunFolder;
use crate::outcome::verdict::Exit;
use crate::progress::{Steps, busy_thread};

pub(super) const HUNT: &str = "\
Exit status:
  0  nothing was found
  1  something was found
  2  usage or set-up
  3  an LPAR does not boot, or its kernel lacks something
";

pub(super) const REPLAY: &str = "\
Exit status:
  0  the kernel says nothing
  1  it complains, or a call has no answer
  2  usage or set-up, or the file is no case file
  3  an LPAR does not boot, or its kernel lacks something
";

#[derive(Debug, clap::Args)]
pub(crate) struct Hunt {
    #[command(flatten)]
    lpars: Lpars,
    #[command(flatten)]
    kernel: NamedKernel,
    /// How long: 90s, 20m, 1h
    #[arg(long = "for", value_name = "TIME", value_parser = crate::cli::print::duration)]
    time: Duration,
    /// The seed, in hex; the same draws the same calls [default: a random one]
    #[arg(long, value_parser = crate::cli::print::seed)]
    seed: Option<u64>,
    /// Where the case files go
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    into: PathBuf,
    /// How many LPARs there are at a time [default: one for each CPU, but 4 at most]
    #[arg(short, long, value_name = "NUMBER")]
    jobs: Option<NonZero<usize>>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    lpars: Lpars,
    #[command(flatten)]
    kernel: NamedKernel,
    /// The case file
    file: PathBuf,
    /// Repeats the calls until the kernel complains, at most this many times
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
}

/// Why LPARs were of no use.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum Ended {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lpar(#[from] LparError),
    #[error(transparent)]
    NoHost(#[from] NoHost),
}

/// Does something with LPARs, on a thread of its own that a signal ends; `None` if that failed, which was said.
async fn with_lpars<T: Send + 'static>(
    (lpars, kernel): (&Lpars, &NamedKernel),
    interrupts: &Interrupts,
    work: impl FnOnce(&(dyn DeviceFactory + Sync)) -> Result<T, NoHost> + Send + 'static,
) -> Result<Option<T>> {
    let folder = RunFolder::create()?;
    let parts = lpars.parts(kernel.find()?, interrupts, folder.path()).await?;
    let (kept, place) = (cache::folder()?.join("kept"), folder.path().to_owned());
    let on_thread = move |stop: &AtomicBool| {
        let machines = busy_thread("an LPAR boots", || LabMachines::new(Kept::new(parts, kept)?, place))?;
        let factory = LabFactory::new(machines);
        Ok(work(&Stoppable(&factory, stop))?)
    };
    match interrupts.unless_stopped(GOODBYE, on_thread).await? {
        Ok(done) => Ok(Some(done)),
        Err(error) => {
            let error: Ended = error;
            complain(miette::Report::new(error)).await;
            Ok(None)
        }
    }
}

impl Hunt {
    pub(super) async fn start(&self, interrupts: &Interrupts) -> Result<u8> {
        let seed = self.seed.unwrap_or_else(rand::random);
        print(format!("seed {seed:x}\n")).await?;
        let (time, into, jobs) = (self.time, self.into.clone(), self.jobs.unwrap_or_else(usual_jobs));
        let made = std::fs::create_dir_all(&into).into_diagnostic();
        made.wrap_err_with(|| format!("the folder {} for case files cannot be made", into.display()))?;
        let hunted = with_lpars((&self.lpars, &self.kernel), interrupts, move |factory| {
            let (name, steps, files) = (factory.name(), Steps::new("sequences", None), Mutex::new(Ok(())));
            let tell = |news: News<'_>| match news {
                News::Played => steps.done(""),
                News::Found(found) => {
                    let written = write(&into, &name, seed, found);
                    let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
                    *files = std::mem::replace(&mut *files, Ok(())).and(written);
                }
            };
            let plan = Plan { seed, until: Instant::now() + time, jobs };
            let (played, found) = hunt(factory, plan, &tell)?;
            Ok((played, found, files.into_inner().unwrap_or_else(PoisonError::into_inner)))
        });
        let Some((played, found, files)) = hunted.await? else { return Ok(Exit::Infrastructure.status()) };
        let mut text = String::new();
        for found in &found {
            let Found { key, sequence, times, .. } = found;
            let known = finding_of(key).unwrap_or("unknown");
            _ = writeln!(text, "{known}: {key}; {times} times, {} calls", sequence.0.len());
        }
        _ = writeln!(text, "{played} sequences, {} findings", found.len());
        print(text).await?;
        files?;
        Ok(if found.is_empty() { Exit::AsExpected } else { Exit::NotAsExpected }.status())
    }
}

/// Writes a finding's case file.
fn write(into: &Path, driver: &str, seed: u64, found: &Found) -> Result<()> {
    let key = found.key.to_string();
    let words = finding_of(&found.key).map_or_else(|| format!("unknown-{key}"), str::to_owned);
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = words.chars().map(plain).take(120).collect();
    let said: String = found.said.iter().map(|line| format!("// {line}\n")).collect();
    let (number, sequence) = (found.number, &found.sequence);
    let text = format!("// {driver}, seed {seed:x}, sequence {number}: {key}\n{said}{sequence}");
    // A shorter one of the same takes the place of the first.
    let file = into.join(format!("{name}.case"));
    std::fs::write(&file, text).into_diagnostic().wrap_err_with(|| format!("{}", file.display()))
}

impl Replay {
    pub(super) async fn start(&self, interrupts: &Interrupts) -> Result<u8> {
        let text = std::fs::read_to_string(&self.file).into_diagnostic();
        let text = text.wrap_err_with(|| format!("the case file {} cannot be read", self.file.display()))?;
        let sequence: Sequence = text.parse().map_err(|why| {
            let help = "expected a file that `kaput lab hunt` wrote: NAME.case";
            miette!(help = help, "{} is no case file: {why}", self.file.display())
        })?;
        let times = self.times;
        let played = with_lpars((&self.lpars, &self.kernel), interrupts, move |factory| {
            let mut played = Played::default();
            for _ in 0..times {
                played = busy_thread("the calls are made", || play(factory, &sequence))?;
                if !played.found.is_empty() {
                    break;
                }
            }
            Ok(played)
        });
        let Some(Played { calls, found, .. }) = played.await? else { return Ok(Exit::Infrastructure.status()) };
        let mut text = String::new();
        for done in &calls {
            _ = writeln!(text, "{} = {}", done.call, done.answer());
        }
        for (key, said) in &found {
            let known = finding_of(key).unwrap_or("unknown");
            _ = writeln!(text, "\n{known}: {key}");
            said.iter().for_each(|line| _ = writeln!(text, "  {line}"));
        }
        print(text).await?;
        Ok(if found.is_empty() { Exit::AsExpected } else { Exit::NotAsExpected }.status())
    }
}
