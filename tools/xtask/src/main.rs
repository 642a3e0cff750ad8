// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask`: set-up, build, run and test of the project, in one place for people and for CI.
//!
//! It starts the other programs and links none of them. What it has found and built reaches the harness by four
//! environment variables; what happens then is the harness's.
#![forbid(unsafe_code)]

mod artifacts;
mod bench;
mod big_endian;
mod dist;
mod doctor;
mod fuzz;
mod installation;
mod launch;
mod layout;
mod pages;
mod process;
mod programs;
mod setup;
mod skips;
mod state;
mod test;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::launch::Ready;
use crate::layout::Layout;
use crate::setup::lab_kernel::{self, Kind};
use crate::state::State;

const DEFAULT_SCENARIO: &str = "survive";

const EXAMPLES: &str = "\
Examples:
  cargo xtask run                   set up, build, run the default scenario, print its report
  cargo xtask run ping-pong         the same with another scenario
  cargo xtask kaput list            any other command of the harness
  cargo xtask test                  everything, as CI does it
  cargo xtask test linux            Debian's Linux as a guest
  cargo xtask test big-endian       the libraries' tests on an emulated big-endian machine
  cargo xtask lab                   the lab's kernel, built once: an LPAR on which the real vfio_ap runs
  cargo xtask bench                 what the emulation costs
  cargo xtask fuzz --seconds 60     damaged input for every reader, a minute each
  cargo xtask dist                  a folder and an archive for people without cargo
  cargo xtask doctor                what is here, what is missing, and how to fix it

Environment:
  KAPUT_QEMU           the qemu-system-s390x to use (else: PATH, the cache, Debian)
  KAPUT_CACHE          where fetched things are kept (else: XDG_CACHE_HOME/kaput, ~/.cache/kaput)
  KAPUT_LINUX_SUITE    the Debian suite whose Linux the tests take (else: the first that can be had)
  KAPUT_LAB_SUITE      the Debian suite whose Linux is the lab's kernel (else: the newest that can be had)
  KAPUT_DEBIAN_MIRROR  the Debian mirror to fetch from (else: that of the system's apt sources)";

/// Sets up, builds, runs and tests kaput.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES, arg_required_else_help = true)]
struct Arguments {
    /// Say at the end of the preparations how long each took.
    #[arg(long, global = true)]
    timings: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a scenario and print its report: `survive`, or what ARGS say (see `cargo xtask kaput run --help`).
    Run {
        /// Passed on to `kaput run`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Build what is needed and start the harness with ARGS.
    Kaput {
        /// Passed on to `kaput`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run every test: formatting, lints, host tests, all scenarios in the real QEMU.
    Test {
        /// Only these.
        #[arg(value_enum)]
        steps: Vec<test::Step>,
        /// As CI: try the installation too, and take every skip for a failure that is not on the list of allowed ones.
        #[arg(long)]
        ci: bool,
    },
    /// Build the lab's kernel from the newest source that Debian has, or that `KAPUT_LAB_SUITE` names, unless it is in
    /// the cache; print its path.
    Lab {
        /// One with the kernel's own checkers of lifetimes and locks.
        #[arg(long, conflicts_with = "pattern")]
        checkers: bool,
        /// One whose stack is filled by a pattern.
        #[arg(long)]
        pattern: bool,
    },
    /// Measure what the emulation costs and print a table of ratios with the raw numbers beside.
    Bench {
        /// How many times the guest measures.
        #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1000))]
        runs: u32,
    },
    /// Damage everything that is read from outside, and watch: streams, control lines, topologies, scenarios.
    Fuzz {
        /// Only these; all at the same time.
        #[arg(value_enum)]
        targets: Vec<fuzz::Target>,
        /// For so long.
        #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
        seconds: u64,
        /// Only this input, which was found before.
        #[arg(long, requires = "targets")]
        input: Option<String>,
    },
    /// Build everything and pack it, for people without cargo or a checkout; print the paths of the archive and of
    /// the Debian package.
    Dist {
        /// Make the image of a container too, from the package; needs root and debootstrap.
        #[arg(long)]
        container: bool,
    },
    /// Say what is here, what is missing, and how to fix it.
    Doctor,
    /// Get what is missing: a QEMU, and `core` and `alloc` for the guest.
    Setup,
    /// Build the plugin, the harness and the image.
    Build,
    /// Build the image alone, as an ELF file and, beside it and named .bin, in raw form; print the ELF file's path.
    Image,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match act(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn act(arguments: Arguments) -> Result<ExitCode> {
    let layout = Layout::discover()?;
    let mut state = State::load(&layout.target);
    let done = match arguments.verb {
        Verb::Run { args } => {
            let args = if args.is_empty() { vec![DEFAULT_SCENARIO.into()] } else { args };
            let args = [OsString::from("run")].into_iter().chain(args).collect();
            kaput(&layout, &mut state, args, arguments.timings)
        }
        Verb::Kaput { args } => kaput(&layout, &mut state, args, arguments.timings),
        Verb::Test { steps, ci } => test::run(&layout, &mut state, &steps, ci),
        Verb::Lab { checkers, pattern } => {
            let kind = match (checkers, pattern) {
                (true, _) => Kind::Checkers,
                (_, true) => Kind::Pattern,
                _ => Kind::Usual,
            };
            artifacts::host(&layout).and_then(|host| lab_kernel::ready(&layout, &host.harness, kind)).map(|kernel| {
                println!("{}", kernel.display());
                true
            })
        }
        Verb::Bench { runs } => bench::run(&layout, &mut state, runs),
        Verb::Fuzz { targets, seconds, input } => {
            fuzz::run(&layout, &targets, seconds, input.as_deref()).map(|wrong| wrong == 0)
        }
        Verb::Dist { container } => dist::make(&layout, &mut state).and_then(|packed| {
            println!("{}", packed.archive.display());
            packed.package.iter().for_each(|package| println!("{}", package.display()));
            if container {
                println!("{}", dist::image(&layout, &packed)?.display());
            }
            Ok(true)
        }),
        Verb::Doctor => doctor::run(&layout, &mut state),
        Verb::Setup => launch::set_up(&layout, &mut state).map(|()| true),
        Verb::Build => Ready::make(&layout, &mut state).map(|ready| {
            println!("{ready}");
            true
        }),
        Verb::Image => launch::image(&layout, &mut state).map(|image| {
            println!("{}", image.display());
            true
        }),
    };
    state.save();
    Ok(if done? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Replaces this process by the harness; returns only when that fails.
fn kaput(layout: &Layout, state: &mut State, args: Vec<OsString>, timings: bool) -> Result<bool> {
    let ready = Ready::make(layout, state)?;
    state.save();
    if timings {
        eprintln!("{}", ready.timings());
    }
    Err(ready.start(layout, &args))
}
