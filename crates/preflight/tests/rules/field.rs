// SPDX-License-Identifier: MIT OR Apache-2.0
//! Situations that people have reported, each with what is right in it.

use preflight::judge::Verdict;
use preflight::rules::Evidence;

use super::fixture::{DESTINATION, Hosts, SOURCE, UUID, config};

/// A guest of one queue, 05.0033, whose destination still has it for itself; nothing was ever changed there.
fn own_queue() -> Hosts {
    let mut hosts = Hosts::new();
    hosts.mdev(SOURCE, "matrix", "05.0033");
    hosts.mdev(SOURCE, "guest_matrix", "05.0033");
    hosts.mdev(SOURCE, "ap_config", &config(&[5], &[0x33], &[]));
    hosts.mdev(SOURCE, "control_domains", "");
    hosts.masks_full(DESTINATION);
    for queue in ["05.0033", "05.003a", "06.0033", "06.003a"] {
        hosts.bind(DESTINATION, queue, "cex4queue");
        hosts.queue_file(DESTINATION, queue, "online", "1");
    }
    hosts
}

fn by_override(queue: &str) -> Vec<String> {
    vec![
        format!("put vfio_ap /sys/bus/ap/devices/{queue}/driver_override"),
        format!("put {queue} /sys/bus/ap/devices/{queue}/driver/unbind"),
        format!("put {queue} /sys/bus/ap/drivers_probe"),
    ]
}

#[test]
fn a_queue_is_given_by_override_unbind_and_probe_and_nothing_else_is_taken() {
    let hosts = own_queue();
    assert_eq!((hosts.judge().verdict(), hosts.fix()), (Verdict::No, by_override("05.0033")));
    // Another queue is given so already: the masks would be refused.
    let mut hosts = own_queue();
    hosts.bind(DESTINATION, "06.003a", "vfio_ap");
    hosts.queue_file(DESTINATION, "06.003a", "driver_override", "vfio_ap");
    assert_eq!(hosts.fix(), by_override("05.0033"));
    // The override was written and nothing else was done.
    let mut hosts = own_queue();
    hosts.queue_file(DESTINATION, "05.0033", "driver_override", "vfio_ap");
    assert_eq!(hosts.fix(), by_override("05.0033"));
}

#[test]
fn a_queue_without_a_driver_is_not_unbound() {
    let mut hosts = own_queue();
    hosts.bind(DESTINATION, "05.0033", "nobody");
    hosts.unbind_of(DESTINATION, "nobody");
    let [choose, _, probe] = <[String; 3]>::try_from(by_override("05.0033")).expect("three");
    assert_eq!(hosts.fix(), [choose, probe]);
}

#[test]
fn without_overrides_the_mask_is_used_that_takes_nothing_else_in_use() {
    let mut hosts = own_queue();
    hosts.without_overrides(DESTINATION);
    // 05.003a is used, and so is 06.0033: either mask takes one of them.
    assert_eq!(hosts.fix(), [""; 0]);
    let script = preflight::report::fix(&hosts.judge());
    assert!(
        script.contains("that the host uses: 05.003a") && script.contains("# put -0x05 /sys/bus/ap/apmask"),
        "{script}"
    );
    hosts.queue_file(DESTINATION, "06.0033", "online", "0");
    assert_eq!(hosts.fix(), ["put -0x33 /sys/bus/ap/aqmask"]);
    hosts.queue_file(DESTINATION, "05.003a", "online", "0");
    assert_eq!(hosts.fix(), ["put -0x05 /sys/bus/ap/apmask"]);
}

#[test]
fn what_other_devices_have_is_told_in_the_words_of_the_kernels_of_today() {
    let mut hosts = Hosts::new();
    hosts.other_mdev("05.0033\n05.003a");
    let line =
        format!("vfio_ap_mdev {UUID}: Userspace may not assign queue 05.0033 to mdev: already assigned to other");
    assert_eq!(hosts.judge().kernel_log().first(), Some(&line));
}

const KEYS: &str =
    "AES NEW: empty 0x00\nAES CUR: valid 0x11\nAES OLD: invalid 0x00\nAPKA CUR: valid 0x33\nASYM CUR: invalid 0x00";

/// What is said of the keys where the destination has these instead.
fn keys(change: &[(&str, &str)]) -> (Verdict, Vec<(String, bool)>, String) {
    let mut hosts = Hosts::new();
    hosts.queue(SOURCE, "mkvps", KEYS);
    let there = change.iter().fold(KEYS.to_owned(), |keys, (from, to)| keys.replace(from, to));
    hosts.queue(DESTINATION, "mkvps", &there);
    let judgement = hosts.judge_strictly();
    let mut found: Vec<_> = judgement.findings.iter().map(|f| (f.rule.id.to_owned(), f.is_violated)).collect();
    found.dedup();
    (judgement.verdict(), found, hosts.screen())
}

#[test]
fn the_current_registers_of_master_keys_decide_each_by_itself() {
    let breaks = |change: &[(&str, &str)], says: &str| {
        let (verdict, found, screen) = keys(change);
        assert_eq!((verdict, &found[..]), (Verdict::No, &[("master-keys".to_owned(), true)][..]), "{change:?}");
        assert!(
            screen.contains("YES, the migration succeeds; but see what breaks") && screen.contains(says),
            "{screen}"
        );
        assert!(screen.contains("read before vfio_ap got the queue"), "{screen}");
    };
    assert_eq!(keys(&[]).0, Verdict::Yes, "a register without a key on both hosts is the same");
    breaks(&[("AES CUR: valid 0x11", "AES CUR: valid 0x22")], "AES CUR 0x22");
    breaks(&[("AES CUR: valid 0x11", "AES CUR: invalid 0x00")], "AES CUR no key");
    breaks(
        &[("AES CUR: valid 0x11", "AES CUR: valid 0x22"), ("APKA CUR: valid 0x33", "APKA CUR: - -")],
        "AES CUR 0x22",
    );
    let (verdict, found, _) = keys(&[("APKA CUR: valid 0x33", "APKA CUR: - -")]);
    assert_eq!((verdict, found), (Verdict::Unknown, vec![("master-keys".to_owned(), false)]));
    let (verdict, found, _) = keys(&[("AES NEW: empty 0x00", "AES NEW: full 0x44")]);
    assert_eq!((verdict, found), (Verdict::Yes, vec![("master-keys-new-old".to_owned(), true)]));
}

#[test]
fn only_keys_of_a_queue_that_vfio_ap_has_were_read_before_it_got_the_queue() {
    let mut hosts = Hosts::new();
    hosts.queue(DESTINATION, "mkvps", "AES CUR: valid 0x02\nAPKA CUR: valid 0x01");
    for queue in ["05.0033", "05.003a", "06.0033", "06.003a"] {
        hosts.bind(DESTINATION, queue, "cex4queue");
    }
    let judgement = hosts.judge();
    let found = judgement.findings.iter().find(|finding| finding.rule.id == "master-keys").expect("found");
    let Evidence { source, destination, .. } = &found.evidence;
    assert_eq!(source, "AES CUR 0x01 (read before vfio_ap got the queue)");
    assert_eq!(destination, "AES CUR 0x02");
}

#[test]
fn keys_of_which_none_is_current_say_so() {
    let mut hosts = Hosts::new();
    hosts.queue(SOURCE, "mkvps", "AES NEW: empty 0x00");
    hosts.each_of(DESTINATION, "queue", "mkvps", &preflight::Attribute::MISSING);
    let judgement = hosts.judge_strictly();
    let found = judgement.findings.iter().find(|finding| finding.rule.id == "master-keys").expect("found");
    assert_eq!(found.evidence.source, "no current key named (read before vfio_ap got the queue)");
    assert!(found.evidence.destination.starts_with("not known: "), "{}", found.evidence.destination);
}

#[test]
fn of_an_accelerator_no_keys_are_compared() {
    const CCA: u32 = 3;
    for side in [SOURCE, DESTINATION] {
        let mut hosts = Hosts::new();
        hosts.queue(DESTINATION, "mkvps", "AES CUR: valid 0x02");
        hosts.flip(side, CCA);
        assert!(hosts.judge().findings.iter().all(|finding| finding.rule.id != "master-keys"));
    }
}

#[test]
fn a_driver_without_features_is_old_and_not_missing() {
    let mut hosts = Hosts::new();
    for side in [SOURCE, DESTINATION] {
        hosts.put(side, "vfio-ap", "features", preflight::Attribute::MISSING);
        hosts.set(side, "host", "osrelease", "6.4.0-150600.23.42-default");
    }
    let screen = hosts.screen();
    assert!(screen.contains("older than Linux 6.12 and cannot migrate") && !screen.contains("modprobe"), "{screen}");
    let mut hosts = Hosts::new();
    hosts.without_the_driver(DESTINATION);
    assert!(hosts.screen().contains("modprobe vfio_ap"));
    hosts.set(DESTINATION, "host", "vfio_ap-module", "none");
    let screen = hosts.screen();
    assert!(screen.contains("built without vfio_ap") && !screen.contains("fix          modprobe"), "{screen}");
}

#[test]
fn an_odd_value_makes_its_rule_unknown_and_no_other() {
    let mut hosts = Hosts::new();
    hosts.set(DESTINATION, "bus", "ap_max_domain_id", "-1");
    assert_eq!(hosts.judge().verdict(), Verdict::Yes, "a queue that is there is not above the maximum");
    hosts.drop_queue(DESTINATION, "05.0033");
    let screen = hosts.screen();
    assert!(hosts.judge().verdict() == Verdict::No && screen.contains("ap_max_domain_id says \"-1\""), "{screen}");
}

#[test]
fn of_a_guest_without_a_queue_the_answer_is_never_yes_and_says_so() {
    let mut hosts = Hosts::new();
    hosts.mdev(SOURCE, "guest_matrix", ".0033\n.003a");
    hosts.bind(SOURCE, "05.003a", "cex4queue");
    hosts.bind(SOURCE, "06.0033", "cex4queue");
    let (judgement, screen) = (hosts.judge(), hosts.screen());
    assert_eq!((judgement.verdict(), judgement.verdict().exit_status()), (Verdict::Unknown, 3));
    assert!(screen.starts_with("here -> there: UNKNOWN, this guest has no queue"), "{screen}");
    assert!(screen.contains("05.003a: cex4queue has it, 06.0033: cex4queue has it"), "{screen}");
    assert!(screen.contains("if it should have it: 05.003a, 06.0033"), "{screen}");
}

#[test]
fn several_devices_are_listed_whole_and_the_one_in_use_is_marked() {
    let mut hosts = Hosts::new();
    let other = "11111111-2222-4333-8444-555555555555";
    hosts.add_mdev(SOURCE, other, "");
    hosts.mdev(SOURCE, "status", "assigned");
    let error = hosts.error();
    let lines: Vec<&str> = error.lines().skip(1).collect();
    assert_eq!(lines, [format!("  {other}  in use by a guest"), format!("  {UUID}")]);
    let judgement = hosts.named(&UUID.to_uppercase()).expect("upper and lower case are one");
    assert_eq!(judgement.source_mdev, UUID);
}

#[test]
fn a_definition_without_a_uuid_gets_no_command_with_a_made_up_name() {
    let text = r#"{"mdev_type": "vfio_ap-passthrough", "attrs": [{"assign_adapter": "5"}, {"assign_domain": "0x33"}]}"#;
    let mut hosts = Hosts::new();
    hosts.snapshots[SOURCE] = preflight::foreign::read(text).unwrap().into_host("guest.json").unwrap();
    let screen = hosts.screen();
    assert!(screen.contains("call the definition's file by the device's UUID"), "{screen}");
    let script = preflight::report::fix(&hosts.judge());
    assert!(!script.lines().any(|line| line.starts_with("put ") && line.contains("wanted")), "{script}");
}

#[test]
fn a_table_of_queues_as_the_source_says_how_a_snapshot_is_taken() {
    let table = "CARD.DOM TYPE  MODE        STATUS     REQUESTS  PENDING HWTYPE QDEPTH FUNCTIONS  DRIVER     \n\
                 --------------------------------------------------------------------------------------------\n\
                 05.0033  CEX8P EP11-Coproc in use            -        -     14     08 -----XN-F- vfio_ap    \n";
    let mut hosts = Hosts::new();
    hosts.snapshots[SOURCE] = preflight::foreign::read(table).unwrap().into_host("table.txt").unwrap();
    let error = hosts.error();
    assert!(error.contains("lszcrypt") && error.contains("kaput collect"), "{error}");
}
