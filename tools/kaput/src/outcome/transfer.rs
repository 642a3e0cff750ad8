// SPDX-License-Identifier: MIT OR Apache-2.0
//! What became of the AP configuration, migration by migration, as the events of a run tell it.

use vfio_mig::Errno;

use crate::outcome::events::{Event, What};

/// What went over in one migration, or did not.
#[derive(Clone, Debug, Default)]
pub struct Transfer {
    /// The host it went to.
    pub to: String,
    /// Why the destination did not take it.
    pub refused: Option<Refused>,
}

/// A refusal of the destination's device.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The error.
    pub errno: Errno,
    /// The host's explanation.
    pub desc: String,
    /// Errors and warnings that the driver logged during the transfer.
    pub messages: Vec<String>,
}

impl Transfer {
    /// One for each migration that was begun.
    #[must_use]
    pub fn all(events: &[Event]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for event in events {
            match &event.what {
                What::MigrationBegun { to, .. } => all.push(Self { to: to.clone(), refused: None }),
                What::Refused { errno, reason, messages } => {
                    if let (Some(last), Some(errno)) = (all.last_mut(), Errno::from_name(errno)) {
                        let (desc, messages) = (reason.clone(), messages.clone());
                        last.refused = Some(Refused { errno, desc, messages });
                    }
                }
                _ => {}
            }
        }
        all
    }
}
