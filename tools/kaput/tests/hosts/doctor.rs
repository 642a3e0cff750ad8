// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is reported of a host before anybody runs anything there: one that has all, and ones that lack something.

use crate::Step;
use crate::bed::{Bed, Said};
use crate::real::{SOON, files, make_device, unchanged};

pub(crate) const STEPS: &[(&str, Step)] = &[
    ("a_host_that_has_everything_is_told_so_and_not_changed", everything),
    ("what_a_host_lacks_is_reported_with_its_fix", lacking),
    ("a_host_that_cannot_be_asked_does_not_keep_the_others", unreachable),
];

const UUID: &str = "99999999-2222-4333-8444-555555555555";

fn holds(said: &Said, status: i32, words: &[&str]) -> Result<(), String> {
    // However wide the columns are.
    let out = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
    if said.status != Some(status) {
        return Err(format!("status {:?}: {}{}", said.status, said.out, said.err));
    }
    words.iter().find(|word| !out.contains(**word)).map_or(Ok(()), |word| Err(format!("no {word:?} in {}", said.out)))
}

fn everything(bed: &Bed) -> Result<(), String> {
    bed.drivers.iter().try_for_each(|driver| make_device(driver, UUID))?;
    let before = files(bed);
    let all = [
        "host ssh:a yes KVM /dev/kvm can be used yes kernel 6.18.0 yes AP 3 cards, 6 queues yes facilities 12 (QCI), \
         15 (APFT)",
        "yes vfio_ap guest_matrix",
        "yes migration vfio_ap can migrate a device",
        "yes QEMU vfio-ap",
        "yes CPU model z14.2-base",
        "yes may migrate",
        "host ssh:b",
    ];
    holds(&bed.run(&["doctor", "--host", "ssh:a", "--host", "ssh:b", "--mdev", UUID]), 0, &all)?;
    // Without a device nobody can ask QEMU, which is no fault of the host.
    let unasked = ["unknown may migrate", "--mdev UUID names a mediated device"];
    holds(&bed.run(&["doctor", "--host", "ssh:a"]), 0, &unasked)?;
    let flag = bed.path("a-root.blocked");
    std::fs::write(&flag, "").map_err(|error| error.to_string())?;
    let said = bed.run(&["doctor", "--host", "ssh:a", "--mdev", UUID]);
    std::fs::remove_file(&flag).map_err(|error| error.to_string())?;
    holds(&said, 2, &["no may migrate", "The vvfat (rw) format", "a QEMU and a kernel whose vfio-ap can be migrated"])?;
    unchanged(bed, &before)?;
    bed.cleared(SOON)
}

fn lacking(bed: &Bed) -> Result<(), String> {
    bed.drivers.iter().try_for_each(|driver| driver.renew(true))?;
    let root = bed.path("b-root");
    let (kvm, away) = (root.join("dev/kvm"), root.join("dev/no-kvm"));
    std::fs::rename(&kvm, &away).map_err(|error| error.to_string())?;
    for folder in ["sys/devices/vfio_ap", "sys/bus/ap/drivers/vfio_ap"] {
        std::fs::remove_dir_all(root.join(folder)).map_err(|error| error.to_string())?;
    }
    let said = bed.run(&["doctor", "--host", "ssh:b"]);
    std::fs::rename(&away, &kvm).map_err(|error| error.to_string())?;
    bed.drivers[1].renew(true)?;
    let words = [
        "no KVM there is no /dev/kvm fix it by: modprobe kvm",
        "no vfio_ap it is not loaded fix it by: modprobe vfio_ap",
        "unknown migration only vfio_ap knows",
        "yes AP 3 cards",
    ];
    holds(&said, 2, &words)?;
    let user = bed.run(&["doctor", "--host", "ssh:b", "--mdev", UUID]);
    holds(&user, 3, &["unknown may migrate there is no mediated device"])
}

fn unreachable(bed: &Bed) -> Result<(), String> {
    let said = bed.run(&["doctor", "--host", "ssh:nowhere", "--host", "ssh:a"]);
    holds(&said, 2, &["host ssh:a yes KVM"])?;
    if !said.err.contains("host ssh:nowhere cannot be reached") {
        return Err(said.err);
    }
    bed.cleared(SOON)
}
