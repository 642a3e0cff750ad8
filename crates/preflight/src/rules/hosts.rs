// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that are made once: drivers, devices, Secure Execution.

use ap_arch::{Apqn, Matrix};

use super::{Evidence, Outcome};
use crate::fix::Fix;
use crate::foreign::UNNAMED;
use crate::host::{Fact, Host, Qemu, Unknown, VfioAp};
use crate::message;
use crate::pair::Pair;
use crate::ranges;
use crate::reserve::VFIO_AP;

/// What stands where a value is not known.
pub(super) fn not_known(Unknown(reason): &Unknown) -> String {
    format!("not known: {reason}")
}

pub(super) fn shown<T>(fact: &Fact<T>, show: impl FnOnce(&T) -> String) -> String {
    fact.as_ref().map_or_else(not_known, show)
}

pub(super) fn qemu_not_blocked(pair: &Pair<'_>) -> Outcome {
    match &pair.source.blocked {
        None => Outcome::NotAsked,
        Some(Ok(reasons)) if reasons.is_empty() => Outcome::Holds,
        Some(Ok(reasons)) => Evidence::new(reasons.join("; "), "-")
            .fix([Fix::advice("take the blocking device from the guest, or change its configuration")])
            .violated(),
        Some(Err(unknown)) => Evidence::new(not_known(unknown), "-").unknown(),
    }
}

pub(super) fn qemu_can_migrate(pair: &Pair<'_>) -> Outcome {
    let (source, destination) = (&pair.source.qemu, &pair.destination.qemu);
    let shown = |qemu: &Option<Qemu>| match qemu {
        None => "not asked".to_owned(),
        Some(Qemu { version, can_migrate: true }) => format!("{version}: its vfio-ap device can"),
        Some(Qemu { version, .. }) => format!("{version}: its vfio-ap device has no `enable-migration` and no state"),
    };
    let asked: Vec<&Qemu> = source.iter().chain(destination).collect();
    if asked.is_empty() {
        Outcome::NotAsked
    } else if asked.iter().all(|qemu| qemu.can_migrate) {
        Outcome::Holds
    } else {
        Evidence::new(shown(source), shown(destination))
            .log(["State blocked by non-migratable device 'vfio-ap'".to_owned()])
            .fix([Fix::advice("a QEMU whose vfio-ap device migrates; no released one up to 11.1 has it")])
            .violated()
    }
}

pub(super) fn kubevirt(pair: &Pair<'_>) -> Outcome {
    let shown = |host: &Host| if host.has_kubevirt { "KubeVirt runs guests here" } else { "-" };
    if !pair.source.has_kubevirt && !pair.destination.has_kubevirt {
        return Outcome::NotAsked;
    }
    Evidence::new(shown(pair.source), shown(pair.destination))
        .fix([Fix::advice(
            "name the type vfio_ap-passthrough in the KubeVirt CR, under permittedHostDevices.mediatedDevices with \
             externalResourceProvider: true, or switch DisableMDEVConfiguration on",
        )])
        .violated()
}

fn can_migrate(host: &Host) -> Fact<bool> {
    host.vfio_ap.clone().map(|driver| match driver {
        VfioAp::Features(words) => words.iter().any(|word| word == "migratable"),
        VfioAp::Older | VfioAp::NotLoaded => false,
    })
}

fn driver(host: &Host) -> String {
    shown(&host.vfio_ap, |driver| match driver {
        VfioAp::NotLoaded if host.has_module == Ok(false) => "this kernel is built without vfio_ap".to_owned(),
        VfioAp::NotLoaded => "vfio_ap is not loaded".to_owned(),
        VfioAp::Older => {
            let release = host.kernel.as_ref().map_or_else(|_| String::new(), |release| format!(" (Linux {release})"));
            format!("vfio_ap has no `features`: it is older than Linux 6.12 and cannot migrate{release}")
        }
        VfioAp::Features(words) => words.join(" "),
    })
}

const NEW_KERNEL: Fix = Fix::advice(
    "this kernel cannot migrate AP queues: boot one whose vfio_ap says `migratable`, a distribution's backport \
     included",
);

pub(super) fn source_migratable(pair: &Pair<'_>) -> Outcome {
    let evidence = || Evidence::new(driver(pair.source), "-");
    match can_migrate(pair.source) {
        Ok(true) => Outcome::Holds,
        Ok(false) => evidence().fix([NEW_KERNEL]).violated(),
        Err(_) => evidence().unknown(),
    }
}

pub(super) fn destination_driver(pair: &Pair<'_>) -> Outcome {
    let evidence = || Evidence::new("-", driver(pair.destination));
    match &pair.destination.vfio_ap {
        Ok(VfioAp::NotLoaded) if pair.destination.has_module == Ok(false) => {
            evidence().fix([Fix::advice("boot a kernel with CONFIG_VFIO_AP: modprobe finds no module here")]).violated()
        }
        Ok(VfioAp::NotLoaded) => evidence().fix([Fix::LoadDriver]).violated(),
        Ok(_) => Outcome::Holds,
        Err(_) => evidence().unknown(),
    }
}

pub(super) fn destination_migratable(pair: &Pair<'_>) -> Outcome {
    let evidence = || Evidence::new("-", driver(pair.destination));
    match (&pair.destination.vfio_ap, can_migrate(pair.destination)) {
        (Ok(VfioAp::NotLoaded), _) => Outcome::NotAsked,
        (_, Ok(true)) => Outcome::Holds,
        (_, Ok(false)) => evidence().fix([NEW_KERNEL]).violated(),
        (_, Err(_)) => evidence().unknown(),
    }
}

pub(super) fn destination_mdev(pair: &Pair<'_>) -> Outcome {
    match pair.target() {
        Ok(Some(_)) => Outcome::Holds,
        Ok(None) if pair.destination_mdev == UNNAMED => {
            Evidence::new("a definition without a UUID", "not known which device")
                .fix([Fix::advice(
                    "call the definition's file by the device's UUID, as mdevctl does, or name the device by \
                     --destination-mdev",
                )])
                .unknown()
        }
        Ok(None) => Evidence::new(pair.source_mdev, "no such device")
            .log([format!("error: device not found: mediated device '{}' not found", pair.destination_mdev)])
            .fix([Fix::CreateMdev(pair.destination_mdev.to_owned())])
            .violated(),
        Err(unknown) => Evidence::new(pair.source_mdev, not_known(&unknown)).unknown(),
    }
}

fn not_secure(fact: &Fact<bool>, mdev: &str, evidence: fn(String) -> Evidence) -> Outcome {
    match fact {
        Ok(false) => Outcome::Holds,
        Ok(true) => evidence("a Secure Execution guest".to_owned())
            .log([message::secure_execution(mdev)])
            .fix([Fix::advice("AP queues of a Secure Execution guest do not migrate")])
            .violated(),
        Err(unknown) => evidence(not_known(unknown)).unknown(),
    }
}

pub(super) fn source_not_secure(pair: &Pair<'_>) -> Outcome {
    not_secure(&pair.source.secure, pair.source_mdev, |seen| Evidence::new(seen, "-"))
}

pub(super) fn destination_not_secure(pair: &Pair<'_>) -> Outcome {
    not_secure(&pair.destination.secure, pair.destination_mdev, |seen| Evidence::new("-", seen))
}

pub(super) fn queue_list_is_product(pair: &Pair<'_>) -> Outcome {
    match (&pair.guest.is_product, &pair.guest.guest) {
        (Ok(false), Ok(_)) => Evidence::new("guest_matrix is not a product", "-")
            .fix([Fix::advice("take the snapshot again: no driver lists queues so")])
            .violated(),
        (Ok(_), Ok(_)) => Outcome::Holds,
        (_, Err(unknown)) | (Err(unknown), _) => Evidence::new(not_known(unknown), "-").unknown(),
    }
}

pub(super) fn same_uuid(pair: &Pair<'_>) -> Outcome {
    if pair.source_mdev == pair.destination_mdev {
        return Outcome::Holds;
    }
    Evidence::new(pair.source_mdev, pair.destination_mdev)
        .fix([Fix::advice(
            "put the destination's UUID into libvirt's domain definition, or create a device with the same UUID",
        )])
        .violated()
}

pub(super) fn destination_mdev_empty(pair: &Pair<'_>) -> Outcome {
    let (Ok(Some(target)), Ok(guest)) = (pair.target(), pair.matrix()) else { return Outcome::NotAsked };
    let brought = || ranges::matrix(&guest);
    match &target.assigned {
        Err(unknown) => Evidence::new(brought(), not_known(unknown)).unknown(),
        Ok(held) if held.intersection(&guest) == *held => Outcome::Holds,
        Ok(held) => Evidence::new(brought(), ranges::matrix(held))
            .fix([Fix::advice("nothing to do: what the guest does not bring is taken away and its queues are reset")])
            .violated(),
    }
}

pub(super) fn guest_has_queues(pair: &Pair<'_>) -> Outcome {
    match pair.matrix() {
        Ok(matrix) if matrix.queue_count() > 0 => Outcome::Holds,
        Ok(matrix) => Evidence::new(ranges::matrix(&matrix), "-")
            .fix([Fix::advice("a guest needs an adapter and a domain; without a queue neither of them migrates")])
            .violated(),
        Err(unknown) => Evidence::new(not_known(&unknown), "-").unknown(),
    }
}

/// Queues that are assigned and cannot be given to the guest, each with the reason.
fn not_given(host: &Host, assigned: &Matrix) -> Vec<(Apqn, String)> {
    let reason = |apqn: Apqn| match (host.queue(apqn), host.driver(apqn)) {
        (Ok(None), _) => Some("it does not exist".to_owned()),
        (_, Ok(Some(VFIO_AP)) | Err(_)) | (Err(_), _) => None,
        (_, Ok(Some(driver))) => Some(format!("{driver} has it")),
        (_, Ok(None)) => Some("no driver has it".to_owned()),
    };
    assigned.queues().filter_map(|apqn| Some((apqn, reason(apqn)?))).collect()
}

pub(super) fn guest_not_filtered(pair: &Pair<'_>) -> Outcome {
    let without_control = |matrix: &Matrix| Matrix { control_domains: Default::default(), ..*matrix };
    match (&pair.guest.assigned, &pair.guest.guest) {
        (Ok(assigned), Ok(guest)) if without_control(assigned) == without_control(guest) => Outcome::Holds,
        (Ok(assigned), Ok(guest)) => {
            let missing = not_given(pair.source, assigned);
            let named: Vec<String> = missing.iter().map(|(apqn, reason)| format!("{apqn}: {reason}")).collect();
            let queues = ranges::queues(missing.iter().map(|(apqn, _)| *apqn));
            let advice = if missing.is_empty() {
                "an adapter or domain is not the host's any more: bring it back first".to_owned()
            } else {
                format!("on the source, give vfio_ap what the guest lacks, if it should have it: {queues}")
            };
            let causes = if named.is_empty() { String::new() } else { format!("; {}", named.join(", ")) };
            let (assigned, guest) = (ranges::matrix(assigned), ranges::matrix(guest));
            Evidence::new(format!("assigned {assigned}; the guest has {guest}{causes}"), "-")
                .fix([Fix::Advice(advice.into())])
                .violated()
        }
        (Err(unknown), _) | (_, Err(unknown)) => Evidence::new(not_known(unknown), "-").unknown(),
    }
}

pub(super) fn facilities_reported(pair: &Pair<'_>) -> Outcome {
    let show =
        |host: &Host| shown(&host.reports_facilities, |on| if *on { "reported" } else { "not reported" }.to_owned());
    let evidence = || Evidence::new(show(pair.source), show(pair.destination));
    match (&pair.source.reports_facilities, &pair.destination.reports_facilities) {
        (Ok(true), Ok(true)) => Outcome::Holds,
        (Ok(false), _) | (_, Ok(false)) => {
            evidence().fix([Fix::advice("compare the cards by other means, for example in the HMC")]).violated()
        }
        _ => evidence().unknown(),
    }
}

pub(super) fn ap_check(pair: &Pair<'_>) -> Outcome {
    let has_queues = pair.matrix().is_ok_and(|matrix| matrix.queue_count() > 0);
    match pair.destination.masks_are_full() {
        Ok(true) if has_queues => Evidence::new("-", "apmask and aqmask are all ones")
            .fix([Fix::advice(
                "start the device by `create` in sysfs, not by mdevctl or libvirt's node devices: they ask ap-check \
                 first",
            )])
            .violated(),
        Ok(_) => Outcome::Holds,
        Err(unknown) => Evidence::new("-", not_known(&unknown)).unknown(),
    }
}
