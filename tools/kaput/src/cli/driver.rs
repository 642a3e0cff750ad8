// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--driver`: which driver stands between the hosts of a scenario, and what the lab needs for a real one.

use std::path::PathBuf;
use std::sync::Arc;

use miette::{Result, miette};

use crate::lab::supply::Supply;
use crate::run::tools::{Tools, beside};
use crate::scenario::DriverName;
use crate::scenario::load::Loaded;

/// Which driver.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Options {
    /// The driver between the hosts: model; model:PROFILE, as it imitates a driver; lab, the real one of the kernel
    /// that `cargo xtask lab` built; or lab:BZIMAGE, that of yours [default: the scenario's]
    #[arg(long, value_name = "DRIVER")]
    driver: Option<DriverName>,
    /// The agent for an LPAR [default: kaput-agent next to this program]
    #[arg(long, value_name = "FILE", env = "KAPUT_AGENT", hide_env_values = true)]
    agent: Option<PathBuf>,
    /// The kernel that `--driver lab` means
    #[arg(long, hide = true, value_name = "BZIMAGE", env = "KAPUT_LAB_KERNEL")]
    lab_kernel: Option<PathBuf>,
}

impl Options {
    /// The scenarios get the driver that was named.
    pub(super) fn choose(&self, all: &mut [Loaded]) {
        if let Some(driver) = &self.driver {
            all.iter_mut().for_each(|loaded| loaded.scenario.choose(driver.clone()));
        }
    }

    /// What was given, for a command line that does the same again.
    pub(super) fn words(&self) -> String {
        self.driver.as_ref().map_or_else(String::new, |driver| format!(" --driver {driver}"))
    }

    /// Finds what the lab needs, where a scenario needs the lab. Every kernel that is named is looked at. `is_here`
    /// says whether the hosts are where the lab has them.
    pub(super) fn find(&self, all: &[Loaded], is_here: bool, tools: &mut Tools) -> Result<()> {
        let kernels = all.iter().filter_map(|loaded| match &loaded.scenario.driver {
            DriverName::Model(_) => None,
            DriverName::Lab(kernel) => Some(kernel.as_deref()),
        });
        let mut kernels = kernels.peekable();
        if kernels.peek().is_none() {
            return Ok(());
        }
        if !is_here {
            let help = "leave out --engine, --source and --destination";
            return Err(miette!(help = help, "the lab has its hosts here, as emulated LPARs"));
        }
        let emulator = (tools.qemu.clone(), tools.machine.clone(), tools.plugin.clone());
        let agent = self.agent.clone().unwrap_or_else(|| beside("kaput-agent"));
        let supply = Supply::new(emulator, agent, self.lab_kernel.clone())?;
        for kernel in kernels {
            supply.kept(kernel)?;
        }
        tools.lab = Some(Arc::new(supply));
        Ok(())
    }
}
