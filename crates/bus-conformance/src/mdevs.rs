// SPDX-License-Identifier: MIT OR Apache-2.0
//! Steps of an administrator of mediated devices, and of the owners of those devices.
//!
//! The masks and overrides that give queues to vfio_ap cannot be changed while these queues are assigned. So a stretch
//! begins without mediated devices, gives some queues away, and makes devices anew.

use ap_arch::Mask256;
use rand::RngExt;

use crate::Step;
use crate::generate::{About, Generator};
use crate::step::Verb;

/// By this file a device is made.
const CREATE: &str = "/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create";

/// Numbers that the host has not, some of them above its maximum.
const OTHERS: [u8; 4] = [0, 7, 0x60, 0xff];

/// Values that are no number, or none that there is.
const NO_NUMBERS: [&str; 9] = ["", "\n", "x", "-1", "256", "0x", " 5", "5 6", "0x10000000000000000"];

impl Generator<'_> {
    /// Removes all mediated devices.
    pub(crate) fn remove_mdevs(&mut self) {
        let removed = self.universe.mdevs.iter().map(|mdev| Step::of_mdev(mdev, "remove", "1"));
        self.steps.extend(removed);
    }

    /// Gives queues to vfio_ap, and makes mediated devices that have some of them and a guest.
    pub(crate) fn make_mdevs(&mut self, about: About) {
        if self.universe.mdevs.is_empty() {
            return;
        }
        self.given = self.matrix;
        if about == About::Masks {
            let is_by_adapter = self.random.random_bool(0.6);
            let of = if is_by_adapter { &mut self.given.adapters } else { &mut self.given.domains };
            for number in of.iter().collect::<Vec<_>>() {
                if self.random.random_range(0..5) == 0 {
                    of.remove(number);
                }
            }
            let (path, of) = if is_by_adapter { ("apmask", *of) } else { ("aqmask", *of) };
            self.steps.extend(of.iter().map(|number| Step::write(path, format!("-{number}"))));
        } else {
            for queue in self.matrix.queues().filter(|_| self.random.random_range(0..8) > 0).collect::<Vec<_>>() {
                self.steps.extend([
                    Step::write(format!("devices/{queue}/driver_override"), "vfio_ap"),
                    Step::write(format!("devices/{queue}/driver/unbind"), queue.to_string()),
                    Step::write("drivers_probe", queue.to_string()),
                ]);
            }
        }
        for mdev in self.universe.mdevs.clone() {
            self.steps.push(Step::write(CREATE, mdev));
            let config = self.config_of_one_adapter();
            self.steps.push(Step::of_mdev(mdev, "ap_config", config));
            self.steps.push(Step::Device { mdev: mdev.to_owned(), verb: Verb::Open { guest: mdev.to_owned() } });
        }
    }

    /// One adapter with all that was given away beside.
    fn config_of_one_adapter(&mut self) -> String {
        let adapters: Vec<u8> = self.given.adapters.iter().collect();
        let adapter: Mask256 =
            if adapters.is_empty() { Mask256::EMPTY } else { [self.one_of(&adapters)].into_iter().collect() };
        format!("{adapter},{},{}", self.given.domains, self.matrix.control_domains)
    }

    /// Something about mediated devices.
    pub(crate) fn mdev(&mut self) -> Step {
        let mdev = self.one_of(&self.universe.mdevs.clone());
        match self.random.random_range(0..100) {
            0..4 => Step::write(CREATE, mdev.to_owned() + self.newline()),
            4..6 => Step::of_mdev(mdev, "remove", self.one_of(&["1", "1\n", "0", "x", "", "2"])),
            6..38 => self.assignment(mdev),
            38..60 => self.ap_config(mdev),
            60..63 => self.odd_attribute(mdev),
            63..75 => self.binding_to_vfio_ap(),
            _ => self.verb(mdev),
        }
    }

    /// A queue goes, or comes back.
    fn binding_to_vfio_ap(&mut self) -> Step {
        let path =
            self.one_of(&["drivers/vfio_ap/unbind", "drivers/vfio_ap/bind", "drivers/vfio_ap/bind", "drivers_probe"]);
        Step::write(path, self.queue().to_string() + self.newline())
    }

    fn assignment(&mut self, mdev: &str) -> Step {
        let what = self.one_of(&["adapter", "adapter", "domain", "domain", "control_domain"]);
        let from = if self.random.random_range(0..8) == 0 { self.matrix } else { self.given };
        let of = match what {
            "adapter" => from.adapters,
            "domain" => from.domains,
            _ => from.control_domains,
        };
        let others: &[u8] = if self.random.random_range(0..5) == 0 || of.is_empty() { &OTHERS } else { &[] };
        let number = self.number(of, others);
        let value = match self.random.random_range(0..20) {
            0..8 => format!("{number:#x}"),
            8..14 => number.to_string(),
            14..17 => format!("0{number:o}"),
            17 => format!("+{number}"),
            18 => format!("0X{number:X}"),
            _ => self.one_of(&NO_NUMBERS).to_owned(),
        };
        let un = self.one_of(&["", "", "un"]);
        Step::of_mdev(mdev, &format!("{un}assign_{what}"), value + self.newline())
    }

    /// Of what there is some, and now and then what there is not.
    fn some(&mut self, of: Mask256) -> Mask256 {
        let mut some: Mask256 = of.iter().filter(|_| self.random.random_bool(0.5)).collect();
        if self.random.random_range(0..12) == 0 {
            some.insert(self.one_of(&OTHERS));
        }
        some
    }

    fn ap_config(&mut self, mdev: &str) -> Step {
        let from = if self.random.random_range(0..8) == 0 { self.matrix } else { self.given };
        let (adapters, domains) = (self.some(from.adapters), self.some(from.domains));
        let control_domains = self.some(from.control_domains);
        let value = match self.random.random_range(0..26) {
            20.. => self.config_of_one_adapter(),
            0 => self.one_of(&["", "\n", "0x", "0x,0x", "0x,0x,0x", ",,", "x,x,x,x", "0x1,0x1,g", "1;2;3"]).to_owned(),
            1 => format!("{adapters},{domains}"),
            2 => format!("{adapters}\n{domains}\n{control_domains}"),
            3 => format!("{adapters},{domains},{control_domains}ff"),
            4 => format!("{adapters},{domains},{control_domains},what comes next"),
            _ => format!("{adapters},{domains},{control_domains}"),
        };
        Step::of_mdev(mdev, "ap_config", value + self.newline())
    }

    fn odd_attribute(&mut self, mdev: &str) -> Step {
        let attribute = self.one_of(&["matrix", "guest_matrix", "control_domains", "nothing"]);
        match self.random.random_range(0..6) {
            0 => Step::write("/sys/devices/vfio_ap/matrix/features", "x"),
            1 => Step::of_mdev("nobody", attribute, "1"),
            2 => Step::write(format!("devices/{}/status", self.queue()), "assigned"),
            _ => Step::of_mdev(mdev, attribute, self.one_of(&["1", ""])),
        }
    }

    fn verb(&mut self, mdev: &str) -> Step {
        let guest = if self.random.random_bool(0.5) { self.one_of(&self.universe.mdevs.clone()) } else { mdev };
        let verb = match self.random.random_range(0..12) {
            0..4 => Verb::Open { guest: guest.to_owned() },
            4..7 => Verb::Close,
            7..10 => Verb::Reset,
            10 => Verb::Info,
            _ => Verb::State,
        };
        Step::Device { mdev: mdev.to_owned(), verb }
    }
}
