// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is watched of a bus, and what it looks like.

use std::collections::BTreeMap;

use ap_arch::Matrix;

/// Bytes of a value that are compared.
const VALUE: usize = 120;

/// The attributes that are watched. `driver` is the driver of a device: where its link leads. Where mediated devices
/// are watched, so is what KVM was told that their guests have, how often each queue was zeroized, and what the driver
/// logs as a warning or worse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Of the bus.
    pub bus: Vec<&'static str>,
    /// Of each card.
    pub card: Vec<&'static str>,
    /// Of each queue.
    pub queue: Vec<&'static str>,
    /// Of the driver vfio_ap; nothing where it is not loaded.
    pub driver: Vec<&'static str>,
    /// Of each mediated device.
    pub mdev: Vec<&'static str>,
    /// The names of mediated devices whose guests are watched.
    pub guests: Vec<&'static str>,
}

impl Watch {
    /// Everything that the model has. Left out are counts of requests, load, scans, reset, all that is about polling,
    /// and `mkvps` and `serialnr`, because who reads them sends requests.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            bus: vec![
                "apmask",
                "aqmask",
                "ap_adapter_mask",
                "ap_usage_domain_mask",
                "ap_control_domain_mask",
                "ap_max_adapter_id",
                "ap_max_domain_id",
                "bindings",
                "features",
            ],
            card: vec![
                "driver",
                "hwtype",
                "raw_hwtype",
                "type",
                "depth",
                "ap_functions",
                "config",
                "chkstop",
                "online",
            ],
            queue: vec!["driver", "driver_override", "ap_functions", "config", "chkstop", "online"],
            driver: Vec::new(),
            mdev: Vec::new(),
            guests: Vec::new(),
        }
    }

    /// And everything of vfio_ap, which is loaded, and of mediated devices of these names.
    #[must_use]
    pub fn with_vfio_ap(mut self, mdevs: &[&'static str]) -> Self {
        self.guests = mdevs.to_vec();
        self.queue.push("status");
        self.driver = vec!["features"];
        self.mdev = vec!["matrix", "guest_matrix", "control_domains", "ap_config"];
        self
    }

    /// Whether an attribute of a device or of the bus stays as it is as long as the bus is not scanned.
    #[must_use]
    pub fn is_still(name: &str) -> bool {
        const STILL: [&str; 13] = [
            "ap_adapter_mask",
            "ap_usage_domain_mask",
            "ap_control_domain_mask",
            "ap_max_adapter_id",
            "ap_max_domain_id",
            "features",
            "hwtype",
            "raw_hwtype",
            "type",
            "depth",
            "ap_functions",
            "config",
            "chkstop",
        ];
        STILL.contains(&name)
    }

    /// The attributes of a thing: `bus`, or a device's name. Of a list there are none.
    #[must_use]
    pub fn of(&self, thing: &str) -> &[&'static str] {
        match thing {
            BUS => &self.bus,
            DRIVER => &self.driver,
            DRIVERS | RESETS | LOG => &[],
            guest if guest.starts_with(GUEST) => &["masks"],
            card if card.starts_with("card") => &self.card,
            queue if queue.contains('.') => &self.queue,
            _ => &self.mdev,
        }
    }
}

/// The thing whose attributes are those of the bus itself.
pub const BUS: &str = "bus";
/// The thing whose values are the names of the drivers.
pub const DRIVERS: &str = "drivers";
/// The thing whose attributes are those of vfio_ap itself.
pub const DRIVER: &str = "vfio_ap";
/// The thing whose values are queues, and how often each was zeroized.
pub const RESETS: &str = "resets";
/// The thing whose values are lines of the driver's log since the step before.
pub const LOG: &str = "log";
/// So begins the name of the thing that is a device's guest.
pub const GUEST: &str = "guest ";

/// What KVM was told that a guest has, as it is compared.
#[must_use]
pub fn masks(of: &Matrix) -> String {
    format!("{},{},{}", of.adapters, of.domains, of.control_domains)
}

/// What a bus looks like: the values of every thing's attributes in the order in which they are watched, `!N` for one
/// that cannot be read, N being the error number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State(pub BTreeMap<String, Vec<String>>);

impl State {
    /// What a Linux tells by `witness bus`: a line for each thing with tabs between name and values.
    #[must_use]
    pub fn from_lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut state = Self::default();
        for line in lines {
            let mut words = line.split('\t').map(str::to_owned);
            if let Some(thing) = words.next() {
                state.put(thing, words.collect());
            }
        }
        state
    }

    /// Says what a thing looks like.
    pub fn put(&mut self, thing: String, mut values: Vec<String>) {
        if thing == DRIVERS {
            values.sort_unstable();
        }
        // What a mediated device says is compared whole: three masks are longer than that.
        let most = if thing == BUS || thing.contains('.') { VALUE } else { usize::MAX };
        self.0.insert(thing, values.into_iter().map(|value| value.chars().take(most).collect()).collect());
    }

    /// What differs between the real bus and the model's, in words.
    #[must_use]
    pub fn differences(&self, model: &Self, watch: &Watch) -> Vec<String> {
        let mut found = Vec::new();
        for thing in self.0.keys().chain(model.0.keys().filter(|thing| !self.0.contains_key(*thing))) {
            match (self.0.get(thing), model.0.get(thing)) {
                (Some(real), Some(model)) if watch.of(thing).is_empty() => {
                    if real != model {
                        found.push(format!("{thing}: {real:?} real, {model:?} modelled"));
                    }
                }
                (Some(real), Some(model)) => {
                    let pairs = watch.of(thing).iter().zip(real.iter().zip(model));
                    let differ = pairs.filter(|(_, (real, model))| real != model);
                    found.extend(
                        differ
                            .map(|(name, (real, model))| format!("{thing} {name}: {real:?} real, {model:?} modelled")),
                    );
                }
                (Some(_), None) => found.push(format!("{thing}: the model has no such device")),
                (None, _) => found.push(format!("{thing}: only the model has such a device")),
            }
        }
        found
    }
}
