// SPDX-License-Identifier: MIT OR Apache-2.0
//! Plans carried out on the model of the driver: every write is accepted, the guest gets what it is to have, nobody
//! else loses anything, and wherever the work is interrupted the host can be made what it was.

use std::collections::BTreeSet;
use std::sync::Arc;

use ap_admin::{AP, Check, Plan, Record, Refusal, Wanted, Write, existing, plan};
use ap_arch::{Apqn, Mask256, Matrix};
use preflight::collect::collect;
use preflight::{Attribute, Snapshot, Tree};
use proptest::prelude::*;
use vfio_ap::{Host, HostConfig, MdevConfig};

const ADAPTERS: [u8; 3] = [4, 5, 6];
const DOMAINS: [u8; 2] = [0x33, 0x3a];
const UUID: &str = "8a2f6cb4-41c5-4c0e-9d59-0a6b8f1f2f10";

/// The model's surface as files.
struct Surface(Arc<Host>);

impl Tree for Surface {
    fn list(&self, folder: &str) -> Result<Vec<String>, Attribute> {
        self.0.sysfs_list(&format!("/{folder}")).map_err(|_| Attribute::MISSING)
    }

    fn read(&self, file: &str) -> Attribute {
        let text = self.0.sysfs_read(&format!("/{file}"));
        text.map_or(Attribute::MISSING, |text| Attribute::from_bytes(text.as_bytes()))
    }
}

fn snapshot(host: &Arc<Host>) -> Snapshot {
    collect(&Surface(Arc::clone(host)))
}

/// Every write is accepted, and what must be read after it is read.
fn carry_out(host: &Host, writes: &[Write]) {
    let read = |path: &str| host.sysfs_read(path).ok().map(|text| text.trim_end_matches('\n').to_owned());
    for Write { path, value, checks } in writes {
        let written = host.sysfs_write(path, &format!("{value}\n"));
        written.unwrap_or_else(|error| panic!("{value:?} to {path}: {error:?}"));
        for check in checks {
            let holds = match check {
                Check::Says(path, text) => read(path).as_ref() == Some(text),
                Check::Driver(queue, driver) => read(&format!("{AP}/devices/{queue}/driver")) == *driver,
                Check::Has(mask, number, on) => {
                    let text = read(mask.path()).expect("a mask");
                    preflight::parse::mask(&text).is_ok_and(|mask| mask.contains(*number) == *on)
                }
                Check::Is(path, there) => read(&format!("{path}/matrix")).is_some() == *there,
            };
            assert!(holds, "{check:?} after {value:?} to {path}");
        }
    }
}

fn write(path: &str, value: &str) -> Write {
    Write { value: value.to_owned(), path: path.to_owned(), checks: Vec::new() }
}

fn mask(of: &[u8]) -> Mask256 {
    of.iter().copied().collect()
}

fn all_but(of: &[u8]) -> Mask256 {
    Mask256::FULL.difference(mask(of))
}

/// Sets queues offline that the host's own driver has.
fn set_offline(host: &Host, queues: &[&str]) {
    for queue in queues {
        host.sysfs_write(&format!("{AP}/devices/{queue}/online"), "0").expect("a queue of the host's own");
    }
}

/// A host on which the default drivers have what the masks say.
fn host(default_adapters: Mask256, default_domains: Mask256, others: Vec<MdevConfig>) -> Arc<Host> {
    let topology = "04=cex8c,05=cex8a,06=cex8c/33,3a/33,3a,44".parse().expect("a topology");
    let mdev = MdevConfig { uuid: "unused".to_owned(), ..MdevConfig::default() };
    let config = HostConfig { topology, mdev, others, default_adapters, default_domains, ..HostConfig::default() };
    Host::new(config).expect("a host")
}

fn wanted(adapters: &[u8], domains: &[u8]) -> Wanted {
    let matrix = Matrix { adapters: mask(adapters), domains: mask(domains), control_domains: Mask256::EMPTY };
    Wanted { uuid: UUID.to_owned(), matrix }
}

fn files(plan: &Plan) -> Vec<&str> {
    plan.record.changes.iter().map(|change| change.path.strip_prefix("/sys/bus/ap/").expect("of the bus")).collect()
}

#[test]
fn queues_that_vfio_ap_has_need_a_mediated_device_and_nothing_else() {
    let host = host(all_but(&[5]), Mask256::FULL, Vec::new());
    let plan = plan(&snapshot(&host), &wanted(&[5], &[0x33])).expect("a plan");
    assert_eq!(plan.record.changes, []);
    carry_out(&host, &plan.writes);
    assert_eq!(host.sysfs_read(&format!("/sys/devices/vfio_ap/matrix/{UUID}/matrix")).expect("read"), "05.0033\n");
}

#[test]
fn a_host_without_masks_gets_overrides_and_one_with_masks_gets_masks() {
    let free = host(Mask256::FULL, Mask256::FULL, Vec::new());
    set_offline(&free, &["05.0033"]);
    let by_override = plan(&snapshot(&free), &wanted(&[5], &[0x33])).expect("a plan");
    assert_eq!(files(&by_override), ["devices/05.0033/driver_override"]);
    let paths: Vec<&str> = by_override.writes.iter().map(|write| write.path.as_str()).collect();
    let folder = "/sys/bus/ap/devices/05.0033";
    assert_eq!(
        paths[..3],
        [&format!("{folder}/driver_override"), &format!("{folder}/driver/unbind"), "/sys/bus/ap/drivers_probe"]
    );
    let masked = host(all_but(&[4]), Mask256::FULL, Vec::new());
    set_offline(&masked, &["05.0033", "05.003a"]);
    let by_mask = plan(&snapshot(&masked), &wanted(&[5], &[0x33])).expect("a plan");
    assert_eq!((files(&by_mask), by_mask.writes[0].value.as_str()), (vec!["apmask"], "-0x05"));
    // The adapter's other domain is in use, this domain of the other adapters is not.
    let masked = host(all_but(&[4]), Mask256::FULL, Vec::new());
    set_offline(&masked, &["05.0033", "06.0033"]);
    let by_domain = plan(&snapshot(&masked), &wanted(&[5], &[0x33])).expect("a plan");
    assert_eq!((files(&by_domain), by_domain.writes[0].value.as_str()), (vec!["aqmask"], "-0x33"));
}

#[test]
fn what_somebody_uses_is_not_taken_and_the_reason_names_him() {
    let refused = |host: &Arc<Host>, wanted: &Wanted| plan(&snapshot(host), wanted).expect_err("it is not to be had");
    let free = host(Mask256::FULL, Mask256::FULL, Vec::new());
    set_offline(&free, &["05.003a"]);
    let why = refused(&free, &wanted(&[5], &[0x33]));
    assert!(matches!(&why, Refusal::Used { driver, wanted: true, .. } if driver == "cex4queue"), "{why}");
    assert_eq!(why.fix(), "if the host can spare it, set it offline first: chzcrypt -d 05.0033");
    let masked = host(all_but(&[4]), Mask256::FULL, Vec::new());
    set_offline(&masked, &["05.0033"]);
    let why = refused(&masked, &wanted(&[5], &[0x33])).to_string();
    assert!(why.starts_with("queue 05.003a is used") && why.ends_with("without it"), "{why}");
    let other =
        MdevConfig { uuid: "taken".into(), adapters: mask(&[5]), domains: mask(&[0x33]), ..MdevConfig::default() };
    let shared = host(all_but(&[5]), Mask256::FULL, vec![other]);
    assert_eq!(
        refused(&shared, &wanted(&[5], &[0x33])).to_string(),
        "queue 05.0033 is assigned to the mediated device taken"
    );
    assert_eq!(refused(&free, &wanted(&[7], &[0x33])).to_string(), "there is no queue 07.0033");
    assert_eq!(refused(&free, &wanted(&[], &[0x33])), Refusal::Nothing);
    let control =
        Wanted { matrix: Matrix { control_domains: mask(&[9]), ..wanted(&[5], &[0x33]).matrix }, ..wanted(&[], &[]) };
    assert_eq!(refused(&free, &control).to_string(), "control domain 0009 is not one of the host's");
    carry_out(&free, &[write("/sys/bus/ap/drivers/cex4queue/unbind", "06.0033")]);
    assert_eq!(
        refused(&free, &wanted(&[6], &[0x33])).fix(),
        "have it bound first: echo 06.0033 > /sys/bus/ap/drivers_probe"
    );
}

#[test]
fn a_mask_is_changed_only_if_it_can_be_put_back() {
    let with_other = |adapters: &[u8], domains: &[u8], released: Mask256| {
        let (adapters, domains) = (mask(adapters), mask(domains));
        let other = MdevConfig { uuid: "other".into(), adapters, domains, ..MdevConfig::default() };
        let host = host(Mask256::FULL, Mask256::FULL.difference(released), vec![other]);
        set_offline(&host, &["04.003a", "05.003a", "06.003a"]);
        host
    };
    // The other device's domain is released, its adapter is not: apmask would not take adapter 06 back.
    let by_domain = with_other(&[6], &[0x33], mask(&[0x33]));
    let plan_of = |host: &Arc<Host>| plan(&snapshot(host), &wanted(&[6], &[0x3a]));
    assert_eq!(files(&plan_of(&by_domain).expect("a plan")), ["aqmask"]);
    let before = snapshot(&by_domain);
    let plan = plan_of(&by_domain).expect("a plan");
    carry_out(&by_domain, &plan.writes);
    carry_out(&by_domain, &plan.record.undo(&snapshot(&by_domain)).writes);
    assert_eq!(snapshot(&by_domain), before);
    // A domain of which the host uses a queue of another adapter is not taken, and the adapter is kept.
    let neither = with_other(&[6], &[0x33], mask(&[0x33]));
    neither.sysfs_write(&format!("{AP}/devices/04.003a/online"), "1").expect("a queue of the host's own");
    let why = plan_of(&neither).expect_err("it could not be undone");
    assert_eq!(
        why.to_string(),
        "/sys/bus/ap/apmask could not be put back: queue 06.0033 is assigned to the mediated device other"
    );
}

/// Somebody makes a device of a queue that was taken for the guest alone: the mask cannot be put back, as the kernel
/// says, and what stands besides it in the way back is done all the same.
#[test]
fn a_number_that_somebody_assigned_meanwhile_is_refused_by_the_kernel_until_it_is_free() {
    let (host, before, plan) = taken_by_mask(false);
    let types = "/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create";
    let theirs = "/sys/devices/vfio_ap/matrix/theirs";
    carry_out(&host, &[write(types, "theirs"), write(&format!("{theirs}/assign_adapter"), "5")]);
    carry_out(&host, &[write(&format!("{theirs}/assign_domain"), "0x3a")]);
    let undo = plan.record.undo(&snapshot(&host));
    let answers: Vec<_> =
        undo.writes.iter().map(|write| host.sysfs_write(&write.path, &format!("{}\n", write.value))).collect();
    let mut refused = answers.iter().filter_map(|answer| answer.as_ref().err()).map(ToString::to_string);
    assert!(refused.any(|why| why.contains("queue 05.003a is assigned to mediated device theirs")));
    assert!(host.sysfs_read(&format!("/sys/devices/vfio_ap/matrix/{UUID}/matrix")).is_err(), "the device is removed");
    carry_out(&host, &[write(&format!("{theirs}/remove"), "1")]);
    carry_out(&host, &plan.record.undo(&snapshot(&host)).writes);
    assert_eq!(snapshot(&host), before);
}

#[test]
fn a_device_that_exists_is_used_as_it_is_unless_a_guest_has_it() {
    let mdev = |open| MdevConfig {
        uuid: UUID.into(),
        adapters: mask(&[5]),
        domains: mask(&[0x33]),
        open,
        ..MdevConfig::default()
    };
    let with = |open| snapshot(&host(all_but(&[5]), Mask256::FULL, vec![mdev(open)]));
    assert_eq!(existing(&with(false), UUID), Ok(()));
    assert_eq!(existing(&with(true), UUID), Err(Refusal::InUse(UUID.to_owned())));
    assert_eq!(existing(&with(false), "nobody"), Err(Refusal::NoMdev("nobody".to_owned())));
}

/// A host with its masks in use, from which 05.0033 was taken by a mask.
fn taken_by_mask(masks_bind_unbound: bool) -> (Arc<Host>, Snapshot, Plan) {
    let topology = "04=cex8c,05=cex8a,06=cex8c/33,3a/33,3a,44".parse().expect("a topology");
    let mdev = MdevConfig { uuid: "unused".to_owned(), ..MdevConfig::default() };
    let (default_adapters, default_domains) = (all_but(&[4]), Mask256::FULL);
    let config =
        HostConfig { topology, mdev, default_adapters, default_domains, masks_bind_unbound, ..HostConfig::default() };
    let host = Host::new(config).expect("a host");
    set_offline(&host, &["05.0033", "05.003a"]);
    let before = snapshot(&host);
    let plan = plan(&before, &wanted(&[5], &[0x33])).expect("a plan");
    carry_out(&host, &plan.writes);
    (host, before, plan)
}

#[test]
fn what_others_changed_in_a_mask_meanwhile_stays() {
    let (host, before, plan) = taken_by_mask(false);
    carry_out(&host, &[write("/sys/bus/ap/apmask", "-0x06,+4")]);
    let undo = plan.record.undo(&snapshot(&host));
    assert_eq!(undo.foreign, []);
    carry_out(&host, &undo.writes);
    let after = snapshot(&host);
    assert_eq!(after.bus["apmask"], Attribute::Text(all_but(&[6]).to_string()));
    assert_eq!(
        after.queues.entries().find(|(q, _)| *q == "05.0033"),
        before.queues.entries().find(|(q, _)| *q == "05.0033")
    );
    assert_eq!(plan.record.undo(&after).writes, []);
}

#[test]
fn a_queue_that_lost_its_driver_meanwhile_is_bound_again_on_every_kernel() {
    for masks_bind_unbound in [true, false] {
        let (host, before, plan) = taken_by_mask(masks_bind_unbound);
        carry_out(&host, &[write("/sys/bus/ap/drivers/vfio_ap/unbind", "05.0033")]);
        carry_out(&host, &plan.record.undo(&snapshot(&host)).writes);
        assert_eq!(snapshot(&host), before);
    }
}

#[test]
fn an_override_that_somebody_else_chose_meanwhile_is_left_alone_and_told() {
    let host = host(Mask256::FULL, Mask256::FULL, Vec::new());
    set_offline(&host, &["05.0033"]);
    let plan = plan(&snapshot(&host), &wanted(&[5], &[0x33])).expect("a plan");
    carry_out(&host, &plan.writes);
    carry_out(&host, &[write("/sys/bus/ap/devices/05.0033/driver_override", "another")]);
    let undo = plan.record.undo(&snapshot(&host));
    assert_eq!((undo.writes.len(), undo.foreign.len()), (1, 1));
    let told = undo.foreign[0].to_string();
    assert!(told.starts_with("/sys/bus/ap/devices/05.0033/driver_override was changed by somebody else"), "{told}");
}

/// A host and what is wanted of it.
#[derive(Clone, Debug)]
struct Case {
    /// Adapters and domains that are released by the masks.
    released: (Mask256, Mask256),
    overrides: Vec<Apqn>,
    other: (Mask256, Mask256),
    /// Queues that are set offline, where the host's own driver has them.
    offline: Vec<Apqn>,
    wanted: Wanted,
}

impl Case {
    fn host(&self) -> Arc<Host> {
        let cleared = |mask: Mask256| Mask256::FULL.difference(mask);
        let host = host(cleared(self.released.0), cleared(self.released.1), Vec::new());
        for queue in &self.overrides {
            // Refused where masks are in use, as on a real host.
            let folder = format!("{AP}/devices/{queue}");
            if host.sysfs_write(&format!("{folder}/driver_override"), "vfio_ap").is_ok() {
                carry_out(&host, &[write(&format!("{folder}/driver/unbind"), &queue.to_string())]);
                carry_out(&host, &[write("/sys/bus/ap/drivers_probe", &queue.to_string())]);
            }
        }
        for queue in &self.offline {
            _ = host.sysfs_write(&format!("{AP}/devices/{queue}/online"), "0");
        }
        let create = "/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create";
        host.sysfs_write(create, "other").expect("made");
        let config = format!("{},{},{}", self.other.0, self.other.1, Mask256::EMPTY);
        // Refused where the default drivers have a queue of it.
        _ = host.sysfs_write("/sys/devices/vfio_ap/matrix/other/ap_config", &config);
        host
    }
}

fn case() -> impl Strategy<Value = Case> {
    let some = |of: &'static [u8]| proptest::sample::subsequence(of, 0..=of.len()).prop_map(|numbers| mask(&numbers));
    let every: Vec<Apqn> = ADAPTERS.iter().flat_map(|a| DOMAINS.map(|d| Apqn::new(*a, d))).collect();
    let released = prop_oneof![Just((Mask256::EMPTY, Mask256::EMPTY)), (some(&ADAPTERS), some(&DOMAINS))];
    let overrides = proptest::sample::subsequence(every.clone(), 0..3);
    let other = (some(&ADAPTERS), some(&DOMAINS));
    let offline = proptest::sample::subsequence(every, 0..=6);
    let matrix = (some(&ADAPTERS), some(&DOMAINS), some(&DOMAINS));
    (released, overrides, other, offline, matrix).prop_map(|(released, overrides, other, offline, matrix)| {
        let (adapters, domains, control_domains) = matrix;
        let wanted = Wanted { uuid: UUID.to_owned(), matrix: Matrix { adapters, domains, control_domains } };
        Case { released, overrides, other, offline, wanted }
    })
}

fn drivers(snapshot: &Snapshot) -> BTreeSet<(String, String)> {
    let pairs = snapshot.drivers.entries();
    pairs.flat_map(|(driver, queues)| queues.iter().map(|queue| (driver.clone(), queue.clone()))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_is_interrupted_can_be_undone(case in case(), at in any::<proptest::sample::Index>()) {
        let host = case.host();
        let before = snapshot(&host);
        let Ok(Plan { record, writes }) = plan(&before, &case.wanted) else {
            return Ok(());
        };
        carry_out(&host, &writes[..at.index(writes.len() + 1)]);
        // The record comes back from where it was stored.
        let record: Record = serde_json::from_str(&serde_json::to_string(&record).expect("text")).expect("a record");
        let undo = record.undo(&snapshot(&host));
        prop_assert_eq!(&undo.foreign, &[]);
        carry_out(&host, &undo.writes);
        prop_assert_eq!(snapshot(&host), before.clone());
        prop_assert_eq!(record.undo(&before).writes, []);
    }

    #[test]
    fn what_is_planned_is_had_and_nobody_else_loses_anything(case in case()) {
        let (host, wanted) = (case.host(), &case.wanted);
        let before = snapshot(&host);
        let Ok(plan) = plan(&before, wanted) else {
            return Ok(());
        };
        carry_out(&host, &plan.writes);
        let after = snapshot(&host);
        let guest = host.sysfs_read(&format!("/sys/devices/vfio_ap/matrix/{UUID}/ap_config")).expect("read");
        let Matrix { adapters, domains, control_domains } = wanted.matrix;
        prop_assert_eq!(guest, format!("{adapters},{domains},{control_domains}\n"));
        let had: BTreeSet<_> = drivers(&before).difference(&drivers(&after)).cloned().collect();
        for (driver, queue) in had {
            let apqn: Apqn = queue.parse().expect("a queue");
            prop_assert!(driver != "vfio_ap" && case.offline.contains(&apqn), "{} lost {}", driver, queue);
        }
        for queue in wanted.matrix.queues() {
            prop_assert!(drivers(&after).contains(&("vfio_ap".to_owned(), queue.to_string())), "{}", queue);
        }
    }
}
