// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kaput lab hunt` and `kaput lab replay`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use vfio_linux::LinuxFactory;
use vfio_mig::catalogue::finding_of;
use vfio_mig::conformance::{DeviceFactory, NoHost};
use vfio_mig::sequence::Sequence;

use super::{GOODBYE, Lpars, NamedKernel};
use crate::cli::interrupts::Interrupts;
use crate::cli::print::{complain, print};
use crate::conformance::stoppable::Stoppable;
use crate::lab::cache;
use crate::lab::hunt::{Found, Played, hunt, play};
use crate::lab::kept::Kept;
use crate::lab::lpar::LparError;
use crate::lab::machines::LabMachines;
use crate::machine::run_folder::RunFolder;
use crate::outcome::verdict::Exit;

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
    /// Where the case files go [default: the present folder]
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    into: PathBuf,
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
    work: impl FnOnce(&dyn DeviceFactory) -> Result<T, NoHost> + Send + 'static,
) -> Result<Option<T>> {
    let folder = RunFolder::create()?;
    let parts = lpars.parts(kernel.find()?, interrupts, folder.path()).await?;
    let (kept, place) = (cache::folder()?.join("kept"), folder.path().to_owned());
    let on_thread = move |stop: &AtomicBool| {
        let machines = LabMachines::new(Kept::new(parts, kept)?, place)?;
        let factory = LinuxFactory(machines);
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
        let (time, into) = (self.time, self.into.clone());
        std::fs::create_dir_all(&into).into_diagnostic()?;
        let hunted = with_lpars((&self.lpars, &self.kernel), interrupts, move |factory| {
            let name = factory.name();
            let mut files = Vec::new();
            let mut tell = |found: &Found| files.push(write(&into, &name, seed, found));
            let (played, found) = hunt(factory, seed, Instant::now() + time, &mut tell)?;
            Ok((played, found, files))
        });
        let Some((played, found, files)) = hunted.await? else { return Ok(Exit::Infrastructure.status()) };
        let mut text = String::new();
        for Found { key, sequence, times, .. } in &found {
            let known = finding_of(key).unwrap_or("unknown");
            _ = writeln!(text, "{known}: {key}; {times} times, {} calls", sequence.0.len());
        }
        _ = writeln!(text, "{played} sequences, {} findings", found.len());
        print(text).await?;
        files.into_iter().collect::<Result<Vec<()>>>()?;
        Ok(if found.is_empty() { Exit::AsExpected } else { Exit::NotAsExpected }.status())
    }
}

/// Writes a finding's case file.
fn write(into: &Path, driver: &str, seed: u64, found: &Found) -> Result<()> {
    let key = found.key.to_string();
    let known = finding_of(&found.key).unwrap_or("unknown");
    let words = format!("{known}-{}", found.key.kind);
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = words.chars().map(plain).take(60).collect();
    let said: String = found.said.iter().map(|line| format!("// {line}\n")).collect();
    let text = format!("// {driver}, seed {seed:x}: {key}\n{said}{}", found.sequence);
    let free = (1..).map(|number| into.join(format!("{name}-{number}.case"))).find(|file| !file.exists());
    let file = free.ok_or_else(|| miette!("no name is free"))?;
    std::fs::write(&file, text).into_diagnostic().wrap_err_with(|| format!("{}", file.display()))
}

impl Replay {
    pub(super) async fn start(&self, interrupts: &Interrupts) -> Result<u8> {
        let text = std::fs::read_to_string(&self.file).into_diagnostic();
        let text = text.wrap_err_with(|| format!("{} cannot be read", self.file.display()))?;
        let sequence: Sequence = text.parse().map_err(|why| miette!("{}: {why}", self.file.display()))?;
        let times = self.times;
        let played = with_lpars((&self.lpars, &self.kernel), interrupts, move |factory| {
            let mut played = Played::default();
            for _ in 0..times {
                played = play(factory, &sequence)?;
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
