// SPDX-License-Identifier: MIT OR Apache-2.0
//! The same story with libvirt in QEMU's place: it creates the guest's domain, migrates it, and says how that went. It
//! leaves no moment for a hand-over of the device, so both hosts have been given the same.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::Run;
use super::blame::{self, Ended};
use super::channel::address;
use super::story::Migrator;
use crate::hosts::queues::random_uuid;
use crate::hosts::ssh::ShellStatus;
use crate::hosts::transport::{Tcp, Transport, bracketed};
use crate::libvirt::daemon::{Daemon, Libvirt};
use crate::libvirt::domain::{Domain, MigrationError, Pending, Plan};
use crate::libvirt::limits::MIB;
use crate::machine::Machine;
use crate::machine::error::MachineError;
use crate::machine::observed::State;
use crate::outcome::events::What;
use crate::outcome::verdict::{Kind, RunVerdict};
use crate::protocol::qmp::command::MigrationStatus;
use crate::scenario::{Hop, How};

/// Milliseconds and MiB a second that keep a guest that works from converging; libvirt knows none less.
const TIGHT: [(&str, &str); 2] = [("migrate-setmaxdowntime", "1"), ("migrate-setspeed", "1")];

/// A machine, and the domain that libvirt has of it.
type Guest = (Machine, Arc<Domain>);

/// The libvirt of both hosts.
pub(super) struct ByLibvirt<'a> {
    run: &'a Run<'a>,
    libvirt: &'a Libvirt,
    name: String,
    uuid: String,
    /// What the machine that has the guest is there.
    domain: Option<Arc<Domain>>,
}

impl<'a> ByLibvirt<'a> {
    pub(super) fn new(run: &'a Run<'a>, libvirt: &'a Libvirt) -> Self {
        let name = format!("kaput-{}-{}", libvirt.mark, run.folder.tag());
        Self { run, libvirt, name, uuid: random_uuid(), domain: None }
    }
}

impl Migrator for ByLibvirt<'_> {
    async fn start(&mut self) -> Result<Machine, Ended> {
        let (home, domain) = self.created().await?;
        self.domain = Some(domain);
        Ok(home)
    }

    /// libvirt starts the destination itself.
    fn prepare(&mut self, _number: usize) -> Result<(), Ended> {
        Ok(())
    }

    async fn migrate(&mut self, number: usize, hop: Hop<'_>, home: &mut Machine) -> Result<(), Ended> {
        let Some(domain) = self.domain.clone() else {
            return Err(RunVerdict::new(Kind::HarnessFailed, "libvirt has no domain of the guest").ended());
        };
        let (destination, there) = self.migrated(home, &domain, number, &hop).await?;
        self.domain = Some(there);
        std::mem::replace(home, destination).dismiss();
        Ok(())
    }

    /// What the guest said last is still on its way when its end is reported.
    async fn hear_out(&mut self, home: &mut Machine) {
        if self.run.observed().look().machines[home.index].guest_ended.is_some() {
            home.hear_out().await;
        }
    }
}

impl ByLibvirt<'_> {
    /// Describes the guest to a host.
    async fn describe(&self, host: &str) -> Result<Pending, MachineError> {
        let run = self.run;
        let starts_here = host == run.scenario.start();
        let daemon = daemon(self.libvirt, starts_here);
        let connection = if starts_here { &run.tools.hosts.source } else { &run.tools.hosts.destination };
        let (qemu, plugin) = match connection {
            Some(connection) => (Path::new(&connection.hello.qemu), Path::new(&connection.hello.plugin)),
            None => (&*run.tools.qemu, &*run.tools.plugin),
        };
        let kvm = self.libvirt.kvm.as_ref().map(|kvm| {
            let device = if starts_here { &kvm.source } else { &kvm.destination };
            (&*kvm.cpu, device.rsplit('/').next().unwrap_or_default())
        });
        // Nothing brings the device's configuration along: both hosts have been given that of the first.
        let spec = run.scenario.host(run.scenario.start()).filter(|_| run.scenario.plugin);
        let plan = Plan {
            host,
            daemon,
            name: &self.name,
            uuid: &self.uuid,
            machine: &run.tools.machine,
            qemu,
            append: &run.scenario.command_line(),
            cpus: run.scenario.guest.cpus.get_ref().get(),
            kvm,
            emulated: spec.map(|spec| (plugin, spec)),
            folder: &run.folder,
            started: run.started,
            answer: run.scenario.deadlines.answer,
        };
        Pending::prepare(&plan, run.observed()).await
    }

    /// The domain on the first host, from its description to its first instruction.
    async fn created(&self) -> Result<Guest, Ended> {
        let run = self.run;
        let (host, patience) = (run.scenario.start(), run.scenario.deadlines.start);
        let create = async {
            let coming = self.describe(host).await?;
            let created = tokio::time::timeout(patience, coming.create()).await;
            created.unwrap_or(Err(MachineError::Late("libvirt's word that the domain is there")))?;
            // Before its first instruction: what it says while nobody is connected is lost.
            let (home, domain) = coming.ready().await?;
            domain.resume(patience).await?;
            Ok((home, domain))
        };
        create.await.map_err(|error: MachineError| {
            RunVerdict::new(Kind::SourceNeverStarted, format!("libvirt of host {host} did not start the guest"))
                .on(host)
                .expected(format!("the guest runs within {patience:?}"))
                .seen(error.to_string())
                .next("its description, and what its QEMU said, are in the run folder")
                .ended()
        })
    }

    /// One migration; the guest is on the machine that is returned.
    async fn migrated(
        &self,
        source: &mut Machine,
        domain: &Domain,
        number: usize,
        hop: &Hop<'_>,
    ) -> Result<Guest, Ended> {
        let run = self.run;
        run.begin_migration(number, hop, source).await?;
        let coming = self.describe(hop.to).await;
        let coming = run.waits.done(source, "the guest is described to the destination", coming)?;
        let there = daemon(self.libvirt, hop.to == run.scenario.start());
        let address = domain.daemon.address_of(there, &run.folder, number).await.map_err(Into::into);
        let address = run.waits.done(source, "a way to the other libvirt is made", address)?;
        if hop.with.mid_run {
            self.limit(source, domain, &TIGHT).await?;
        } else {
            self.limit(source, domain, &as_limits(&limits(hop.with))).await?;
        }
        self.carry_over(source, domain, &coming, hop, &address, there).await?;
        let (destination, domain) = run.waits.done(source, "its console is connected", coming.ready().await)?;
        self.end_states(source, &destination, &domain, number).await?;
        Ok((destination, domain))
    }

    /// `virsh migrate`, to its end.
    async fn carry_over(
        &self,
        source: &Machine,
        domain: &Domain,
        coming: &Pending,
        hop: &Hop<'_>,
        address: &str,
        there: &Daemon,
    ) -> Result<(), Ended> {
        let run = self.run;
        let doing = "the migration is started";
        // What there is to read of it on the host of the source is the description that the destination's has.
        let xml = run.folder.file(&format!("{:02}-{}.xml", coming.index, hop.to));
        let xml = std::fs::read(xml).map_err(|error| MachineError::Io("domain description", error));
        let file = format!("{}.to-xml", domain.stem);
        let put = domain.daemon.connection.put(&file, run.waits.done(source, doing, xml)?).await.map_err(Into::into);
        run.waits.done(source, doing, put)?;
        let file = domain.daemon.connection.path(&file).display().to_string();
        let transport = run.waits.done(source, doing, self.transport(domain, there, hop))?;
        let mut arguments = vec!["migrate", "--live", "--p2p", "--xml", &file];
        arguments.extend(transport.iter().map(String::as_str));
        arguments.extend([&*domain.name, address]);
        let mut ended = run.waits.done(source, doing, domain.begin("migrate", &arguments).await)?;
        let deadline = tokio::time::Instant::now() + run.scenario.deadlines.migration;
        tokio::select! {
            proven = tokio::time::timeout_at(deadline, self.proof(source, domain, hop)) => match proven {
                Ok(proven) => proven?,
                Err(_) => return Err(run.waits.stuck(source, "its guest is to be seen at work")),
            },
            status = &mut ended => {
                self.outcome(domain, source, there, status.ok(), hop).await?;
                return if hop.with.mid_run { Err(blame::not_mid_run(source)) } else { Ok(()) };
            }
        }
        match tokio::time::timeout_at(deadline, ended).await {
            Ok(status) => self.outcome(domain, source, there, status.ok(), hop).await,
            Err(_) => Err(run.waits.stuck(source, "libvirt migrates the guest")),
        }
    }

    /// The way the guest's memory goes: through libvirt's own connection, or by TCP to an address of the destination.
    fn transport(&self, domain: &Domain, there: &Daemon, hop: &Hop<'_>) -> Result<Vec<String>, MachineError> {
        let run = self.run;
        let Transport::Tcp(Tcp { address: named, ports }) = &run.tools.hosts.transport else {
            return Ok(vec!["--tunnelled".to_owned()]);
        };
        // The address that was named is the destination's; who goes back to where he started goes elsewhere.
        let named = named.clone().filter(|_| hop.to != run.scenario.start());
        let address = named.map_or_else(|| address(domain.daemon.elsewhere(), there.elsewhere()), Ok)?;
        let port = ports.map_or(String::new(), |(first, _)| format!(":{first}"));
        let uri = format!("tcp://{}{port}", bracketed(&address));
        Ok(vec!["--migrateuri".to_owned(), uri, "--listen-address".to_owned(), address])
    }

    /// That the guest works while memory moves, where the scenario wants that.
    async fn proof(&self, source: &Machine, domain: &Domain, hop: &Hop<'_>) -> Result<(), Ended> {
        let run = self.run;
        if !hop.with.mid_run {
            return Ok(());
        }
        let active = |state: &State| (state.machines[source.index].migration == MigrationStatus::ACTIVE).then_some(());
        run.waits.soon(source, "memory moves", active).await?;
        self.prove(source).await?;
        // A migration that is over has no limits any more.
        _ = self.limit(source, domain, &as_limits(&limits(hop.with))).await;
        Ok(())
    }

    /// Each look takes a while, and the first pass over memory is the long one: nothing is waited for between two
    /// looks.
    async fn prove(&self, source: &Machine) -> Result<(), Ended> {
        let run = self.run;
        let mut before = None;
        while run.observed().look().machines[source.index].migration == MigrationStatus::ACTIVE {
            // A guest that has gone over cannot be looked at any more, and was not seen.
            let Ok(now) = source.read_doubleword(run.tools.image.progress.address).await else { break };
            let operations = now.wrapping_sub(*before.get_or_insert(now));
            if operations > 0 {
                run.observed().event(Some(source.index), What::MidRun { operations });
                return Ok(());
            }
        }
        Err(blame::not_mid_run(source))
    }

    /// What libvirt says about a migration that has ended.
    async fn outcome(
        &self,
        domain: &Domain,
        source: &Machine,
        there: &Daemon,
        status: Option<ShellStatus>,
        hop: &Hop<'_>,
    ) -> Result<(), Ended> {
        let (kind, seen) = match domain.migrated(there, status.as_ref()).await {
            Ok(()) => return Ok(()),
            Err(MigrationError::NotSupported(said)) => (Kind::Skipped, said),
            Err(MigrationError::Failed(said)) => (Kind::MigrationFailed, said),
        };
        let to = hop.to;
        Err(RunVerdict::new(kind, format!("libvirt of host {} did not migrate the guest to host {to}", source.host))
            .on(&source.host)
            .seen(seen)
            .next("what it was asked is in the run folder; the journal of either libvirt says more")
            .ended())
    }

    /// Sets what libvirt sets of a migration's limits.
    async fn limit(&self, source: &Machine, domain: &Domain, limits: &[(&str, &str)]) -> Result<(), Ended> {
        let run = self.run;
        for (verb, value) in limits {
            let set = domain.virsh("limit a migration", verb, &[value]).await;
            run.waits.done(source, "the limits are set", set)?;
        }
        Ok(())
    }

    /// The source has no domain any more, and the destination's runs because it was migrated.
    async fn end_states(
        &self,
        source: &mut Machine,
        destination: &Machine,
        domain: &Domain,
        number: usize,
    ) -> Result<(), Ended> {
        let run = self.run;
        let doing = "its end state is asked";
        let stopped = |state: &State| state.machines[source.index].stopped.clone();
        let left = run.observed().until(Instant::now() + run.scenario.deadlines.answer, stopped).await;
        source.hear_out().await;
        let arrived = run.waits.done(destination, doing, domain.virsh(doing, "domstate", &["--reason"]).await)?;
        let left = left.unwrap_or("still there".to_owned());
        let expected = ["gone", "Migrated", "running", "migrated"];
        let (running, reason) = arrived.trim().split_once(' ').unwrap_or((arrived.trim(), ""));
        let seen = ["gone", &left, running, reason.trim_matches(['(', ')'])];
        if seen != expected {
            return Err(blame::wrong_end_states(source, destination, &expected, &seen));
        }
        let told = domain.virsh(doing, "domjobinfo", &["--completed", "--rawstats"]).await.unwrap_or_default();
        let figure = |name: &str| {
            let lines = told.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(key, _)| *key == name).find_map(|(_, value)| value.trim().parse().ok())
        };
        let (downtime, transferred) = (figure("downtime"), figure("data_processed"));
        let done = What::MigrationDone { migration: number, accepted: true, downtime, transferred };
        run.observed().event(Some(source.index), done);
        // The guest waits for its key.
        run.waits.done(destination, doing, domain.heard(run.scenario.deadlines.start, ["suspend", "resume"]).await)
    }
}

fn daemon(libvirt: &Libvirt, is_source: bool) -> &Arc<Daemon> {
    if is_source { &libvirt.source } else { &libvirt.destination }
}

/// The limits as the scenario has them, in libvirt's units.
fn limits(with: &How) -> [(&'static str, String); 2] {
    // Without a limit libvirt takes what its own largest number is.
    let speed = with.bandwidth.map_or(u64::from(u32::MAX) / 2, |bytes| bytes.div_ceil(MIB));
    let downtime = with.downtime.unwrap_or(2000).max(1);
    [("migrate-setmaxdowntime", downtime.to_string()), ("migrate-setspeed", speed.to_string())]
}

fn as_limits<'a>(limits: &'a [(&'static str, String); 2]) -> [(&'static str, &'a str); 2] {
    [(limits[0].0, &limits[0].1), (limits[1].0, &limits[1].1)]
}
