// SPDX-License-Identifier: MIT OR Apache-2.0
//! What happens to a running machine from outside: cards plugged and unplugged, adapters and domains configured and
//! deconfigured, failures. Guests see a change between two instructions, never half of it.

use std::sync::{MutexGuard, PoisonError};

use ap_arch::message::ErrorReply;
use ap_arch::{Apid, Apqi, Apqn, Mask256, Matrix, ResponseCode};

use crate::machine::Machine;
use crate::queue::QueueGuard;
use crate::topology::{AdapterSpec, AdapterState, TopologyError};

impl Machine {
    /// Puts a card into an empty adapter.
    ///
    /// # Errors
    /// [`TopologyError::AlreadyPlugged`], a number that is too high, or a value that is not allowed.
    pub fn plug(&self, apid: Apid, spec: &AdapterSpec) -> Result<(), TopologyError> {
        let _changes = self.changing();
        spec.check(apid)?;
        let max = Apid(self.qci.max_adapter);
        if apid > max {
            let reason = "the machine was built so";
            return Err(TopologyError::AdapterTooHigh { adapter: apid, max, reason });
        }
        let mut matrix = self.present.load();
        if matrix.adapters.contains(apid.0) {
            return Err(TopologyError::AlreadyPlugged(apid));
        }
        self.adapter(apid).plug(self.card(apid, spec), spec.state);
        matrix.adapters.insert(apid.0);
        self.present.store(&matrix);
        Ok(())
    }

    /// Takes a card out, with whatever its queues hold.
    ///
    /// # Errors
    /// [`TopologyError::NoAdapter`].
    pub fn unplug(&self, apid: Apid) -> Result<(), TopologyError> {
        let _changes = self.changing();
        let mut matrix = self.plugged(apid)?;
        matrix.adapters.remove(apid.0);
        self.present.store(&matrix);
        self.clear_queues(apid);
        self.adapter(apid).unplug();
        Ok(())
    }

    /// Configures or deconfigures an adapter or checkstops it. Its queues are as after a reset. AP reference 2.3.
    ///
    /// # Errors
    /// [`TopologyError::NoAdapter`].
    pub fn set_adapter_state(&self, apid: Apid, state: AdapterState) -> Result<(), TopologyError> {
        let _changes = self.changing();
        let matrix = self.plugged(apid)?;
        self.adapter(apid).set_state(state);
        // A TAPQ that began before looks again.
        self.present.store(&matrix);
        (0..=u8::MAX).for_each(|domain| {
            if let Some(mut queue) = self.lock_used(Apqn { apid, apqi: Apqi(domain) }) {
                queue.clear();
                queue.checkstopped = false;
            }
        });
        Ok(())
    }

    /// Changes the domains of all adapters. A queue that goes loses what it holds.
    ///
    /// # Errors
    /// [`TopologyError::DomainTooHigh`].
    pub fn set_domains(&self, domains: Mask256, control_domains: Mask256) -> Result<(), TopologyError> {
        self.change_domains(|all| {
            (all.domains, all.control_domains) = (domains, control_domains);
        })
    }

    fn change_domains(&self, change: impl FnOnce(&mut Matrix)) -> Result<(), TopologyError> {
        let _changes = self.changing();
        let before = self.present.load();
        let mut after = before;
        change(&mut after);
        let Matrix { domains, control_domains, .. } = after;
        for (key, mask) in [("domains", domains), ("control-domains", control_domains)] {
            if let Some(domain) = mask.highest().filter(|highest| *highest > self.qci.max_domain) {
                let (domain, max) = (Apqi(domain), Apqi(self.qci.max_domain));
                return Err(TopologyError::DomainTooHigh { key, domain, max, reason: "the machine was built so" });
            }
        }
        self.present.store(&after);
        let gone = Matrix { domains: before.domains.difference(domains), ..before };
        gone.queues().for_each(|apqn| self.clear_queue(apqn));
        Ok(())
    }

    /// Lets TAPQ, AQIC and RAPQ answer 05 (busy) until it is taken back.
    ///
    /// # Errors
    /// [`TopologyError::NoQueue`].
    pub fn set_busy(&self, apqn: Apqn, busy: bool) -> Result<(), TopologyError> {
        self.present_queue(apqn)?.busy = busy;
        Ok(())
    }

    /// Checkstops one queue, or brings it back: response code 04 for every instruction. It is as after a reset either
    /// way; a change of its adapter's state brings it back too.
    ///
    /// # Errors
    /// [`TopologyError::NoQueue`].
    pub fn set_checkstopped(&self, apqn: Apqn, checkstopped: bool) -> Result<(), TopologyError> {
        let _changes = self.changing();
        let mut queue = self.present_queue(apqn)?;
        queue.clear();
        queue.checkstopped = checkstopped;
        Ok(())
    }

    /// Changes the master keys of a queue's domain on its card: other verification patterns from now on, and those of
    /// before as the old ones. AP reference 7.9.
    ///
    /// # Errors
    /// [`TopologyError::NoQueue`].
    pub fn change_master_keys(&self, apqn: Apqn) -> Result<(), TopologyError> {
        let mut queue = self.present_queue(apqn)?;
        queue.key_changes = queue.key_changes.saturating_add(1);
        Ok(())
    }

    /// Puts a usage domain, or one that is for control only, into the machine.
    ///
    /// # Errors
    /// [`TopologyError::DomainTooHigh`].
    pub fn plug_domain(&self, domain: Apqi, control_only: bool) -> Result<(), TopologyError> {
        self.change_domains(|all| {
            if !control_only {
                all.domains.insert(domain.0);
            }
            all.control_domains.insert(domain.0);
        })
    }

    /// Takes a domain out, with whatever its queues hold; or only the control over it.
    ///
    /// # Errors
    /// As [`Self::set_domains`].
    pub fn unplug_domain(&self, domain: Apqi, control_only: bool) -> Result<(), TopologyError> {
        self.change_domains(|all| {
            if !control_only {
                all.domains.remove(domain.0);
            }
            all.control_domains.remove(domain.0);
        })
    }

    /// Lets every instruction but a reset report this as an asynchronous error until the next reset.
    ///
    /// # Errors
    /// [`TopologyError::NoQueue`].
    pub fn set_async_error(&self, apqn: Apqn, error: ResponseCode) -> Result<(), TopologyError> {
        self.present_queue(apqn)?.async_error = Some(error);
        Ok(())
    }

    /// Gives the next `count` requests of a queue this reply, whatever they ask for.
    ///
    /// # Errors
    /// [`TopologyError::NoQueue`].
    pub fn fail_requests(&self, apqn: Apqn, reply: ErrorReply, count: u32) -> Result<(), TopologyError> {
        self.present_queue(apqn)?.fail_requests(reply, count);
        Ok(())
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plugged(&self, apid: Apid) -> Result<Matrix, TopologyError> {
        let matrix = self.present.load();
        if matrix.adapters.contains(apid.0) { Ok(matrix) } else { Err(TopologyError::NoAdapter(apid)) }
    }

    fn present_queue(&self, apqn: Apqn) -> Result<QueueGuard<'_>, TopologyError> {
        let present = self.present.read(|view| view.contains(apqn));
        self.lock(apqn).filter(|_| present).ok_or(TopologyError::NoQueue(apqn))
    }

    fn clear_queues(&self, apid: Apid) {
        (0..=u8::MAX).for_each(|domain| self.clear_queue(Apqn { apid, apqi: Apqi(domain) }));
    }

    fn clear_queue(&self, apqn: Apqn) {
        if let Some(mut queue) = self.lock_used(apqn) {
            queue.clear();
        }
    }
}
