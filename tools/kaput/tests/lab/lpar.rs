// SPDX-License-Identifier: MIT OR Apache-2.0
//! An LPAR from its start to its end.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kaput::lab::cpio::Archive;
use kaput::lab::lpar::{Lpar, LparError};
use kaput::lab::parts::Parts;
use vfio_linux::Linux;

use crate::bench::{Bench, boot};

/// How long one system call may take on a machine that runs.
const PATIENCE: Duration = Duration::from_secs(30);

fn linux(lpar: &Lpar) -> Result<Linux, String> {
    let linux = Linux::new(lpar.agent(), PATIENCE);
    for (kind, folder) in [("proc", "/proc"), ("sysfs", "/sys")] {
        linux.mount(kind, folder).map_err(|error| format!("{folder}: {error}"))?;
    }
    Ok(linux)
}

/// What stands in a file of the LPAR.
fn read(linux: &Linux, path: &str) -> Result<String, String> {
    let bytes = linux.read_file(path).map_err(|error| format!("{path}: {error}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn has(text: &str, part: &str) -> Result<(), String> {
    if text.contains(part) { Ok(()) } else { Err(format!("{part:?} is not in {text:?}")) }
}

pub(crate) fn boots(bench: &Bench) -> Result<(), String> {
    let lpar = boot(&bench.parts(), &bench.folder("boots")?).map_err(|error| error.to_string())?;
    let linux = linux(&lpar)?;
    has(&read(&linux, "/proc/version")?, "Linux version ")?;
    has(&read(&linux, "/proc/cpuinfo")?, " sie ")?;
    has(&read(&linux, "/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/device_api")?, "vfio-ap")?;
    let api = linux.list("/sys/class/mdev_bus").map_err(|error| error.to_string())?;
    // The kernel's own sample, by which the agent is judged.
    if api.iter().any(|parent| parent == "mtty") { Ok(()) } else { Err(format!("there is no mtty: {api:?}")) }
}

pub(crate) fn comes_back(bench: &Bench) -> Result<(), String> {
    let folder = bench.folder("comes-back")?;
    for (name, hardware, devices) in [
        ("one", "05=cex8a/33", &["card05", "05.0033"][..]),
        ("two", "04=cex8c,07=cex8p/3a", &["card04", "card07", "04.003a", "07.003a"]),
    ] {
        let folder = folder.join(name);
        fs::create_dir(&folder).map_err(|error| error.to_string())?;
        let lpar = bench.lpar(hardware, &folder)?;
        let linux = linux(&lpar)?;
        linux.write_file("/sys/bus/ap/scans", "1\n").map_err(|error| error.to_string())?;
        let mut found = linux.list("/sys/bus/ap/devices").map_err(|error| error.to_string())?;
        found.sort();
        let mut devices: Vec<&str> = devices.to_vec();
        devices.sort_unstable();
        if found != devices {
            return Err(format!("on {hardware} Linux found {found:?}"));
        }
        // It was kept with one CPU, because what is pending at another would be lost.
        has(&read(&linux, "/sys/devices/system/cpu/online")?, "0-1")?;
    }
    Ok(())
}

pub(crate) fn panics(bench: &Bench) -> Result<(), String> {
    let folder = bench.folder("panics")?;
    let initramfs = folder.join("initramfs");
    fs::write(&initramfs, Archive::new().folder("dev").console().finish()).map_err(|error| error.to_string())?;
    match boot(&Parts { initramfs, ..bench.parts() }, &folder) {
        Err(LparError::Ended { said, .. }) => has(&said, "Kernel panic - not syncing"),
        Err(error) => Err(error.to_string()),
        Ok(_) => Err("it boots without a first program".to_owned()),
    }
}

pub(crate) fn killed(bench: &Bench) -> Result<(), String> {
    let folder = bench.folder("killed")?;
    let lpar = bench.lpar("05=cex8a/33", &folder)?;
    let linux = linux(&lpar)?;
    let pid = lpar.process().pid().to_string();
    let status = Command::new("kill").args(["-KILL", &pid]).status().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("kill {pid}: {status}"));
    }
    let answer = linux.read_file("/proc/version").map_err(|error| error.to_string());
    has(&answer.err().unwrap_or_default(), "the device could not be asked: the agent: ")?;
    drop(lpar);
    if Path::new("/proc").join(pid).exists() {
        return Err("its QEMU is still there".to_owned());
    }
    let sockets = fs::read_dir(&folder).map_err(|error| error.to_string())?.flatten();
    let left: Vec<_> = sockets.map(|entry| entry.file_name()).filter(|name| name != "lpar.console").collect();
    if left.is_empty() { Ok(()) } else { Err(format!("these are left: {left:?}")) }
}
