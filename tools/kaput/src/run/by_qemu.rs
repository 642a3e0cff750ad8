// SPDX-License-Identifier: MIT OR Apache-2.0
//! The harness migrates the guest itself: it starts the QEMUs, the next destination while the guest is still busy, and
//! drives them by QMP.

use std::path::PathBuf;

use tokio_util::task::AbortOnDropHandle;

use super::Run;
use super::blame::{self, Ended};
use super::lpars::Lpars;
use super::migration::Migration;
use super::refusal::{self, Marks};
use super::story::Migrator;
use crate::machine::Machine;
use crate::machine::arguments::Setup;
use crate::machine::error::MachineError;
use crate::machine::launch::{Cards, Launching, Plan};
use crate::outcome::events::What;
use crate::outcome::verdict::{Kind, RunVerdict};
use crate::run::engine::Engine;
use crate::scenario::{Hop, Moment};

/// QEMUs of the harness's own.
pub(super) struct ByQemu<'a> {
    run: &'a Run<'a>,
    /// The hosts, where their driver is a real one in the lab.
    lpars: Lpars,
    /// Where the kernels' logs stood at first, where there is one to be asked.
    marks: Option<Marks>,
    /// The destination of the next migration, which is being started while other things happen.
    next: Option<Pending>,
}

/// The number of a machine, and what will be of it.
type Pending = (usize, AbortOnDropHandle<Result<Machine, MachineError>>);

impl<'a> ByQemu<'a> {
    pub(super) fn new(run: &'a Run<'a>) -> Self {
        Self { run, lpars: Lpars::default(), marks: None, next: None }
    }

    fn launch(&mut self, host: &str, incoming: bool) -> Result<Launching, Ended> {
        let Run { tools, scenario, folder, started, .. } = self.run;
        let spec = scenario.host(host).filter(|_| self.run.has_plugin());
        let starts_here = host == scenario.start();
        let connection = if starts_here { &tools.hosts.source } else { &tools.hosts.destination }.as_ref();
        let there = connection.map(|connection| {
            (PathBuf::from(&connection.hello.qemu), PathBuf::from(&connection.hello.plugin), connection.image())
        });
        let (qemu, plugin, image) = match &there {
            Some((qemu, plugin, image)) => (&**qemu, &**plugin, &**image),
            None => (&*tools.qemu, &*tools.plugin, &*tools.image.path),
        };
        let kvm = match &tools.engine {
            Engine::Emulated | Engine::Libvirt(_) => None,
            Engine::Kvm(kvm) => Some((&*kvm.cpu, if starts_here { &*kvm.source } else { &*kvm.destination })),
        };
        let (append, cpus) = (scenario.command_line(), scenario.guest.cpus.get_ref().get());
        let setup = Setup { qemu, machine: &tools.machine, plugin, image, append: &append, cpus, kvm };
        let trace = self.run.observed().look().trace.is_some();
        let (started, answer) = (*started, scenario.deadlines.answer);
        let failed = |error: &MachineError| blame::launch_failed(host, incoming, error);
        let cards = match (spec, self.lpars.seat(host)) {
            (_, Some(seat)) => Cards::Owner(seat.map_err(|error| failed(&MachineError::Io("machine socket", error)))?),
            (Some(spec), None) => Cards::Plugin(spec),
            (None, None) => Cards::Nobody,
        };
        let plan = Plan { host, cards, connection, setup: &setup, incoming, folder, started, trace, answer };
        Launching::launch(plan, self.run.observed()).map_err(|error| failed(&error))
    }

    async fn destination(&mut self, number: usize) -> Result<Machine, Ended> {
        if self.next.is_none() {
            self.prepare(number)?;
        }
        let Some((index, ready)) = self.next.take() else {
            return Err(RunVerdict::new(Kind::HarnessFailed, format!("there is no migration {number}")).ended());
        };
        match ready.await {
            Ok(ready) => ready.map_err(|error| self.run.waits.never_started(index, true, &error)),
            Err(error) => {
                Err(RunVerdict::new(Kind::HarnessFailed, format!("a task of the harness ended: {error}")).ended())
            }
        }
    }
}

impl Migrator for ByQemu<'_> {
    async fn start(&mut self) -> Result<Machine, Ended> {
        self.lpars = Lpars::start(self.run).await?;
        self.marks = refusal::marks(self.run).await;
        let launching = self.launch(self.run.scenario.start(), false)?;
        self.prepare(1)?;
        let index = launching.index;
        for action in self.run.actions(Moment::Boot, 1) {
            self.run.observed().event(Some(index), What::Action { action: action.to_string() });
            // Nothing else is possible so early.
            launching.kill();
        }
        let ready = launching.ready(self.run.scenario.deadlines.start).await;
        ready.map_err(|error| self.run.waits.never_started(index, false, &error))
    }

    fn prepare(&mut self, number: usize) -> Result<(), Ended> {
        let Some(hop) = self.run.scenario.hops().get(number - 1).copied() else { return Ok(()) };
        let launching = self.launch(hop.to, true)?;
        let (index, patience) = (launching.index, self.run.scenario.deadlines.start);
        self.next = Some((index, AbortOnDropHandle::new(tokio::spawn(launching.ready(patience)))));
        Ok(())
    }

    async fn migrate(&mut self, number: usize, hop: Hop<'_>, home: &mut Machine) -> Result<(), Ended> {
        let mut destination = self.destination(number).await?;
        let migration = Migration { run: self.run, number, hop, source: home, destination: &destination };
        let accepted = match migration.carry_out().await {
            Err(ended) if migration.lost_its_destination(&ended) => Err(migration.stay(ended).await),
            Err(ended) => migration.ask_the_kernel(self.marks.as_ref(), ended).await,
            accepted => accepted,
        };
        if *accepted.as_ref().unwrap_or(&self.run.waits.is_gone(home)) {
            std::mem::swap(home, &mut destination);
        }
        let left = destination;
        self.run.fetch_trace(&left).await;
        left.dismiss();
        accepted.map(|_| ())
    }

    /// The guest's QEMU stands still with it, and everything it printed stands in the socket.
    async fn hear_out(&mut self, _home: &mut Machine) {}

    async fn end(&mut self) -> Option<Ended> {
        // A destination that nobody needs any more goes first: it has a place at its host.
        self.next = None;
        self.lpars.end(self.run).await
    }
}
