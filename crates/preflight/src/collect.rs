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

#[cfg(test)]
mod tests {
    use super::*;

    /// Files by their paths, and a folder that cannot be listed.
    #[derive(Default)]
    struct Files {
        files: BTreeMap<String, String>,
        closed: &'static str,
    }

    impl Files {
        fn of(files: &[(&str, &str)]) -> Self {
            let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
            Self { files: files.collect(), closed: "" }
        }
    }

    impl Tree for Files {
        fn list(&self, folder: &str) -> Result<Vec<String>, Attribute> {
            if folder == self.closed {
                return Err(Attribute::unreadable("Permission denied"));
            }
            let inside =
                |name: &String| Some(name.strip_prefix(folder)?.strip_prefix('/')?.split('/').next()?.to_owned());
            let mut names: Vec<String> = self.files.keys().filter_map(inside).collect();
            names.dedup();
            if names.is_empty() { Err(Attribute::MISSING) } else { Ok(names) }
        }

        fn read(&self, file: &str) -> Attribute {
            self.files.get(file).map_or(Attribute::MISSING, |text| Attribute::Text(text.clone()))
        }
    }

    #[test]
    fn a_folder_that_cannot_be_listed_is_unknown_and_one_that_is_not_there_is_empty() {
        let files = [
            ("sys/bus/ap/devices/card05/hwtype", "14"),
            ("sys/bus/ap/devices/05.0033/config", "1"),
            ("sys/bus/ap/drivers/vfio_ap/05.0033", ""),
            ("sys/devices/vfio_ap/matrix/a/matrix", "05.0033"),
        ];
        let unknown = |closed| {
            let snapshot = collect(&Files { closed, ..Files::of(&files) });
            let Snapshot { cards, queues, drivers, mdevs, .. } = &snapshot;
            [cards.reason(), queues.reason(), drivers.reason(), mdevs.reason()].map(|reason| reason.map(str::to_owned))
        };
        let denied = || Some("Permission denied".to_owned());
        assert_eq!(unknown(""), [None, None, None, None]);
        assert_eq!(unknown(DEVICES), [denied(), denied(), None, None]);
        assert_eq!(unknown("sys/bus/ap/drivers"), [None, None, denied(), None]);
        let of_one = Some("drivers/vfio_ap: Permission denied".to_owned());
        assert_eq!(unknown("sys/bus/ap/drivers/vfio_ap"), [None, None, of_one, None]);
        assert_eq!(unknown(MATRIX), [None, None, None, denied()]);
        let Snapshot { cards, queues, drivers, mdevs, .. } = collect(&Files::default());
        assert!(cards.reason().is_none() && queues.reason().is_none());
        assert!(drivers.reason().is_none() && mdevs.reason().is_none());
    }

    #[test]
    fn where_the_driver_is_follows_from_what_depmod_wrote() {
        let module = |files: &[(&str, &str)]| {
            let all = [&[("proc/sys/kernel/osrelease", "6.1")], files].concat();
            collect(&Files::of(&all)).host["vfio_ap-module"].clone()
        };
        let (modules, built_in) = ("lib/modules/6.1/modules.dep", "lib/modules/6.1/modules.builtin");
        let ours = "kernel/drivers/s390/crypto/vfio_ap.ko: a";
        assert_eq!(module(&[(modules, ours), (built_in, "")]), Attribute::Text("module".to_owned()));
        assert_eq!(module(&[(modules, "b"), (built_in, ours)]), Attribute::Text("built in".to_owned()));
        assert_eq!(module(&[(modules, "b"), (built_in, "c")]), Attribute::Text("none".to_owned()));
        assert_eq!(module(&[(modules, "b")]), Attribute::MISSING);
        assert_eq!(collect(&Files::default()).host["vfio_ap-module"], Attribute::MISSING);
    }

    #[test]
    fn a_guest_has_the_status_of_its_first_queue_and_a_folder_without_matrix_is_no_guest() {
        let guest = |queues: &str| {
            let matrix = "sys/devices/vfio_ap/matrix";
            let file = |name: &str| format!("{matrix}/{name}");
            let (a, b) = (file("a/matrix"), file("a/guest_matrix"));
            let files = [
                (a.as_str(), queues),
                (b.as_str(), queues),
                ("sys/devices/vfio_ap/matrix/features", "x"),
                ("sys/bus/ap/devices/05.0033/status", "in use"),
            ];
            let mdevs = collect(&Files::of(&files)).mdevs;
            let all: Vec<_> = mdevs.entries().map(|(name, files)| (name.clone(), files["status"].clone())).collect();
            all
        };
        let is = |status| vec![("a".to_owned(), status)];
        assert_eq!(guest("05.0033\n06.0033"), is(Attribute::Text("in use".to_owned())));
        assert_eq!(guest("06.0033\n05.0033"), is(Attribute::MISSING));
        assert_eq!(guest("no queue"), is(Attribute::unreadable("no queue")));
        assert_eq!(guest(""), is(Attribute::unreadable("no queue")));
    }

    #[test]
    fn every_queue_is_read_however_many_there_are() {
        let name = |number: usize| format!("sys/bus/ap/devices/{:02x}.{:04x}/config", number / 256, number % 256);
        let files = (0..1000).map(|number| (name(number), number.to_string())).collect();
        let queues = collect(&Files { files, closed: "" }).queues;
        let read: Vec<Attribute> = queues.entries().map(|(_, files)| files["config"].clone()).collect();
        let expected: Vec<Attribute> = (0..1000).map(|number| Attribute::Text(number.to_string())).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_no_card_and_no_queue_is_left_out() {
        let odd = ["card05x", "card1ff", "card", "05.00333", "queue", "5"];
        let files = odd.map(|name| (format!("sys/bus/ap/devices/{name}/config"), "1".to_owned()));
        let snapshot = collect(&Files { files: files.into_iter().collect(), closed: "" });
        assert_eq!((snapshot.cards.entries().count(), snapshot.queues.entries().count()), (0, 0));
    }

    #[test]
    fn facilities_and_kubevirt_are_those_of_the_host() {
        let host = |files: &[(&str, &str)]| collect(&Files::of(files)).host;
        let cpuinfo = "vendor_id : IBM/S390\nfacilities      : 0 1 12\ncache0 : x";
        assert_eq!(host(&[("proc/cpuinfo", cpuinfo)])["facilities"], Attribute::Text("0 1 12".to_owned()));
        let none = Attribute::unreadable("no facilities in /proc/cpuinfo");
        assert_eq!(host(&[("proc/cpuinfo", "facilities none")])["facilities"], none);
        assert_eq!(host(&[])["facilities"], Attribute::MISSING);
        assert_eq!(host(&[(KUBEVIRT, "")]).get("kubevirt"), Some(&Attribute::Text("node".to_owned())));
        assert_eq!(host(&[]).get("kubevirt"), None);
    }
}
