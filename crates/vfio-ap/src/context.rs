// SPDX-License-Identifier: MIT OR Apache-2.0
//! What all parts of a host share: hardware, tables, log, defects. Devices and streams hold it by reference count, so
//! that a stream may outlive its device.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ap_arch::{Apqn, Matrix};
use ap_machine::Configuration;

use crate::behaviour::Behaviour;
use crate::bus::Bus;
use crate::control::Event;
use crate::defect::Defects;
use crate::hardware::Hardware;
use crate::lock::Lock;
use crate::log::Log;
use crate::queue_set::{QueueSet, SharedQueueSet};

/// See the module's text.
pub(crate) struct Context {
    pub(crate) hardware: Hardware,
    pub(crate) tables: Lock<Tables>,
    pub(crate) log: Log,
    pub(crate) defects: Defects,
    pub(crate) behaviour: Behaviour,
    pub(crate) security: Security,
    /// Whether there is no memory for streams; a test's wish.
    pub(crate) memory_is_short: AtomicBool,
    /// What uninitialised memory holds, for the defects that use it; a leaf lock.
    pub(crate) poison: Lock<Matrix>,
    pub(crate) counters: Counters,
    /// Events that wait to be sent; a leaf lock.
    pub(crate) events: Lock<Vec<Event>>,
}

/// Who is under Secure Execution.
pub(crate) struct Security {
    /// The host's kernel is under Secure Execution.
    pub(crate) host_is_secure: AtomicBool,
    /// The guest is under Secure Execution.
    pub(crate) guest_is_secure: AtomicBool,
}

impl Security {
    /// Whether the host's kernel is.
    pub(crate) fn host(&self) -> bool {
        self.host_is_secure.load(Ordering::Relaxed)
    }

    /// Whether the guest is.
    pub(crate) fn guest(&self) -> bool {
        self.guest_is_secure.load(Ordering::Relaxed)
    }
}

/// What is counted for tests.
#[derive(Default)]
pub(crate) struct Counters {
    /// Received configurations that were complete and so were validated.
    pub(crate) validations: AtomicU64,
    /// Received configurations that were applied.
    pub(crate) applied: AtomicU64,
    /// Times a vCPU's resume brought a device back to RUNNING.
    pub(crate) resumed_by_vcpu: AtomicU64,
}

/// Who owns which queue: one lock for the host, because owning excludes others.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) bus: Bus,
    pub(crate) mdevs: BTreeMap<String, Assignment>,
}

/// What one mediated device has.
pub(crate) struct Assignment {
    /// What the administrator assigned.
    pub(crate) matrix: Matrix,
    /// What of it the guest has or would have: after filtering.
    pub(crate) shadow: Matrix,
    /// Queues that refer to this device: assigned and bound to vfio_ap.
    pub(crate) linked: QueueSet,
    /// The same for the guest's AQIC, which takes no lock.
    for_aqic: Arc<SharedQueueSet>,
    /// The guest's door.
    pub(crate) door: Arc<Configuration>,
    /// The guest that is attached: the device's own, unless it was opened for another's.
    pub(crate) attached: Option<String>,
    /// Counts up with each device: the driver asks the newest first.
    pub(crate) number: u64,
}

impl Tables {
    /// The devices' names, the newest first.
    pub(crate) fn names(&self) -> Vec<String> {
        self.newest_first().map(|(name, _)| name.clone()).collect()
    }

    /// The devices, the newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = (&String, &Assignment)> {
        let mut all: Vec<_> = self.mdevs.iter().collect();
        all.sort_unstable_by_key(|(_, present)| std::cmp::Reverse(present.number));
        all.into_iter()
    }

    /// The device that a queue is assigned to.
    pub(crate) fn owner(&self, apqn: Apqn) -> Option<String> {
        self.mdevs.iter().find(|(_, present)| present.matrix.contains(apqn)).map(|(name, _)| name.clone())
    }
}

impl Assignment {
    /// Nothing assigned, no guest attached.
    pub(crate) fn new(door: Arc<Configuration>, number: u64) -> Self {
        let for_aqic = Arc::new(SharedQueueSet::default());
        let linked = Arc::clone(&for_aqic);
        let _first_and_only = door.set_aqic_lookup(Box::new(move |apqn| linked.contains(apqn)));
        let (matrix, shadow) = (Matrix::EMPTY, Matrix::EMPTY);
        Self { matrix, shadow, linked: QueueSet::default(), for_aqic, door, attached: None, number }
    }

    /// Changes which queues refer to this device, and so for which ones the guest's AQIC is carried out.
    pub(crate) fn link(&mut self, queues: QueueSet) {
        self.for_aqic.store(&queues);
        self.linked = queues;
    }

    /// Gives the guest what it should have now.
    pub(crate) fn plug(&self) {
        self.door.set_apcb(if self.attached.is_some() { self.shadow } else { Matrix::EMPTY });
    }
}

impl Context {
    /// Remembers an event about a device; it is sent when no lock is held any more.
    pub(crate) fn emit(&self, event: &str, mdev: &str, members: &[(&str, serde_json::Value)]) {
        let mut data = serde_json::Map::from_iter([("mdev".to_owned(), mdev.into())]);
        data.extend(members.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        let mut events = self.events.lock();
        if events.len() < MAX_WAITING_EVENTS {
            events.push(Event { event: event.to_owned(), data: data.into() });
        }
    }
}

/// Events that wait at most; nobody relies on events alone.
const MAX_WAITING_EVENTS: usize = 1024;
