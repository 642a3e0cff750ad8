// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changing a guest's configuration: validate, filter, apply, reset. vfio-ap migration spec 6.
//!
//! A change is planned on the tables as they are and changes nothing; only a plan is carried out. So a refusal needs no
//! roll-back: everything is as before because nothing was touched.

use ap_arch::{Apid, Apqi, Apqn, Mask256, Matrix};
use vfio_mig::{DeviceError, Errno, LogLevel};

use crate::bus::Bus;
use crate::context::{Context, Tables};
use crate::defect::Defect;
use crate::hardware::{HostConfiguration, holds_nothing};
use crate::message;
use crate::queue_set::QueueSet;

/// Whether adapters and domains that cannot be given may be left out silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filtering {
    /// An administrator's change: what is missing is filtered.
    Allowed,
    /// A migrated configuration: all or nothing.
    Forbidden,
}

/// What a change comes to.
#[derive(Debug)]
pub(crate) struct Plan {
    matrix: Matrix,
    shadow: Matrix,
    linked: QueueSet,
    /// What to reset: the queues the guest has and will have no longer, each once.
    resets: Vec<Apqn>,
}

/// Why a change is refused, with the lines for the log.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) errno: Errno,
    pub(crate) reason: String,
    pub(crate) log: Vec<(LogLevel, String)>,
}

impl Refusal {
    fn new(errno: Errno, reason: String) -> Self {
        Self { errno, reason, log: Vec::new() }
    }
}

/// Plans the change of a device's matrix to `candidate`. vfio-ap migration spec 6.1, steps 2 to 4.
pub(crate) fn plan(
    context: &Context,
    tables: &Tables,
    host: &HostConfiguration,
    name: &str,
    candidate: Matrix,
    filtering: Filtering,
) -> Result<Plan, Refusal> {
    let gone = || Refusal::new(Errno::ENODEV, format!("mediated device {name} does not exist"));
    let present = tables.mdevs.get(name).ok_or_else(gone)?;
    let queues = QueueSet::product(&candidate);
    not_reserved(&tables.bus, &queues)?;
    not_in_use(tables, name, &candidate)?;
    within_limits(host, &candidate)?;
    let bound = tables.bus.bound_to_vfio_ap(&host.matrix);
    let usable = bound.difference(&tables.bus.reset_failed);
    let shadow = filter(&usable, &host.matrix, &candidate);
    if filtering == Filtering::Forbidden && loses_something(context, &present.shadow, &candidate, &shadow) {
        return Err(filtered(name, &usable, host, &candidate));
    }
    let mut resets = queues_to_reset(context, host, &present.shadow, &shadow);
    let linked = queues.intersection(&bound);
    let more = of_filtered(&host.matrix, &candidate, &present.shadow, &shadow, &linked);
    resets.extend(more.difference(&resets.iter().copied().collect()).iter());
    Ok(Plan { matrix: candidate, shadow, linked, resets })
}

/// The queues of adapters that a guest had and loses by filtering: all that vfio_ap has of such an adapter in the
/// guest's domains, also in those that are new.
pub(crate) fn of_filtered(
    host: &Matrix,
    assigned: &Matrix,
    before: &Matrix,
    after: &Matrix,
    linked: &QueueSet,
) -> QueueSet {
    let wanted = assigned.adapters.intersection(host.adapters);
    let adapters = before.adapters.intersection(wanted).difference(after.adapters);
    QueueSet::product(&Matrix { adapters, ..*after }).intersection(linked)
}

/// Whether filtering takes anything from the candidate; an imitated driver looks only at adapters the guest had before.
fn loses_something(context: &Context, present: &Matrix, candidate: &Matrix, shadow: &Matrix) -> bool {
    if context.defects.on(Defect::FilterReportIgnoresNewAdapters) {
        let lost = candidate.adapters.difference(shadow.adapters);
        return !lost.intersection(present.adapters).is_empty();
    }
    shadow != candidate
}

/// The queues of the product of `before` that are not in that of `after`. What imitated drivers reset instead follows
/// from how they gather queues: by removed adapters and by removed domains.
fn queues_to_reset(context: &Context, host: &HostConfiguration, before: &Matrix, after: &Matrix) -> Vec<Apqn> {
    let on = |defect| context.defects.on(defect);
    let adapters = before.adapters.difference(after.adapters);
    let domains = before.domains.difference(after.domains);
    let of =
        |adapters: Mask256, domains: Mask256| Matrix { adapters, domains, control_domains: Mask256::EMPTY }.queues();
    let nothing = if adapters.is_empty() {
        on(Defect::DomainOnlyRemovalSkipsReset)
    } else {
        // What stands at the masks of no device has no bits: on s390x address 0 can be read.
        on(Defect::NullMdevInQueueCollection)
    };
    if nothing {
        return Vec::new();
    }
    let both = on(Defect::IntersectionQueuesNotReset);
    let mut resets: Vec<Apqn> =
        of(adapters, before.domains).filter(|apqn| !(both && domains.contains(apqn.apqi.0))).collect();
    if on(Defect::WrongListResetForDomains) {
        resets.extend(of(adapters, before.domains));
    } else {
        resets.extend(of(before.adapters.difference(adapters), domains));
    }
    if on(Defect::ResetBitmapUninitialised) {
        resets.extend(of(context.poison.lock().adapters, host.matrix.domains));
    }
    resets.sort_unstable();
    resets
}

/// Carries a plan out. vfio-ap migration spec 6.1, steps 4 to 6: link, plug, then reset what the guest lost.
pub(crate) fn commit(context: &Context, tables: &mut Tables, name: &str, plan: Plan) {
    let Some(present) = tables.mdevs.get_mut(name) else { return };
    present.matrix = plan.matrix;
    present.link(plan.linked);
    context.plug(tables, name, plan.shadow);
    reset(context, &mut tables.bus, name, plan.resets);
}

/// Resets and zeroizes queues; those that fail are marked, so that no guest gets them. Returns the first that was not
/// reset: one that is deconfigured or checkstopped holds nothing, but says so.
pub(crate) fn reset(
    context: &Context,
    bus: &mut Bus,
    name: &str,
    queues: impl IntoIterator<Item = Apqn>,
) -> Option<Apqn> {
    let reset_one = |apqn: &Apqn| bus.reset_failed.remove(*apqn);
    let failed = context.hardware.zeroize(queues.into_iter().inspect(reset_one));
    for (apqn, response) in failed.iter().filter(|(_, response)| !holds_nothing(*response)) {
        bus.reset_failed.insert(*apqn);
        context.log.error(message::reset_failed(name, *apqn, *response));
    }
    failed.first().map(|(apqn, _)| *apqn)
}

/// What of `matrix` a guest can have: what the host has, without every adapter of which one queue is not usable,
/// because a guest has products only. vfio-ap migration spec 1.
pub(crate) fn filter(usable: &QueueSet, host: &Matrix, matrix: &Matrix) -> Matrix {
    let mut shadow = matrix.intersection(host);
    for adapter in shadow.adapters.iter() {
        if !shadow.domains.is_subset_of(usable.row(adapter)) {
            shadow.adapters.remove(adapter);
        }
    }
    shadow
}

/// What the imitated driver does before it looks at anything: the queues go over to this device, and no roll-back
/// brings them back to their owner.
fn link_unvalidated(tables: &mut Tables, host: &Matrix, name: &str, candidate: &Matrix) {
    let queues = QueueSet::product(candidate).intersection(&tables.bus.bound_to_vfio_ap(host));
    for (_, other) in tables.mdevs.iter_mut().filter(|(other, _)| *other != name) {
        other.link(other.linked.difference(&queues));
    }
}

fn not_reserved(bus: &Bus, queues: &QueueSet) -> Result<(), Refusal> {
    match queues.intersection(&bus.reserved()).first() {
        None => Ok(()),
        Some(apqn) => {
            let reason = format!("queue {apqn} is reserved for the host's default drivers by apmask and aqmask");
            Err(Refusal::new(Errno::EADDRNOTAVAIL, reason))
        }
    }
}

fn not_in_use(tables: &Tables, name: &str, candidate: &Matrix) -> Result<(), Refusal> {
    for (other, assignment) in tables.newest_first().filter(|(other, _)| *other != name) {
        let shared = assignment.matrix.intersection(candidate);
        if let Some(apqn) = shared.queues().next() {
            let reason = format!("queue {apqn} is assigned to mediated device {other}");
            let lines = shared.queues().map(|apqn| (LogLevel::Warning, message::already_assigned(name, apqn, other)));
            return Err(Refusal { log: lines.collect(), ..Refusal::new(Errno::EADDRINUSE, reason) });
        }
    }
    Ok(())
}

fn within_limits(host: &HostConfiguration, candidate: &Matrix) -> Result<(), Refusal> {
    let (adapter, domain) = host.limits;
    let above = |what: &str, mask: Mask256, limit: u8| match mask.highest() {
        Some(highest) if highest > limit => {
            let reason = format!("{what} {highest:02x} is above the host's maximum, {limit:02x}");
            Err(Refusal::new(Errno::ENODEV, reason))
        }
        _ => Ok(()),
    };
    above("adapter", candidate.adapters, adapter)?;
    above("domain", candidate.domains, domain)?;
    above("control domain", candidate.control_domains, domain)
}

/// The refusal for a candidate that would lose something, with one line for each cause.
fn filtered(name: &str, usable: &QueueSet, host: &HostConfiguration, candidate: &Matrix) -> Refusal {
    let common = candidate.intersection(&host.matrix);
    let mut lines = Vec::new();
    for adapter in candidate.adapters.difference(common.adapters).iter() {
        lines.push(message::number_filtered(name, "Adapter", Apid(adapter)));
    }
    for domain in candidate.domains.difference(common.domains).iter() {
        lines.push(message::number_filtered(name, "Domain", Apqi(domain)));
    }
    for domain in candidate.control_domains.difference(common.control_domains).iter() {
        lines.push(message::number_filtered(name, "Control domain", Apqi(domain)));
    }
    for apqn in common.queues().filter(|apqn| !usable.contains(*apqn)) {
        lines.push(message::queue_filtered(name, apqn));
    }
    let reason = lines.first().map_or_else(String::new, Clone::clone);
    let log = lines.into_iter().map(|line| (LogLevel::Error, line)).collect();
    Refusal { errno: Errno::ECANCELED, reason, log }
}

impl Context {
    /// Changes a device's matrix, or refuses. vfio-ap migration spec 6.
    pub(crate) fn set_new_guest_config(
        &self,
        tables: &mut Tables,
        name: &str,
        candidate: Matrix,
        filtering: Filtering,
    ) -> Result<(), DeviceError> {
        let host = self.hardware.configuration();
        if self.defects.on(Defect::QueuesLinkedBeforeValidation) {
            link_unvalidated(tables, &host.matrix, name, &candidate);
        }
        match plan(self, tables, &host, name, candidate, filtering) {
            Ok(plan) => {
                commit(self, tables, name, plan);
                Ok(())
            }
            Err(refusal) => {
                refusal.log.into_iter().for_each(|(level, line)| self.log.push(level, line));
                Err(DeviceError::refused(refusal.errno, refusal.reason))
            }
        }
    }

    /// Takes adapters or domains from a device and its guest. Nothing is validated, and nothing filtered: what kept an
    /// adapter from the guest may go, and the adapter does not come by that. `unassign_adapter_store` and its like.
    pub(crate) fn unassign(&self, tables: &mut Tables, name: &str, rest: Matrix) {
        let Some(present) = tables.mdevs.get(name) else { return };
        let control_domains = present.shadow.control_domains;
        let shadow = Matrix { control_domains, ..present.shadow.intersection(&rest) };
        let lost = QueueSet::product(&present.shadow).difference(&QueueSet::product(&shadow));
        let linked = present.linked.intersection(&QueueSet::product(&rest));
        let resets = lost.intersection(&present.linked).iter().collect();
        commit(self, tables, name, Plan { matrix: rest, shadow, linked, resets });
    }

    /// Gives a device these control domains and no others. They are nobody's alone, and nothing is validated.
    pub(crate) fn set_control_domains(&self, tables: &mut Tables, name: &str, control_domains: Mask256) {
        if let Some(present) = tables.mdevs.get_mut(name) {
            present.matrix.control_domains = control_domains;
            self.filter_control_domains(tables, name);
        }
    }
}
