// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guest on the released driver, which cannot migrate: an administrator hands it over. And an LPAR that is lost while
//! a guest is on its hardware.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use kaput::lab::fit;
use kaput::lab::supply::Supply;
use kaput::machine::observed::Observed;
use kaput::outcome::events::What;
use kaput::outcome::verdict::Kind;
use kaput::run::tools::Tools;
use kaput::run::{self, Options};
use kaput::scenario::DriverName;
use kaput::scenario::load::{self, Loaded};
use vfio_ap::profile::Profile;

use crate::bench::{Bench, panic};

/// What makes sense on this driver, but the one that goes from host to host for a quarter of a minute.
const RUN: [&str; 10] = [
    "bench",
    "continuous",
    "dead-queue",
    "domain-gone",
    "hot-unplug",
    "limits",
    "mid-run",
    "other-master-keys",
    "plugged-in-time",
    "survive",
];
const TOO_LONG: &str = "ping-pong";

/// Name the kernel whose driver migrates, as that of the series v3, and the same with a stack that is filled.
pub(crate) const MIGRATING: &str = "KAPUT_LAB_MIGRATING";
pub(crate) const PATTERN: &str = "KAPUT_LAB_MIGRATING_PATTERN";

/// How long after the LPAR's loss the verdict may come, on a machine that is kept from running.
const SOON: Duration = Duration::from_secs(60);
/// How long one that hangs is waited for: longer than a busy machine takes to answer.
const HANGS: Duration = Duration::from_secs(10);
/// How long the moment may take to come: an LPAR may have to boot first.
const PATIENCE: Duration = Duration::from_secs(300);

fn named(variable: &str) -> Result<PathBuf, String> {
    std::env::var_os(variable).map(PathBuf::from).ok_or(format!("{variable} names nothing"))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// What runs need, and all scenarios as they are on the lab's driver.
async fn ready(kernel: &Path, agent: &Path) -> Result<(Tools, Vec<Loaded>), String> {
    let named = crate::support::named();
    let mut tools = named.find().await.map_err(|error| error.to_string())?;
    let emulator = (tools.qemu.clone(), tools.machine.clone(), tools.plugin.clone());
    let supply = Supply::new(emulator, agent.to_owned(), Some(kernel.to_owned()));
    tools.lab = Some(Arc::new(supply.map_err(|error| error.to_string())?));
    let folder = named.scenarios.find().map_err(|error| error.to_string())?;
    // Two more are about what the driver learns from the AP bus: the model has none.
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/scenarios");
    let mut all = Vec::new();
    for folder in [folder, ours] {
        all.extend(load::choose(&folder, &["*".to_owned()]).map_err(|error| error.to_string())?);
    }
    all.sort_by(|one, other| one.scenario.name.cmp(&other.scenario.name));
    all.iter_mut().for_each(|loaded| loaded.scenario.driver = DriverName::Lab(None));
    Ok((tools, all))
}

pub(crate) fn keeps_its_crypto(bench: &Bench) -> Result<(), String> {
    runtime().block_on(async {
        let (tools, all) = ready(bench.kernel(), bench.agent()).await?;
        let fits = |loaded: &&Loaded| {
            let scenario = &loaded.scenario;
            fit::unfit(scenario).or_else(|| fit::unfit_without_migration(scenario)).is_none()
        };
        let chosen: Vec<&Loaded> = all.iter().filter(fits).filter(|one| one.scenario.name != TOO_LONG).collect();
        let names: Vec<&str> = chosen.iter().map(|loaded| loaded.scenario.name.as_str()).collect();
        if names != RUN {
            return Err(format!("these make sense on it: {names:?}"));
        }
        let tools = &tools;
        let run = |loaded| async move {
            run::run(tools, loaded, Options::default()).await.map_err(|error| error.to_string())
        };
        let mut running = futures_util::stream::iter(chosen).map(run).buffered(2);
        while let Some(finished) = running.next().await {
            let finished = finished?;
            let seconds = finished.events.last().map_or(0.0, |event| event.at);
            println!("{}: {} after {seconds:.1} s", finished.scenario, finished.verdict.kind);
            if finished.verdict.kind != Kind::AsExpected {
                return Err(format!("{}: {:?}", finished.scenario, finished.verdict));
            }
        }
        Ok(())
    })
}

/// How an LPAR is lost.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Killed,
    Hangs,
    Panics,
}

/// The moment that is made to last, and those after which no guest stays at its source.
const MEMORY: &str = "memory moves";
const OVER: &str = "the guest went over";
const SWITCH_OVER: &str = "the switch-over";

/// When an LPAR is lost, which host's, and how.
type Loss = (&'static str, fn(&What) -> bool, &'static str, Fate);

const LOSSES: [Loss; 8] = [
    ("the guest's suites run", |what| matches!(what, What::Console { .. }), "A", Fate::Killed),
    ("the guest asks", |what| matches!(what, What::Asked { .. }), "B", Fate::Hangs),
    ("the destination is assigned alike", |what| matches!(what, What::AssignedAlike), "B", Fate::Panics),
    (MEMORY, |what| matches!(what, What::Migration { .. }), "B", Fate::Killed),
    (MEMORY, |what| matches!(what, What::Migration { .. }), "B", Fate::Panics),
    (MEMORY, |what| matches!(what, What::Migration { .. }), "A", Fate::Panics),
    ("the guest went over, and is needed no more", |what| *what == What::Key, "A", Fate::Killed),
    (OVER, |what| matches!(what, What::MigrationDone { .. }), "B", Fate::Hangs),
];

/// The phases of a driver that migrates: the stream is about to be read, to be written, and was taken.
const PHASES: [Loss; 9] = [
    ("STOP_COPY", |what| is_in(what, "stop-copy"), "A", Fate::Killed),
    ("STOP_COPY", |what| is_in(what, "stop-copy"), "A", Fate::Hangs),
    ("STOP_COPY", |what| is_in(what, "stop-copy"), "A", Fate::Panics),
    ("RESUMING", |what| is_in(what, "resuming"), "B", Fate::Killed),
    ("RESUMING", |what| is_in(what, "resuming"), "B", Fate::Hangs),
    ("RESUMING", |what| is_in(what, "resuming"), "B", Fate::Panics),
    (SWITCH_OVER, |what| matches!(what, What::HandedOver { .. }), "B", Fate::Killed),
    (SWITCH_OVER, |what| matches!(what, What::HandedOver { .. }), "B", Fate::Hangs),
    (SWITCH_OVER, |what| matches!(what, What::HandedOver { .. }), "B", Fate::Panics),
];

fn is_in(what: &What, wanted: &str) -> bool {
    matches!(what, What::Device { state } if state == wanted)
}

pub(crate) fn survives_the_loss_of_its_host(bench: &Bench) -> Result<(), String> {
    lose_all(bench.kernel(), bench.agent(), &LOSSES)
}

pub(crate) fn survives_the_loss_of_its_host_in_each_phase(bench: &Bench) -> Result<(), String> {
    lose_all(&named(MIGRATING)?, bench.agent(), &PHASES)
}

fn lose_all(kernel: &Path, agent: &Path, losses: &[Loss]) -> Result<(), String> {
    runtime().block_on(async {
        let (tools, all) = ready(kernel, agent).await?;
        let mut loaded = all.into_iter().find(|one| one.scenario.name == "survive").ok_or("there is no `survive`")?;
        let usual = loaded.scenario.deadlines.answer;
        for loss in losses {
            // Who hangs is waited for to the end.
            loaded.scenario.deadlines.answer = if matches!(loss.3, Fate::Hangs) { HANGS } else { usual };
            loaded.scenario.migrations[0].with.bandwidth = (loss.0 == MEMORY).then_some(128 << 10);
            lose(&tools, &loaded, *loss).await.map_err(|error| format!("{}, {:?}: {error}", loss.0, loss.3))?;
        }
        Ok(())
    })
}

async fn lose(tools: &Tools, loaded: &Loaded, (moment, is_now, host, fate): Loss) -> Result<(), String> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let wishes = Options { discard: true, ..Options::default() };
    let run = run::watched(tools, loaded, wishes, |observed| _ = tell.send(observed.clone()));
    let lost = async {
        let observed: Observed = told.await.map_err(|_| "nothing began")?;
        let now = |event: &kaput::outcome::events::Event| is_now(&event.what);
        let reached = observed.until(Instant::now() + PATIENCE, |state| {
            let events = state.events.list();
            let is_over = || events.iter().any(|event| matches!(event.what, What::Judged));
            let lpars = events.iter().filter_map(|event| match event.what {
                What::Kernel { pid, .. } => Some((event.host.clone()?, pid)),
                _ => None,
            });
            let agent = || state.agents.get(host).and_then(Weak::upgrade);
            let reached = events.iter().any(now).then(|| (lpars.collect::<Vec<_>>(), agent()));
            reached.map(Some).or_else(|| is_over().then_some(None))
        });
        let reached = reached.await.map_err(|_| "that moment never came")?;
        let (lpars, agent) = reached.ok_or("the run ended before that moment")?;
        let (_, pid) = lpars.iter().find(|(name, _)| name == host).ok_or("no such LPAR")?;
        let signal = |name: &str| {
            let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
            status.map(drop).map_err(|error| error.to_string())
        };
        match fate {
            Fate::Killed => signal("KILL")?,
            Fate::Hangs => signal("STOP")?,
            Fate::Panics => {
                let agent = agent.ok_or("the LPAR is gone")?;
                _ = tokio::task::spawn_blocking(move || panic(agent)).await;
            }
        }
        Ok::<_, String>((Instant::now(), lpars))
    };
    let (finished, lost) = tokio::join!(run, lost);
    let finished = finished.map_err(|error| error.to_string())?;
    let verdict = &finished.verdict;
    let (since, lpars) = lost.map_err(|error| format!("{error}: {verdict:?}"))?;
    println!("{moment}, {fate:?}: {} {} after {:.1} s", verdict.kind, verdict.happened, since.elapsed().as_secs_f64());
    if verdict.kind != Kind::LparLost || verdict.host.as_deref() != Some(host) || since.elapsed() > SOON {
        return Err(format!("{verdict:?}"));
    }
    if matches!(fate, Fate::Panics) && !format!("{verdict:?}").contains("Kernel panic - not syncing") {
        return Err(format!("it does not show the panic: {verdict:?}"));
    }
    let stays = verdict.happened.contains("the guest went on on host A: unharmed");
    if stays != (host == "B" && moment != OVER) && moment != SWITCH_OVER {
        return Err(format!("the guest stays where it is: {stays}; {verdict:?}"));
    }
    match lpars.iter().find(|(_, pid)| PathBuf::from(format!("/proc/{pid}")).exists()) {
        Some((name, _)) => Err(format!("the LPAR of host {name} is still there")),
        None => Ok(()),
    }
}

/// What each scenario shows of a defect on a driver that has it, the model says of it too.
pub(crate) fn notices_the_findings(bench: &Bench) -> Result<(), String> {
    all_as_expected(bench.kernel(), bench.agent(), MIGRATING, &DriverName::Model(Some(Profile::V3)))
}

pub(crate) fn notices_the_findings_on_a_real_driver(bench: &Bench) -> Result<(), String> {
    all_as_expected(&named(MIGRATING)?, bench.agent(), MIGRATING, &DriverName::Lab(None))?;
    all_as_expected(&named(PATTERN)?, bench.agent(), PATTERN, &DriverName::Lab(None))
}

/// Runs the scenarios of a folder, which is called as the variable's end.
fn all_as_expected(kernel: &Path, agent: &Path, variable: &str, driver: &DriverName) -> Result<(), String> {
    let folder = variable.rsplit('_').next().unwrap_or_default().to_lowercase();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab").join(folder);
    runtime().block_on(async {
        let (tools, _) = ready(kernel, agent).await?;
        for mut loaded in load::choose(&folder, &["*".to_owned()]).map_err(|error| error.to_string())? {
            loaded.scenario.choose(driver.clone());
            let finished = run::run(&tools, &loaded, Options::default()).await.map_err(|error| error.to_string())?;
            println!("{}: {}", finished.scenario, finished.verdict.kind);
            if finished.verdict.kind != Kind::AsExpected {
                return Err(format!("{}: {:?}", finished.scenario, finished.verdict));
            }
        }
        Ok(())
    })
}
