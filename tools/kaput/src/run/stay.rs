// SPDX-License-Identifier: MIT OR Apache-2.0
//! A migration whose destination is an LPAR that was lost. That ends the run, but the guest may still be able to stay
//! at its source. Then it goes on there to its end, without the migrations that were to come, and the verdict says
//! which of its cases failed.

use ap_arch::report::CaseVerdict;
use vfio_mig::DeviceState;

use super::blame::Ended;
use super::handover::Handover;
use super::migration::Migration;
use super::story::has_ended;
use crate::outcome::verdict::Kind;
use crate::protocol::qmp::command::{MigrateCancel, MigrationStatus};

impl Migration<'_> {
    /// Whether this is what ended it.
    pub(super) fn lost_its_destination(self, ended: &Ended) -> bool {
        ended.kind == Kind::LparLost && ended.host.as_deref() == Some(&*self.destination.host)
    }

    /// Has the guest go on at its source, and adds to the verdict how it fared.
    pub(super) async fn stay(self, mut ended: Ended) -> Ended {
        let (source, trouble) = (&self.source.host, |trouble: Ended| trouble.happened);
        let stays = self.call_off().await.map_err(trouble);
        ended.happened += &match stays {
            Ok(()) => match self.end_at_source().await.map_err(trouble) {
                Ok(fared) => format!("; the guest went on on host {source}: {fared}"),
                Err(why) => format!("; the guest stayed on host {source}, but {why}"),
            },
            Err(why) => format!("; the guest could not stay on host {source}: {why}"),
        };
        ended
    }

    /// Calls the migration off, if it was begun: the device first, because the guest runs again at once.
    async fn call_off(self) -> Result<(), Ended> {
        let Self { run, source, destination, hop, .. } = self;
        let waits = &run.waits;
        let begun = run.observed().look().machines[source.index].migration.clone();
        if !self.is_by_hand() {
            let state = waits.done(source, "its device's state is asked", source.call(|c| c.state()).await)?;
            if state != DeviceState::RUNNING {
                Handover { waits, source, destination, how: hop.with }.restore_source().await?;
            }
        }
        if begun != "" && begun != MigrationStatus::CANCELLED {
            waits.ask(source, "the migration is cancelled", MigrateCancel {}).await?;
            let over = |status: &MigrationStatus| (*status == MigrationStatus::CANCELLED).then_some(());
            waits.status(source, destination, "the migration is cancelled", over).await?;
        }
        waits.runs_on(source, "the guest runs on").await
    }

    /// Gives the guest its key whenever it asks, up to its end. Returns how its cases ended.
    async fn end_at_source(self) -> Result<String, Ended> {
        let Self { run, source, .. } = self;
        let from = run.observed().look().guest.cases.len();
        for asked in self.number..=run.scenario.hops().len() {
            run.waits.done(source, "the key is pressed", source.press_key().await)?;
            run.waits.guest(source, "its end", |state| state.guest.asked > asked || has_ended(state, source)).await?;
            if has_ended(&run.observed().look(), source) {
                break;
            }
        }
        source.drain_console();
        let state = run.observed().look();
        let cases = &state.guest.cases[from..];
        let is_wrong = |verdict| matches!(verdict, CaseVerdict::Fail | CaseVerdict::Xpass);
        let failed = cases.iter().filter(|case| is_wrong(case.verdict) && !run.scenario.expect.must_fail(&case.name));
        let failed: Vec<&str> = failed.map(|case| case.name.as_str()).collect();
        let passed = cases.iter().filter(|case| case.verdict == CaseVerdict::Pass).count();
        Ok(match (&state.guest.abort, &*failed) {
            (Some(reason), _) => format!("it gave up: {reason}"),
            (None, []) => format!("unharmed, {passed} cases passed"),
            (None, failed) => format!("{} failed", failed.join(", ")),
        })
    }
}
