// SPDX-License-Identifier: MIT OR Apache-2.0
//! A migration between real drivers that failed. QEMU tells that it did; whether the destination's driver refused, and why, its
//! kernel's log tells. A refusal is an outcome, as with the model; everything else stays the verdict that it was.

use vfio_mig::Errno;

use super::Run;
use crate::hosts::kernel_log::{BY_HAND, Witness};
use crate::machine::Machine;
use crate::machine::observed::State;
use crate::outcome::events::What;
use crate::outcome::transfer::Refused;
use crate::outcome::verdict::{Kind, Verdict};

/// Where the kernels' logs of both hosts stood when a run began: the source's, the destination's, or why they cannot be read.
pub(super) type Marks = [Result<u64, String>; 2];

impl Run<'_> {
    /// Notes where the logs stand, if somebody may ask for what comes.
    pub(super) async fn mark_logs(&mut self) {
        let Some(logs) = self.tools.kernel_logs.as_ref().filter(|_| !self.scenario.hops().is_empty()) else { return };
        let mark = async |witness: &Witness| witness.mark().await.map_err(|error| error.to_string());
        let (source, destination) = tokio::join!(mark(&logs.source), mark(&logs.destination));
        self.marks = Some([source, destination]);
    }

    /// Asks the destination's kernel about a migration that ended with this verdict. Returns whether the guest is at the
    /// destination, which after a refusal it is not.
    pub(super) async fn after_failure(
        &mut self,
        source: &Machine,
        destination: &Machine,
        mut ended: Box<Verdict>,
    ) -> Result<bool, Box<Verdict>> {
        let (Some(logs), Some(marks)) = (&self.tools.kernel_logs, &self.marks) else { return Err(ended) };
        if ![Kind::MigrationFailed, Kind::QemuDied, Kind::WrongEndState].contains(&ended.kind) {
            return Err(ended);
        }
        let [of_source, of_destination] = marks;
        let back = destination.host == self.scenario.start();
        let (witness, mark) = if back { (&logs.source, of_source) } else { (&logs.destination, of_destination) };
        let host = witness.host();
        let said = match mark {
            Ok(mark) => logs.since(*mark, witness).await.map_err(|error| error.to_string()),
            Err(reason) => Err(reason.clone()),
        };
        let said = match said {
            Ok(said) => said,
            Err(reason) => {
                ended.seen.push_str(&format!("\n{reason}"));
                ended.next = format!("why it failed an administrator of host {host} sees there with: {BY_HAND}");
                return Err(ended);
            }
        };
        self.kernel_log = said.lines;
        let Some(errno) = said.errno.and_then(Errno::from_name) else {
            ended.seen.push_str(&format!("\nthe kernel of host {host} logged no reason"));
            return Err(ended);
        };
        // QEMU lets the guest run again by itself.
        self.wait(source, "the guest runs on after a refusal", |state: &State| {
            (state.machines[source.index].running != Some(false)).then_some(())
        })
        .await?;
        let (messages, during) = (said.messages, "the guest goes over");
        self.observed
            .event(Some(destination.index), What::Refused { errno: errno.to_string(), messages: messages.clone() });
        if let Some(transfer) = self.transfers.get_mut(self.hop) {
            transfer.refused = Some(Refused { during, errno, desc: ended.seen, messages });
        }
        Ok(false)
    }
}
