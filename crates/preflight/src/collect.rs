// SPDX-License-Identifier: MIT OR Apache-2.0
//! Takes a snapshot of a host, read-only. The same files, in the same words, are read by the shell script
//! [`SCRIPT`] for hosts where nothing may be installed.
//!
//! Reading `mkvps` and `serialnr`, which exist only while the host's own drivers have a queue, makes the kernel ask the
//! card; no state of a queue is changed by it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ap_arch::{Apid, Apqn};

use crate::attribute::Attribute;
use crate::snapshot::{Attributes, FORMAT, Section, Snapshot, VERSION};
use crate::tree::Tree;

/// The collector as a POSIX shell script. Its one argument is the folder that holds `sys` and `proc`.
pub const SCRIPT: &str = concat!(include_str!("qemu.sh"), include_str!("collect.sh"));

/// The part of it that asks QEMU; what it prints is the attribute [`QEMU`] of a host.
pub const QEMU_SCRIPT: &str = concat!(include_str!("qemu.sh"), "qemu\n");

/// What QEMU says of its device, among the host's attributes; only a host itself can be asked, and no folder.
pub const QEMU: &str = "qemu-vfio-ap";

/// Files of `/sys/bus/ap`.
pub const BUS: &[&str] = &[
    "apmask",
    "aqmask",
    "ap_adapter_mask",
    "ap_usage_domain_mask",
    "ap_control_domain_mask",
    "ap_max_adapter_id",
    "ap_max_domain_id",
    "features",
];

/// Files of a card.
pub const CARD: &[&str] = &["hwtype", "raw_hwtype", "ap_functions", "config", "chkstop", "serialnr"];

/// Files of a queue.
pub const QUEUE: &[&str] = &["config", "chkstop", "driver_override", "online", "ap_functions", "mkvps"];

/// Files of a mediated device.
pub const MDEV: &[&str] = &["matrix", "guest_matrix", "control_domains", "ap_config"];

const AP: &str = "sys/bus/ap";
const DEVICES: &str = "sys/bus/ap/devices";
const MATRIX: &str = "sys/devices/vfio_ap/matrix";

/// A socket of KubeVirt's, on each host that it runs guests on.
const KUBEVIRT: &str = "var/lib/kubelet/device-plugins/kubevirt-kvm.sock";

/// Takes a snapshot. What cannot be read is recorded as such.
#[must_use]
pub fn collect(tree: &impl Tree) -> Snapshot {
    let devices = tree.list(DEVICES);
    let named = |of: fn(&str) -> Option<String>| match &devices {
        Ok(names) => Section::Listed(names.iter().filter_map(|name| of(name)).map(|name| (name, ())).collect()),
        // Without an AP bus there are no cards; that is known.
        Err(reason) if reason.is_missing() => Section::Listed(BTreeMap::new()),
        Err(reason) => Section::Unreadable(text(reason).to_owned()),
    };
    let card = |name: &str| name.strip_prefix("card").filter(|n| n.parse::<Apid>().is_ok()).map(str::to_owned);
    let queue = |name: &str| name.parse::<Apqn>().is_ok().then(|| name.to_owned());
    Snapshot {
        format: FORMAT.to_owned(),
        version: VERSION,
        taken_by: "kaput".to_owned(),
        host: host(tree),
        bus: attributes(tree, AP, BUS),
        vfio_ap: attributes(tree, MATRIX, &["features"]),
        drivers: drivers(tree),
        cards: each(named(card), |number| attributes(tree, &format!("{DEVICES}/card{number}"), CARD)),
        queues: each(named(queue), |queue| attributes(tree, &format!("{DEVICES}/{queue}"), QUEUE)),
        mdevs: mdevs(tree),
        qemu: None,
    }
}

fn attributes(tree: &impl Tree, folder: &str, names: &[&'static str]) -> Attributes {
    names.iter().map(|name| (Cow::Borrowed(*name), tree.read(&format!("{folder}/{name}")))).collect()
}

fn host(tree: &impl Tree) -> Attributes {
    let facilities = match tree.read("proc/cpuinfo") {
        Attribute::Text(text) => text
            .lines()
            .find_map(|line| line.strip_prefix("facilities")?.trim_start().strip_prefix(':'))
            .map_or(Attribute::unreadable("no facilities in /proc/cpuinfo"), |list| {
                Attribute::Text(list.trim().to_owned())
            }),
        unreadable => unreadable,
    };
    let release = tree.read("proc/sys/kernel/osrelease");
    let kubevirt = || (Cow::Borrowed("kubevirt"), Attribute::Text("node".to_owned()));
    let mut host = Attributes::from([
        (Cow::Borrowed("vfio_ap-module"), module(tree, &release)),
        (Cow::Borrowed("osrelease"), release),
        (Cow::Borrowed("facilities"), facilities),
        (Cow::Borrowed("prot_virt_guest"), tree.read("sys/firmware/uv/prot_virt_guest")),
    ]);
    host.extend((!tree.read(KUBEVIRT).is_missing()).then(kubevirt));
    host
}

/// Whether this kernel has vfio_ap, by what depmod wrote for it.
fn module(tree: &impl Tree, release: &Attribute) -> Attribute {
    let Attribute::Text(release) = release else { return release.clone() };
    for (file, says) in [("modules.dep", "module"), ("modules.builtin", "built in")] {
        match tree.read(&format!("lib/modules/{release}/{file}")) {
            Attribute::Text(text) if text.contains("/vfio_ap.ko") => return Attribute::Text(says.to_owned()),
            Attribute::Text(_) => {}
            reason @ Attribute::Unreadable(_) => return reason,
        }
    }
    Attribute::Text("none".to_owned())
}

/// Who has which queue, by the drivers' folders: one listing a driver instead of one link a queue.
fn drivers(tree: &impl Tree) -> Section<Vec<String>> {
    let names = match tree.list(&format!("{AP}/drivers")) {
        Ok(names) => names,
        Err(reason) if reason.is_missing() => return Section::Listed(BTreeMap::new()),
        Err(reason) => return Section::Unreadable(text(&reason).to_owned()),
    };
    let mut drivers = BTreeMap::new();
    for name in names {
        match tree.list(&format!("{AP}/drivers/{name}")) {
            Ok(mut queues) => {
                queues.retain(|queue| queue.parse::<Apqn>().is_ok());
                drivers.insert(name, queues);
            }
            Err(reason) => return Section::Unreadable(format!("drivers/{name}: {}", text(&reason))),
        }
    }
    Section::Listed(drivers)
}

fn mdevs(tree: &impl Tree) -> Section<Attributes> {
    let names = match tree.list(MATRIX) {
        Ok(names) => names,
        Err(reason) if reason.is_missing() => return Section::Listed(BTreeMap::new()),
        Err(reason) => return Section::Unreadable(text(&reason).to_owned()),
    };
    let is_mdev = |name: &String| !tree.read(&format!("{MATRIX}/{name}/matrix")).is_missing();
    let mdev = |name: String| {
        let mut files = attributes(tree, &format!("{MATRIX}/{name}"), MDEV);
        let first = match files.get("guest_matrix") {
            Some(Attribute::Text(text)) => text.lines().next().filter(|queue| queue.parse::<Apqn>().is_ok()),
            _ => None,
        };
        let status =
            first.map_or(Attribute::unreadable("no queue"), |queue| tree.read(&format!("{DEVICES}/{queue}/status")));
        files.insert(Cow::Borrowed("status"), status);
        (name, files)
    };
    Section::Listed(names.into_iter().filter(is_mdev).map(mdev).collect())
}

/// Reads every entry, on all processors: a host can have 65,536 queues.
fn each(names: Section<()>, read: impl Fn(&str) -> Attributes + Sync) -> Section<Attributes> {
    let names: Vec<String> = match names {
        Section::Listed(names) => names.into_keys().collect(),
        Section::Unreadable(reason) => return Section::Unreadable(reason),
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let share = names.len().div_ceil(workers).max(64);
    let (first, others) = names.split_at(share.min(names.len()));
    let entry = |name: &String| (name.clone(), read(name));
    let entries = std::thread::scope(|scope| {
        let others: Vec<_> =
            others.chunks(share).map(|part| scope.spawn(|| part.iter().map(entry).collect::<Vec<_>>())).collect();
        let mut entries: Vec<_> = first.iter().map(entry).collect();
        for other in others {
            match other.join() {
                Ok(part) => entries.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        entries
    });
    Section::Listed(entries.into_iter().collect())
}

fn text(attribute: &Attribute) -> &str {
    match attribute {
        Attribute::Text(text) => text,
        Attribute::Unreadable(reason) => reason,
    }
}
