// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changes of a guest's configuration. vfio-ap migration spec 6.

use std::collections::BTreeMap;
use std::sync::Arc;

use ap_arch::{Apqn, Matrix};
use proptest::prelude::*;
use vfio_mig::Errno;

use crate::Host;
use crate::config::Filtering;
use crate::queue_set::QueueSet;
use crate::tests::fixture::*;

fn set(host: &Arc<Host>, candidate: Matrix, filtering: Filtering) -> Result<(), Errno> {
    let mut tables = host.context.tables.lock();
    host.context.set_new_guest_config(&mut tables, A, candidate, filtering).map_err(errno)
}

#[test]
fn exactly_the_queues_that_a_guest_loses_are_reset() {
    let host = host();
    set(&host, matrix(&[4], &[0x33], &[]), Filtering::Allowed).unwrap();
    let resets = [(4, 0x33), (4, 0x3a), (5, 0x33), (5, 0x3a), (6, 0x33)].map(|(a, d)| host.resets(a, d));
    assert_eq!(resets, [0, 1, 1, 1, 0]);
}

#[test]
fn removing_only_a_domain_resets_its_queues() {
    let host = host();
    set(&host, matrix(&[4, 5], &[0x33], &[]), Filtering::Allowed).unwrap();
    let resets = [(4, 0x33), (4, 0x3a), (5, 0x33), (5, 0x3a)].map(|(a, d)| host.resets(a, d));
    assert_eq!(resets, [0, 1, 0, 1]);
}

#[test]
fn an_adapter_with_one_unusable_queue_is_filtered_whole() {
    let host = host();
    host.sysfs_write("/sys/bus/ap/drivers/vfio_ap/unbind", "04.0033").unwrap();
    assert_eq!(host.guest_of(A), matrix(&[5], &[0x33, 0x3a], &[0x33, 0x3a, 0x44]));
    assert_eq!((host.resets(4, 0x33), host.resets(4, 0x3a), host.resets(5, 0x33)), (1, 1, 0));
    host.sysfs_write("/sys/bus/ap/drivers/vfio_ap/bind", "04.0033").unwrap();
    assert_eq!(host.guest_of(A), matrix_a());
}

#[test]
fn each_refusal_has_its_error() {
    let host = host();
    let refused = |candidate, filtering| set(&host, candidate, filtering).unwrap_err();
    assert_eq!(refused(matrix(&[4, 6], &[0x33], &[]), Filtering::Allowed), Errno::EADDRINUSE);
    assert_eq!(refused(matrix(&[4, 8], &[0x33], &[]), Filtering::Forbidden), Errno::ECANCELED);
    assert_eq!(refused(matrix(&[4], &[0x33], &[0x66]), Filtering::Forbidden), Errno::ECANCELED);
    assert_eq!(set(&host, matrix(&[4, 8], &[0x33], &[0x66]), Filtering::Allowed), Ok(()));
    assert_eq!(host.guest_of(A), matrix(&[4], &[0x33], &[]));
}

#[test]
fn a_number_above_the_hosts_maximum_is_refused() {
    let mut config = config();
    config.topology.max_domain = ap_arch::Apqi(0x60);
    let host = Host::new(config).unwrap();
    assert_eq!(set(&host, matrix(&[4], &[0x61], &[]), Filtering::Allowed), Err(Errno::ENODEV));
    assert_eq!(set(&host, matrix(&[4], &[0x33], &[0x61]), Filtering::Allowed), Err(Errno::ENODEV));
}

/// Per device: assigned, filtered, linked, what the door has.
type Configurations = Vec<(Matrix, Matrix, QueueSet, Matrix)>;

/// Everything that must be as before after a refusal: masks, doors, links, resets.
fn everything(host: &Arc<Host>) -> (Configurations, BTreeMap<Apqn, u64>) {
    let tables = host.context.tables.lock();
    let mdevs = tables.mdevs.values();
    let all = mdevs.map(|mdev| (mdev.matrix, mdev.shadow, mdev.linked.clone(), mdev.door.apcb())).collect();
    (all, host.context.hardware.reset_counts())
}

fn some_matrix() -> impl Strategy<Value = Matrix> {
    let numbers = |allowed: &'static [u8]| proptest::sample::subsequence(allowed, 0..=allowed.len());
    let domains = || numbers(&[0x33, 0x3a, 0x44, 0x55]);
    (numbers(&[4, 5, 6, 7, 8]), domains(), domains()).prop_map(|(a, d, c)| matrix(&a, &d, &c))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn after_a_refusal_everything_is_as_before(
        candidate in some_matrix(), reserved in some_matrix(), failed in some_matrix(), forbidden: bool
    ) {
        let host = host();
        {
            let mut tables = host.context.tables.lock();
            tables.bus.set_masks(reserved.adapters, reserved.domains);
            tables.bus.reset_failed = QueueSet::product(&failed);
        }
        let before = everything(&host);
        let filtering = if forbidden { Filtering::Forbidden } else { Filtering::Allowed };
        match set(&host, candidate, filtering) {
            Err(_) => prop_assert_eq!(everything(&host), before),
            Ok(()) if forbidden => prop_assert_eq!(host.guest_of(A), candidate),
            Ok(()) => {
                let guest = host.guest_of(A);
                prop_assert_eq!(guest.intersection(&candidate), guest);
                let tables = host.context.tables.lock();
                let lost = QueueSet::product(&matrix_a()).difference(&QueueSet::product(&guest));
                let reset: QueueSet = host.context.hardware.reset_counts().into_keys().collect();
                prop_assert_eq!(reset, lost);
                let reserved = tables.bus.reserved();
                prop_assert!(guest.queues().all(|apqn| !reserved.contains(apqn)));
            }
        }
    }

    #[test]
    fn no_queue_ever_belongs_to_two_devices(steps in proptest::collection::vec((0usize..3, some_matrix()), 1..12)) {
        let host = host();
        for (who, candidate) in steps {
            let name = [A, B, C][who];
            let mut tables = host.context.tables.lock();
            let _ = host.context.set_new_guest_config(&mut tables, name, candidate, Filtering::Allowed);
            drop(tables);
            let guests = [A, B, C].map(|name| QueueSet::product(&host.guest_of(name)));
            for (one, other) in [(0, 1), (0, 2), (1, 2)] {
                prop_assert_eq!(guests[one].intersection(&guests[other]).first(), None);
            }
        }
    }
}
