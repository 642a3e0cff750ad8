// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands that judge a driver, and the tests themselves.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use miette::{IntoDiagnostic, Result, miette};
use vfio_ap::defect::Defect;
use vfio_ap::model::ModelFactory;
use vfio_ap::profile::Profile;
use vfio_mig::conformance::{CaseResult, DeviceFactory, Options, run};

use super::interrupts::Interrupts;
use super::print::{note, print};
use super::reports::{self, Reports, Target};
use crate::conformance::Judged;
use crate::conformance::agent_device::AgentProcess;
use crate::conformance::control_device::RemoteFactory;
use crate::conformance::explain;
use crate::conformance::mutants::{self, MutantsOutcome};
use crate::conformance::program;
use crate::conformance::stoppable::Stoppable;
use crate::outcome::verdict::Exit;
use crate::progress::{Steps, busy, busy_thread};
use crate::run::tools::{Named, NamedScenarios, Tools};
use crate::scenario::load::{self, Loaded};

/// How long the case that runs may take to put the hosts of somebody's machine back after a signal.
const PUT_BACK: Duration = Duration::from_secs(10);

const CONFORMANCE: &str = "\
Examples:
  kaput conformance                                   the model as it should be: everything passes
  kaput conformance --profile v3                      the posted series, as the model imitates it
  kaput conformance --defect control-domains-dropped  one defect alone
  kaput conformance --only guest/ --report tap        some of the cases, for a TAP reader
  kaput conformance --device control:control.sock     the driver in the QEMU that listens there
  kaput conformance --device linux                    the real driver of this machine, which is an s390x
  kaput conformance --device 'agent:ssh HOST kaput-agent'
                                                      the real driver of another

Exit status:
  0  no case failed
  1  a case failed
  2  usage: nothing was judged
  3  the device could not be asked
";

const MUTANTS: &str = "\
Examples:
  kaput mutants                 every defect, by the suite and by guests in QEMU
  kaput mutants --without-qemu  by the suite alone
  kaput mutants --report human --report html=mutants.html
                                and a page of it

Exit status:
  0  every defect was caught, and the correct model by nothing
  1  something was missed, or there was a false alarm
  2  usage or set-up: nothing was started
  3  infrastructure: a QEMU died, a connection was lost, a deadline passed
";

const EXPLAIN: &str = "\
Examples:
  kaput explain                          all findings
  kaput explain control-domains-dropped  one of them
  kaput explain unlink-became-link --c   a C program that shows it on a real kernel

Exit status:
  0  it is explained
  2  there is no such finding, or no program shows it
";

#[derive(Debug, clap::Args)]
#[command(after_help = CONFORMANCE)]
pub(super) struct Conformance {
    /// The device to judge: `model`; `control:SOCKET`, a process that listens there, such as a QEMU with the plugin;
    /// `linux`, the real driver of this machine; `agent:COMMAND`, the real driver where that command starts kaput-agent
    #[arg(long, value_name = "DEVICE", default_value = "model", value_parser = Device::parse)]
    device: Device,
    /// The driver to imitate: corrected, format-0, v3, later
    #[arg(long, value_name = "NAME", default_value = "corrected", value_parser = profile)]
    profile: Profile,
    /// A defect to switch on besides; may be given more than once
    #[arg(long = "defect", value_name = "NAME", value_parser = defect)]
    defects: Vec<Defect>,
    /// Only cases whose name contains this; may be given more than once
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// Also the cases that could wreck a real kernel
    #[arg(long)]
    dangerous: bool,
    /// How to report, and into which file: human, json, tap, ktap, junit or html. May be given more than once; one of
    /// them may be without a file
    #[arg(long, value_name = "FORM[=FILE]", default_value = "human")]
    report: Vec<Target>,
}

/// What is judged.
#[derive(Clone, Debug)]
enum Device {
    /// The model, in this process.
    Model,
    /// The one behind a control socket.
    Control(PathBuf),
    /// The real one of this machine.
    Linux,
    /// The real one where a command starts the agent.
    Agent(String),
}

impl Device {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "model" => Ok(Self::Model),
            None if text == "linux" => Ok(Self::Linux),
            Some(("control", path)) if !path.is_empty() => Ok(Self::Control(path.into())),
            Some(("agent", command)) if !command.trim().is_empty() => Ok(Self::Agent(command.to_owned())),
            _ => Err("expected `model`, `control:SOCKET`, `linux` or `agent:COMMAND`".to_owned()),
        }
    }
}

/// What the device is called, and what the cases said.
type Results = (String, Vec<CaseResult>);

impl Device {
    /// Runs the suite on it; inside, why it cannot be asked.
    async fn judge(&self, driver: ModelFactory, options: Options) -> Result<Result<Results, String>> {
        let own = |factory: &dyn DeviceFactory| Ok(Ok((factory.name(), judged(factory, &options))));
        let started = match self {
            Self::Model => return own(&driver),
            Self::Control(socket) => match RemoteFactory::connect(socket, driver) {
                Ok(factory) => return own(&factory),
                Err(error) => return Ok(Err(error.to_string())),
            },
            Self::Linux => AgentProcess::native(),
            Self::Agent(command) => AgentProcess::by(command),
        };
        // That machine is somebody's: whatever ends this, it is put back.
        let interrupts = Interrupts::listen().into_diagnostic()?;
        let (mut agent, pipes) = match started {
            Ok(started) => started,
            Err(reason) => return Ok(Err(reason)),
        };
        let driver = tokio::task::spawn_blocking(move || pipes.driver());
        let factory = match interrupts.unless(async { driver.await.into_diagnostic() }).await? {
            Ok(factory) => factory,
            Err(reason) => return Ok(Err(reason + &agent.words())),
        };
        let suite = move |stop: &_| (factory.name(), judged(&Stoppable(&factory, stop), &options));
        interrupts.unless_stopped(PUT_BACK, suite).await.map(Ok)
    }
}

fn judged(factory: &dyn DeviceFactory, options: &Options) -> Vec<CaseResult> {
    busy_thread(format!("{} is judged", factory.name()), || run(factory, options))
}

fn profile(name: &str) -> Result<Profile, String> {
    Profile::from_name(name).map_err(|error| error.to_string())
}

fn defect(name: &str) -> Result<Defect, String> {
    explain::find(name).map_err(|error| miette!(error)).and_then(|_| Defect::from_name(name).into_diagnostic()).map_err(
        |error| {
            let help = error.help().map_or(String::new(), |help| format!("; {help}"));
            format!("{error}{help}")
        },
    )
}

impl Conformance {
    pub(super) async fn start(&self) -> Result<Exit> {
        let reports = Reports::open(&self.report)?;
        let options = Options { only: self.only.clone(), dangerous: self.dangerous, shuffle: None };
        let driver = ModelFactory { profile: self.profile, defects: self.defects.clone() };
        let (device, results) = match self.device.judge(driver, options).await? {
            Ok(results) => results,
            Err(reason) => {
                note(format!("{reason}\n")).await;
                return Ok(Exit::Infrastructure);
            }
        };
        if results.is_empty() {
            return Err(no_case(&self.only));
        }
        let known = matches!(self.device, Device::Model);
        let switched = self.profile.defects().chain(self.defects.iter().copied()).map(Defect::name).collect();
        let judged = Judged { device, defects: known.then_some(switched), part: None, results };
        reports.deliver(|form| reports::judged(form, &judged, "")).await?;
        Ok(judged.exit())
    }
}

/// No case has one of these in its name; what the names are like.
pub(super) fn no_case(only: &[String]) -> miette::Report {
    let all = Options { only: Vec::new(), dangerous: true, shuffle: None }.cases();
    let groups: BTreeSet<&str> = all.iter().filter_map(|case| case.name.split('/').next()).collect();
    let groups: Vec<String> = groups.iter().map(|group| format!("{group}/")).collect();
    let help = format!("a name begins with its group: {}", groups.join(", "));
    miette!(help = help, "no case has {} in its name", only.join(" or "))
}

#[derive(Debug, clap::Args)]
#[command(after_help = MUTANTS)]
pub(super) struct Mutants {
    #[command(flatten)]
    named: Named,
    /// By the conformance suite alone: no guest is asked, and no QEMU is needed
    #[arg(long)]
    without_qemu: bool,
    /// How to report, and into which file: human, json or html. May be given more than once; one of them may be without
    /// a file
    #[arg(long, value_name = "FORM[=FILE]", default_value = "human")]
    report: Vec<Target>,
}

impl Mutants {
    pub(super) async fn start(&self) -> Result<Exit> {
        let reports =
            Reports::open_of(&self.report, &[reports::Form::Human, reports::Form::Json, reports::Form::Html])?;
        let scenarios = if self.without_qemu { None } else { Some(with_finding(&self.named.scenarios.find()?)?) };
        let interrupts = Interrupts::listen().into_diagnostic()?;
        interrupts.unless(self.show(scenarios, reports)).await
    }

    async fn show(&self, scenarios: Option<Vec<Loaded>>, reports: Reports) -> Result<Exit> {
        // The suite has its own threads; the guests keep this one.
        let suite = tokio::task::spawn_blocking(|| {
            vfio_ap::mutants::mutants(&Options { only: Vec::new(), dangerous: true, shuffle: None })
        });
        let guests = match scenarios {
            Some(scenarios) => {
                let tools = prepare(&self.named, &scenarios).await?;
                let mut seen = Vec::new();
                let steps = Steps::new("defects shown to a guest", Some(scenarios.len()));
                for loaded in &scenarios {
                    seen.push(mutants::show(&tools, loaded).await?);
                    steps.done(&loaded.scenario.name);
                }
                Some(seen)
            }
            None => None,
        };
        let suite = busy("every defect is judged by the suite", suite).await.into_diagnostic()?;
        let outcome = MutantsOutcome { mutants: suite, guests };
        let render = |form| match form {
            reports::Form::Json => Ok(outcome.lines()),
            reports::Form::Html => outcome.page().map_err(|error| miette!("the HTML report: {error}")),
            _ => Ok(outcome.table()),
        };
        reports.deliver(render).await?;
        Ok(outcome.exit())
    }
}

/// What the scenarios that show a finding need.
async fn prepare(named: &Named, scenarios: &[Loaded]) -> Result<Tools> {
    let tools = named.find().await?;
    for loaded in scenarios {
        loaded.check_against(&tools.image)?;
    }
    Ok(tools)
}

fn with_finding(folder: &Path) -> Result<Vec<Loaded>> {
    let mut scenarios = Vec::new();
    for name in load::names(folder)? {
        let loaded = load::find(folder, &name)?;
        if mutants::shows_a_finding(&loaded) {
            scenarios.push(loaded);
        }
    }
    Ok(scenarios)
}

#[derive(Debug, clap::Args)]
#[command(after_help = EXPLAIN)]
pub(super) struct Explain {
    #[command(flatten)]
    folder: NamedScenarios,
    /// Prints a C program that shows the finding and needs nothing else
    #[arg(long, requires = "id")]
    c: bool,
    /// The finding's id; without it all are listed
    id: Option<String>,
}

impl Explain {
    pub(super) async fn start(&self) -> Result<Exit> {
        let Some(id) = &self.id else {
            print(explain::list()).await?;
            return Ok(Exit::AsExpected);
        };
        let finding = explain::find(id)?;
        if self.c {
            print(program::of(finding.id)?).await?;
            return Ok(Exit::AsExpected);
        }
        // Without the folder of scenarios there is still much to say.
        let scenarios = self
            .folder
            .find()
            .map_err(Into::into)
            .and_then(|folder| with_finding(&folder))
            .unwrap_or_default()
            .into_iter()
            .map(|loaded| loaded.scenario);
        let showing = scenarios.filter(|scenario| scenario.expect.findings.iter().any(|shown| shown == finding.id));
        let names: Vec<String> = showing.map(|scenario| scenario.name).collect();
        print(explain::screen(finding, &names)).await?;
        Ok(Exit::AsExpected)
    }
}
