// SPDX-License-Identifier: MIT OR Apache-2.0
//! The administrator's surface: the sysfs attributes of vfio_ap and of the AP bus, with the formats of the real files.
//! vfio-ap migration spec 7.

mod ap_bus;
mod ap_card;
mod ap_driver;
mod ap_queue;
mod attribute;
mod mask;
mod vfio_ap;

use ap_arch::{Apid, Apqn, Matrix};
use vfio_mig::{DeviceError, Errno};

use crate::Host;
use attribute::Access;

const VFIO_AP: &str = "/sys/devices/vfio_ap/matrix/";
const AP_BUS: &str = "/sys/bus/ap/";
const SECURE_GUEST: &str = "/sys/firmware/uv/prot_virt_guest";

impl Host {
    /// Reads an attribute.
    ///
    /// # Errors
    /// ENOENT for one that is not there, EACCES for one that can only be written.
    pub fn sysfs_read(&self, path: &str) -> Result<String, DeviceError> {
        if path == SECURE_GUEST {
            return Ok(format!("{}\n", u8::from(self.context.security.host())));
        }
        if let Some(rest) = path.strip_prefix(VFIO_AP) {
            return vfio_ap::read(self, rest);
        }
        match path.strip_prefix(AP_BUS) {
            Some(rest) => ap_bus::attribute(self, rest, Access::Read),
            None => Err(no_such(path)),
        }
    }

    /// The names in a folder, ascending, of those that stand for devices and drivers.
    ///
    /// # Errors
    /// ENOENT for a folder that is not there.
    pub fn sysfs_list(&self, path: &str) -> Result<Vec<String>, DeviceError> {
        let path = path.trim_end_matches('/');
        if path == VFIO_AP.trim_end_matches('/') {
            return Ok(self.context.tables.lock().mdevs.keys().cloned().collect());
        }
        match path.strip_prefix(AP_BUS) {
            Some(rest) => ap_bus::list(self, rest),
            None => Err(no_such(path)),
        }
    }

    /// Writes an attribute with one call; one newline at the end does not matter. As in Linux, a driver does not hear
    /// of a write of no bytes, and sees nothing behind a NUL.
    ///
    /// # Errors
    /// What the driver answers, with the reason.
    pub fn sysfs_write(&self, path: &str, value: &str) -> Result<(), DeviceError> {
        if let Some(rest) = path.strip_prefix(VFIO_AP) {
            return vfio_ap::write(self, rest, value);
        }
        match path.strip_prefix(AP_BUS) {
            Some(rest) => ap_bus::attribute(self, rest, Access::Write(value)).map(|_| ()),
            None => Err(no_such(path)),
        }
    }
}

fn no_such(path: &str) -> DeviceError {
    DeviceError::refused(Errno::ENOENT, format!("there is no attribute {path}"))
}

fn no_access(path: &str, verb: &str) -> DeviceError {
    DeviceError::refused(Errno::EACCES, format!("attribute {path} cannot be {verb}"))
}

fn invalid(value: &str, expected: &str) -> DeviceError {
    let shown: String = value.chars().take(80).collect();
    DeviceError::refused(Errno::EINVAL, format!("`{shown}`: expected {expected}"))
}

/// A number as `kstrtoul` reads it: decimal, or hex with `0x`, or octal with a leading `0`; a plus before it and one
/// newline after it do not matter.
fn number(value: &str) -> Result<u64, DeviceError> {
    let text = value.strip_suffix('\n').unwrap_or(value);
    let text = text.strip_prefix('+').unwrap_or(text);
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(invalid(value, "a number, decimal or hex with 0x"));
    }
    let too_large = |_| DeviceError::refused(Errno::ERANGE, format!("`{value}` is too large a number"));
    u64::from_str_radix(digits, radix).map_err(too_large)
}

/// The queue of this name, if the host has it. A name is compared as `sysfs_streq` does.
fn queue(matrix: &Matrix, name: &str) -> Option<Apqn> {
    let name = name.strip_suffix('\n').unwrap_or(name);
    let is_name = |apqn: &Apqn| apqn.to_string() == name;
    name.parse().ok().filter(is_name).filter(|apqn| matrix.contains(*apqn))
}

/// The card of this name, if the host has it and it has a queue that can be asked; compared as a queue's.
fn card(matrix: &Matrix, name: &str) -> Option<Apid> {
    let number = name.strip_suffix('\n').unwrap_or(name).strip_prefix("card")?;
    let is_present = |apid: &Apid| matrix.adapters.contains(apid.0) && !matrix.domains.is_empty();
    number.parse().ok().filter(|apid: &Apid| apid.to_string() == number).filter(is_present)
}

#[cfg(test)]
mod tests;
