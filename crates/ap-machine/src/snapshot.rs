// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the machine looks like from outside, for the control socket and for the host's own bookkeeping.

use ap_arch::{Apid, Apqn};
use serde::Serialize;

use crate::interrupt::Notification;
use crate::machine::Machine;
use crate::queue::{Counters, State};
use crate::topology::AdapterState;

/// All adapters, and those queues that have been used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MachineSnapshot {
    /// Adapters that are plugged, ascending.
    pub adapters: Vec<AdapterSnapshot>,
    /// Usage domains in hex, ascending.
    pub domains: Vec<String>,
    /// Control domains in hex, ascending.
    pub control_domains: Vec<String>,
    /// Queues that have been used since their card was plugged, ascending; all others are empty.
    pub queues: Vec<QueueSnapshot>,
}

/// One adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AdapterSnapshot {
    /// Number in hex.
    pub adapter: String,
    /// Hardware information of TAPQ with T, in hex.
    pub hardware: String,
    /// Whether it works.
    pub state: AdapterState,
    /// Serial number.
    pub serial: String,
}

/// One queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct QueueSnapshot {
    /// Name, as `05.0033`.
    pub queue: String,
    /// Status word of TAPQ, in hex, but for the adapter's state.
    pub status: String,
    /// Requests and replies that it holds.
    pub messages: usize,
    /// Replies that could be dequeued now.
    pub replies: usize,
    /// Notification byte and subclass that AQIC registered.
    pub interruption: Option<InterruptionSnapshot>,
    /// What has happened to it.
    pub counters: Counters,
}

/// What AQIC registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct InterruptionSnapshot {
    /// Absolute address of the notification byte, in hex.
    pub nib: String,
    /// Interruption subclass.
    pub isc: u8,
}

impl QueueSnapshot {
    fn new(apqn: Apqn, state: &State) -> Self {
        let (messages, replies) = state.occupancy();
        let interruption = state.interruption.registration().map(|registration| {
            let Notification { isc, nib } = registration.notification;
            InterruptionSnapshot { nib: format!("{nib:#x}"), isc }
        });
        let status = format!("{:08x}", state.status().0);
        Self { queue: apqn.to_string(), status, messages, replies, interruption, counters: state.counters }
    }
}

impl Machine {
    /// The machine as it is now; queue by queue, not all at one moment.
    #[must_use]
    pub fn snapshot(&self) -> MachineSnapshot {
        let matrix = self.present.load();
        let names = |mask: ap_arch::Mask256| mask.iter().map(|n| ap_arch::Apqi(n).to_string()).collect();
        let adapters = matrix.adapters.iter().filter_map(|apid| self.adapter_snapshot(Apid(apid))).collect();
        let queues = matrix.queues().filter_map(|apqn| self.queue_snapshot(apqn)).collect();
        MachineSnapshot {
            adapters,
            domains: names(matrix.domains),
            control_domains: names(matrix.control_domains),
            queues,
        }
    }

    /// One queue as it is now; `None` if it is not in the machine or has not been used.
    #[must_use]
    pub fn queue_snapshot(&self, apqn: Apqn) -> Option<QueueSnapshot> {
        self.lock_used(apqn).map(|queue| QueueSnapshot::new(apqn, &queue))
    }

    /// What AQIC registered for a queue and did not take back. A host that quiesces a guest reads it here, disables and
    /// later enables by AQIC.
    #[must_use]
    pub fn interruption(&self, apqn: Apqn) -> Option<Notification> {
        self.lock_used(apqn)?.interruption.registration().map(|registration| registration.notification)
    }

    fn adapter_snapshot(&self, apid: Apid) -> Option<AdapterSnapshot> {
        let adapter = self.adapter(apid);
        let card = adapter.card()?;
        Some(AdapterSnapshot {
            adapter: apid.to_string(),
            hardware: format!("{:016x}", card.info.0),
            state: adapter.state(),
            serial: card.serial.clone(),
        })
    }
}
