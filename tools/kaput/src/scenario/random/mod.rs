// SPDX-License-Identifier: MIT OR Apache-2.0
//! Scenarios out of a seed, for runs without end. A scenario is written as the text of a scenario file, so that
//! whatever surprises can be run again by itself, and the same seed brings the same ones in the same order on every
//! machine.
//!
//! What must happen is known from how a scenario was made: equal hosts keep the guest whole, a queue that belongs to
//! nobody refuses it. The judge is the same as for any other scenario. Where two drivers are compared nothing has to be
//! known, and hosts differ in more ways ([`unlike`]).

mod unlike;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::scenario::load::{Loaded, ScenarioError};

/// Migrations of one run.
const MOST_HOPS: usize = 6;
/// The same in the lab: what wears out in a kernel shows only while it runs.
pub const HOPS_IN_THE_LAB: usize = 100;
/// Adapters, domains and control domains of one guest.
const MOST_EACH: usize = 4;

/// What the guest does.
const SUITES: &str = "\"presence\", \"config-info\", \"migration-apcb\", \"migration-queues\", \"migration-rsa\"";

/// Makes scenarios.
#[derive(Debug)]
pub struct Generator {
    random: StdRng,
    seed: u64,
    made: u64,
    driver: Behind,
}

/// What stands between the hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behind {
    /// The model.
    #[default]
    Model,
    /// A real driver in the lab, which migrates.
    Lab,
    /// One that does not: it has no stream, and refuses nothing.
    LabByHand,
    /// One of two drivers that must do the same, whatever that is.
    Either,
}

impl Generator {
    /// The scenarios of this seed, from the first.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), seed, made: 0, driver: Behind::Model }
    }

    /// The same for another driver.
    #[must_use]
    pub fn behind(self, driver: Behind) -> Self {
        Self { driver, ..self }
    }

    /// The next scenario, with at most this many migrations.
    ///
    /// # Errors
    /// [`ScenarioError`] if what was made is no scenario; its text says why.
    pub fn next(&mut self, most_hops: usize) -> Result<Loaded, ScenarioError> {
        self.made += 1;
        let name = format!("soak-{:x}-{}.toml", self.seed, self.made);
        let text = if self.driver == Behind::Either { self.unlike(most_hops) } else { self.text(most_hops) };
        Loaded::from_text(Path::new(&name), text)
    }

    fn text(&mut self, most_hops: usize) -> String {
        let (adapters, domains) = (self.numbers(1), self.numbers(1));
        let control = self.numbers(0);
        let cards: Vec<String> = adapters.iter().map(|adapter| format!("{adapter:02x}={}", self.card())).collect();
        let accelerated = cards.iter().any(|card| card.ends_with('a'));
        let topology = format!("{}/{}/{}", cards.join(","), hex(&domains, ","), hex(domains.union(&control), ","));
        let refused = self.random.random_ratio(1, 8) && self.driver != Behind::LabByHand;
        let most_hops = most_hops.max(1);
        let hops = match self.driver {
            _ if refused => 1,
            Behind::Model | Behind::Either => self.random.random_range(1..=MOST_HOPS.min(most_hops)),
            Behind::Lab | Behind::LabByHand => HOPS_IN_THE_LAB.min(most_hops),
        };
        let what = if refused { "is refused for want of a queue" } else { "keeps its crypto" };

        let mut text = format!("summary = \"Seed {:x}, scenario {}: the guest {what}\"\n", self.seed, self.made);
        _ = writeln!(text, "tags = [\"soak\"]\n\n[guest]\nsuites = [{SUITES}]\n\n[hosts.A]");
        _ = writeln!(text, "topology = \"{topology}\"");
        let control: BTreeSet<u8> = domains.union(&control).copied().collect();
        let (own, of, over) = (list(&adapters), list(&domains), list(&control));
        _ = writeln!(text, "mdev = {{ adapters = {own}, domains = {of}, control-domains = {over} }}");
        _ = writeln!(text, "\n[hosts.B]\ntopology = \"{topology}\"");
        let lacking = refused.then(|| format!("{:02x}.{:04x}", self.one(&adapters), self.one(&domains)));
        if let Some(queue) = &lacking {
            _ = writeln!(text, "unbound = [\"{queue}\"]");
        }
        for hop in 0..hops {
            _ = writeln!(
                text,
                "\n[[migrations]]\nto = \"{}\"\nwith = {{ {} }}",
                ["B", "A"][hop % 2],
                self.how(accelerated)
            );
        }
        match &lacking {
            None => text.push_str("\n[expect]\nresult = \"pass\"\n"),
            Some(queue) => {
                text.push_str("\n[expect]\nresult = \"refused\"\n");
                text.push_str("\n[expect.refused]\nerrno = \"ENODEV\"\n");
                _ = writeln!(text, "messages = [\"Queue {queue} not available to vfio_ap driver on target host\"]");
            }
        }
        if !accelerated {
            text = text.replace("result = ", "skipped = [\"migration-rsa/*\"]\nresult = ");
        }
        text
    }

    fn numbers(&mut self, least: usize) -> BTreeSet<u8> {
        let count = self.random.random_range(least..=MOST_EACH);
        (0..count).map(|_| self.random.random::<u8>()).collect()
    }

    fn one(&mut self, of: &BTreeSet<u8>) -> u8 {
        let which = self.random.random_range(0..of.len().max(1));
        of.iter().nth(which).copied().unwrap_or_default()
    }

    fn card(&mut self) -> String {
        let mode = ["a", "a", "c", "p"][self.random.random_range(0..4)];
        format!("cex{}{mode}", self.random.random_range(4..=8))
    }

    /// Without an accelerator the guest has nothing to do while pages move, so it cannot be seen doing it.
    fn how(&mut self, accelerated: bool) -> String {
        let mid_run = self.random.random_ratio(1, 4) && accelerated;
        let mut keys = vec![format!("mid-run = {mid_run}")];
        if self.driver == Behind::LabByHand {
            return keys.concat();
        }
        if self.random.random_bool(0.5) {
            keys.push(format!("write-chunk = {}", self.random.random_range(1..200)));
        }
        if self.random.random_bool(0.5) {
            keys.push(format!("read-chunk = {}", self.random.random_range(1..200)));
        }
        keys.join(", ")
    }
}

fn list<'a>(numbers: impl IntoIterator<Item = &'a u8>) -> String {
    let numbers: Vec<String> = numbers.into_iter().map(|number| format!("\"{number:02x}\"")).collect();
    format!("[{}]", numbers.join(", "))
}

fn hex<'a>(numbers: impl IntoIterator<Item = &'a u8>, between: &str) -> String {
    numbers.into_iter().map(|number| format!("{number:02x}")).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::ExpectedOutcome;

    #[test]
    fn everything_that_is_made_is_a_scenario_and_both_outcomes_occur() {
        let mut generator = Generator::new(1);
        let mut refused = 0;
        for _ in 0..500 {
            let loaded = generator.next(MOST_HOPS).unwrap_or_else(|error| panic!("{:?}", miette::Report::new(error)));
            refused += usize::from(loaded.scenario.expect.outcome() == ExpectedOutcome::Refused);
            assert!((1..=MOST_HOPS).contains(&loaded.scenario.hops().len()));
            let accelerated = loaded.scenario.expect.skipped.is_empty();
            assert!(accelerated || loaded.scenario.hops().iter().all(|hop| !hop.with.mid_run), "{}", loaded.text);
        }
        assert!((20..200).contains(&refused), "{refused} of 500 refused");
    }

    #[test]
    fn where_two_drivers_are_compared_hosts_differ_and_none_is_visited_twice() {
        let mut generator = Generator::new(1).behind(Behind::Either);
        let mut differing = 0;
        for _ in 0..500 {
            let loaded = generator.next(MOST_HOPS).unwrap_or_else(|error| panic!("{:?}", miette::Report::new(error)));
            let scenario = &loaded.scenario;
            let hops: BTreeSet<&str> = scenario.hops().iter().map(|hop| hop.to).chain(["A"]).collect();
            assert_eq!(hops.len(), scenario.hops().len() + 1, "{}", loaded.text);
            let topology = |name| scenario.host(name).map(|host| &host.topology);
            differing += usize::from(hops.iter().any(|name| topology(name) != topology("A")));
        }
        assert!((100..400).contains(&differing), "{differing} of 500");
    }

    #[test]
    fn a_seed_brings_the_same_scenarios_again_and_another_brings_others() {
        let texts = |seed| {
            let mut generator = Generator::new(seed);
            (0..20).map(|_| generator.next(3).expect("a scenario").text).collect::<Vec<_>>()
        };
        assert_eq!(texts(7), texts(7));
        assert_ne!(texts(7), texts(8));
    }
}
