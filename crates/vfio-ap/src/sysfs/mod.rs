// SPDX-License-Identifier: MIT OR Apache-2.0
//! The administrator's surface: the sysfs attributes of vfio_ap and of the AP bus, with the formats of the real files.
//! vfio-ap migration spec 7.

mod ap_bus;
mod mask;
mod vfio_ap;

use vfio_mig::{DeviceError, Errno};

use crate::Host;

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
            Some(rest) => ap_bus::read(self, rest),
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

    /// Writes an attribute; a newline at the end does not matter.
    ///
    /// # Errors
    /// What the driver answers, with the reason.
    pub fn sysfs_write(&self, path: &str, value: &str) -> Result<(), DeviceError> {
        let value = value.trim_end_matches('\n');
        if let Some(rest) = path.strip_prefix(VFIO_AP) {
            return vfio_ap::write(self, rest, value);
        }
        match path.strip_prefix(AP_BUS) {
            Some(rest) => ap_bus::write(self, rest, value),
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

/// A number as the kernel reads it: decimal, or hex with `0x`, or octal with a leading `0`.
fn number(value: &str) -> Result<u64, DeviceError> {
    let (digits, radix) = match value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if value.len() > 1 && value.starts_with('0') => (&value[1..], 8),
        None => (value, 10),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_alphanumeric());
    let parsed = u64::from_str_radix(digits, radix).ok().filter(|_| plain);
    parsed.ok_or_else(|| invalid(value, "a number, decimal or hex with 0x"))
}

#[cfg(test)]
mod tests;
