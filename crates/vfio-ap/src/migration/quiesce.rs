// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nothing done for a stopped guest may alter its memory: interruption is disabled on the way to STOP, remembered, and
//! enabled again on the way back to RUNNING. Queue contents stay. vfio-ap migration spec 2.5.

use std::sync::Arc;

use ap_arch::{Apqn, Matrix, ResponseCode};
use ap_machine::{Configuration, Notification};
use vfio_mig::{DeviceError, Errno};

use crate::context::Context;
use crate::defect::Defect;

/// A queue whose interruption was on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Armed {
    apqn: Apqn,
    notification: Notification,
}

/// Disables interruption of every queue of the guest that has it, and returns what is needed to enable it again.
///
/// # Errors
/// EIO for a queue that cannot be quiesced, and what had been disabled until then: the caller puts that back.
pub(crate) fn quiesce(context: &Context, shadow: &Matrix) -> Result<Vec<Armed>, (DeviceError, Vec<Armed>)> {
    let mut disabled = Vec::new();
    if context.defects.on(Defect::StopDoesNotQuiesceQueues) || !context.hardware.has_interruption() {
        return Ok(disabled);
    }
    for apqn in shadow.queues() {
        let Some(notification) = context.hardware.interruption(apqn) else { continue };
        match context.hardware.disable_interruption(apqn) {
            ResponseCode::NORMAL => disabled.push(Armed { apqn, notification }),
            // It is off: a reset is running, or the queue is gone or not working.
            ResponseCode::OTHERWISE_CHANGED
            | ResponseCode::RESET_IN_PROGRESS
            | ResponseCode::Q_NOT_AVAIL
            | ResponseCode::DECONFIGURED
            | ResponseCode::CHECKSTOPPED => {}
            response => {
                let reason = format!("interruption of queue {apqn} cannot be disabled: response code {response}");
                return Err((DeviceError::refused(Errno::EIO, reason), disabled));
            }
        }
    }
    Ok(disabled)
}

/// Enables interruption again for the queues the guest still has. A reply that became available meanwhile notifies now.
///
/// # Errors
/// EIO for a queue where this is not possible; the others are done.
pub(crate) fn restore(
    context: &Context,
    guest: &Arc<Configuration>,
    shadow: &Matrix,
    armed: &[Armed],
) -> Result<(), DeviceError> {
    let mut outcome = Ok(());
    for Armed { apqn, notification } in armed.iter().filter(|armed| shadow.contains(armed.apqn)) {
        match context.hardware.enable_interruption(*apqn, *notification, guest) {
            ResponseCode::NORMAL
            | ResponseCode::OTHERWISE_CHANGED
            | ResponseCode::RESET_IN_PROGRESS
            | ResponseCode::Q_NOT_AVAIL
            | ResponseCode::DECONFIGURED
            | ResponseCode::CHECKSTOPPED => {}
            response => {
                let reason = format!("interruption of queue {apqn} cannot be enabled again: response code {response}");
                context.log.error(reason.as_str());
                outcome = Err(DeviceError::refused(Errno::EIO, reason));
            }
        }
    }
    outcome
}
