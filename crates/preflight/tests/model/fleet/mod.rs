// SPDX-License-Identifier: MIT OR Apache-2.0
//! A fleet against the model of the driver, on random fleets: a cell that says that a guest can move is a migration
//! that succeeds after the lines of `--fix`, one that says never is one that no command makes possible, a plan costs
//! what the best of all divisions costs, and its script, line by line on the model, is accepted and takes nothing that
//! is in use.
//!
//! `KAPUT_FLEETS=10000 cargo test --release -p preflight --test model fleet` tries that many fleets.

mod random;

use std::collections::BTreeMap;
use std::sync::Arc;

use ap_arch::{Apqn, Mask256, Matrix};
use preflight::fleet::cell::{Answer, Cost, Table};
use preflight::fleet::plan::{self, Plan};
use preflight::fleet::script::script;
use preflight::fleet::{Fleet, Guest};
use preflight::{Pair, RULES, judge};
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestRunner};
use serde_json::json;
use vfio_ap::Host;

use super::hosts::ModelTree;
use super::migration::{ask, carry};
use random::{Described, Made, fleet as random_fleet, open};

const HOSTS: [&str; 4] = ["a", "b", "c", "d"];
const MATRIX: &str = "/sys/devices/vfio_ap/matrix";

fn fleets() -> u32 {
    std::env::var("KAPUT_FLEETS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000)
}

/// The hosts of the model, by name, and their devices.
struct Running(BTreeMap<&'static str, (Arc<Host>, Vec<Made>)>);

impl Running {
    fn start(described: &[Described]) -> Self {
        Self::some(described, &(0..described.len()).collect::<Vec<_>>())
    }

    fn some(described: &[Described], hosts: &[usize]) -> Self {
        Self(hosts.iter().map(|host| (HOSTS[*host], described[*host].build())).collect())
    }

    fn host(&self, name: &str) -> &Arc<Host> {
        &self.0[name].0
    }

    fn fleet(&self) -> Fleet {
        let read = |(name, (host, _)): (&&str, &(Arc<Host>, Vec<Made>))| {
            ((*name).to_owned(), super::read(&ModelTree::whole(host)))
        };
        Fleet::new(self.0.iter().map(read).collect())
    }

    /// What every guest has.
    fn in_use(&self) -> BTreeMap<(&'static str, &'static str), String> {
        let devices = self.0.iter().flat_map(|(host, (_, made))| made.iter().map(move |made| (*host, made)));
        let guests = devices.filter(|(_, made)| made.has_guest);
        guests.map(|(host, made)| ((host, made.name), self.guest_matrix(host, made.name))).collect()
    }

    fn guest_matrix(&self, host: &str, device: &str) -> String {
        self.host(host).sysfs_read(&format!("{MATRIX}/{device}/guest_matrix")).expect("a device")
    }

    fn migrate(&self, device: &str, from: &str, to: &str) -> Result<(), String> {
        let before = self.guest_matrix(from, device);
        open(self.host(to), device);
        carry(self.host(from), self.host(to), Some(device))?;
        assert_eq!(self.guest_matrix(to, device), before, "the guest has exactly its own queues");
        ask(self.host(from), "device-close", json!({"mdev": device})).map(|_| ())
    }

    /// Carries a line of a script out that changes something; `on` is the host that it is for.
    fn obey(&self, line: &str, on: &str) -> Result<(), String> {
        let words = shlex::split(line).unwrap_or_default();
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["put", value, path] => {
                let done = self.host(on).sysfs_write(path, value);
                done.map_err(|error| format!("{value} > {path} on {on}: {error}"))
            }
            ["migrate", device, from, to] => self.migrate(device, from, to),
            _ => Ok(()),
        }
    }

    /// Carries a whole script out; what is in use stays so until it migrates.
    fn run(&self, script: &str) -> Result<(), String> {
        let before = self.in_use();
        let mut on = String::new();
        for line in script.lines().map(str::trim) {
            if let Some(host) = line.strip_prefix("on ").and_then(|rest| rest.strip_suffix(" <<'END'")) {
                on = host.to_owned();
            }
            if line.starts_with("migrate ") && on != "done" {
                assert_eq!(self.in_use(), before, "a command took what is in use: {script}");
                on = "done".to_owned();
            }
            self.obey(line, &on).map_err(|error| format!("{line}: {error}\n{script}"))?;
        }
        if on != "done" {
            assert_eq!(self.in_use(), before, "a command took what is in use: {script}");
        }
        Ok(())
    }
}

fn guest_home(name: &str) -> usize {
    HOSTS.iter().position(|host| *host == name).unwrap_or_default()
}

fn share(one: &Matrix, other: &Matrix) -> bool {
    one.queues().any(|queue| other.contains(queue))
}

/// Whether no command lets the guest go to the host, by what the model says of its hardware and its devices.
fn is_never(described: &[Described], running: &Running, guest: (&'static str, &Made), to: usize) -> bool {
    let (from, made) = guest;
    let (host, devices) = &running.0[HOSTS[to]];
    // With the hardware for itself the driver decides alone.
    let alone = described[to].bare();
    let (source, _) = described[guest_home(from)].build();
    alone.sysfs_write(&format!("{MATRIX}/mdev_supported_types/vfio_ap-passthrough/create"), made.name).expect("new");
    open(&alone, made.name);
    if carry(&source, &alone, Some(made.name)).is_err() {
        return true;
    }
    let has_no_queue = |device: &str| running.guest_matrix(HOSTS[to], device).lines().all(|line| line.len() < 7);
    let is_kept = |other: &&Made| other.has_guest || has_no_queue(other.name);
    let is_in_the_way = |other: &Made| match other.name == made.name {
        true => other.has_guest,
        false => share(&other.matrix, &made.matrix) && is_kept(&other),
    };
    if devices.iter().any(is_in_the_way) {
        return true;
    }
    // By the masks a number goes with everything that it has; overrides take the guest's queues alone.
    let mask =
        |file: &str| preflight::parse::mask(host.sysfs_read(&format!("/sys/bus/ap/{file}")).expect("a mask").trim());
    let (apmask, aqmask) = (mask("apmask").expect("a mask"), mask("aqmask").expect("a mask"));
    if (apmask, aqmask) == (Mask256::FULL, Mask256::FULL) {
        return false;
    }
    let read = |queue: Apqn, file: &str| host.sysfs_read(&format!("/sys/bus/ap/devices/{queue}/{file}"));
    let is_reserved = |queue: &Apqn| apmask.contains(queue.apid.0) && aqmask.contains(queue.apqi.0);
    let has_driver = |queue: &Apqn, driver: &str| read(*queue, "driver").is_ok_and(|name| name.trim() == driver);
    let missing: Vec<Apqn> =
        made.matrix.queues().filter(|queue| is_reserved(queue) && !has_driver(queue, "vfio_ap")).collect();
    let all: Vec<Apqn> =
        host.sysfs_list("/sys/bus/ap/devices").expect("a list").iter().filter_map(|n| n.parse().ok()).collect();
    let takes = |goes: &dyn Fn(&Apqn) -> bool| {
        let used = |queue: &&Apqn| {
            has_driver(queue, "cex4queue") && read(**queue, "online").is_ok_and(|online| online.trim() == "1")
        };
        let others = all.iter().filter(|queue| is_reserved(queue) && goes(queue) && !made.matrix.contains(**queue));
        others.filter(used).count() > 0
    };
    takes(&|queue| missing.iter().any(|of| of.apid == queue.apid))
        && takes(&|queue| missing.iter().any(|of| of.apqi == queue.apqi))
}

/// The script for one guest and one host, as the comparison of two hosts prints it.
fn script_of_the_pair(fleet: &Fleet, guest: &Guest, to: usize) -> String {
    let (source, destination) = (&fleet.members[guest.home].host, &fleet.members[to].host);
    let pair = Pair::new(source, destination, Some(&guest.mdev), None).expect("the guest");
    preflight::report::fix(&judge(&pair, RULES, false))
}

/// Checks every cell; `counts` has how often which answer came.
fn check_cells(described: &[Described], fleet: &Fleet, table: &Table, counts: &mut [usize; 3]) -> Result<(), String> {
    let running = Running::start(described);
    for (number, guest) in fleet.guests.iter().enumerate() {
        let from = HOSTS[guest.home];
        let made = running.0[from].1.iter().find(|made| made.name == guest.mdev && made.has_guest);
        let made = made.ok_or_else(|| format!("{} on {from} is no guest", guest.mdev))?;
        for to in (0..fleet.members.len()).filter(|to| *to != guest.home) {
            let answer = table.cell(number, to).answer;
            let never = is_never(described, &running, (from, made), to);
            let about = || format!("{} from {from} to {}: {answer:?}", guest.mdev, HOSTS[to]);
            match answer {
                Answer::Never(_) if never => counts[2] += 1,
                Answer::After(commands) if !never => {
                    let text = script_of_the_pair(fleet, guest, to);
                    let puts: Vec<&str> = text.lines().filter(|line| line.starts_with("put ")).collect();
                    if puts.len() != commands {
                        return Err(format!("{}, and the script is {text}", about()));
                    }
                    let fresh = Running::some(described, &[guest.home, to]);
                    let before = fresh.in_use();
                    puts.iter().try_for_each(|line| fresh.obey(line, HOSTS[to]))?;
                    if fresh.in_use() != before {
                        return Err(format!("{}, and a command takes what is in use: {text}", about()));
                    }
                    fresh.migrate(&guest.mdev, from, HOSTS[to]).map_err(|error| format!("{}: {error}", about()))?;
                    counts[usize::from(commands > 0)] += 1;
                }
                _ => return Err(format!("{}, and never is {never}", about())),
            }
        }
    }
    Ok(())
}

/// The least that any division costs.
fn by_force(guests: &[(Matrix, &str, Vec<Option<Cost>>)], taken: &mut Vec<Option<usize>>) -> Cost {
    let Some((matrix, name, costs)) = guests.get(taken.len()) else { return Cost::default() };
    let mut least = None;
    for host in (0..costs.len()).map(Some).chain([None]) {
        let Some(cost) = host.map_or(Some(Cost::UNPLACED), |host| costs[host]) else { continue };
        let fits = |((other, called, _), at): (&(Matrix, &str, Vec<_>), &Option<usize>)| {
            host.is_none() || *at != host || !(share(matrix, other) || name == called)
        };
        if guests.iter().zip(&*taken).all(fits) {
            taken.push(host);
            let cost = cost + by_force(guests, taken);
            taken.pop();
            least = Some(least.map_or(cost, |least: Cost| least.min(cost)));
        }
    }
    least.unwrap_or_default()
}

/// Compares the plan with all divisions that there are.
fn check_plan(fleet: &Fleet, table: &Table, plan: &Plan, emptied: &[usize]) -> Result<(), String> {
    let guests = fleet.guests.iter().enumerate().filter(|(_, guest)| emptied.contains(&guest.home));
    let price = |guest: usize, host: usize| match table.cell(guest, host).answer {
        Answer::After(commands) if !emptied.contains(&host) => Some(Cost { commands, ..Cost::default() }),
        _ => None,
    };
    let guests: Vec<(Matrix, &str, Vec<Option<Cost>>)> = guests
        .map(|(number, guest)| {
            let costs = (0..fleet.members.len()).map(|host| price(number, host)).collect();
            (guest.matrix.clone().expect("known"), &*guest.mdev, costs)
        })
        .collect();
    let least = by_force(&guests, &mut Vec::new());
    let cost = plan.cost();
    if cost != least || plan.moves.len() + plan.stays.len() != guests.len() || !plan.is_proven {
        return Err(format!("to empty {emptied:?} costs {least:?} at least, the plan is {plan:#?}"));
    }
    Ok(())
}

/// What came of all fleets.
#[derive(Default, Debug)]
struct Counts {
    /// Cells: yes, after commands, never.
    cells: [usize; 3],
    plans: usize,
    /// Plans that leave nobody behind.
    feasible: usize,
    scripts: usize,
}

fn check(described: &[Described], counts: &mut Counts) -> Result<(), String> {
    let fleet = Running::start(described).fleet();
    let table = Table::new(&fleet, false);
    check_cells(described, &fleet, &table, &mut counts.cells)?;
    let hosts = fleet.members.len();
    let subsets = (1_usize..1 << hosts).map(|set| (0..hosts).filter(|host| set >> host & 1 == 1).collect::<Vec<_>>());
    let mut longest = None;
    for emptied in subsets.filter(|emptied| emptied.len() <= 2) {
        let plan = plan::empty(&fleet, &table, &emptied);
        check_plan(&fleet, &table, &plan, &emptied)?;
        counts.plans += 1;
        counts.feasible += usize::from(plan.stays.is_empty());
        if longest.as_ref().is_none_or(|longest: &Plan| longest.moves.len() < plan.moves.len()) {
            longest = Some(plan);
        }
    }
    if let Some(plan) = longest.filter(|plan| !plan.moves.is_empty()) {
        Running::start(described).run(&script(&fleet, &plan, "test", true))?;
        counts.scripts += 1;
    }
    let plan = plan::movable(&fleet, &table);
    if let Some(each) = plan.moves.last() {
        let running = Running::start(described);
        running.run(&script(&fleet, &plan, "test", false))?;
        let guest = &fleet.guests[each.guest];
        running.migrate(&guest.mdev, HOSTS[guest.home], HOSTS[each.to])?;
    }
    Ok(())
}

#[test]
fn what_is_said_of_a_fleet_is_what_the_model_does_and_no_plan_costs_less() {
    let config = Config {
        cases: fleets(),
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(15),
        ..Config::default()
    };
    let counts = std::cell::RefCell::new(Counts::default());
    let result = TestRunner::new(config).run(&random_fleet(), |described| {
        let checked = check(&described, &mut counts.borrow_mut());
        checked.map_err(proptest::test_runner::TestCaseError::fail)
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let Counts { cells: [yes, after, never], plans, feasible, scripts } = counts.into_inner();
    println!("{} fleets: {yes} cells yes, {after} after commands, {never} never", fleets());
    println!("{plans} plans to empty hosts, {feasible} feasible, all of the least cost; {scripts} scripts carried out");
    let least = fleets() as usize / 10;
    assert!(yes.min(after).min(never) > least && feasible > least && plans - feasible > least, "hardly ever");
}
