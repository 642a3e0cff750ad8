// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the destination does with a complete stream: examine everything, say everything that is wrong, then apply it or
//! leave all as it was. vfio-ap migration spec 4.3 item 8 and 5.

use std::sync::atomic::Ordering;

use ap_arch::stream::{StreamError, StreamView};
use ap_arch::{Apqn, HwInfo, Mask256, Matrix, ResponseCode};
use vfio_mig::{DeviceError, Errno, LogLevel};

use super::compat::is_compatible;
use super::snapshot::{drops_control_domains, hardware_info};
use crate::config::Filtering;
use crate::context::{Context, Tables};
use crate::defect::Defect;
use crate::hardware::HostConfiguration;
use crate::message;

/// Validates a complete stream and gives its configuration to the guest.
///
/// # Errors
/// Those of vfio-ap migration spec 4.4; nothing has changed then.
pub(crate) fn validate_and_apply(context: &Context, mdev: &str, view: &StreamView<'_>) -> Result<(), DeviceError> {
    context.counters.validations.fetch_add(1, Ordering::Relaxed);
    view.check_reserved().map_err(malformed)?;
    let (adapters, domains) = shape(context, view)?;
    available(context, mdev, view)?;
    if context.behaviour.control_domains_first {
        control_domains(context, &context.tables.lock(), mdev, view)?;
    }
    compatible(context, mdev, view)?;
    let mut tables = context.tables.lock();
    let control_domains = control_domains(context, &tables, mdev, view)?;
    let candidate = on_uninitialised_memory(context, Matrix { adapters, domains, control_domains });
    let silently = context.defects.on(Defect::SilentFiltering);
    let filtering = if silently { Filtering::Allowed } else { Filtering::Forbidden };
    context.set_new_guest_config(&mut tables, mdev, candidate, filtering)?;
    context.counters.applied.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Adapters and domains of the list. vfio-ap migration spec 5.1.
fn shape(context: &Context, view: &StreamView<'_>) -> Result<(Mask256, Mask256), DeviceError> {
    if context.defects.on(Defect::NonrectangularQueueList) {
        return Ok(view.span());
    }
    view.product().map_err(malformed)
}

/// The matrix as it is built from zero, or by an imitated driver from whatever memory held.
fn on_uninitialised_memory(context: &Context, matrix: Matrix) -> Matrix {
    if !context.defects.on(Defect::GuestMatrixUninitialised) {
        return matrix;
    }
    let poison = *context.poison.lock();
    Matrix {
        adapters: matrix.adapters.union(poison.adapters),
        domains: matrix.domains.union(poison.domains),
        control_domains: matrix.control_domains.union(poison.control_domains),
    }
}

/// Logs lines of one kind: all of them, or as many as an imitated driver's limit lets through.
struct Complaints<'a> {
    context: &'a Context,
    left: usize,
}

impl<'a> Complaints<'a> {
    const LIMIT: usize = 10;

    fn new(context: &'a Context) -> Self {
        let limited = context.defects.on(Defect::LimitHidesQueues);
        Self { context, left: if limited { Self::LIMIT } else { usize::MAX } }
    }

    /// One occasion, with all its lines.
    fn log(&mut self, lines: impl IntoIterator<Item = String>) {
        if self.left > 0 {
            self.left -= 1;
            lines.into_iter().for_each(|line| self.context.log.error(line));
        }
    }
}

/// The answer to bytes that are not what the format says.
pub(crate) fn malformed(error: StreamError) -> DeviceError {
    DeviceError::refused(Errno::EINVAL, error.to_string())
}

/// Every queue must exist and be bound to vfio_ap. vfio-ap migration spec 5.2.
fn available(context: &Context, mdev: &str, view: &StreamView<'_>) -> Result<(), DeviceError> {
    let bound = {
        let tables = context.tables.lock();
        tables.bus.bound_to_vfio_ap(&context.hardware.configuration().matrix)
    };
    let mut missing = view.entries().map(|entry| entry.apqn).filter(|apqn| !bound.contains(*apqn));
    let Some(first) = missing.next() else { return Ok(()) };
    let mut complaints = Complaints::new(context);
    for apqn in std::iter::once(first).chain(missing) {
        complaints.log([message::queue_not_available(mdev, apqn)]);
    }
    Err(DeviceError::refused(Errno::ENODEV, message::queue_not_available(mdev, first)))
}

/// Every queue's hardware must be a continuation of the source's; the last failing queue decides the error. vfio-ap
/// migration spec 5.3 and 5.4.
fn compatible(context: &Context, mdev: &str, view: &StreamView<'_>) -> Result<(), DeviceError> {
    let mut outcome = Ok(());
    let mut complaints = Complaints::new(context);
    for entry in view.entries() {
        match hardware_info(context, mdev, entry.apqn) {
            Err(error) => outcome = Err(error),
            Ok((target, response)) => {
                note_dead_queue(context, mdev, entry.apqn, response);
                if !is_compatible(entry.info, target, &context.defects) {
                    outcome = Err(explain(&mut complaints, mdev, entry.apqn, entry.info, target));
                }
            }
        }
    }
    outcome
}

fn explain(complaints: &mut Complaints<'_>, mdev: &str, apqn: Apqn, source: HwInfo, target: HwInfo) -> DeviceError {
    let behaviour = &complaints.context.behaviour;
    let heading = message::not_compatible(mdev, apqn);
    let lines = message::differences(mdev, apqn, source, target, behaviour.tidied_messages);
    let reason = lines.first().map_or_else(|| heading.clone(), |line| format!("{heading}; {line}"));
    let errno = behaviour.incompatible;
    complaints.log(std::iter::once(heading).chain(lines));
    DeviceError::refused(errno, reason)
}

/// A queue that answers but does not work is no reason to refuse, but an administrator should know.
fn note_dead_queue(context: &Context, mdev: &str, apqn: Apqn, response: ResponseCode) {
    let dead = matches!(response, ResponseCode::DECONFIGURED | ResponseCode::CHECKSTOPPED);
    if dead && !context.defects.on(Defect::DeadQueueAccepted) {
        context.log.push(LogLevel::Warning, message::queue_does_not_work(mdev, apqn, response));
    }
}

/// The control domains the guest is to have: those of the stream, all of which the host must have; with format 0, which
/// carries none, those the administrator assigned. vfio-ap migration spec 3.3. An imitated driver takes these away too.
fn control_domains(
    context: &Context,
    tables: &Tables,
    mdev: &str,
    view: &StreamView<'_>,
) -> Result<Mask256, DeviceError> {
    if drops_control_domains(context) {
        return Ok(Mask256::EMPTY);
    }
    let Some(carried) = view.header().control_domains() else {
        return Ok(tables.mdevs.get(mdev).map_or(Mask256::EMPTY, |present| present.matrix.control_domains));
    };
    let wanted = carried;
    let HostConfiguration { matrix, .. } = context.hardware.configuration();
    if context.defects.on(Defect::ControlDomainAvailabilityUnchecked) {
        return Ok(wanted.intersection(matrix.control_domains));
    }
    let missing = wanted.difference(matrix.control_domains);
    let line = |domain| message::control_domain_not_available(mdev, domain, context.behaviour.tidied_messages);
    missing.iter().for_each(|domain| context.log.error(line(domain)));
    match missing.iter().next() {
        None => Ok(wanted),
        Some(domain) => Err(DeviceError::refused(Errno::ENODEV, line(domain))),
    }
}
