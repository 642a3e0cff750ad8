// SPDX-License-Identifier: MIT OR Apache-2.0
//! One run: a scenario is carried out on its hosts and judged. [`story`] goes from the first QEMU's start to the
//! guest's end, whoever migrates the guest: the harness itself by QMP ([`by_qemu`]) or libvirt ([`by_libvirt`]). What
//! goes wrong on the way ends the story with a verdict ([`blame`]); [`close`] makes what is left of a run.

mod actions;
mod asks;
mod blame;
mod by_libvirt;
mod by_qemu;
mod channel;
mod close;
pub mod engine;
mod handover;
mod lpars;
mod migration;
mod refusal;
mod stay;
mod story;
pub mod tools;
mod wait;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::machine::observed::Observed;
use crate::machine::run_folder::{FolderError, RunFolder};
use crate::outcome::finished::Finished;
use crate::run::engine::Engine;
use crate::run::tools::Tools;
use crate::scenario::Scenario;
use crate::scenario::load::Loaded;
use by_libvirt::ByLibvirt;
use by_qemu::ByQemu;
use wait::Waits;

/// What is wanted besides the verdict.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Keep the run folder whatever the verdict is.
    pub keep: bool,
    /// Keep nothing, not even of a run that is not as expected: it was meant to be so.
    pub discard: bool,
    /// Keep every AP instruction of the guest.
    pub trace: bool,
}

/// Runs a scenario to its verdict.
///
/// # Errors
/// [`FolderError`] if there is no place for a run; everything else is a verdict.
pub async fn run(tools: &Tools, loaded: &Loaded, options: Options) -> Result<Finished, FolderError> {
    watched(tools, loaded, options, |_| ()).await
}

/// The same, for somebody who wants to see it happen: `watch` is shown what is known before anything is.
///
/// # Errors
/// Those of [`run`].
pub async fn watched(
    tools: &Tools,
    loaded: &Loaded,
    options: Options,
    watch: impl FnOnce(&Observed),
) -> Result<Finished, FolderError> {
    carry_out(RunFolder::create()?, tools, loaded, options, watch).await
}

/// As [`watched`], with the run folder under `base`.
///
/// # Errors
/// Those of [`run`].
pub async fn watched_in(
    base: &Path,
    tools: &Tools,
    loaded: &Loaded,
    options: Options,
    watch: impl FnOnce(&Observed),
) -> Result<Finished, FolderError> {
    carry_out(RunFolder::create_in(base)?, tools, loaded, options, watch).await
}

async fn carry_out(
    folder: Arc<RunFolder>,
    tools: &Tools,
    loaded: &Loaded,
    options: Options,
    watch: impl FnOnce(&Observed),
) -> Result<Finished, FolderError> {
    let (scenario, started) = (&loaded.scenario, Instant::now());
    let observed = Observed::new(started);
    if options.trace {
        observed.write(|state| state.trace = Some(Default::default()));
    }
    watch(&observed);
    let waits = Waits::new(observed, scenario.deadlines.clone());
    let run = Run { tools, scenario, folder, started, waits };
    let (home, ended) = match &tools.engine {
        Engine::Libvirt(libvirt) => story::tell(&run, &mut ByLibvirt::new(&run, libvirt)).await,
        Engine::Emulated | Engine::Kvm(_) => story::tell(&run, &mut ByQemu::new(&run)).await,
    };
    Ok(close::close(run, home, ended, loaded, options).await)
}

/// What everything in a run needs: what is to happen, with what, and what has happened.
struct Run<'a> {
    tools: &'a Tools,
    scenario: &'a Scenario,
    folder: Arc<RunFolder>,
    started: Instant,
    waits: Waits,
}

impl Run<'_> {
    fn observed(&self) -> &Observed {
        &self.waits.observed
    }

    /// Whether machines have the plugin.
    fn has_plugin(&self) -> bool {
        self.scenario.plugin && self.tools.engine.is_emulated()
    }
}
