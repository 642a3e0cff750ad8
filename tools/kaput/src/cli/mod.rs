// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be asked of the harness, and how it ends. Everything is read and checked before anything is started.

mod doctor;
mod driver;
mod fleet;
mod interrupts;
mod judge;
mod lab;
mod live;
mod paint;
mod preflight;
mod print;
mod qemu;
mod report;
mod reports;
mod resources;
mod run;
mod soak;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use miette::{IntoDiagnostic, Result};

use interrupts::{Interrupted, Interrupts};
use print::{complain, print};

use crate::hosts::ssh::all_closed;
use crate::machine::all_ended;
use crate::outcome::verdict::Exit;
use crate::run::tools::NamedScenarios;
use crate::scenario::load;

/// How long what was started may take to end, and a host to tidy up.
const LAST_GOODBYE: Duration = Duration::from_secs(5);

const EXIT_STATUS: &str = "\
Exit status:
  0  everything was as the scenarios say
  1  something was not as a scenario says
  2  usage or set-up: nothing was started
  3  infrastructure: a QEMU died, a connection was lost, a deadline passed
  77 nothing was shown: the hosts cannot migrate such a guest, and say so
  129, 130, 143: ended by SIGHUP, SIGINT, SIGTERM; everything is put back
";

const EXAMPLES: &str = "\
Examples:
  kaput run                          the main question, on two emulated hosts
  kaput run older-card chunked       two scenarios, one after the other
  kaput run ./mine.toml --keep       a scenario of your own; its run folder stays
  kaput run survive --repeat 200     statistics over many runs
  kaput run survive --seed 2a        with the same random numbers out of the cards each time
  kaput run '*' -j 2 --report human --report html=report.html
                                     all scenarios, two at a time, and a page to read afterwards
  kaput run '*' --partition 1/4 --report json=part-1.json
                                     the first of four runners; `kaput report merge` puts the parts together
  kaput run tag:refusal --report tap the scenarios with a tag, for a TAP reader
  kaput run --source ssh:one --destination ssh:root@two
                                     on two other hosts, by the system's ssh
  kaput run --source ssh:one --destination ssh:two --migrate-over tcp:10.0.0.2:49152-49215
                                     memory from host to host, by the network between them
  kaput run --engine qemu --assign 05,06/33,3a/33,3a,44 --destination ssh:two
                                     on KVM with real queues, which are given back
  kaput run --engine libvirt --source ssh:one --destination ssh:two
                                     by the libvirt of both hosts
";

const TOP: &str = "\
Examples:
  kaput doctor                       what is here, what is missing
  kaput list                         the scenarios
  kaput run control-domains-dropped  a guest that loses something, and the name of the bug
  kaput explain control-domains-dropped
                                     that bug: what, how it shows, what is right
  kaput COMMAND --help               more about a command, with examples

Without options QEMU is taken from PATH, everything else from beside this program.
";

const LIST_HELP: &str = "\
Examples:
  kaput list              all scenarios
  kaput list tag:refusal  those with a tag
  kaput list 'missing-*'  those whose names match
";

/// Does a guest's access to its crypto adapters survive live migration?
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = format!("{TOP}\n{EXIT_STATUS}"))]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs scenarios and reports
    #[command(after_help = format!("{EXAMPLES}\n{EXIT_STATUS}"))]
    Run(Box<run::Options>),
    /// Lists the scenarios
    #[command(after_help = LIST_HELP)]
    List(ListOptions),
    /// Reports again on runs that are over, from the JSON that was kept of them
    #[command(after_help = report::HELP)]
    Report(report::Options),
    /// Runs random scenarios until there is a surprise
    #[command(after_help = soak::HELP)]
    Soak(soak::Options),
    /// Takes a snapshot of a host's AP configuration, read-only
    #[command(after_help = preflight::COLLECT_HELP)]
    Collect(preflight::CollectOptions),
    /// Says whether a guest's crypto will survive migration from one host to another
    #[command(after_help = preflight::PREFLIGHT_HELP)]
    Preflight(preflight::PreflightOptions),
    /// Puts back what a run changed on real hosts and could not put back itself
    #[command(after_help = resources::RESTORE_HELP)]
    Restore(resources::RestoreOptions),
    /// Starts QEMU as you say, with AP added: any s390x guest gets emulated crypto cards
    #[command(after_help = qemu::EXAMPLES)]
    Qemu(Box<qemu::Options>),
    /// Judges a vfio-ap migration driver by the conformance suite
    Conformance(judge::Conformance),
    /// Judges the real vfio_ap driver, in an LPAR that is emulated here
    #[command(subcommand, after_help = lab::HELP)]
    Lab(Box<lab::Lab>),
    /// Shows that the tests notice every known defect, and nothing else
    Mutants(judge::Mutants),
    /// Explains a finding: what, how it shows, the calls that show it, what is right
    Explain(judge::Explain),
    /// Says what is here, what is missing, and what fixes it
    #[command(after_help = doctor::HELP)]
    Doctor(doctor::Options),
}

#[derive(Debug, clap::Args)]
struct ListOptions {
    #[command(flatten)]
    folder: NamedScenarios,
    /// Names of scenarios, patterns such as 'missing-*', tag:WORD, or paths of scenario files
    #[arg(default_value = "*", value_name = "SCENARIO")]
    chosen: Vec<String>,
}

/// The definition of the command line, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Carries out what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // A UUID or a command in an error is there to be copied: it stays whole on its line.
    let plain_lines = miette::MietteHandlerOpts::new().wrap_lines(false).break_words(false);
    _ = miette::set_hook(Box::new(move |_| Box::new(plain_lines.clone().build())));
    match start(&cli) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// One runtime on this thread: children die with the thread that started them.
fn start(cli: &Cli) -> std::io::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(async {
        let done = carry_out(cli).await;
        // Whatever ended the command: what it started ends, and what it made elsewhere goes, before it does.
        all_ended(LAST_GOODBYE).await;
        all_closed(LAST_GOODBYE).await;
        match done {
            Ok(status) => status,
            Err(error) => {
                let interrupted = error.downcast_ref::<Interrupted>().map(|Interrupted(signal)| signal.status());
                complain(error).await;
                interrupted.unwrap_or(Exit::Usage.status())
            }
        }
    });
    // Who waits for a reader on another thread does not keep the program.
    runtime.shutdown_background();
    Ok(status)
}

async fn carry_out(cli: &Cli) -> Result<u8> {
    let listen = || Interrupts::listen().into_diagnostic();
    match &cli.command {
        Command::List(options) => list(options).await,
        Command::Report(options) => report::report(options).await.map(Exit::status),
        Command::Doctor(options) => listen()?.unless(doctor::look(options)).await,
        Command::Soak(options) => soak::soak(options).await.map(Exit::status),
        Command::Run(options) => run::run(options).await.map(Exit::status),
        Command::Collect(options) => listen()?.unless(preflight::collect(options)).await,
        Command::Preflight(options) => listen()?.unless(preflight::preflight(options)).await,
        Command::Restore(options) => listen()?.unless(resources::restore(options)).await,
        Command::Qemu(options) => qemu::start(options).await.map(Exit::status),
        Command::Conformance(options) => options.start().await.map(Exit::status),
        Command::Lab(options) => options.start(&listen()?).await,
        Command::Mutants(options) => options.start().await.map(Exit::status),
        Command::Explain(options) => options.start().await.map(Exit::status),
    }
}

async fn list(options: &ListOptions) -> Result<u8> {
    let all = load::choose(&options.folder.find()?, &options.chosen)?;
    let width = all.iter().map(|loaded| loaded.scenario.name.len()).max().unwrap_or(0);
    let lines = all.iter().map(|loaded| format!("{:<width$} {}\n", loaded.scenario.name, loaded.scenario.summary));
    print(lines.collect::<String>()).await
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_well_formed() {
        super::command().debug_assert();
    }
}
