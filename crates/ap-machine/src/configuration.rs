// SPDX-License-Identifier: MIT OR Apache-2.0
//! One guest's view of a machine, or the host's own: which queues it may reach, and what waits for its CPUs. What its
//! instructions do stands in `execution/`.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use ap_arch::{Apqn, Mask256, Matrix, QciBlock, QueueStatus, ResponseCode};

use crate::interrupt::{Notification, Notifications};
use crate::machine::Machine;
use crate::queue::QueueGuard;
use crate::shared_matrix::SharedMatrix;
use crate::topology::Facilities;

type AqicLookup = Box<dyn Fn(Apqn) -> bool + Send + Sync>;

/// One guest's view of a machine, or the host's own.
pub struct Configuration {
    pub(crate) machine: Arc<Machine>,
    pub(crate) apcb: SharedMatrix,
    /// Tells configurations apart where a queue is bound to one.
    pub(crate) number: u64,
    pub(crate) notifications: Arc<Notifications>,
    /// Whether no fault is planted, or none that concerns it: faults are for guests.
    pub(crate) sound: bool,
    pub(crate) facilities: Facilities,
    aqic_lookup: OnceLock<AqicLookup>,
}

impl Configuration {
    /// A guest that has nothing yet and is shown the machine's facilities.
    #[must_use]
    pub fn guest(machine: &Arc<Machine>) -> Arc<Self> {
        Self::guest_with(machine, machine.facilities)
    }

    /// A guest that has nothing yet and is shown these facilities: two guests of one machine need not be shown the
    /// same.
    #[must_use]
    pub fn guest_with(machine: &Arc<Machine>, facilities: Facilities) -> Arc<Self> {
        Self::new(machine, &Matrix::EMPTY, machine.faults.none(), facilities)
    }

    /// The host, which has everything that the machine has, at any time.
    #[must_use]
    pub fn host(machine: &Arc<Machine>) -> Arc<Self> {
        let everything = Matrix { adapters: Mask256::FULL, domains: Mask256::FULL, control_domains: Mask256::FULL };
        Self::new(machine, &everything, true, machine.facilities)
    }

    fn new(machine: &Arc<Machine>, apcb: &Matrix, sound: bool, facilities: Facilities) -> Arc<Self> {
        let number = machine.next_number();
        let apcb = SharedMatrix::new(apcb);
        Arc::new(Self {
            machine: Arc::clone(machine),
            apcb,
            number,
            notifications: Arc::default(),
            sound,
            facilities: if machine.installed { facilities } else { Facilities::NONE },
            aqic_lookup: OnceLock::new(),
        })
    }

    /// The machine it is a view of.
    #[must_use]
    pub fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// Replaces the masks. An instruction executes under the old or the new ones, never under a mixture; one that acts
    /// on a queue looks at them when it has the queue for itself, so whoever resets a queue afterwards resets
    /// everything that was done to it under the old masks. AP reference 9.4.
    pub fn set_apcb(&self, matrix: Matrix) {
        self.apcb.store(&matrix);
    }

    /// The masks as they were set; the machine may have less.
    #[must_use]
    pub fn apcb(&self) -> Matrix {
        self.apcb.load()
    }

    /// What it is shown of the machine: none where AP is not installed.
    #[must_use]
    pub fn facilities(&self) -> Facilities {
        self.facilities
    }

    /// Whether the AP instructions are installed; if not, executing one is an operation exception.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.machine.installed
    }

    /// Not zero while notifications wait: bit `0x80 >> isc` for each interruption subclass that has one, as in the byte
    /// of control register 6. May be read at any time without a lock.
    #[must_use]
    pub fn pending(&self) -> &AtomicU64 {
        self.notifications.pending()
    }

    /// Takes all notifications that wait, and clears [`Self::pending`]. For each, store [`Notification::INDICATOR`] at
    /// the absolute address and then make the adapter interruption pending. After a guest's reset, drop them.
    pub fn take_notifications(&self) -> Vec<Notification> {
        let notifications = self.notifications.take();
        if self.sound { notifications } else { self.machine.faults.notifications(notifications, &self.notifications) }
    }

    /// Has `waker` called whenever a notification arrives, on whatever thread made it, with a queue held: it must not
    /// execute AP instructions, nor wait. Only the first waker is taken; says whether this was it.
    pub fn set_waker(&self, waker: Box<dyn Fn() + Send + Sync>) -> bool {
        self.notifications.set_waker(waker)
    }

    /// Has AQIC answer 01 for every queue that `knows` says no to: a hypervisor intercepts AQIC and looks the queue up
    /// in tables of its own. It is called on the CPU's thread with no queue held and must not wait. Only the first one
    /// is taken; says whether this was it.
    pub fn set_aqic_lookup(&self, knows: Box<dyn Fn(Apqn) -> bool + Send + Sync>) -> bool {
        self.aqic_lookup.set(knows).is_ok()
    }

    /// Whether AQIC may go on with this queue.
    pub(crate) fn aqic_knows(&self, apqn: Apqn) -> bool {
        self.aqic_lookup.get().is_none_or(|knows| knows(apqn))
    }

    /// Control domains, as far as the machine has them.
    pub(crate) fn control_domains(&self) -> Mask256 {
        self.apcb.load().control_domains.intersection(self.machine.present.load().control_domains)
    }

    /// Whether the queue is in the masks and in the machine.
    pub(crate) fn has(&self, apqn: Apqn) -> bool {
        self.apcb.read(|mine| self.machine.present.read(|all| mine.contains(apqn) && all.contains(apqn)))
    }

    /// The queue to oneself, if it is there and its adapter works; if not, the status that says so. Response code 01
    /// comes before 03 before 04. AP reference 6.4.
    pub(crate) fn reach(&self, apqn: Apqn) -> Result<QueueGuard<'_>, QueueStatus> {
        let unavailable = QueueStatus::new(0, ResponseCode::Q_NOT_AVAIL);
        // Without this look a guest could have the state of every queue built by asking for it.
        if !self.has(apqn) {
            return Err(unavailable);
        }
        let queue = self.machine.lock(apqn).ok_or(unavailable)?;
        // Only now: whoever took the queue away and then reset it must find nothing that came later.
        if !self.has(apqn) {
            return Err(unavailable);
        }
        let of_queue = queue.checkstopped.then_some(ResponseCode::CHECKSTOPPED);
        match self.machine.adapter(apqn.apid).failure().or(of_queue) {
            Some(failure) => Err(queue.answer(failure)),
            None => Ok(queue),
        }
    }

    /// As [`Self::reach`], if nothing that the queue is at hinders it either.
    pub(crate) fn usable(&self, apqn: Apqn) -> Result<QueueGuard<'_>, QueueStatus> {
        let queue = self.reach(apqn)?;
        queue.hindrance().map_or(Ok(queue), Err)
    }

    /// The QCI block of this configuration: its masks, as far as the machine has them. AP reference 9.5.
    pub(crate) fn qci(&self) -> QciBlock {
        let matrix = self.apcb.load().intersection(&self.machine.present.load());
        QciBlock { matrix, ..self.machine.qci }
    }
}
