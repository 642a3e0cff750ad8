// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be asked of the harness, and how it ends. Everything is read and checked before anything is started.

mod preflight;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use kaput::report::{human, json};
use kaput::run::{self, Finished, Wishes};
use kaput::scenario::load::{self, Loaded};
use kaput::tools::{Named, Tools};
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
    Run(RunOptions),
    /// Lists the scenarios
    List,
    /// Takes a snapshot of a host's AP configuration, read-only
    #[command(after_help = preflight::COLLECT_HELP)]
    Collect(preflight::CollectOptions),
    /// Says whether a guest's crypto will survive migration from one host to another
    #[command(after_help = preflight::PREFLIGHT_HELP)]
    Preflight(preflight::PreflightOptions),
}

#[derive(Debug, clap::Args)]
struct RunOptions {
    /// Names of scenarios, or paths of scenario files
    #[arg(default_value = "survive", value_name = "SCENARIO")]
    chosen: Vec<String>,
    /// Keeps the run folder also when all is as expected
    #[arg(long)]
    keep: bool,
    /// Runs each scenario so often, and reports in figures
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: Option<u32>,
    /// How to report on standard output
    #[arg(long, value_enum, default_value_t = Form::Human)]
    report: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One screen for each run
    Human,
    /// One JSON object a line for each run
    Json,
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
        Command::Run(options) => run(&cli.named, options).await.map(|exit| exit as u8),
        Command::Collect(options) => preflight::collect(options).await,
        Command::Preflight(options) => preflight::preflight(options).await,
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

async fn run(named: &Named, options: &RunOptions) -> Result<Exit> {
    let (tools, all) = prepare(named, &options.chosen).await?;
    let mut exit = Exit::AsExpected;
    for loaded in &all {
        let status = match options.repeat {
            Some(times) => repeat(&tools, loaded, options, times).await?,
            None => once(&tools, loaded, options).await?,
        };
        exit = exit.max(status);
    }
    Ok(exit)
}

/// Reads and checks everything there is to read and check.
async fn prepare(named: &Named, names: &[String]) -> Result<(Tools, Vec<Loaded>)> {
    let is_file = |name: &String| name.contains('/') || name.ends_with(".toml");
    let folder = if names.iter().all(is_file) { Default::default() } else { named.scenarios()? };
    let all = names.iter().map(|name| load::find(&folder, name)).collect::<Result<Vec<_>, _>>()?;
    let tools = named.find().await?;
    for loaded in &all {
        loaded.check_against(&tools.image)?;
    }
    Ok((tools, all))
}

async fn once(tools: &Tools, loaded: &Loaded, options: &RunOptions) -> Result<Exit> {
    let finished = run::run(tools, loaded, Wishes { keep: options.keep }).await?;
    report(loaded, &finished, options.report);
    Ok(finished.verdict.kind.exit())
}

fn report(loaded: &Loaded, finished: &Finished, form: Form) {
    match form {
        Form::Human => print!("{}", human::screen(&loaded.scenario, finished)),
        Form::Json => println!("{}", json::line(finished)),
    }
}

/// Runs a scenario many times: the first run that is not as expected is shown whole, the others that are not in a line, the rest in
/// figures.
async fn repeat(tools: &Tools, loaded: &Loaded, options: &RunOptions, times: u32) -> Result<Exit> {
    let mut exit = Exit::AsExpected;
    let mut seconds = Vec::new();
    let mut right = 0;
    for number in 1..=times {
        let finished = run::run(tools, loaded, Wishes { keep: options.keep }).await?;
        seconds.extend(finished.events.last().map(|event| event.at));
        right += u32::from(finished.verdict.is_as_expected());
        let wrong = !finished.verdict.is_as_expected();
        if options.report == Form::Json || (wrong && right + 1 == number) {
            report(loaded, &finished, options.report);
        } else if wrong {
            print!("{}", human::line(&finished));
        }
        exit = exit.max(finished.verdict.kind.exit());
    }
    let statistics = human::statistics(&loaded.scenario.name, times, right, seconds);
    if options.report == Form::Human {
        print!("{statistics}")
    } else {
        eprint!("{statistics}")
    }
    Ok(exit)
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
