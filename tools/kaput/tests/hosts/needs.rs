// SPDX-License-Identifier: MIT OR Apache-2.0
//! What this machine must have for the two hosts and for a libvirt on each: one thing that is missing is named, with
//! the package of Debian that has it, and costs only the tests that need it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the two hosts take, and Debian's packages.
const HOSTS: [(&str, &str); 9] = [
    ("ip", "iproute2"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("sshd", "openssh-server"),
    ("flock", "util-linux"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("hostname", "hostname"),
    ("bash", "bash"),
];

/// What a libvirt on each of them takes besides.
const LIBVIRT: [(&str, &str); 2] = [("libvirtd", "libvirt-daemon"), ("virsh", "libvirt-clients")];

/// As which libvirt on Debian wants to run a QEMU, whatever is configured: without it its driver does not start.
const USER: &str = "libvirt-qemu";

/// A program in `PATH`, or where a system keeps those of its administrator.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn lacks(all: &[(&str, &str)]) -> Option<String> {
    let (program, package) = all.iter().find(|(program, _)| find(program).is_none())?;
    Some(format!("there is no {program} (Debian: {package})"))
}

/// Why there can be no two hosts here.
pub(crate) fn no_hosts() -> Option<String> {
    if let Some(reason) = lacks(&HOSTS) {
        return Some(reason);
    }
    let name = format!("kaput-{}-probe", std::process::id());
    let tried = Command::new("ip").args(["netns", "add", &name]).output();
    _ = Command::new("ip").args(["netns", "del", &name]).output();
    let why = match tried {
        Ok(output) if output.status.success() => return None,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Some(format!("no network namespaces can be made, which needs root: {why}"))
}

/// Why there can be no libvirt on them.
pub(crate) fn no_libvirt() -> Option<String> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders = folders.chain(["/usr/lib64".into(), "/usr/lib".into()]);
    let has_driver = |folder: PathBuf| folder.join("libvirt/connection-driver/libvirt_driver_qemu.so").exists();
    if let Some(reason) = lacks(&LIBVIRT) {
        return Some(reason);
    }
    if !folders.any(has_driver) {
        return Some("libvirt has no QEMU driver (Debian: libvirt-daemon-driver-qemu)".to_owned());
    }
    let user = Command::new("id").args(["-u", USER]).output().is_ok_and(|output| output.status.success());
    let wants_user = Path::new("/etc/debian_version").exists();
    (wants_user && !user).then(|| format!("there is no user {USER} (Debian: libvirt-daemon-system)"))
}

/// Why libvirt's grammar cannot be asked.
pub(crate) fn no_schema(schema: &Path) -> Option<String> {
    let file = (!schema.exists()).then(|| format!("there is no {} (Debian: libvirt-daemon)", schema.display()));
    lacks(&[("xmllint", "libxml2-utils")]).or(file)
}
