// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a checkout to a running harness: set up, build, check the QEMU, hand over.
//!
//! With everything built and cached this starts two cargos that find nothing to do, and the harness.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::artifacts::{self, Host};
use crate::layout::Layout;
use crate::setup::{guest_library, lab_kernel, linux, qemu};
use crate::state::State;

/// What the kernel counts process times in: USER_HZ, 100 a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// Everything the harness needs.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) host: Host,
    pub(crate) image: PathBuf,
    pub(crate) qemu: PathBuf,
    steps: Vec<(&'static str, Duration)>,
}

/// Gets a QEMU and the guest's `core` and `alloc`, and shows the QEMU the plugin.
///
/// # Errors
/// When something cannot be had.
pub(crate) fn set_up(layout: &Layout, state: &mut State) -> Result<()> {
    guest_library::ready(layout, state)?;
    qemu::prefetch(layout)?;
    let host = artifacts::host(layout)?;
    let (candidate, fit) = qemu::ready(layout, state, &host.plugin)?;
    println!("QEMU {} ({}): {}", fit.version, candidate.origin, candidate.path.display());
    Ok(())
}

/// Builds the image alone, as an ELF file and in raw form beside it.
///
/// # Errors
/// When `core` and `alloc` cannot be had, or the build fails.
pub(crate) fn image(layout: &Layout, state: &mut State) -> Result<PathBuf> {
    let library = guest_library::ready(layout, state)?;
    let image = artifacts::image(layout, &library)?;
    artifacts::raw(layout, &image)?;
    Ok(image)
}

impl Ready {
    /// Makes it so.
    ///
    /// # Errors
    /// When something cannot be had or built.
    pub(crate) fn make(layout: &Layout, state: &mut State) -> Result<Self> {
        let mut steps = vec![("cargo", since_start().unwrap_or_default())];
        let mut last = Instant::now();
        let mut note = |name| {
            let now = Instant::now();
            steps.push((name, now - last));
            last = now;
        };
        let library = guest_library::ready(layout, state)?;
        qemu::prefetch(layout)?;
        note("set-up");
        let host = artifacts::host(layout)?;
        note("host build");
        let (candidate, _) = qemu::ready(layout, state, &host.plugin)?;
        note("QEMU check");
        let image = artifacts::image(layout, &library)?;
        note("image build");
        Ok(Self { host, image, qemu: candidate.path, steps })
    }

    /// Sets for a program where everything is.
    pub(crate) fn environment<'a>(&self, layout: &Layout, command: &'a mut Command) -> &'a mut Command {
        // What only the lab wants is named where it is there.
        command.envs(lab_kernel::cached(&layout.cache).ok().flatten().map(|kernel| ("KAPUT_LAB_KERNEL", kernel)));
        command.envs(linux::busybox(&layout.cache).map(|busybox| ("KAPUT_BUSYBOX", busybox)));
        command
            .env("KAPUT_AGENT", artifacts::agent_place(layout))
            .env("KAPUT_QEMU", &self.qemu)
            .env("KAPUT_PLUGIN", &self.host.plugin)
            .env("KAPUT_IMAGE", &self.image)
            .env("KAPUT_SCENARIOS", layout.root.join("tools/kaput/scenarios"))
    }

    /// Becomes the harness. Its deadlines are its own; signals, terminal and exit status need nobody between.
    pub(crate) fn start(&self, layout: &Layout, args: &[OsString]) -> anyhow::Error {
        let harness = &self.host.harness;
        let error = self.environment(layout, &mut Command::new(harness)).args(args).exec();
        anyhow::Error::new(error).context(format!("cannot start {}", harness.display()))
    }

    /// One line: what the time before the harness was spent on.
    pub(crate) fn timings(&self) -> String {
        let parts = self.steps.iter().map(|(name, time)| format!("{name} {:.1} ms", time.as_secs_f64() * 1e3));
        format!("xtask: {}", parts.collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, image, qemu, .. } = self;
        writeln!(f, "plugin   {}", host.plugin.display())?;
        writeln!(f, "harness  {}", host.harness.display())?;
        writeln!(f, "image    {}", image.display())?;
        write!(f, "QEMU     {}", qemu.display())
    }
}

/// How old this process is. rustup and cargo have become us by exec, so their time is counted.
fn since_start() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let uptime = fs::read_to_string("/proc/uptime")?;
    age(&stat, &uptime).context("/proc is not as expected")
}

fn age(stat: &str, uptime: &str) -> Option<Duration> {
    let start: u32 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let uptime = Duration::try_from_secs_f64(uptime.split_whitespace().next()?.parse().ok()?).ok()?;
    Some(uptime.saturating_sub(TICK * start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_process_is_uptime_less_its_start() {
        let stat = "7 (x y) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 9 9";
        assert_eq!(age(stat, "124.00 99.00"), Some(Duration::from_millis(550)));
        assert_eq!(age("nonsense", "1.0"), None);
    }
}
