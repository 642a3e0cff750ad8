// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the attributes.

use vfio_mig::Errno;

use crate::tests::fixture::*;

const MDEV: &str = "/sys/devices/vfio_ap/matrix";

#[test]
fn the_queues_are_listed_as_the_driver_lists_them() {
    let host = host();
    let read = |path: &str| host.sysfs_read(&format!("{MDEV}/{path}")).unwrap();
    assert_eq!(read("features"), "guest_matrix hotplug ap_config migratable\n");
    assert_eq!(read("a/matrix"), "04.0033\n04.003a\n05.0033\n05.003a\n");
    assert_eq!(read("a/guest_matrix"), read("a/matrix"));
    assert_eq!(read("a/control_domains"), "0033\n003a\n0044\n");
    host.sysfs_write(&format!("{MDEV}/c/assign_adapter"), "0x7").unwrap();
    assert_eq!(read("c/matrix"), "07.\n");
    host.sysfs_write(&format!("{MDEV}/c/unassign_adapter"), "7\n").unwrap();
    host.sysfs_write(&format!("{MDEV}/c/assign_domain"), "51").unwrap();
    assert_eq!(read("c/matrix"), ".0033\n");
}

#[test]
fn a_configuration_is_read_and_written_as_three_masks() {
    let host = host();
    let path = format!("{MDEV}/a/ap_config");
    let text = host.sysfs_read(&path).unwrap();
    let m = matrix_a();
    assert_eq!(text, format!("{},{},{}\n", m.adapters, m.domains, m.control_domains));
    host.sysfs_write(&path, "0x04,0x0,0x0").unwrap();
    assert_eq!(host.guest_of(A), matrix(&[5], &[], &[]));
    host.sysfs_write(&path, &text).unwrap();
    assert_eq!(host.guest_of(A), m);
    assert_eq!(host.sysfs_write(&path, "0x04,0x0").map_err(errno), Err(Errno::EINVAL));
}

#[test]
fn a_device_is_created_and_removed_by_its_uuid() {
    let host = host();
    let create = format!("{MDEV}/mdev_supported_types/vfio_ap-passthrough/create");
    host.sysfs_write(&create, "d").unwrap();
    assert_eq!(host.sysfs_read(&format!("{MDEV}/d/matrix")).unwrap(), "");
    assert_eq!(host.sysfs_write(&create, "d").map_err(errno), Err(Errno::EEXIST));
    assert_eq!(host.sysfs_write(&create, "../d").map_err(errno), Err(Errno::EINVAL));
    host.sysfs_write(&format!("{MDEV}/d/remove"), "1").unwrap();
    assert_eq!(host.sysfs_read(&format!("{MDEV}/d/matrix")).map_err(errno), Err(Errno::ENOENT));
}

#[test]
fn the_masks_of_the_bus_move_free_queues_only() {
    let mut config = config();
    config.default_domains = ap_arch::Mask256::FULL;
    let host = crate::Host::new(config).unwrap();
    host.sysfs_write("/sys/bus/ap/apmask", "+7").unwrap();
    assert_eq!(host.sysfs_read("/sys/bus/ap/devices/07.0033/driver").unwrap(), "cex4queue\n");
    assert_eq!(host.sysfs_write("/sys/bus/ap/apmask", "+4").map_err(errno), Err(Errno::EBUSY));
    assert_eq!(host.sysfs_read("/sys/bus/ap/devices/04.0033/driver").unwrap(), "vfio_ap\n");
    assert_eq!(host.guest_of(A), matrix_a());
    let assigned = host
        .sysfs_write(&format!("{MDEV}/c/assign_domain"), "0x33")
        .and_then(|()| host.sysfs_write(&format!("{MDEV}/c/assign_adapter"), "7"));
    assert_eq!(assigned.map_err(errno), Err(Errno::EADDRNOTAVAIL));
    host.sysfs_write("/sys/bus/ap/apmask", "-7").unwrap();
    host.sysfs_write(&format!("{MDEV}/c/assign_adapter"), "7").unwrap();
    assert_eq!(host.guest_of(C), matrix(&[7], &[0x33], &[]));
}

/// A host whose queues are all its own, and a device with nothing.
fn free_host() -> std::sync::Arc<crate::Host> {
    let mut config = config();
    config.mdev = crate::MdevConfig { uuid: A.to_owned(), ..Default::default() };
    config.others.clear();
    config.default_adapters = ap_arch::Mask256::FULL;
    config.default_domains = ap_arch::Mask256::FULL;
    crate::Host::new(config).unwrap()
}

const Q: &str = "/sys/bus/ap/devices/04.0033";

/// Writes in their order, each with its answer.
fn writes(host: &crate::Host, writes: &[(&str, &str, Result<(), Errno>)]) {
    for (value, path, answer) in writes {
        assert_eq!(host.sysfs_write(path, value).map_err(errno), *answer, "{value:?} to {path}");
    }
}

#[test]
fn a_queue_goes_to_vfio_ap_and_back_by_override_unbind_and_probe() {
    let host = free_host();
    let (choose, unbind) = (format!("{Q}/driver_override"), format!("{Q}/driver/unbind"));
    let probe = "/sys/bus/ap/drivers_probe";
    let driver = || host.sysfs_read(&format!("{Q}/driver")).map_err(errno);
    assert_eq!(host.sysfs_read(&choose).unwrap(), "\n", "unset it is an empty line");
    writes(&host, &[("vfio_ap\n", &choose, Ok(())), ("1", "/sys/bus/ap/scans", Ok(()))]);
    assert_eq!(driver().unwrap(), "cex4queue\n", "neither the write nor a scan changes a driver");
    writes(
        &host,
        &[("04.0033", "/sys/bus/ap/drivers/vfio_ap/bind", Err(Errno::EBUSY)), ("04.0033\n", &unbind, Ok(()))],
    );
    assert_eq!(driver(), Err(Errno::ENOENT));
    writes(&host, &[("04.0033", &unbind, Err(Errno::ENOENT)), ("04.0033", probe, Ok(()))]);
    assert_eq!((driver().unwrap(), host.sysfs_read(&choose).unwrap()), ("vfio_ap\n".into(), "vfio_ap\n".into()));
    writes(&host, &[("", &choose, Ok(()))]);
    assert_eq!(host.sysfs_read(&choose).unwrap(), "vfio_ap\n", "a write of no bytes is none");
    writes(&host, &[("\n", &choose, Ok(())), ("04.0033", &unbind, Ok(())), ("04.0033", probe, Ok(()))]);
    assert_eq!(driver().unwrap(), "cex4queue\n");
    writes(&host, &[("09.0033", probe, Err(Errno::ENODEV)), ("card04", probe, Ok(()))]);
}

#[test]
fn masks_and_overrides_exclude_each_other() {
    let host = free_host();
    let choose = format!("{Q}/driver_override");
    let mask = "/sys/bus/ap/apmask";
    writes(&host, &[("whoever", &choose, Ok(())), ("-4", mask, Err(Errno::EINVAL)), ("\n", &choose, Ok(()))]);
    writes(&host, &[("-4", mask, Ok(())), ("vfio_ap", &choose, Err(Errno::EINVAL))]);
    writes(&host, &[("+4", mask, Ok(())), (&"x".repeat(4095), &choose, Err(Errno::EINVAL))]);
}

#[test]
fn in_override_mode_a_queue_that_is_absent_or_has_no_driver_cannot_be_assigned() {
    let host = free_host();
    let assign = |what: &str| format!("{MDEV}/a/assign_{what}");
    let (choose, unbind) = (format!("{Q}/driver_override"), format!("{Q}/driver/unbind"));
    writes(&host, &[("vfio_ap", &choose, Ok(())), ("0x33", &assign("domain"), Ok(()))]);
    let not_available = Err(Errno::EADDRNOTAVAIL);
    writes(&host, &[("4", &assign("adapter"), not_available), ("04.0033", &unbind, Ok(()))]);
    writes(&host, &[("4", &assign("adapter"), not_available), ("04.0033", "/sys/bus/ap/drivers_probe", Ok(()))]);
    writes(&host, &[("4", &assign("adapter"), Ok(())), ("9", &assign("adapter"), not_available)]);
    let masked = free_host();
    writes(&masked, &[("-9", "/sys/bus/ap/apmask", Ok(())), ("0x33", &assign("domain"), Ok(()))]);
    writes(&masked, &[("9", &assign("adapter"), Ok(()))]);
}

#[test]
fn a_mask_is_refused_for_a_number_that_a_device_has_with_any_other_number() {
    let host = host();
    writes(&host, &[("0x8", "/sys/bus/ap/aqmask", Ok(())), ("+4", "/sys/bus/ap/apmask", Err(Errno::EBUSY))]);
    let lines: Vec<String> = host.context.log.since(0, usize::MAX).lines.into_iter().map(|line| line.text).collect();
    let line = |q: &str| format!("vfio_ap_mdev a: Can not reserve queue {q} for host driver: in use by mdev");
    assert_eq!(lines, [line("04.0033"), line("04.003a")]);
}

#[test]
fn a_queue_of_the_hosts_own_driver_is_online_until_it_is_set_offline() {
    let host = free_host();
    let online = format!("{Q}/online");
    let read = || host.sysfs_read(&online).map_err(errno);
    assert_eq!(read().unwrap(), "1\n");
    writes(&host, &[("2", &online, Err(Errno::EINVAL)), ("0x1\n", &online, Ok(()))]);
    assert_eq!(read().unwrap(), "0\n");
    writes(&host, &[("-4", "/sys/bus/ap/apmask", Ok(())), ("1", &online, Err(Errno::ENOENT))]);
    writes(&host, &[("+4", "/sys/bus/ap/apmask", Ok(()))]);
    assert_eq!(read().unwrap(), "1\n", "a driver that gets a queue uses it");
    assert_eq!(host.sysfs_read("/sys/bus/ap/bindings").unwrap(), "8/8 (complete)\n");
}

#[test]
fn a_queue_is_not_online_before_its_card_is() {
    let host = free_host();
    let (queue, card) = (format!("{Q}/online"), "/sys/bus/ap/devices/card04/online");
    writes(&host, &[("0", card, Ok(())), ("1", &queue, Err(Errno::EINVAL))]);
    let read = |path: &str| host.sysfs_read(path).unwrap();
    assert_eq!((read(card), read(&queue)), ("0\n".to_owned(), "0\n".to_owned()));
    writes(&host, &[("4294967297 and more", card, Ok(()))]);
    assert_eq!((read(card), read(&queue)), ("1\n".to_owned(), "1\n".to_owned()));
}

#[test]
fn the_driver_of_cards_has_every_card_and_no_queue() {
    let host = free_host();
    let (bind, unbind) = ("/sys/bus/ap/drivers/cex4card/bind", "/sys/bus/ap/drivers/cex4card/unbind");
    writes(&host, &[("card04\n", bind, Err(Errno::EBUSY)), ("card4", bind, Err(Errno::ENODEV))]);
    writes(&host, &[("04.0033", bind, Err(Errno::ENODEV)), ("04.0033", unbind, Err(Errno::ENODEV))]);
    assert_eq!(host.sysfs_read("/sys/bus/ap/devices/card04/driver").unwrap(), "cex4card\n");
}

#[test]
fn cards_show_their_type_and_functions() {
    let host = host();
    let read = |path: &str| host.sysfs_read(&format!("/sys/bus/ap/{path}")).unwrap();
    assert_eq!(read("devices/card04/ap_functions"), "0xF3800000\n");
    assert_eq!(read("devices/card04/hwtype"), "14\n");
    assert_eq!(read("ap_control_domain_mask"), format!("{}\n", mask(&[0x33, 0x3a, 0x44, 0x55])));
}

#[test]
fn what_is_not_there_or_not_writable_is_said() {
    let host = host();
    for path in ["/", "/sys/bus/ap/", "/sys/bus/ap/devices/09.0033/driver", "/sys/devices/vfio_ap/matrix/a/colour"] {
        assert_eq!(host.sysfs_read(path).map_err(errno), Err(Errno::ENOENT), "{path}");
        assert_eq!(host.sysfs_write(path, "1").map_err(errno), Err(Errno::ENOENT), "{path}");
    }
    assert_eq!(host.sysfs_write(&format!("{MDEV}/a/matrix"), "1").map_err(errno), Err(Errno::EACCES));
    assert_eq!(host.sysfs_write("/sys/bus/ap/devices/card04/hwtype", "1").map_err(errno), Err(Errno::EACCES));
    for bad in ["\n", "x", "-1", "0x", "1 2"] {
        let outcome = host.sysfs_write(&format!("{MDEV}/a/assign_adapter"), bad);
        assert_eq!(outcome.map_err(errno), Err(Errno::EINVAL), "{bad:?}");
    }
    assert_eq!(host.sysfs_write(&format!("{MDEV}/a/assign_adapter"), "256").map_err(errno), Err(Errno::ENODEV));
}

#[test]
fn the_bus_lists_what_it_can_be_asked_about() {
    let host = host();
    let list = |path: &str| host.sysfs_list(path).unwrap();
    let devices = list("/sys/bus/ap/devices");
    assert_eq!((devices.len(), devices[0].as_str(), devices[8].as_str()), (12, "04.0033", "card04"));
    assert_eq!(list("/sys/bus/ap/drivers/"), ["cex4card", "cex4queue", "vfio_ap"]);
    assert_eq!(list("/sys/bus/ap/drivers/vfio_ap").len(), 8);
    assert_eq!(list(MDEV), ["a", "b", "c"]);
    assert!(host.sysfs_list("/sys/bus/ap/cards").is_err());
    let read = |path: &str| host.sysfs_read(path).unwrap();
    for (path, value) in [
        ("/sys/bus/ap/ap_max_domain_id", "255\n"),
        ("/sys/bus/ap/devices/card04/raw_hwtype", "14\n"),
        ("/sys/bus/ap/devices/card04/config", "1\n"),
        ("/sys/bus/ap/devices/04.0033/chkstop", "0\n"),
        ("/sys/bus/ap/devices/04.0033/ap_functions", "0xF3800000\n"),
        ("/sys/bus/ap/devices/04.0033/status", "in use\n"),
        ("/sys/bus/ap/devices/07.0033/status", "unassigned\n"),
        ("/sys/firmware/uv/prot_virt_guest", "0\n"),
    ] {
        assert_eq!(read(path), value, "{path}");
    }
}
