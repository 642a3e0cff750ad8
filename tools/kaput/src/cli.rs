// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be asked of the harness, and how it ends. Everything is read and checked before anything is started.

mod judge;
mod preflight;
mod qemu;
mod run;
mod soak;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kaput::scenario::load;
use kaput::tools::Named;
use kaput::verdict::Exit;
use miette::{IntoDiagnostic, Result};
use tokio::signal::unix::{SignalKind, signal};

const EXIT_STATUS: &str = "\
Exit status:
  0  everything was as the scenarios say
  1  something was not as a scenario says
  2  usage or set-up: nothing was started
  3  infrastructure: a QEMU died, a connection was lost, a deadline passed
";

const EXAMPLES: &str = "\
Examples:
  kaput run                          the main question, on two emulated hosts
  kaput run older-card chunked       two scenarios, one after the other
  kaput run ./mine.toml --keep       a scenario of your own; its run folder stays
  kaput run survive --repeat 200     statistics over many runs
  kaput run '*' -j 2 --report human --report html=report.html
                                     all scenarios, two at a time, and a page to read afterwards
  kaput run tag:refusal --report tap the scenarios with a tag, for a TAP reader
";

/// Does a guest's access to its crypto adapters survive live migration?
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true, after_help = EXIT_STATUS)]
struct Cli {
    #[command(flatten)]
    named: Named,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs scenarios and reports
    #[command(after_help = format!("{EXAMPLES}\n{EXIT_STATUS}"))]
    Run(run::Options),
    /// Lists the scenarios
    List,
    /// Runs random scenarios until there is a surprise
    #[command(after_help = soak::HELP)]
    Soak(soak::Options),
    /// Takes a snapshot of a host's AP configuration, read-only
    #[command(after_help = preflight::COLLECT_HELP)]
    Collect(preflight::CollectOptions),
    /// Says whether a guest's crypto will survive migration from one host to another
    #[command(after_help = preflight::PREFLIGHT_HELP)]
    Preflight(preflight::PreflightOptions),
    /// Starts QEMU as you say, with AP added: any s390x guest gets emulated crypto cards
    #[command(after_help = qemu::EXAMPLES)]
    Qemu(Box<qemu::Options>),
    /// Judges a vfio-ap migration driver by the conformance suite
    Conformance(judge::Conformance),
    /// Shows that the tests notice every known defect, and nothing else
    Mutants(judge::Mutants),
    /// Explains a finding: what, how it shows, the calls that show it, what is right
    Explain(judge::Explain),
}

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(&cli) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::from(Exit::Usage as u8)
        }
    }
}

/// One runtime on this thread: children die with the thread that started them.
fn start(cli: &Cli) -> Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()?;
    runtime.block_on(async {
        tokio::select! {
            status = carry_out(cli) => status,
            // Dropping a run ends its QEMUs and removes its folder.
            signal = interrupted() => Err(miette::miette!("interrupted by {}", signal.into_diagnostic()?)),
        }
    })
}

async fn carry_out(cli: &Cli) -> Result<u8> {
    match &cli.command {
        Command::List => list(&cli.named).map(|exit| exit as u8),
        Command::Soak(options) => soak::soak(&cli.named, options).await.map(|exit| exit as u8),
        Command::Run(options) => run::run(&cli.named, options).await.map(|exit| exit as u8),
        Command::Collect(options) => preflight::collect(options).await,
        Command::Preflight(options) => preflight::preflight(options).await,
        Command::Qemu(options) => qemu::start(&cli.named, options).await.map(|exit| exit as u8),
        Command::Conformance(options) => options.start().map(|exit| exit as u8),
        Command::Mutants(options) => options.start(&cli.named).await.map(|exit| exit as u8),
        Command::Explain(options) => options.start(&cli.named).map(|exit| exit as u8),
    }
}

/// Waits for a signal that asks to end; its name.
async fn interrupted() -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.map(|()| "SIGINT"),
        _ = terminate.recv() => Ok("SIGTERM"),
    }
}

fn list(named: &Named) -> Result<Exit> {
    let folder = named.scenarios()?;
    for name in load::names(&folder)? {
        let loaded = load::find(&folder, &name)?;
        println!("{name:<26} {}", loaded.scenario.summary);
    }
    Ok(Exit::AsExpected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
