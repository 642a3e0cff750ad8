// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kaput qemu`: what the user wants for a guest of their own.

use std::ffi::OsString;
use std::path::PathBuf;

use ap_arch::Matrix;
use ap_machine::Topology;
use ap_machine::topology::short_matrix;
use miette::Result;

use crate::machine::emulator;
use crate::outcome::verdict::Exit;
use crate::run::tools::NamedEmulator;
use crate::scenario::load::{self, ScenarioError};

pub(super) const EXAMPLES: &str = "\
Examples:
  kaput qemu --ap 05=cex8a,06=cex8c/33,3a -- -cpu max -m 1G -kernel vmlinuz -initrd initrd -nographic
  kaput qemu --topology cards.toml --control ap.sock -- -smp 4 -drive file=disk.qcow2,if=virtio
  kaput qemu --ap 00-07=cex8a/00-0f --guest 05,06/03 -- -kernel vmlinuz

As QEMU for libvirt (<emulator>) or kvm-unit-tests (QEMU=), a script of two lines:
  #!/bin/sh
  exec kaput qemu --qemu /usr/bin/qemu-system-s390x --ap 05=cex8a/33 -- \"$@\"

Exit status: that of QEMU; 2 if nothing was started.
";

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    named: NamedEmulator,
    #[command(flatten)]
    hardware: Hardware,
    /// What of it the guest gets, ADAPTER,…/DOMAIN,…[/CONTROL-DOMAIN,…] [default: everything]
    #[arg(long, value_name = "PART", value_parser = short_matrix)]
    guest: Option<Matrix>,
    /// Shows the guest the AP-queue interruption facility (STFLE 65), as `facilities.apqi` in a file does
    #[arg(long)]
    interrupts: bool,
    /// Shows the guest an LPAR on which Linux's KVM and vfio_ap start, with STFLE 65, as `facilities.sie` in a file
    /// does
    #[arg(long)]
    lpar: bool,
    /// Where the plugin listens: cards are plugged, configured and made to fail there
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
    /// What QEMU is started with
    #[arg(last = true, value_name = "QEMU-ARGS")]
    arguments: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Hardware {
    /// The AP hardware, ADAPTER=KIND,…/DOMAIN,…[/CONTROL-DOMAIN,…]; kinds are cex4a to cex8p
    #[arg(long, value_name = "SPEC")]
    ap: Option<Topology>,
    /// The AP hardware in a TOML file
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
}

impl Hardware {
    /// What it is.
    pub(super) fn topology(&self) -> Result<Topology> {
        match self {
            Self { ap: Some(topology), .. } => Ok(topology.clone()),
            Self { topology: Some(path), .. } => load::topology(path).map_err(|error| match error {
                ScenarioError::Io { path, source } => {
                    let help = "name a topology file, or say the hardware in short: --ap 05=cex8a/33";
                    miette::miette!(help = help, "cannot read {}: {source}", path.display())
                }
                error => error.into(),
            }),
            Self { ap: None, topology: None } => Err(miette::miette!("neither --ap nor --topology is given")),
        }
    }
}

/// Becomes QEMU; returns only when that fails.
pub(super) async fn start(options: &Options) -> Result<Exit> {
    let wishes = emulator::Options {
        topology: options.hardware.topology()?,
        guest: options.guest,
        interrupts: options.interrupts,
        lpar: options.lpar,
        control: options.control.clone(),
        arguments: options.arguments.clone(),
    };
    let emulator = wishes.check()?;
    let (qemu, plugin) = options.named.find().await?;
    Err(emulator.start(&qemu, &plugin).into())
}
