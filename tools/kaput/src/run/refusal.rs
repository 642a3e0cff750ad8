// SPDX-License-Identifier: MIT OR Apache-2.0
//! A migration between real drivers that failed. QEMU reports that it did; whether the destination's driver refused,
//! and why, its kernel's log says. A refusal is an outcome, as with the model; everything else stays the verdict that
//! it was.

use vfio_mig::Errno;

use super::Run;
use super::blame::Ended;
use super::migration::Migration;
use crate::hosts::kernel_log::{BY_HAND, Witness};
use crate::outcome::events::What;
use crate::outcome::verdict::Kind;

/// Where the kernels' logs of both hosts stood when a run began: the source's, the destination's, or why they cannot be
/// read.
pub(super) type Marks = [Result<u64, String>; 2];

/// Notes where the logs stand, if somebody may ask for what comes.
pub(super) async fn marks(run: &Run<'_>) -> Option<Marks> {
    let logs = run.tools.kernel_logs.as_ref().filter(|_| !run.scenario.hops().is_empty())?;
    let mark = async |witness: &Witness| witness.mark().await.map_err(|error| error.to_string());
    let (source, destination) = tokio::join!(mark(&logs.source), mark(&logs.destination));
    Some([source, destination])
}

impl Migration<'_> {
    /// Asks the destination's kernel about a migration that ended with this verdict. Returns whether the guest is at
    /// the destination, which after a refusal it is not.
    pub(super) async fn ask_the_kernel(self, marks: Option<&Marks>, mut ended: Ended) -> Result<bool, Ended> {
        let Self { run, source, destination, .. } = self;
        let (Some(logs), Some(marks)) = (&run.tools.kernel_logs, marks) else { return Err(ended) };
        if ![Kind::MigrationFailed, Kind::QemuDied, Kind::WrongEndState].contains(&ended.kind) {
            return Err(ended);
        }
        let [of_source, of_destination] = marks;
        let back = destination.host == run.scenario.start();
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
        run.observed().write(|state| state.kernel_log = said.lines);
        let Some(errno) = said.errno.and_then(Errno::from_name) else {
            ended.seen.push_str(&format!("\nthe kernel of host {host} logged no reason"));
            return Err(ended);
        };
        // QEMU lets the guest run again by itself.
        run.waits.runs_on(source, "the guest runs on after a refusal").await?;
        let refused = What::Refused { errno: errno.to_string(), reason: ended.seen, messages: said.messages };
        run.observed().event(Some(destination.index), refused);
        Ok(false)
    }
}
