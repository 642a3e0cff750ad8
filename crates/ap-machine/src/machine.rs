// SPDX-License-Identifier: MIT OR Apache-2.0
//! All the AP hardware of one host. How it changes at run time is in `change.rs`, what it shows in `snapshot.rs`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use ap_arch::{Apid, Apqn, Matrix, QciBlock};

use crate::adapter::Adapter;
use crate::card::Card;
use crate::clock::{Clock, MonotonicClock};
use crate::engine::random::RandomSource;
use crate::fault::Faults;
use crate::pool::Pool;
use crate::queue::QueueGuard;
use crate::shared_matrix::SharedMatrix;
use crate::timer::Timer;
use crate::topology::{AdapterSpec, Facilities, Timing, Topology, TopologyError};

/// Adapters and their queues. Guests and the host reach them through a [`crate::Configuration`].
pub struct Machine {
    pub(crate) installed: bool,
    /// Of configurations of which nothing else is said.
    pub(crate) facilities: Facilities,
    /// QCI flags and Na, Nd; its matrix is not used.
    pub(crate) qci: QciBlock,
    pub(crate) timing: Timing,
    /// See [`Topology::strict`].
    pub(crate) strict: bool,
    pub(crate) segment: Option<usize>,
    pub(crate) secrets: u32,
    pub(crate) random: RandomSource,
    pub(crate) pool: Arc<Pool>,
    pub(crate) faults: Faults,
    /// Adapters that are plugged, domains, control domains.
    pub(crate) present: SharedMatrix,
    /// Held by whoever changes what is present.
    pub(crate) changes: Mutex<()>,
    adapters: Box<[Adapter]>,
    pub(crate) timer: Timer,
    /// How many cards and configurations have been numbered.
    numbers: AtomicU64,
}

impl Machine {
    /// Builds the machine; its time is real time.
    ///
    /// # Errors
    /// A topology that cannot be: see [`Topology::check`].
    pub fn new(topology: &Topology) -> Result<Arc<Self>, TopologyError> {
        Self::with_clock(topology, Arc::new(MonotonicClock::default()))
    }

    /// Builds the machine with another source of time.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_clock(topology: &Topology, clock: Arc<dyn Clock>) -> Result<Arc<Self>, TopologyError> {
        topology.check()?;
        let machine = Arc::new_cyclic(|me| Self {
            installed: topology.installed,
            facilities: topology.facilities,
            qci: qci_frame(topology),
            timing: topology.timing(),
            strict: topology.strict,
            segment: topology.segment.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            secrets: topology.secrets,
            random: RandomSource::new(topology.seed),
            pool: Arc::new(Pool::new(topology.message_memory)),
            faults: Faults::named(&topology.faults),
            present: SharedMatrix::new(&Matrix::EMPTY),
            changes: Mutex::default(),
            adapters: std::iter::repeat_with(Adapter::default).take(256).collect(),
            timer: Timer::new(clock, topology.timing() != Timing::default(), look(Weak::clone(me))),
            numbers: AtomicU64::new(0),
        });
        for (apid, spec) in &topology.adapters {
            machine.adapter(*apid).plug(machine.card(*apid, spec), spec.state);
        }
        machine.present.store(&topology.matrix());
        Ok(machine)
    }

    /// A card as it is in this machine.
    pub(crate) fn card(&self, apid: Apid, spec: &AdapterSpec) -> Card {
        let has = |flag| self.qci.has(flag);
        let info = spec.hw_info(has(QciBlock::APXA), has(QciBlock::APSC), self.qci.max_domain);
        Card { strict: self.strict, ..Card::new(self.next_number(), apid, spec, info, has(QciBlock::APSB)) }
    }

    /// Whether an adapter and a domain of these numbers can exist; naming another one is a specification exception.
    pub(crate) const fn can_exist(&self, apqn: Apqn) -> bool {
        apqn.apid.0 <= self.qci.max_adapter && apqn.apqi.0 <= self.qci.max_domain
    }

    /// Bytes of the longest message that a queue takes, 12 KiB where there is no card; `None` if the APQN cannot exist.
    pub(crate) fn longest_message(&self, apqn: Apqn) -> Option<u64> {
        self.can_exist(apqn).then(|| self.adapter(apqn.apid).info().max_message_len() as u64)
    }

    pub(crate) fn adapter(&self, apid: Apid) -> &Adapter {
        &self.adapters[usize::from(apid.0)]
    }

    /// Has a queue to oneself; `None` if there is no card.
    pub(crate) fn lock(&self, apqn: Apqn) -> Option<QueueGuard<'_>> {
        self.adapter(apqn.apid).lock(apqn, &self.timer)
    }

    /// As [`Self::lock`], but for a queue that has never been used, which is as after a reset.
    pub(crate) fn lock_used(&self, apqn: Apqn) -> Option<QueueGuard<'_>> {
        self.adapter(apqn.apid).lock_used(apqn, &self.timer)
    }

    /// The machine's time in nanoseconds; stands still where nothing takes time.
    pub(crate) fn now(&self) -> u64 {
        self.timer.now()
    }

    /// Looks at every queue where an interruption may be due. A machine in real time does so by itself.
    pub fn run_due(&self) {
        self.timer.run_due();
    }

    /// Whether a reply that somebody is to be interrupted for is still on its way. Once it is not, the notification of
    /// every earlier one can be seen in [`Configuration::pending`](crate::Configuration::pending). Takes no lock.
    #[must_use]
    pub fn expects_notification(&self) -> bool {
        self.timer.has_entries()
    }

    /// A number that no other card or configuration of this machine has; not 0.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// What the timer does with a queue that is due: taking and leaving it does what is due there.
fn look(machine: Weak<Machine>) -> Box<dyn Fn(Apqn) + Send + Sync> {
    Box::new(move |apqn| {
        if let Some(machine) = machine.upgrade() {
            drop(machine.lock(apqn));
        }
    })
}

/// Flags and maxima of the QCI block. AP reference 3.
fn qci_frame(topology: &Topology) -> QciBlock {
    let flag = |on: bool, bit: u32| if on { bit } else { 0 };
    let flags = flag(topology.apsc, QciBlock::APSC)
        | flag(topology.apxa, QciBlock::APXA)
        | flag(topology.qact, QciBlock::QACT)
        | flag(topology.rc8a, QciBlock::RC8A)
        | flag(topology.apsb, QciBlock::APSB);
    let (max_adapter, max_domain) = topology.limits();
    QciBlock { flags, max_adapter, max_domain, matrix: Matrix::EMPTY }
}
