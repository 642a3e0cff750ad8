// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attributes of the vfio_ap driver and its mediated devices.

use ap_arch::{Apid, Apqi, Mask256, Matrix};
use vfio_mig::{DeviceError, Errno};

use super::{VFIO_AP, invalid, mask, no_access, no_such, number};
use crate::Host;
use crate::config::Filtering;

const FEATURES: &str = "features";
/// `AP_CONFIG_STRLEN`.
const LONGEST_CONFIG: usize = 3 * (256 / 4 + 3);
const CREATE: &str = "mdev_supported_types/vfio_ap-passthrough/create";

pub(super) fn read(host: &Host, path: &str) -> Result<String, DeviceError> {
    let full = || format!("{VFIO_AP}{path}");
    if path == FEATURES {
        let migratable = if host.context.behaviour.without_migration { "" } else { " migratable" };
        return Ok(format!("guest_matrix hotplug ap_config{migratable}\n"));
    }
    let (name, attribute) = path.split_once('/').ok_or_else(|| no_such(&full()))?;
    let tables = host.context.tables.lock();
    let present = tables.mdevs.get(name).ok_or_else(|| no_such(&full()))?;
    match attribute {
        "matrix" => Ok(queue_lines(&present.matrix)),
        "guest_matrix" => Ok(queue_lines(&present.shadow)),
        "control_domains" => {
            Ok(present.matrix.control_domains.iter().map(|domain| format!("{}\n", Apqi(domain))).collect())
        }
        "ap_config" => {
            let Matrix { adapters, domains, control_domains } = present.matrix;
            Ok(format!("{adapters},{domains},{control_domains}\n"))
        }
        "remove" => Err(no_access(&full(), "read")),
        _ if assignment(attribute).is_some() => Err(no_access(&full(), "read")),
        _ => Err(no_such(&full())),
    }
}

/// One queue a line; where there are only adapters or only domains, those with the dot.
fn queue_lines(matrix: &Matrix) -> String {
    if matrix.domains.is_empty() {
        return matrix.adapters.iter().map(|adapter| format!("{}.\n", Apid(adapter))).collect();
    }
    if matrix.adapters.is_empty() {
        return matrix.domains.iter().map(|domain| format!(".{}\n", Apqi(domain))).collect();
    }
    matrix.queues().map(|apqn| format!("{apqn}\n")).collect()
}

pub(super) fn write(host: &Host, path: &str, value: &str) -> Result<(), DeviceError> {
    let full = || format!("{VFIO_AP}{path}");
    if path == CREATE {
        if value.is_empty() {
            return Ok(());
        }
        return host.create(value.strip_suffix('\n').unwrap_or(value));
    }
    if path == FEATURES {
        return Err(no_access(&full(), "written"));
    }
    let (name, attribute) = path.split_once('/').ok_or_else(|| no_such(&full()))?;
    host.find(Some(name)).map_err(|_| no_such(&full()))?;
    match attribute {
        "remove" | "ap_config" if value.is_empty() => Ok(()),
        "remove" => match number(value).map_err(|_| invalid(value, "a number"))? {
            0 => Ok(()),
            _ => host.remove(name),
        },
        "ap_config" => {
            let config = masks(value)?;
            let mut tables = host.context.tables.lock();
            host.context.set_new_guest_config(&mut tables, name, config, Filtering::Allowed)
        }
        "matrix" | "guest_matrix" | "control_domains" => Err(no_access(&full(), "written")),
        _ => {
            let change = assignment(attribute).ok_or_else(|| no_such(&full()))?;
            if value.is_empty() { Ok(()) } else { change.carry_out(host, name, value) }
        }
    }
}

fn masks(value: &str) -> Result<Matrix, DeviceError> {
    // What comes after the third is not looked at, nor what is longer than three masks with what parts them.
    let mut parts = value.get(..LONGEST_CONFIG).unwrap_or(value).split([',', '\n']);
    let mut next = || {
        let text = parts.next();
        let expected = "three masks separated by commas: adapters, domains, control domains";
        text.ok_or_else(|| invalid(value, expected)).and_then(mask::whole)
    };
    Ok(Matrix { adapters: next()?, domains: next()?, control_domains: next()? })
}

/// One of the six attributes that change a single number.
struct SingleChange {
    on: bool,
    of: fn(&mut Matrix) -> &mut Mask256,
    what: &'static str,
}

fn assignment(attribute: &str) -> Option<SingleChange> {
    let (on, what) = match attribute.strip_prefix("un") {
        Some(rest) => (false, rest),
        None => (true, attribute),
    };
    let (of, what): (fn(&mut Matrix) -> &mut Mask256, _) = match what {
        "assign_adapter" => (|matrix| &mut matrix.adapters, "adapter"),
        "assign_domain" => (|matrix| &mut matrix.domains, "domain"),
        "assign_control_domain" => (|matrix| &mut matrix.control_domains, "control domain"),
        _ => return None,
    };
    Some(SingleChange { on, of, what })
}

impl SingleChange {
    fn carry_out(&self, host: &Host, name: &str, value: &str) -> Result<(), DeviceError> {
        let number = number(value)?;
        let (adapter, domain) = host.context.hardware.configuration().limits;
        let limit = if self.what == "adapter" { adapter } else { domain };
        let n = u8::try_from(number).ok().filter(|n| *n <= limit).ok_or_else(|| {
            let reason = format!("{} {number} is above the host's maximum, {limit}", self.what);
            DeviceError::refused(Errno::ENODEV, reason)
        })?;
        let mut tables = host.context.tables.lock();
        let present = tables.mdevs.get(name).map(|present| present.matrix);
        let mut matrix = present.ok_or_else(|| DeviceError::from(Errno::ENODEV))?;
        let mask = (self.of)(&mut matrix);
        if mask.contains(n) == self.on {
            return Ok(());
        }
        if self.on {
            mask.insert(n)
        } else {
            mask.remove(n)
        }
        match (self.what, self.on) {
            ("control domain", _) => host.context.set_control_domains(&mut tables, name, matrix.control_domains),
            (_, false) => host.context.unassign(&mut tables, name, matrix),
            (_, true) => {
                return host.context.set_new_guest_config(&mut tables, name, matrix, Filtering::Allowed);
            }
        }
        Ok(())
    }
}
