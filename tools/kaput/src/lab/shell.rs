// SPDX-License-Identifier: MIT OR Apache-2.0
//! An LPAR at the terminal: cards, the driver under test, and a shell.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use super::cpio::Archive;
use crate::machine::emulator::inherited;

/// The first program. The machine ends with the shell.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t debugfs debugfs /sys/kernel/debug
echo
echo "An LPAR with Linux $(uname -r). Its cards: $(cd /sys/bus/ap/devices && echo card*)"
echo "vfio_ap: $(cat /sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/available_instances) devices"
echo "can be made in /sys/devices/vfio_ap/matrix; queues are given to it by /sys/bus/ap/apmask and aqmask."
echo "The end: exit, or Ctrl-A X."
echo
setsid cttyhack sh
poweroff -f
"#;

/// The first program of the LPAR.
#[derive(Clone, Copy, Debug)]
pub enum First<'a> {
    /// A shell, of this busybox.
    Shell(&'a [u8]),
    /// This one; the LPAR ends with it.
    Program(&'a [u8]),
}

/// The initial RAM file system, in a file that has no name and that the program we become inherits; `files` are in
/// `/root`, by name.
///
/// # Errors
/// The file system's.
pub fn initramfs(first: First<'_>, files: &[(String, Vec<u8>)]) -> io::Result<File> {
    let folders = ["bin", "dev", "proc", "root", "sys", "tmp"];
    let archive = folders.iter().fold(Archive::new(), |archive, name| archive.folder(name)).console();
    let archive = match first {
        First::Shell(busybox) => archive.file("init", INIT.as_bytes()).file("bin/busybox", busybox),
        First::Program(program) => archive.file("init", program),
    };
    let add = |archive: Archive, (name, content): &(String, Vec<u8>)| archive.file(&format!("root/{name}"), content);
    let bytes = files.iter().fold(archive, add).finish();
    inherited("kaput-initramfs", &bytes)
}

/// QEMU's arguments; the file is open as long as QEMU has not read it.
#[must_use]
pub fn arguments(kernel: &Path, initramfs: &File) -> Vec<OsString> {
    let initramfs = format!("/proc/self/fd/{}", initramfs.as_raw_fd());
    let mut all: Vec<OsString> = Vec::new();
    let mut add = |words: &[&str]| all.extend(words.iter().map(OsString::from));
    add(&["-cpu", "qemu", "-m", "256M", "-smp", "2", "-no-reboot", "-nographic", "-nic", "none"]);
    add(&["-append", "console=ttysclp0 loglevel=4 panic=-1 slab_debug=U,kmalloc-*", "-initrd", &initramfs, "-kernel"]);
    all.push(kernel.into());
    all
}
