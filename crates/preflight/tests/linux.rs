// SPDX-License-Identifier: MIT OR Apache-2.0
//! Snapshots that the script took on a real Linux: Debian's s390x kernel on the emulated machine, whose AP bus and
//! whose zcrypt drivers made the files. The folder `linux` keeps what the console printed.
//!
//! That kernel has no vfio_ap, so a guest's device is put into the source's snapshot here.

use preflight::host::VfioAp;
use preflight::report::{fix, human, picture};
use preflight::snapshot::{Section, Snapshot};
use preflight::{Attribute, Host, Pair, RULES, judge, kernel_log};

fn snapshot(name: &str) -> Snapshot {
    let path = format!("{}/tests/linux/{name}.json", env!("CARGO_MANIFEST_DIR"));
    Snapshot::from_json(&std::fs::read_to_string(path).expect("a golden file")).expect("a snapshot")
}

/// As if the driver were there, with a device of these queues, which are bound to it.
fn with_device(name: &str, queues: &[&str], control: &str) -> Snapshot {
    let mut snapshot = snapshot(name);
    let text = |text: &str| Attribute::Text(text.to_owned());
    snapshot.vfio_ap = [("features".into(), text("guest_matrix hotplug ap_config migratable"))].into();
    if let Section::Listed(drivers) = &mut snapshot.drivers {
        drivers.values_mut().for_each(|bound| bound.retain(|queue| !queues.contains(&queue.as_str())));
        drivers.insert("vfio_ap".to_owned(), queues.iter().map(|queue| (*queue).to_owned()).collect());
    }
    let list = text(&queues.join("\n"));
    let files =
        [("matrix".into(), list.clone()), ("guest_matrix".into(), list), ("control_domains".into(), text(control))];
    snapshot.mdevs = Section::Listed([("669d9b23-fe1b-4ecb-be08-a2fabca99b71".to_owned(), files.into())].into());
    snapshot
}

/// The whole answer, as the terminal shows it.
fn answer(source: &Snapshot, destination: &Snapshot) -> String {
    let (source, destination) = (Host::new(source).expect("readable"), Host::new(destination).expect("readable"));
    let pair = Pair::new(&source, &destination, None, None).expect("a guest");
    let judgement = judge(&pair, RULES, false);
    let screen = human::screen(&judgement, "source.json", "destination.json");
    format!("{screen}\n{}\n{}", picture::tables(&pair, &judgement), fix(&judgement))
}

const TWO: [&str; 4] = ["05.0033", "05.003a", "06.0033", "06.003a"];

#[test]
fn every_snapshot_of_a_real_kernel_is_read() {
    for (name, cards, queues) in
        [("two", 2, 4), ("two-released", 2, 4), ("older", 3, 6), ("filtering", 3, 6), ("many", 9, 117), ("none", 0, 0)]
    {
        let host = Host::new(&snapshot(name)).expect("readable");
        let count = |fact: Result<usize, _>| fact.unwrap_or_default();
        assert_eq!(count(host.cards.as_ref().map(|cards| cards.len())), cards, "{name}");
        assert_eq!(count(host.queues.as_ref().map(|queues| queues.len())), queues, "{name}");
        assert_eq!((&host.secure, &host.reports_facilities), (&Ok(false), &Ok(true)), "{name}");
        assert_eq!(host.vfio_ap, Ok(VfioAp::NotLoaded), "{name}: there is no vfio_ap");
    }
}

#[test]
fn a_real_host_that_has_not_released_its_queues() {
    insta::assert_snapshot!(answer(&with_device("two", &TWO, "0033\n003a\n0044"), &snapshot("two-released")));
}

#[test]
fn a_real_host_with_older_cards() {
    insta::assert_snapshot!(answer(&with_device("two", &TWO, "0033\n003a\n0044"), &with_device("older", &TWO, "")));
}

#[test]
fn real_hosts_that_are_equal() {
    let host = with_device("two", &TWO, "0033");
    insta::assert_snapshot!(answer(&host, &host));
}

#[test]
fn a_real_kernel_shows_the_filtering_bit_of_a_queue() {
    let host = Host::new(&snapshot("filtering")).expect("readable");
    let slcf = |queue: &str| host.bit(queue.parse().expect("a queue"), ap_arch::HwInfo::SLCF);
    assert_eq!((slcf("04.0033"), slcf("05.0033")), (Ok(true), Ok(false)));
}

#[test]
fn a_line_that_fits_several_rules_is_told_apart_by_what_the_hosts_are() {
    let (source, destination) = (with_device("two", &TWO, "0033"), snapshot("two"));
    let (source, destination) = (Host::new(&source).expect("readable"), Host::new(&destination).expect("readable"));
    let pair = Pair::new(&source, &destination, None, None).expect("a guest");
    let judgement = judge(&pair, RULES, false);
    let line = "vfio_ap_mdev u: Queue 06.003a not available to vfio_ap driver on target host";
    let explained = |judgement| kernel_log::explain(line, judgement).expect("a message of the driver");
    let id = |judgement| explained(judgement).rule.map(|rule| rule.id);
    assert_eq!((id(None), id(Some(&judgement))), (Some("queue-bound"), Some("queue-released")));
    assert_eq!(explained(Some(&judgement)).fix.as_deref(), Some("echo -0x06 > /sys/bus/ap/apmask"));
}
