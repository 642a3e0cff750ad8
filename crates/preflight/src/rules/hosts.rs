// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that are made once: drivers, devices, Secure Execution.

use ap_arch::Matrix;

use super::{Evidence, Outcome};
use crate::host::{Fact, Host, Unknown};
use crate::mend::Mend;
use crate::message;
use crate::pair::Pair;
use crate::ranges;

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
            .mend(Mend::Advice("take the blocking device from the guest, or change its configuration"))
            .violated(),
        Some(Err(unknown)) => Evidence::new(not_known(unknown), "-").unknown(),
    }
}

fn migratable(features: &Fact<Option<Vec<String>>>) -> Option<Result<bool, String>> {
    match features {
        Ok(None) => None,
        Ok(Some(words)) => Some(Ok(words.iter().any(|word| word == "migratable"))),
        Err(unknown) => Some(Err(not_known(unknown))),
    }
}

fn features(host: &Host) -> String {
    shown(&host.features, |words| words.as_ref().map_or("vfio_ap is not loaded".to_owned(), |words| words.join(" ")))
}

const NEW_KERNEL: Mend = Mend::Advice("this kernel cannot migrate AP queues: boot one whose vfio_ap can");

pub(super) fn source_migratable(pair: &Pair<'_>) -> Outcome {
    let evidence = || Evidence::new(features(pair.source), "-");
    match migratable(&pair.source.features) {
        Some(Ok(true)) => Outcome::Holds,
        Some(Err(_)) => evidence().unknown(),
        _ => evidence().mend(NEW_KERNEL).violated(),
    }
}

pub(super) fn destination_driver(pair: &Pair<'_>) -> Outcome {
    let evidence = || Evidence::new("-", features(pair.destination));
    match &pair.destination.features {
        Ok(Some(_)) => Outcome::Holds,
        Ok(None) => evidence().mend(Mend::LoadDriver).violated(),
        Err(_) => evidence().unknown(),
    }
}

pub(super) fn destination_migratable(pair: &Pair<'_>) -> Outcome {
    let evidence = || Evidence::new("-", features(pair.destination));
    match migratable(&pair.destination.features) {
        None => Outcome::NotAsked,
        Some(Ok(true)) => Outcome::Holds,
        Some(Ok(false)) => evidence().mend(NEW_KERNEL).violated(),
        Some(Err(_)) => evidence().unknown(),
    }
}

pub(super) fn destination_mdev(pair: &Pair<'_>) -> Outcome {
    match pair.target() {
        Ok(Some(_)) => Outcome::Holds,
        Ok(None) => Evidence::new(pair.source_mdev, "no such device")
            .log([format!("error: device not found: mediated device '{}' not found", pair.destination_mdev)])
            .mend(Mend::CreateMdev(pair.destination_mdev.to_owned()))
            .violated(),
        Err(unknown) => Evidence::new(pair.source_mdev, not_known(&unknown)).unknown(),
    }
}

fn not_secure(fact: &Fact<bool>, mdev: &str, evidence: fn(String) -> Evidence) -> Outcome {
    match fact {
        Ok(false) => Outcome::Holds,
        Ok(true) => evidence("a Secure Execution guest".to_owned())
            .log([message::secure_execution(mdev)])
            .mend(Mend::Advice("AP queues of a Secure Execution guest do not migrate"))
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
            .mend(Mend::Advice("take the snapshot again: no driver lists queues so"))
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
        .mend(Mend::Advice("tell libvirt's domain definition of the destination's UUID, or create one of the same"))
        .violated()
}

pub(super) fn destination_mdev_empty(pair: &Pair<'_>) -> Outcome {
    let (Ok(Some(target)), Ok(guest)) = (pair.target(), pair.matrix()) else { return Outcome::NotAsked };
    let brought = || ranges::matrix(&guest);
    match &target.assigned {
        Err(unknown) => Evidence::new(brought(), not_known(unknown)).unknown(),
        Ok(held) if held.intersection(&guest) == *held => Outcome::Holds,
        Ok(held) => Evidence::new(brought(), ranges::matrix(held))
            .mend(Mend::Advice("nothing to do: what the guest does not bring is taken away and its queues are reset"))
            .violated(),
    }
}

pub(super) fn guest_has_queues(pair: &Pair<'_>) -> Outcome {
    match pair.matrix() {
        Ok(matrix) if matrix.queue_count() > 0 => Outcome::Holds,
        Ok(matrix) => Evidence::new(ranges::matrix(&matrix), "-")
            .mend(Mend::Advice("a guest needs an adapter and a domain; without a queue neither of them migrates"))
            .violated(),
        Err(unknown) => Evidence::new(not_known(&unknown), "-").unknown(),
    }
}

pub(super) fn guest_not_filtered(pair: &Pair<'_>) -> Outcome {
    let without_control = |matrix: &Matrix| Matrix { control_domains: Default::default(), ..*matrix };
    match (&pair.guest.assigned, &pair.guest.guest) {
        (Ok(assigned), Ok(guest)) if without_control(assigned) == without_control(guest) => Outcome::Holds,
        (Ok(assigned), Ok(guest)) => Evidence::new(
            format!("assigned {}; the guest has {}", ranges::matrix(assigned), ranges::matrix(guest)),
            "-",
        )
        .mend(Mend::Advice("bind the missing queues to vfio_ap on the source first, if the guest should have them"))
        .violated(),
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
            evidence().mend(Mend::Advice("compare the cards by other means, for example in the HMC")).violated()
        }
        _ => evidence().unknown(),
    }
}
