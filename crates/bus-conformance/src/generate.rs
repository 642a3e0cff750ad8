// SPDX-License-Identifier: MIT OR Apache-2.0
//! The steps of a seed: what administrators write, right and wrong, and what happens to the hardware.
//!
//! Masks and overrides exclude each other, so steps come in stretches that are mostly about one of the two, each of
//! which begins by putting the other back. A queue that goes with its override keeps the masks from being changed until
//! the next boot, so the hardware loses a queue in one stretch with overrides only: early in every fourth seed, late in
//! the others.

use ap_arch::{Apid, Apqi, Apqn, Mask256, Matrix};
use ap_machine::{AdapterSpec, CardKind, Topology};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use vfio_ap::control::{QueueName, Request};

use crate::{Kernel, Step};

/// Steps that are about the same.
const STRETCH: usize = 40;

/// What may be done, and to what.
#[derive(Clone, Debug)]
pub struct Universe {
    /// The hardware at the beginning; nothing else is ever put in, but other kinds of cards.
    pub topology: Topology,
    /// The kernel.
    pub kernel: Kernel,
    /// Whether the hardware may be changed.
    pub hardware: bool,
    /// Names of the mediated devices that may be made; none where vfio_ap is not loaded.
    pub mdevs: Vec<&'static str>,
}

/// The first steps of a seed. The same ones on every machine, and fewer of them are a beginning of more.
#[must_use]
pub fn generate(seed: u64, count: usize, universe: &Universe) -> Vec<Step> {
    let matrix = universe.topology.matrix();
    let both = if seed % 4 == 1 { 4 } else { 18 };
    let random = StdRng::seed_from_u64(seed);
    let mut generator =
        Generator { random, universe, matrix, stretches: 0, both, scans: 0, given: matrix, steps: Vec::new() };
    // The first says whether both begin alike.
    generator.steps.push(Step::scan());
    while generator.steps.len() < count {
        generator.stretch();
    }
    generator.steps.truncate(count);
    generator.steps
}

pub(crate) struct Generator<'a> {
    pub(crate) random: StdRng,
    pub(crate) universe: &'a Universe,
    pub(crate) matrix: Matrix,
    stretches: usize,
    /// How often the bus is scanned.
    scans: usize,
    /// Of what the stretch gave some to vfio_ap.
    pub(crate) given: Matrix,
    /// Which stretch is about both.
    both: usize,
    pub(crate) steps: Vec<Step>,
}

/// What a stretch is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    Masks,
    Overrides,
    /// Both, so that they get into each other's way, and the hardware may take a queue with its override.
    Both,
}

impl Generator<'_> {
    fn stretch(&mut self) {
        let number = self.stretches;
        self.stretches += 1;
        let has_overrides = self.universe.kernel.has_queue_attribute("driver_override");
        let about = match number {
            _ if !has_overrides => About::Masks,
            _ if number == self.both => About::Both,
            _ if number % 5 == 1 || number % 5 == 3 => About::Overrides,
            _ => About::Masks,
        };
        self.remove_mdevs();
        if about == About::Masks && has_overrides {
            for queue in self.matrix.queues() {
                self.steps.push(Step::write(format!("devices/{queue}/driver_override"), "\n"));
            }
        }
        if about == About::Overrides {
            self.steps.extend(["apmask", "aqmask"].map(|mask| Step::write(mask, "+0-255")));
        }
        self.make_mdevs(about);
        for _ in 0..STRETCH {
            let step = self.step(about);
            self.push(step);
        }
    }

    /// Adds a step. Where vfio_ap is loaded a step takes less time than a scan, so at most one in ten is one.
    fn push(&mut self, step: Step) {
        let is_too_much = !self.universe.mdevs.is_empty() && step.scans() && self.scans * 10 >= self.steps.len();
        let step = if is_too_much { self.mdev() } else { step };
        self.scans += usize::from(step.scans());
        self.steps.push(step);
    }

    fn step(&mut self, about: About) -> Step {
        if !self.universe.mdevs.is_empty() {
            match (self.random.random_range(0..100), about) {
                (0..65, _) => return self.mdev(),
                (65..70, About::Overrides) | (65..67, _) => return self.fault(),
                (67..72, _) => return self.presence(),
                _ => {}
            }
        }
        match (self.random.random_range(0..100), about) {
            (0..30, About::Masks) | (0..15, About::Both) => self.mask(),
            (0..30, _) => self.driver_override(),
            (30..50, _) => self.binding(),
            (50..58, _) => self.probe(),
            (58..72, _) => self.online(),
            (72..78, _) => self.odd(),
            (78..82, _) => Step::write("scans", self.one_of(&["1", "0", "\n", "x"])),
            (_, About::Overrides) => self.fault(),
            (82..92, _) => self.fault(),
            _ => self.presence(),
        }
    }

    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.random.random_range(0..all.len())]
    }

    pub(crate) fn number(&mut self, of: Mask256, others: &[u8]) -> u8 {
        let all: Vec<u8> = of.iter().chain(others.iter().copied()).collect();
        self.one_of(&all)
    }

    fn adapter(&mut self) -> Apid {
        Apid(self.number(self.matrix.adapters, &[]))
    }

    fn domain(&mut self) -> Apqi {
        Apqi(self.number(self.matrix.domains, &[]))
    }

    /// Nearly always one that the hardware has at the beginning.
    pub(crate) fn queue(&mut self) -> Apqn {
        let strange = self.random.random_range(0..30);
        let adapter = if strange == 0 { Apid(0xff) } else { self.adapter() };
        let domain = if strange == 1 { Apqi(0) } else { self.domain() };
        Apqn { apid: adapter, apqi: domain }
    }

    pub(crate) fn newline(&mut self) -> &'static str {
        self.one_of(&["\n", "", "\n"])
    }

    /// The name of a device, as it is written to a driver.
    fn name(&mut self) -> String {
        let name = match self.random.random_range(0..20) {
            0 => format!("card{}", self.adapter()),
            1 => self.queue().to_string().to_uppercase(),
            2 => self.one_of(&["", "\n", "card4", "4.33", "05.00331", "05.0033\n\n", " 05.0033"]).to_owned(),
            _ => self.queue().to_string(),
        };
        format!("{name}{}", self.newline())
    }

    fn mask(&mut self) -> Step {
        let path = self.one_of(&["apmask", "aqmask"]);
        let of = if path == "apmask" { self.matrix.adapters } else { self.matrix.domains };
        let number = |this: &mut Self| {
            let number = this.number(of, &[0, 255]);
            match this.random.random_range(0..3) {
                0 => format!("{number:#x}"),
                1 => format!("0{number:o}"),
                _ => number.to_string(),
            }
        };
        let value = match self.random.random_range(0..20) {
            0..4 => "+0-255".to_owned(),
            4..14 => {
                let changes = self.random.random_range(1..4);
                let mut text = String::new();
                for index in 0..changes {
                    text += if index == 0 { "" } else { self.one_of(&[",", ",", "", "\n"]) };
                    text += self.one_of(&["+", "-"]);
                    text += &number(self);
                    if self.random.random_range(0..6) == 0 {
                        text += "-";
                        text += &number(self);
                    }
                }
                text
            }
            14..17 => {
                let mut mask = if self.random.random_bool(0.5) { Mask256::FULL } else { Mask256::EMPTY };
                for number in of.iter() {
                    if self.random.random_bool(0.5) { mask.insert(number) } else { mask.remove(number) }
                }
                mask.to_string()
            }
            17 => self.one_of(&["0x", "", "\n", "0xff", "ff", "xFF", "0xffffffffffffffff"]).to_owned(),
            _ => self.wrong_mask(),
        };
        Step::write(path, value + self.newline())
    }

    fn wrong_mask(&mut self) -> String {
        let long = format!("0x{}", "f".repeat(65));
        let large = if self.universe.kernel.takes_large_numbers() { "+18446744073709551617" } else { "+256" };
        let texts = [
            "+", "-", "+256", "-0-256", "+5-4", "+1,2", "1", "0x1\n\n", "0xg", "+0xg", "+08", "+ 1", " +1", "0X1",
            "+1-", large, "-1--2", "+0x", "+1,,+2", "hello", &long,
        ];
        self.one_of(&texts).to_owned()
    }

    fn driver_override(&mut self) -> Step {
        let path = format!("devices/{}/driver_override", self.queue());
        let value = match self.random.random_range(0..10) {
            0..4 => "vfio_ap".to_owned(),
            4..6 => "cex4queue".to_owned(),
            6..8 => "\n".to_owned(),
            8 => self
                .one_of(&["cex4card", "nobody", "cex4queue\nvfio_ap", " vfio_ap", "", "VFIO_AP", "(null)"])
                .to_owned(),
            _ => "long".repeat(self.one_of(&[25, 500])),
        };
        Step::write(path, value + self.newline())
    }

    fn binding(&mut self) -> Step {
        let path = match self.random.random_range(0..12) {
            0..4 => "drivers/cex4queue/bind".to_owned(),
            4..6 => "drivers/cex4queue/unbind".to_owned(),
            6 => return self.binding_of_a_card(),
            7 => self.one_of(&["drivers/vfio_ap/bind", "drivers/nobody/bind", "drivers/cex4queue/nothing"]).to_owned(),
            _ => {
                let queue = self.queue();
                return Step::write(format!("devices/{queue}/driver/unbind"), format!("{queue}{}", self.newline()));
            }
        };
        Step::write(path, self.name())
    }

    /// No card is unbound: a kernel does not survive that one of its queues is bound then.
    fn binding_of_a_card(&mut self) -> Step {
        let (queue, card) = (self.queue(), self.adapter());
        match self.random.random_range(0..3) {
            0 => Step::write("drivers/cex4card/bind", format!("card{card}")),
            1 => Step::write("drivers/cex4card/bind", queue.to_string()),
            _ => Step::write("drivers/cex4card/unbind", queue.to_string()),
        }
    }

    fn probe(&mut self) -> Step {
        Step::write("drivers_probe", self.name())
    }

    fn online(&mut self) -> Step {
        let device = match self.random.random_range(0..3) {
            0 => format!("card{}", self.adapter()),
            _ => self.queue().to_string(),
        };
        let value = match self.random.random_range(0..8) {
            0..3 => "0",
            3..6 => "1",
            _ => self.one_of(&[
                "2",
                "-1",
                "",
                "\n",
                " 1",
                "\t0",
                "01",
                "0x1",
                "1 0",
                "+1",
                "x",
                "4294967297",
                "-0",
                "1x",
            ]),
        };
        Step::write(format!("devices/{device}/online"), value.to_owned() + self.newline())
    }

    /// What is not there, what cannot be written, and the configuration of a card, which is SCLP's.
    fn odd(&mut self) -> Step {
        let (queue, card) = (self.queue(), self.adapter());
        let value = self.one_of(&["0", "1", "1\n", "2", "", "off"]);
        let path = match self.random.random_range(0..9) {
            0..4 => format!("devices/card{card}/config"),
            4 => format!("devices/{queue}/config"),
            5 => format!("devices/card{card}/hwtype"),
            6 => format!("devices/{queue}/chkstop"),
            7 => self.one_of(&["ap_max_domain_id", "bindings", "nothing", "devices/card0/online"]).to_owned(),
            _ => format!("devices/{queue}/nothing"),
        };
        Step::write(path, value)
    }

    /// Something breaks, or works again; everything stays where it is.
    fn fault(&mut self) -> Step {
        if !self.universe.hardware {
            return Step::scan();
        }
        let (queue, adapter) = (self.queue(), self.adapter().to_string());
        Step::Hardware(match self.random.random_range(0..10) {
            0..3 => Request::AdapterConfigure { adapter },
            3..5 => Request::AdapterDeconfigure { adapter },
            5 => Request::AdapterCheckstop { adapter },
            6..8 => Request::QueueCheckstop { queue: QueueName(queue), on: true },
            _ => Request::QueueCheckstop { queue: QueueName(queue), on: false },
        })
    }

    /// Something goes, or comes back.
    fn presence(&mut self) -> Step {
        if !self.universe.hardware {
            return Step::scan();
        }
        let (adapter, domain) = (self.adapter().to_string(), self.domain().to_string());
        let control_only = self.random.random_range(0..4) == 0;
        Step::Hardware(match self.random.random_range(0..10) {
            0..3 => Request::AdapterUnplug { adapter },
            3..7 => Request::AdapterPlug { adapter, card: AdapterSpec::new(self.kind()) },
            7 => Request::DomainUnplug { domain, control_only },
            _ => Request::DomainPlug { domain, control_only },
        })
    }

    fn kind(&mut self) -> CardKind {
        let kinds: Vec<CardKind> = self.universe.topology.adapters.values().map(|card| card.kind).collect();
        self.one_of(&kinds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Administrator, Model, Outcome};

    fn universe(kernel: Kernel) -> Universe {
        let topology = "04=cex8a,05=cex8c,06=cex7p/00,33,3a".parse().expect("a topology");
        Universe { topology, kernel, hardware: true, mdevs: Vec::new() }
    }

    #[test]
    fn a_seed_has_the_same_steps_every_time_and_another_seed_has_others() {
        let universe = universe(Kernel(7, 3, 4));
        let steps = generate(7, 500, &universe);
        assert_eq!(steps, generate(7, 500, &universe));
        assert_eq!(steps[..300], generate(7, 300, &universe)[..], "fewer steps are a beginning of more");
        assert_ne!(steps, generate(8, 500, &universe));
    }

    #[test]
    fn steps_are_done_and_refused_and_bring_the_bus_into_many_states() {
        for kernel in [Kernel(6, 12, 107), Kernel(7, 3, 4)] {
            let universe = universe(kernel);
            let mut model = Model::new(kernel, universe.topology.clone(), false).expect("a host");
            let seen = model.carry_out(&kernel.watch(), &generate(1, 2000, &universe)).expect("no connection");
            let done = seen.iter().filter(|seen| seen.outcome == Outcome::Done).count();
            let changed = seen.windows(2).filter(|pair| pair[0].state != pair[1].state).count();
            let errors: std::collections::BTreeSet<String> = seen.iter().map(|seen| seen.outcome.to_string()).collect();
            assert!((600..1700).contains(&done), "{done} of 2000 steps were done");
            assert!(changed > 400, "{changed} of 2000 steps changed something");
            for errno in ["EINVAL", "ENODEV", "EBUSY", "ENOENT", "EACCES", "EOPNOTSUPP", "refused by the machine"] {
                assert!(errors.contains(errno), "nothing was refused with {errno}: {errors:?}");
            }
        }
    }

    #[test]
    fn mediated_devices_are_made_used_and_refused_and_the_bus_is_scanned_in_one_step_of_ten() {
        let kernel = Kernel(7, 3, 4);
        let topology = "04=cex8c,05=cex8a,06=cex7p/33,3a/33,3a,44".parse().expect("a topology");
        let universe = Universe { topology, kernel, hardware: true, mdevs: vec!["a", "b", "c"] };
        let watch = kernel.watch().with_vfio_ap(&universe.mdevs);
        let mut seen = Vec::new();
        for seed in 1..9 {
            let mut model = Model::new(kernel, universe.topology.clone(), true).expect("a host");
            let steps = generate(seed, 500, &universe);
            let scans = steps.iter().filter(|step| step.scans()).count();
            assert!((20..=51).contains(&scans), "{scans} of 500 steps scan the bus");
            seen.extend(model.carry_out(&watch, &steps).expect("no connection"));
        }
        let errors: std::collections::BTreeSet<String> = seen.iter().map(|seen| seen.outcome.to_string()).collect();
        let expected = [
            "done",
            "flags 0x21, 0 regions, 2 interruptions",
            "EADDRINUSE",
            "EADDRNOTAVAIL",
            "EBUSY",
            "EEXIST",
            "EINVAL",
            "EIO",
            "ENODEV",
            "ENOENT",
            "ENOTTY",
            "EPERM",
            "ERANGE",
        ];
        for outcome in expected {
            assert!(errors.contains(outcome), "nothing came to {outcome}: {errors:?}");
        }
        let has = |thing: &str, part: &str| {
            let is_there = |seen: &&crate::Seen| {
                let values = seen.state.0.get(thing).into_iter().flatten();
                values.clone().any(|value| value.contains(part))
            };
            seen.iter().filter(is_there).count()
        };
        for guest in ["guest a", "guest b", "guest c"] {
            let given = seen.windows(2).filter(|pair| pair[0].state.0.get(guest) != pair[1].state.0.get(guest)).count();
            assert!(given > 20, "{guest} was given something else {given} times");
        }
        assert!(has("log", "already assigned to") > 10 && has("log", "in use by mdev") > 3);
    }

    #[test]
    fn a_model_of_another_kernel_parts_from_the_right_one() {
        let universe = universe(Kernel(6, 12, 107));
        let steps = generate(3, 1000, &universe);
        let model = |kernel| Model::new(kernel, universe.topology.clone(), false).expect("a host");
        let (mut old, mut again, mut new) =
            (model(Kernel(6, 12, 107)), model(Kernel(6, 12, 107)), model(Kernel(7, 2, 12)));
        let watch = universe.kernel.watch();
        assert!(crate::first_difference(&watch, &steps, &mut old, &mut again).expect("no connection").is_none());
        old.restart().expect("a host");
        let parting = crate::first_difference(&watch, &steps, &mut old, &mut new).expect("no connection");
        let parting = parting.expect("what the masks bind differs");
        let mut fails = |steps: &[Step]| {
            old.restart()?;
            new.restart()?;
            Ok(crate::first_difference(&watch, steps, &mut old, &mut new)?.is_some())
        };
        let few = crate::shrink(steps[..=parting.index].to_vec(), 1000, &mut fails).expect("no connection");
        assert!(few.len() <= 4, "{few:#?}");
    }
}
