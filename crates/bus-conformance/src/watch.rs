// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is watched of a bus, and what it looks like.

use std::collections::BTreeMap;

/// Bytes of a value that are compared.
const VALUE: usize = 120;

/// The attributes that are watched. `driver` is the driver of a device: where its link leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Of the bus.
    pub bus: Vec<&'static str>,
    /// Of each card.
    pub card: Vec<&'static str>,
    /// Of each queue.
    pub queue: Vec<&'static str>,
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
        }
    }

    /// The attributes of a thing: `bus`, or a device's name.
    #[must_use]
    pub fn of(&self, thing: &str) -> &[&'static str] {
        match thing {
            BUS => &self.bus,
            card if card.starts_with("card") => &self.card,
            _ => &self.queue,
        }
    }
}

/// The thing whose attributes are those of the bus itself.
pub(crate) const BUS: &str = "bus";
/// The thing whose values are the names of the drivers.
pub(crate) const DRIVERS: &str = "drivers";

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
    pub(crate) fn put(&mut self, thing: String, mut values: Vec<String>) {
        if thing == DRIVERS {
            values.sort_unstable();
        }
        self.0.insert(thing, values.into_iter().map(|value| value.chars().take(VALUE).collect()).collect());
    }

    /// What differs between the real bus and the model's, in words.
    #[must_use]
    pub fn differences(&self, model: &Self, watch: &Watch) -> Vec<String> {
        let mut found = Vec::new();
        for thing in self.0.keys().chain(model.0.keys().filter(|thing| !self.0.contains_key(*thing))) {
            match (self.0.get(thing), model.0.get(thing)) {
                (Some(real), Some(model)) if thing == DRIVERS && real != model => {
                    found.push(format!("drivers: {} real, {} modelled", real.join(" "), model.join(" ")));
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
