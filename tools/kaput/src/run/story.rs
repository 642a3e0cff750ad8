// SPDX-License-Identifier: MIT OR Apache-2.0
//! The story of a run, whoever migrates the guest: it starts, it is migrated whenever it asks, it ends. Each step is a
//! wait for something that the guest says.

use vfio_ap::control::{HostReply, Request, ValueReply};

use super::Run;
use super::blame::Ended;
use crate::machine::Machine;
use crate::machine::observed::State;
use crate::outcome::events::What;
use crate::outcome::verdict::{Kind, RunVerdict};
use crate::protocol::qmp::command::QueryMigrate;
use crate::scenario::{Hop, Moment};

/// What the guest's suite `hot-unplug` says once it is ready.
const WAITS_FOR_UNPLUG: &str = "hot-unplug: waiting for a domain to go";

/// Migrations between two looks at the memory of an LPAR.
const LOOKS: usize = 25;

/// Who starts the guest's QEMU and migrates it.
pub(super) trait Migrator {
    /// Starts the guest on its first host.
    async fn start(&mut self) -> Result<Machine, Ended>;

    /// Starts what the migration of this number, from 1, will need, if there is such a migration.
    fn prepare(&mut self, number: usize) -> Result<(), Ended>;

    /// Carries out the migration of this number. `home` is the machine that has the guest, before and afterwards.
    async fn migrate(&mut self, number: usize, hop: Hop<'_>, home: &mut Machine) -> Result<(), Ended>;

    /// Waits until everything that a guest printed before its end is noted.
    async fn hear_out(&mut self, home: &mut Machine);

    /// Ends what no guest needs any more. Returns what had ended before without a word.
    async fn end(&mut self) -> Option<Ended> {
        None
    }
}

/// From the start of the first QEMU to the end of the guest. Returns the machine that has the guest, if one came up.
pub(super) async fn tell(run: &Run<'_>, migrator: &mut impl Migrator) -> (Option<Machine>, Result<(), Ended>) {
    let started = migrator.start().await;
    let (home, told) = match started {
        Ok(mut home) => {
            let told = follow(run, migrator, &mut home).await;
            (Some(home), told)
        }
        Err(ended) => (None, Err(ended)),
    };
    // What nobody asked any more may be the reason for the rest.
    let told = match (told, migrator.end().await) {
        (Err(ended), Some(_)) if ended.kind == Kind::LparLost => Err(ended),
        (Err(ended), Some(lost)) => {
            Err(RunVerdict { seen: format!("{}\n{}", ended.happened, lost.seen), ..*lost }.ended())
        }
        (Ok(()), Some(lost)) => Err(lost),
        (told, None) => told,
    };
    (home, told)
}

async fn follow(run: &Run<'_>, migrator: &mut impl Migrator, home: &mut Machine) -> Result<(), Ended> {
    run.guest_speaks(home).await?;
    for (number, hop) in (1..).zip(run.scenario.hops()) {
        if !run.guest_asks(home, number).await? {
            migrator.hear_out(home).await;
            return Ok(());
        }
        if number == 1 {
            run.note_matrix(home).await?;
        }
        migrator.migrate(number, hop, home).await?;
        run.note_matrix(home).await?;
        run.note_memory(home, number).await?;
        run.waits.done(home, "the key is pressed", home.press_key().await)?;
        // While the guest looks around, which keeps one CPU busy; a migration leaves none to spare.
        migrator.prepare(number + 1)?;
    }
    run.guest_ends(home).await?;
    migrator.hear_out(home).await;
    Ok(())
}

impl Run<'_> {
    /// Waits for the guest's first line, and for what the scenario does while its suites run.
    async fn guest_speaks(&self, home: &Machine) -> Result<(), Ended> {
        let spoke = |state: &State| state.guest.lines > 0 || has_ended(state, home);
        self.waits.guest(home, "its first line", spoke).await?;
        self.moment(Moment::Suites, 1, home, home).await?;
        let awaited = self.scenario.asks.iter().any(|ask| ask.at == Moment::Waiting);
        if !awaited && self.actions(Moment::Waiting, 1).next().is_none() {
            return Ok(());
        }
        let waits =
            |state: &State| state.guest.info.iter().any(|info| info == WAITS_FOR_UNPLUG) || has_ended(state, home);
        self.waits.guest(home, "that it waits for a domain to go", waits).await?;
        self.moment(Moment::Waiting, 1, home, home).await
    }

    /// Waits for the guest's request for a migration; false if it ended instead.
    async fn guest_asks(&self, home: &Machine, number: usize) -> Result<bool, Ended> {
        let ready = |state: &State| state.guest.asked >= number || has_ended(state, home);
        self.waits.guest(home, "its request for a migration", ready).await?;
        // The news of the end can overtake the last lines, which are all in the socket by then.
        home.drain_console();
        Ok(self.observed().look().guest.asked >= number)
    }

    /// Waits for the guest's end, on the machine it is on now.
    async fn guest_ends(&self, home: &Machine) -> Result<(), Ended> {
        // One request more than there are migrations would wait for ever: it ends the story, and the judge names it.
        let hops = self.scenario.hops().len();
        let ended = |state: &State| state.guest.asked > hops || has_ended(state, home);
        self.waits.guest(home, "its end", ended).await?;
        home.drain_console();
        Ok(())
    }

    /// Notes what the host lets the guest reach, where that is news.
    async fn note_matrix(&self, home: &Machine) -> Result<(), Ended> {
        if !self.has_plugin() {
            return Ok(());
        }
        let host = home.call(|c| c.ask::<HostReply>(Request::QueryHost {})).await;
        let host = self.waits.done(home, "its matrix is read", host)?;
        let uuid = self.scenario.host(&home.host).map(|spec| spec.mdev.uuid.as_str());
        let Some(mdev) = host.mdevs.into_iter().find(|mdev| Some(mdev.uuid.as_str()) == uuid) else { return Ok(()) };
        let (adapters, domains) = (mdev.guest_adapters, mdev.guest_domains);
        let matrix = What::Matrix { adapters, domains, control_domains: mdev.guest_control_domains };
        self.observed().write(|state| {
            let noted = state.events.list().iter().rev().find(|event| matches!(event.what, What::Matrix { .. }));
            if noted.is_none_or(|noted| noted.what != matrix) {
                state.event(Some(home.index), matrix);
            }
        });
        Ok(())
    }

    /// Notes what the LPAR of this host holds, if it is one and its turn: now and then, once the first migrations have
    /// filled what is filled once. Two in a row, because a guest that goes to and fro is then on both hosts.
    async fn note_memory(&self, home: &Machine, number: usize) -> Result<(), Ended> {
        if home.kernel().is_none() || number < LOOKS || number % LOOKS > 1 {
            return Ok(());
        }
        let path = "/proc/meminfo".to_owned();
        let read = home.call(|c| c.ask::<ValueReply>(Request::SysfsRead { path })).await;
        let ValueReply { value } = self.waits.done(home, "the memory of its LPAR is looked at", read)?;
        let [total, available, slab] =
            ["MemTotal:", "MemAvailable:", "SUnreclaim:"].map(|name| kibibytes(&value, name));
        let held = What::LparMemory { used: total.saturating_sub(available), slab };
        self.observed().event(Some(home.index), held);
        Ok(())
    }

    /// Begins a migration, if QEMU lets this guest go at all. The emulated machine always can; a stock QEMU says so of
    /// vfio-ap if not.
    pub(super) async fn begin_migration(&self, number: usize, hop: &Hop<'_>, source: &Machine) -> Result<(), Ended> {
        if !self.tools.engine.is_emulated() {
            let doing = "it is asked what blocks a migration";
            let blocked = self.waits.ask(source, doing, QueryMigrate {}).await?.blocked_reasons;
            if !blocked.is_empty() {
                let happened = format!("QEMU of host {} cannot migrate this guest", source.host);
                let next = "a QEMU and a kernel whose vfio-ap can be migrated are needed on both hosts";
                let verdict = RunVerdict::new(Kind::Skipped, happened).on(&source.host).seen(blocked.join("; "));
                return Err(verdict.next(next).ended());
            }
        }
        let to = hop.to.to_owned();
        self.observed().event(Some(source.index), What::MigrationBegun { migration: number, to });
        Ok(())
    }
}

/// A line of `/proc/meminfo`; zero where there is none.
fn kibibytes(meminfo: &str, name: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|text| text.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or_default()
}

/// Whether the guest has stopped itself on this machine.
pub(super) fn has_ended(state: &State, machine: &Machine) -> bool {
    state.machines[machine.index].guest_ended.is_some()
}
