// SPDX-License-Identifier: MIT OR Apache-2.0
//! Scenarios whose outcome nobody knows beforehand: hosts that lack something or have something else, streams that
//! break off, administrators who interfere. Each host is visited once at most, so a guest that is refused can go on to
//! the next.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use rand::RngExt;

use super::{Generator, hex, list};

/// What the guest does. How much of it while it is on its way depends on the time, and none of these is about that.
const SUITES: &str = "\"presence\", \"config-info\", \"migration-apcb\", \"migration-queues\", \"migration-messages\"";

/// Where the guest starts, and where it goes then.
const HOSTS: [&str; 4] = ["A", "B", "C", "D"];

/// A host, and what there is to be known of it.
struct Unlike {
    cards: BTreeMap<u8, String>,
    domains: BTreeSet<u8>,
    control: BTreeSet<u8>,
    /// Lines of its table.
    more: String,
}

impl Unlike {
    fn table(&self, name: &str) -> String {
        let Self { cards, domains, control, more } = self;
        let cards: Vec<String> = cards.iter().map(|(adapter, kind)| format!("{adapter:02x}={kind}")).collect();
        let topology = format!("{}/{}/{}", cards.join(","), hex(domains, ","), hex(domains.union(control), ","));
        format!("\n[hosts.{name}]\ntopology = \"{topology}\"\n{more}")
    }
}

impl Generator {
    /// A scenario with at most so many migrations.
    pub(super) fn unlike(&mut self, most_hops: usize) -> String {
        let (adapters, domains, others) = (self.numbers(1), self.numbers(1), self.numbers(0));
        let cards: BTreeMap<u8, String> = adapters.iter().map(|adapter| (*adapter, self.card())).collect();
        // A driver that loses control domains must not have this hide everything else.
        let control = if self.random.random_bool(0.5) { others } else { BTreeSet::new() };
        let hops = self.random.random_range(1..HOSTS.len()).min(most_hops.max(1));
        let mut text = format!(
            "# Nobody knows what must happen: another driver says it.\n\
             summary = \"Seed {:x}, scenario {}: two drivers do the same\"\n\
             tags = [\"soak\"]\n\n[guest]\nsuites = [{SUITES}]\n",
            self.seed, self.made
        );
        let given = (list(&adapters), list(&domains), list(&control));
        let mdev =
            format!("mdev = {{ adapters = {}, domains = {}, control-domains = {} }}\n", given.0, given.1, given.2);
        for (number, name) in HOSTS.iter().enumerate().take(hops + 1) {
            let usual = (cards.clone(), domains.clone(), control.clone());
            let mut host = Unlike { cards: usual.0, domains: usual.1, control: usual.2, more: String::new() };
            if number == 0 {
                host.more.clone_from(&mdev);
            } else if self.random.random_bool(0.6) {
                self.change(&mut host, &adapters, &domains);
            }
            text += &host.table(name);
        }
        for to in &HOSTS[1..=hops] {
            _ = writeln!(text, "\n[[migrations]]\nto = \"{to}\"\nwith = {{ {} }}", self.stream());
        }
        if self.random.random_ratio(1, 3) {
            text += &self.interference(hops, &adapters, &domains);
        }
        text + "\n[expect]\nresult = \"pass\"\n"
    }

    /// Makes a destination other than the source in one way.
    fn change(&mut self, host: &mut Unlike, adapters: &BTreeSet<u8>, domains: &BTreeSet<u8>) {
        let (adapter, domain) = (self.one(adapters), self.one(domains));
        let one = |number: u8| list(&[number]);
        match self.random.random_range(0..9) {
            0 if adapters.len() > 1 => _ = host.cards.remove(&adapter),
            1 if domains.len() > 1 => _ = host.domains.remove(&domain),
            2 => _ = host.cards.insert(adapter, self.card()),
            3 => host.more = format!("unbound = [\"{adapter:02x}.{domain:04x}\"]\n"),
            4 => host.more = format!("default-adapters = {}\ndefault-domains = {}\n", one(adapter), list(domains)),
            5 => {
                let open = self.random.random_bool(0.5);
                let (adapter, domain) = (one(adapter), one(domain));
                host.more =
                    format!("others = [{{ uuid = \"b\", adapters = {adapter}, domains = {domain}, open = {open} }}]\n");
            }
            // The device that the guest gets has something of its own already.
            6 => host.more = format!("mdev = {{ adapters = {}, domains = {} }}\n", one(adapter), one(domain)),
            7 => {
                let own = self.random.random::<u8>();
                _ = host.domains.insert(own);
                host.more = format!("mdev = {{ adapters = {}, domains = {} }}\n", list(adapters), one(own));
            }
            _ => {
                _ = host.cards.insert(self.random.random(), self.card());
                _ = host.domains.insert(self.random.random());
            }
        }
    }

    /// How the stream goes over.
    fn stream(&mut self) -> String {
        let mut keys = Vec::new();
        let mut key = |name: &str, ratio: u32, value: std::ops::Range<u32>| {
            if self.random.random_ratio(1, ratio) {
                keys.push(format!("{name} = {}", self.random.random_range(value)));
            }
        };
        // Of a first write shorter than the header the posted driver takes what stands behind it in memory.
        key("write-chunk", 4, 24..300);
        key("read-chunk", 3, 1..200);
        key("cut", 12, 24..120);
        if self.random.random_ratio(1, 16) {
            keys.push("twice = true".to_owned());
        }
        keys.join(", ")
    }

    /// What an administrator does in one of the migrations.
    fn interference(&mut self, hops: usize, adapters: &BTreeSet<u8>, domains: &BTreeSet<u8>) -> String {
        let migration = self.random.random_range(1..=hops);
        let at = ["asked", "pre-switchover", "handed-over", "over"][self.random.random_range(0..4)];
        let what = ["assign", "unassign"][self.random.random_range(0..2)];
        let (adapter, domain) = (self.one(adapters), self.one(domains));
        let which = match self.random.random_range(0..3) {
            0 => format!("adapter = \"{adapter:02x}\""),
            1 => format!("domain = \"{domain:02x}\""),
            _ => format!("control-domain = \"{domain:02x}\""),
        };
        // Where the guest comes from depends on what was refused before.
        let host = HOSTS[migration];
        format!("\n[[actions]]\nat = \"{at}\"\nmigration = {migration}\ndo = \"{what}\"\nhost = \"{host}\"\n{which}\n")
    }
}
