// SPDX-License-Identifier: MIT OR Apache-2.0
//! The hosts of a run whose driver is a real one: an LPAR for each, from before the first QEMU to after the last.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use vfio_mig::conformance::NoHost;

use super::Run;
use super::blame::Ended;
use crate::lab::fit;
use crate::lab::host::LabHost;
use crate::machine::launch::Seat;
use crate::outcome::events::What;
use crate::outcome::verdict::{Kind, RunVerdict};
use crate::scenario::DriverName;

/// The LPARs by the names of their hosts; none where the driver is the model.
#[derive(Default)]
pub(super) struct Lpars(BTreeMap<String, LabHost>);

impl Lpars {
    /// Starts them, all at the same time.
    pub(super) async fn start(run: &Run<'_>) -> Result<Self, Ended> {
        let scenario = run.scenario;
        let DriverName::Lab(kernel) = &scenario.driver else { return Ok(Self::default()) };
        if let Some(reason) = fit::unfit(scenario) {
            return Err(skipped(format!("this makes no sense on a real driver in the lab: {reason}")));
        }
        let failed = |error: &dyn std::fmt::Display| {
            RunVerdict::new(Kind::HarnessFailed, format!("there is no LPAR: {error}")).ended()
        };
        let supply =
            run.tools.lab.as_ref().ok_or_else(|| {
                failed(&"this command does not run scenarios with driver = \"lab\"; `kaput run` does")
            })?;
        let kept = supply.kept(kernel.as_deref()).map_err(|error| failed(&error))?;
        let starts = scenario.hosts.iter().map(|(name, spec)| {
            let (kept, folder) = (Arc::clone(&kept), Arc::clone(&run.folder));
            let (name, spec) = (name.get_ref().clone(), spec.clone());
            let start = move || LabHost::start(&kept, &name, &spec, &folder).map(|host| (name.clone(), host));
            tokio::task::spawn_blocking(start)
        });
        let mut all = BTreeMap::new();
        for (name, started) in scenario.hosts.keys().zip(join_all(starts).await) {
            let name = name.get_ref();
            let (name, host) = started.map_err(|error| failed(&error))?.map_err(|error| never_started(name, error))?;
            let (kernel, migrates) = (host.kernel().description.clone(), host.kernel().migrates);
            let up = What::Kernel { kernel, migrates, pid: host.pid() };
            run.observed().write(|state| {
                state.agents.insert(name.clone(), Arc::downgrade(&host.agent()));
                state.events.add(Some(&name), up);
            });
            all.insert(name, host);
        }
        if all.values().any(|host| !host.kernel().migrates)
            && let Some(reason) = fit::unfit_without_migration(scenario)
        {
            return Err(skipped(format!("the driver of this kernel cannot migrate: {reason}")));
        }
        Ok(Self(all))
    }

    /// A place at a host for the next QEMU, where the host is an LPAR.
    pub(super) fn seat(&mut self, host: &str) -> Option<std::io::Result<Seat>> {
        self.0.get_mut(host).map(LabHost::seat)
    }

    /// Ends them. The guest, which may be there still, has its cards to its end. Returns the loss of one that had ended
    /// by itself.
    pub(super) async fn end(&mut self, run: &Run<'_>) -> Option<Ended> {
        let all = std::mem::take(&mut self.0);
        let lost = all.iter().find_map(|(name, host)| Some(ended_unasked(name, host.fate_if_gone()?)));
        for (name, host) in &all {
            if host.forced() > 0 {
                let text = "the guest's instructions were let go before its masks were set, which took too long";
                run.observed().write(|state| state.events.add(Some(name), What::Warned { text: text.to_owned() }));
            }
        }
        join_all(all.into_values().map(LabHost::end)).await;
        lost
    }
}

fn skipped(happened: String) -> Ended {
    RunVerdict::new(Kind::Skipped, happened).ended()
}

fn ended_unasked(host: &str, fate: String) -> Ended {
    let verdict =
        RunVerdict::new(Kind::LparLost, format!("the LPAR of host {host} was lost, and nobody needed it any more"));
    verdict.on(host).expected("it runs until the harness ends it").seen(fate).ended()
}

fn never_started(host: &str, error: NoHost) -> Ended {
    let (NoHost::Unfit(reason) | NoHost::Broken(reason)) = error;
    let happened = format!("the LPAR of host {host} did not come up");
    RunVerdict::new(Kind::LparLost, happened)
        .on(host)
        .seen(reason)
        .next("`kaput lab shell` boots one at the terminal; its console is in the run folder")
        .ended()
}
