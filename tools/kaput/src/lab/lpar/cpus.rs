// SPDX-License-Identifier: MIT OR Apache-2.0
//! The CPUs of an LPAR but the first. QEMU without KVM does not keep what is pending at a CPU: a call from one CPU to
//! another that is under way is lost, and Linux waits for it. So an LPAR is kept with one CPU, which nobody can call.
//!
//! QEMU, `target/s390x/machine.c`: `vmstate_s390_cpu` has neither `pending_int` nor `external_call_addr`.

use std::sync::Arc;
use std::time::Duration;

use vfio_linux::{Agent, Linux};
use vfio_mig::{DeviceError, Errno};

use super::LparError;

/// How long Linux may take for one.
const PATIENCE: Duration = Duration::from_secs(60);

/// What becomes of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    Online,
    Offline,
}

/// Has an LPAR of `cpus` CPUs go on with all, or with the first alone.
///
/// # Errors
/// [`LparError::Cpus`].
pub(super) fn have(agent: &Arc<Agent>, cpus: u8, others: Others) -> Result<(), LparError> {
    let failed = |error: DeviceError| LparError::Cpus(error.to_string());
    let linux = Linux::new(Arc::clone(agent) as _, PATIENCE);
    match linux.mount("sysfs", "/sys") {
        // A kernel without it is refused later, with the option's name.
        Err(error) if error.errno().is_some() => return Ok(()),
        mounted => mounted.map_err(failed)?,
    }
    for number in 1..cpus {
        let word = if others == Others::Online { "1" } else { "0" };
        match linux.write_file(&format!("/sys/devices/system/cpu/cpu{number}/online"), word) {
            // A kernel for one CPU has no other.
            Err(error) if error.errno() == Some(Errno::ENOENT) => return Ok(()),
            written => written.map_err(failed)?,
        }
    }
    Ok(())
}
