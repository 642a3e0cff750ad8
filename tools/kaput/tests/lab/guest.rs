// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guest on the released driver, which cannot migrate: an administrator hands it over. And an LPAR that is lost while
//! a guest is on its hardware.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use kaput::lab::fit;
use kaput::lab::supply::Supply;
use kaput::machine::observed::Observed;
use kaput::outcome::events::What;
use kaput::outcome::verdict::Kind;
use kaput::run::tools::{Named, Tools};
use kaput::run::{self, Options};
use kaput::scenario::DriverName;
use kaput::scenario::load::{self, Loaded};

use crate::bench::Bench;

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

/// How long after the LPAR's loss the verdict may come, on a machine that is kept from running.
const SOON: Duration = Duration::from_secs(60);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// What runs need, and all scenarios as they are on the lab's driver.
async fn ready(kernel: &Path, agent: &Path) -> Result<(Tools, Vec<Loaded>), String> {
    let named = Named::from_environment().ok_or("use `cargo xtask test`")?;
    let mut tools = named.find().await.map_err(|error| error.to_string())?;
    let emulator = (tools.qemu.clone(), tools.machine.clone(), tools.plugin.clone());
    let supply = Supply::new(emulator, agent.to_owned(), Some(kernel.to_owned()));
    tools.lab = Some(Arc::new(supply.map_err(|error| error.to_string())?));
    let folder = named.scenarios().map_err(|error| error.to_string())?;
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

/// When an LPAR is lost, which host's, and by which signal.
type Loss = (&'static str, fn(&What) -> bool, &'static str, &'static str);

const LOSSES: [Loss; 4] = [
    ("the guest's suites run", |what| matches!(what, What::Console { .. }), "A", "KILL"),
    ("the guest asks", |what| matches!(what, What::Asked { .. }), "B", "STOP"),
    ("memory moves", |what| matches!(what, What::Migration { .. }), "B", "KILL"),
    ("the guest went over", |what| matches!(what, What::MigrationDone { .. }), "B", "STOP"),
];

pub(crate) fn survives_the_loss_of_its_host(bench: &Bench) -> Result<(), String> {
    runtime().block_on(async {
        let (tools, all) = ready(bench.kernel(), bench.agent()).await?;
        let mut loaded = all.into_iter().find(|one| one.scenario.name == "survive").ok_or("there is no `survive`")?;
        loaded.scenario.deadlines.answer = Duration::from_secs(3);
        for (moment, is_now, host, signal) in LOSSES {
            lose(&tools, &loaded, is_now, host, signal).await.map_err(|error| format!("{moment}: {error}"))?;
        }
        Ok(())
    })
}

async fn lose(
    tools: &Tools,
    loaded: &Loaded,
    is_now: fn(&What) -> bool,
    host: &'static str,
    signal: &'static str,
) -> Result<(), String> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let wishes = Options { discard: true, ..Options::default() };
    let run = run::watched(tools, loaded, wishes, |observed| _ = tell.send(observed.clone()));
    let lost = async {
        let observed: Observed = told.await.map_err(|_| "nothing began")?;
        let now = |event: &kaput::outcome::events::Event| is_now(&event.what);
        let reached = observed.until(Instant::now() + SOON, |state| {
            state.events.list().iter().any(now).then(|| {
                let lpars = state.events.list().iter().filter_map(|event| match event.what {
                    What::Kernel { pid, .. } => Some((event.host.clone()?, pid)),
                    _ => None,
                });
                lpars.collect::<Vec<_>>()
            })
        });
        let lpars = reached.await.map_err(|_| "that moment never came")?;
        let (_, pid) = lpars.iter().find(|(name, _)| name == host).ok_or("no such LPAR")?;
        let status = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
        status.map_err(|error| error.to_string())?;
        Ok::<_, String>((Instant::now(), lpars))
    };
    let (finished, lost) = tokio::join!(run, lost);
    let (finished, (since, lpars)) = (finished.map_err(|error| error.to_string())?, lost?);
    let verdict = &finished.verdict;
    println!("{}: {} after {:.1} s", verdict.kind, verdict.happened, since.elapsed().as_secs_f64());
    if verdict.kind != Kind::LparLost || verdict.host.as_deref() != Some(host) || since.elapsed() > SOON {
        return Err(format!("{verdict:?}"));
    }
    match lpars.iter().find(|(_, pid)| PathBuf::from(format!("/proc/{pid}")).exists()) {
        Some((name, _)) => Err(format!("the LPAR of host {name} is still there")),
        None => Ok(()),
    }
}
