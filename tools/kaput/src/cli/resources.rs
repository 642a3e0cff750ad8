// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kaput restore`, and the part of `kaput run` that gives real hosts' queues to a guest: taken before the runs, given
//! back after them, whatever became of them.

use std::path::PathBuf;
use std::sync::Arc;

use ap_arch::Matrix;
use ap_machine::topology::short_matrix;
use clap::ValueEnum;
use miette::{Result, miette};

use super::print::{complain, print};
use crate::hosts::cpu_model::{self, Kvm};
use crate::hosts::kernel_log::KernelLogs;
use crate::hosts::name::Site;
use crate::hosts::pair::Sites;
use crate::hosts::queues::{self, Claim, Device, ResourceError};
use crate::hosts::ssh::HostConnection;
use crate::hosts::virsh::mark_of;
use crate::libvirt::daemon::{Daemon, Libvirt};
use crate::libvirt::limits;
use crate::outcome::verdict::Exit;
use crate::progress::busy_beside_a_question;
use crate::run::engine::Engine;
use crate::run::tools::Tools;
use crate::scenario::ExpectedOutcome;
use crate::scenario::load::Loaded;

pub(super) const RESTORE_HELP: &str = "\
Examples:
  kaput restore                      after a crash: every host is as it was before the run

What is to be put back stands in journals, in KAPUT_STATE, else in XDG_STATE_HOME/kaput or ~/.local/state/kaput. A \
host on
which another kaput is at work is waited for, up to 50 seconds.

Exit status: 0 everything is as it was, 3 something could not be put back, or a journal cannot be read; it stays then.
";

#[derive(Debug, clap::Args)]
pub(super) struct RestoreOptions {
    /// The configuration for ssh [default: the one the run had]
    #[arg(long, value_name = "FILE", env = "KAPUT_SSH_CONFIG")]
    ssh_config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Name {
    /// QEMU's own CPU, and the plugin for cards and driver
    #[default]
    Emulated,
    /// QEMU with KVM and the host's vfio-ap driver
    Qemu,
    /// libvirt on both hosts, with the emulated machine, or with KVM where --mdev or --assign gives queues
    Libvirt,
}

/// What executes guests, and with which queues.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Options {
    /// What executes guests
    #[arg(long, value_enum, default_value_t)]
    engine: Name,
    /// With --engine qemu or libvirt: a mediated device that is there on both hosts; nothing of it is changed
    #[arg(long, value_name = "UUID", value_parser = super::print::device_name, conflicts_with = "assign")]
    mdev: Option<String>,
    /// With --engine qemu or libvirt: makes a mediated device for the run, on both hosts, and puts everything back:
    /// 05,06/33,3a
    #[arg(long, value_name = "ADAPTERS/DOMAINS[/CONTROL]", value_parser = matrix)]
    assign: Option<Matrix>,
    /// With queues of the hosts: the guest's CPU model [default: what both hosts have, and AP]
    #[arg(long, value_name = "MODEL")]
    cpu: Option<String>,
}

fn matrix(text: &str) -> std::result::Result<Matrix, String> {
    short_matrix(text).map_err(|error| error.to_string())
}

/// What real hosts gave; nothing where the machine is emulated.
#[derive(Default)]
pub(super) struct Held {
    taken: Vec<Claim>,
}

impl Options {
    /// Whether a plugin stands for cards and driver.
    pub(super) fn is_emulated(&self) -> bool {
        match self.engine {
            Name::Emulated => true,
            Name::Qemu => false,
            Name::Libvirt => self.mdev.is_none() && self.assign.is_none(),
        }
    }

    /// Whether QEMU is the harness's own, with the emulated machine.
    pub(super) fn is_usual(&self) -> bool {
        self.engine == Name::Emulated
    }

    /// Looks for contradictions, before anything is connected.
    pub(super) fn check(&self, sites: &Sites, all: &[Loaded]) -> Result<()> {
        let device = self.mdev.is_some() || self.assign.is_some();
        if self.engine == Name::Libvirt {
            limits::check(sites, all, self.is_emulated())?;
        }
        if self.is_emulated() {
            return match device || self.cpu.is_some() {
                false => Ok(()),
                true => Err(miette!(
                    help = "--engine qemu runs guests on KVM with real queues",
                    "the emulated machine has no mediated device of the host's, and one CPU model"
                )),
            };
        }
        if !device {
            return Err(miette!(
                help = "--mdev UUID names one that is there, --assign 05,06/33,3a makes one for the run",
                "--engine qemu needs a mediated device"
            ));
        }
        let moves = |loaded: &&Loaded| !loaded.scenario.hops().is_empty();
        if sites.source == sites.destination
            && let Some(loaded) = all.iter().find(moves)
        {
            return Err(miette!(
                help = "name another --source or --destination",
                "scenario {} migrates its guest, and a mediated device has one guest: two hosts are needed",
                loaded.scenario.name
            ));
        }
        for Loaded { scenario, .. } in all {
            let has = scenario.host(scenario.start()).map(|host| host.guest_matrix());
            if let (Some(has), Some(assigned)) = (has, self.assign)
                && has != assigned
            {
                let [adapters, domains, control_domains] = [has.adapters, has.domains, has.control_domains]
                    .map(|mask| mask.iter().map(|n| format!("{n:02x}")).collect::<Vec<_>>().join(","));
                return Err(miette!(
                    help = format!("its guest expects: --assign {adapters}/{domains}/{control_domains}"),
                    "scenario {} gives its guest other queues than --assign",
                    scenario.name
                ));
            }
        }
        Ok(())
    }

    /// Takes what the guest is to have, and gives it to the tools. What is taken is `held` from then on, whatever
    /// happens next.
    pub(super) async fn take(&self, sites: &Sites, all: &[Loaded], tools: &mut Tools, held: &mut Held) -> Result<()> {
        if self.engine != Name::Libvirt {
            return self.take_queues(sites, all, tools, held).await;
        }
        // Before anything is changed.
        let (source, destination) = libvirt(sites, tools).await?;
        self.take_queues(sites, all, tools, held).await?;
        let kvm = match std::mem::take(&mut tools.engine) {
            Engine::Kvm(kvm) => Some(kvm),
            _ => None,
        };
        let device = kvm.as_ref().and_then(|kvm| kvm.source.rsplit('/').next().map(str::to_owned));
        let mark = mark_of(&device.unwrap_or_else(queues::random_uuid)).to_owned();
        tools.engine = Engine::Libvirt(Libvirt { source, destination, kvm, mark });
        Ok(())
    }

    async fn take_queues(&self, sites: &Sites, all: &[Loaded], tools: &mut Tools, held: &mut Held) -> Result<()> {
        let Some(device) = self.device() else { return Ok(()) };
        let refusal_is_expected = all.iter().any(|loaded| loaded.scenario.expect.outcome() == ExpectedOutcome::Refused);
        let one_host = sites.source == sites.destination;
        let cpu = self.take_all(sites, tools, &device, held).await?;
        if let ([source, destination], false) = (&held.taken[..], refusal_is_expected)
            && let Some(text) = queues::foresee(source, destination).await?
        {
            return Err(miette!(help = "`kaput preflight` reports the same before", "nothing was started\n{text}"));
        }
        let mut folders = held.taken.iter().map(|taken| taken.device.clone());
        let source = folders.next().unwrap_or_default();
        let destination = if one_host { source.clone() } else { folders.next().unwrap_or_default() };
        if let [source, destination] = &held.taken[..] {
            let (source, destination) = (source.witness(), destination.witness());
            tools.kernel_logs = Some(KernelLogs { source, destination });
        }
        tools.engine = Engine::Kvm(Kvm { cpu, source, destination });
        Ok(())
    }

    fn device(&self) -> Option<Device> {
        let assigned = || self.assign.map(Device::Assigned);
        self.mdev.clone().map(Device::Existing).or_else(assigned).filter(|_| !self.is_emulated())
    }

    /// Both hosts' queues, and the CPU that both have.
    async fn take_all(
        &self,
        sites: &Sites,
        tools: &Tools,
        device: &Device,
        held: &mut Held,
    ) -> std::result::Result<String, ResourceError> {
        let uuid = queues::random_uuid();
        let mut hosts = vec![&tools.hosts.source];
        if sites.source != sites.destination {
            hosts.push(&tools.hosts.destination);
        }
        let mut connected: Vec<Arc<HostConnection>> = Vec::new();
        for connection in hosts {
            let connection = match connection {
                Some(connection) => Arc::clone(connection),
                None => HostConnection::connect(&Site::Local, None).await?,
            };
            held.taken.push(queues::claim(Arc::clone(&connection), device, &uuid).await?);
            if let Some(taken) = held.taken.last() {
                taken.take().await?;
            }
            connected.push(connection);
        }
        match &self.cpu {
            Some(cpu) => Ok(cpu.clone()),
            None => {
                Ok(cpu_model::baseline(&connected.iter().map(|connection| &**connection).collect::<Vec<_>>()).await?)
            }
        }
    }
}

/// The libvirt of both hosts; that of one host is one.
async fn libvirt(sites: &Sites, tools: &Tools) -> Result<(Arc<Daemon>, Arc<Daemon>)> {
    let connect = async |connection: &Option<Arc<HostConnection>>| {
        let daemon = match connection {
            Some(connection) => Daemon::connect(Arc::clone(connection), false).await?,
            None => Daemon::connect(HostConnection::connect(&Site::Local, None).await?, true).await?,
        };
        daemon.bring(&tools.image).await?;
        Ok::<_, miette::Report>(daemon)
    };
    let source = connect(&tools.hosts.source).await?;
    if sites.source == sites.destination {
        return Ok((Arc::clone(&source), source));
    }
    Ok((source, connect(&tools.hosts.destination).await?))
}

/// Ends what is kept open for libvirt.
pub(super) async fn close(engine: Engine) {
    if let Engine::Libvirt(Libvirt { source, destination, .. }) = engine {
        // Where they are the same, the last reference closes.
        tokio::join!(source.close(), destination.close());
    }
}

impl Held {
    /// Puts everything back, on both hosts at once; the first that is not as it was is reported.
    pub(super) async fn give_back(self) -> Result<()> {
        let given = futures_util::future::join_all(self.taken.into_iter().map(Claim::give_back)).await;
        given.into_iter().collect::<std::result::Result<Vec<()>, _>>()?;
        Ok(())
    }
}

pub(super) async fn restore(options: &RestoreOptions) -> Result<u8> {
    let restored = busy_beside_a_question("hosts are put back", queues::restore(options.ssh_config.clone())).await?;
    if restored.is_empty() {
        return print("nothing is to be put back\n").await;
    }
    let mut exit = Exit::AsExpected;
    for (host, result) in restored {
        match result {
            Ok(()) => _ = print(format!("{host} is as it was\n")).await?,
            Err(error) => {
                complain(miette::Report::from(error)).await;
                exit = Exit::Infrastructure;
            }
        }
    }
    Ok(exit.status())
}
