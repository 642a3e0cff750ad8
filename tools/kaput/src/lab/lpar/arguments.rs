// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line of an LPAR's QEMU, each argument with its reason.

use std::path::{Path, PathBuf};

use super::From;
use crate::hosts::qemu::escaped;
use crate::lab::parts::Parts;

/// The kernel's command line. It ends where it cannot go on, and QEMU with it; interruptions of queues do not come over
/// from the hardware's owner, so the AP bus polls. Where slabs can be traced, they are. What
/// we write into the log is never left out.
#[must_use]
pub const fn command_line() -> &'static str {
    "console=ttysclp0 loglevel=3 oops=panic panic=-1 ap.useirq=0 printk.devkmsg=on slab_debug=U,kmalloc-*"
}

pub(super) fn arguments(parts: &Parts, file: &impl Fn(&str) -> PathBuf, from: From<'_>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut add = |arguments: &[&str]| all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    let path = |path: &Path| path.display().to_string();
    // A versioned machine and a named CPU: what is kept must come back on the same.
    add(&["-machine", &parts.machine, "-cpu", "qemu", "-accel", "tcg"]);
    add(&["-m", parts.memory, "-smp", &parts.cpus.to_string()]);
    // Nothing that is not used; QEMU ends with its kernel.
    add(&["-nodefaults", "-display", "none", "-no-reboot", "-run-with", "exit-with-parent=on"]);
    add(&["-kernel", &path(&parts.kernel), "-initrd", &path(&parts.initramfs), "-append", command_line()]);
    // The kernel's own lines, in a file that outlives it.
    add(&["-chardev", &format!("file,id=console,path={}", escaped(&file("console")))]);
    add(&["-device", "sclpconsole,chardev=console"]);
    // The harness listens, QEMU connects at its start and never again.
    add(&["-chardev", &format!("socket,id=agent,path={},server=off", escaped(&file("agent")))]);
    add(&["-device", "virtio-serial-ccw", "-device", "virtserialport,chardev=agent,name=kaput.agent"]);
    let (plugin, config, machine) = (escaped(&parts.plugin), escaped(&file("host.json")), escaped(&file("machine")));
    add(&["-plugin", &format!("{plugin},config={config},machine={machine}")]);
    // One that was kept while it stood still goes on at once, without a word by QMP.
    add(&["-global", "migration.store-global-state=off"]);
    add(&["-qmp", &format!("unix:{},server=off", escaped(&file("qmp")))]);
    if let From::File(kept) = from {
        add(&["-incoming", &format!("file:{}", escaped(kept))]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_lpar_that_was_kept_has_the_same_devices_as_one_that_boots() {
        let parts = Parts {
            qemu: "qemu".into(),
            machine: "s390-ccw-virtio-11.1".to_owned(),
            plugin: "/p,q.so".into(),
            kernel: "/kernel".into(),
            initramfs: "/initramfs".into(),
            memory: "64M",
            cpus: 2,
        };
        let file = |kind: &str| PathBuf::from(format!("/run/0.{kind}"));
        let booted = arguments(&parts, &file, From::Kernel);
        let kept = arguments(&parts, &file, From::File(Path::new("/kept")));
        assert_eq!(kept.strip_prefix(&booted[..]), Some(&["-incoming".to_owned(), "file:/kept".to_owned()][..]));
        assert!(booted.contains(&"/p,,q.so,config=/run/0.host.json,machine=/run/0.machine".to_owned()));
    }
}
