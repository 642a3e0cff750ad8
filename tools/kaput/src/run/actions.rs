// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the scenario wants done at a moment is done: processes killed, connections cut, an administrator's actions at
//! one of the hosts.

use serde_json::Value;

use super::Run;
use super::blame::Ended;
use crate::machine::Machine;
use crate::outcome::events::What;
use crate::outcome::verdict::{Kind, RunVerdict};
use crate::protocol::qmp::command::{MigrateCancel, Stop};
use crate::scenario::{Action, ActionKind, Moment};

impl Run<'_> {
    /// Carries out what the scenario wants done at this moment of a migration, then asks what it wants to know.
    pub(super) async fn moment(
        &self,
        moment: Moment,
        number: usize,
        source: &Machine,
        destination: &Machine,
    ) -> Result<(), Ended> {
        for action in self.actions(moment, number) {
            self.carry_out(action, source, destination).await?;
        }
        self.ask_around(moment, number, source, destination).await
    }

    async fn carry_out(&self, action: &Action, source: &Machine, destination: &Machine) -> Result<(), Ended> {
        let home = if action.at == Moment::Over && self.went_over() { destination } else { source };
        let machine = match &action.host {
            Some(name) => [destination, source].into_iter().find(|machine| machine.host == *name.get_ref()),
            None => Some(home),
        };
        let machine = machine.ok_or_else(|| {
            let happened = format!("no host answers to the name in the action `{action}`");
            RunVerdict::new(Kind::HarnessFailed, happened).ended()
        })?;
        match *action.kind.get_ref() {
            ActionKind::KillSource => source.kill(),
            ActionKind::KillDestination => destination.kill(),
            ActionKind::CutQmp => machine.cut_qmp(),
            ActionKind::CutControl => machine.cut_control(),
            ActionKind::CancelMigration => {
                _ = self.waits.ask(source, "an administrator cancels the migration", MigrateCancel {}).await?;
            }
            ActionKind::StopGuest => _ = self.waits.ask(machine, "the guest is stopped", Stop {}).await?,
            ActionKind::GarbageOnConsole => self.observed().console(home.index, b"\xff\xfe\x00 no text \x1b[0m\n"),
            _ => self.administer(machine, action).await?,
        }
        let whose = action.host.as_ref().map(|_| machine.index);
        self.observed().event(whose, What::Action { action: action.to_string() });
        Ok(())
    }

    /// What an administrator does to a host whose guests run.
    async fn administer(&self, machine: &Machine, action: &Action) -> Result<(), Ended> {
        let uuid = self.scenario.host(&machine.host).map_or("", |host| host.mdev.uuid.as_str());
        let Some(request) = action.request(uuid) else { return Ok(()) };
        let done = machine.call(|control| control.ask::<Value>(request)).await.map(|_| ());
        self.waits.done(machine, &format!("`{action}` was carried out"), done)
    }

    /// Whether the scenario cancels the migration at this moment.
    pub(super) fn cancels(&self, moment: Moment, number: usize) -> bool {
        self.actions(moment, number).any(|action| *action.kind.get_ref() == ActionKind::CancelMigration)
    }

    /// What is to be done at this moment of a migration.
    pub(super) fn actions(&self, moment: Moment, number: usize) -> impl Iterator<Item = &Action> {
        let now = move |action: &&Action| action.at == moment && action.migration.get_ref().get() == number;
        self.scenario.actions.iter().filter(now)
    }

    /// Whether the guest is at the destination of the last migration.
    fn went_over(&self) -> bool {
        let state = self.observed().look();
        let done = state.events.list().iter().rev().find_map(|event| match event.what {
            What::MigrationDone { accepted, .. } => Some(accepted),
            _ => None,
        });
        done == Some(true)
    }
}
