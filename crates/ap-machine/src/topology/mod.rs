// SPDX-License-Identifier: MIT OR Apache-2.0
//! What AP hardware a machine has: a part of a scenario, of the plugin's configuration, or a file of its own.
//!
//! Numbers of adapters and domains are hex strings everywhere, as Linux prints them (`"05"`, `"33"`), and ranges are
//! allowed (`"00-ff"`); plain integers are refused, because `33` would not say which base is meant. Keys are in kebab
//! case, unknown ones are errors. [`Topology::check`] says what no parser can see; [`crate::Machine::new`] calls it.

mod adapter;
mod error;
pub mod hex;
mod kind;
mod short;
mod timing;

use std::collections::BTreeMap;

use ap_arch::{Apid, Apqi, Mask256, Matrix};
use serde::{Deserialize, Serialize};

use crate::fault;

pub use adapter::{AdapterSpec, AdapterState};
pub use error::TopologyError;
pub use kind::CardKind;
pub use short::short_matrix;
pub use timing::{EngineTime, Timing};

/// The AP hardware of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Topology {
    /// Whether AP is installed at all; without it the three instructions end with an operation exception.
    pub installed: bool,
    /// The adapters by number: `"05" = "cex8a"` or `"05" = { kind = "cex8a", depth = 4 }`.
    #[serde(with = "adapter::by_number")]
    pub adapters: BTreeMap<Apid, AdapterSpec>,
    /// Usage domains, the same in every adapter.
    #[serde(with = "hex::domains")]
    pub domains: Mask256,
    /// Control domains; if the key is missing, the usage domains.
    #[serde(with = "hex::optional_domains", skip_serializing_if = "Option::is_none")]
    pub control_domains: Option<Mask256>,
    /// What the machine's configurations are shown, where nobody says otherwise of one.
    pub facilities: Facilities,
    /// APXA, extended addressing: without it only adapters 00 to 3f and domains 00 to 0f exist. AP reference 0.
    pub apxa: bool,
    /// Na, the highest adapter number that QCI reports, with APXA. AP reference 3.
    #[serde(with = "hex::adapter")]
    pub max_adapter: Apid,
    /// Nd, the highest domain number that QCI reports, with APXA.
    #[serde(with = "hex::domain")]
    pub max_domain: Apqi,
    /// QCI bit S and the special-command facility of CCA and EP11 cards.
    pub apsc: bool,
    /// QCI bit C: PQAP(QACT) is available.
    pub qact: bool,
    /// QCI bit R: a message for a foreign domain gets an error message 8A instead of response code 42.
    pub rc8a: bool,
    /// QCI bit B: the configurations are Secure Execution guests, queues must be bound. AP reference 2.8.
    pub apsb: bool,
    /// How many association secrets a Secure Execution guest has, numbered from 0.
    pub secrets: u32,
    /// How long things take.
    pub timing: Timing,
    /// Makes it as hard for guests as the architecture allows: what [`Timing`] leaves at zero takes about as long as on
    /// a real machine, a queue that was reset is busy (05) for a while afterwards, and only the first reply in a queue
    /// without one interrupts.
    pub strict: bool,
    /// The most bytes that one NQAP or DQAP moves before it ends with condition code 2; no limit if missing.
    pub segment: Option<u32>,
    /// How many bytes of messages may wait in all queues together before NQAP answers as if its queue were full; 256
    /// MiB by default.
    pub message_memory: u64,
    /// Makes random numbers reproducible; without it they are the operating system's.
    pub seed: Option<u64>,
    /// Faults to plant, by the names of [`crate::FAULTS`]; a sound machine has none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

impl Default for Topology {
    fn default() -> Self {
        Self {
            installed: true,
            adapters: BTreeMap::new(),
            domains: Mask256::EMPTY,
            control_domains: None,
            facilities: Facilities::default(),
            apxa: true,
            max_adapter: Apid(0xff),
            max_domain: Apqi(0xff),
            apsc: true,
            qact: true,
            rc8a: true,
            apsb: false,
            secrets: 16,
            timing: Timing::default(),
            strict: false,
            segment: None,
            message_memory: 256 << 20,
            seed: None,
            faults: Vec::new(),
        }
    }
}

impl Topology {
    /// The three masks of everything there is.
    #[must_use]
    pub fn matrix(&self) -> Matrix {
        Matrix {
            adapters: self.adapters.keys().map(|apid| apid.0).collect(),
            domains: self.domains,
            control_domains: self.control_domains.unwrap_or(self.domains),
        }
    }

    /// The highest adapter and domain numbers that can exist: Na and Nd, without APXA 3f and 0f.
    #[must_use]
    pub fn limits(&self) -> (u8, u8) {
        if self.apxa { (self.max_adapter.0, self.max_domain.0) } else { (63, 15) }
    }

    /// How long things take in the machine.
    #[must_use]
    pub fn timing(&self) -> Timing {
        if self.strict { self.timing.or_realistic() } else { self.timing }
    }

    /// Whether this can be built.
    ///
    /// # Errors
    /// [`TopologyError`], naming the key and what is allowed.
    pub fn check(&self) -> Result<(), TopologyError> {
        let (max_adapter, max_domain) = self.limits();
        let reason = if self.apxa { "max-adapter and max-domain say so" } else { "there is no APXA" };
        let matrix = self.matrix();
        let above = |mask: Mask256, max: u8| mask.highest().filter(|highest| *highest > max);
        if let Some(adapter) = above(matrix.adapters, max_adapter) {
            return Err(TopologyError::AdapterTooHigh { adapter: Apid(adapter), max: Apid(max_adapter), reason });
        }
        for (key, mask) in [("domains", matrix.domains), ("control-domains", matrix.control_domains)] {
            if let Some(domain) = above(mask, max_domain) {
                let (domain, max) = (Apqi(domain), Apqi(max_domain));
                return Err(TopologyError::DomainTooHigh { key, domain, max, reason });
            }
        }
        if self.segment == Some(0) {
            return Err(TopologyError::Segment);
        }
        if let Some(name) = fault::unknown(&self.faults) {
            return Err(TopologyError::Fault(name.to_owned()));
        }
        self.adapters.iter().try_for_each(|(apid, spec)| spec.check(*apid))
    }
}

/// What a configuration is shown of the machine: the facility bits that concern AP, as STFLE shows them (AP reference
/// 4), and whether it is one that can run guests itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Facilities {
    /// Bit 12: PQAP(QCI). On by default.
    pub apqci: bool,
    /// Bit 15: the T bit of TAPQ. On by default.
    pub apft: bool,
    /// Bit 65: PQAP(AQIC). Off by default, because whoever shows it must deliver interruptions.
    pub apqi: bool,
    /// An LPAR, as far as Linux's KVM and vfio_ap look before they start: SIE in what SCLP says of the CPUs, and an
    /// answer to PLO's query. No vCPU runs in it. Off by default; vfio_ap wants [`Self::apqi`] as well.
    pub sie: bool,
}

impl Default for Facilities {
    fn default() -> Self {
        Self { apqci: true, apft: true, apqi: false, sie: false }
    }
}

impl Facilities {
    /// None of them.
    pub const NONE: Self = Self { apqci: false, apft: false, apqi: false, sie: false };

    /// The facility bit numbers, ascending.
    pub fn bits(self) -> impl Iterator<Item = u32> {
        use ap_arch::facility::{APFT, APQCI, APQI};
        [(self.apqci, APQCI), (self.apft, APFT), (self.apqi, APQI)]
            .into_iter()
            .filter_map(|(on, bit)| on.then_some(bit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(toml: &str) -> String {
        match toml::from_str::<Topology>(toml) {
            Ok(topology) => topology.check().expect_err("a topology that should be refused was accepted").to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_full_file_reads_as_it_is_meant() {
        let topology: Topology = toml::from_str(
            r#"
            domains = ["33", "0x3a", "50-53"]
            control-domains = ["33", "44"]
            segment = 256
            [adapters]
            "05" = "cex8a"
            "06" = { kind = "cex7c", depth = 4, max-message = 16384, state = "deconfigured" }
            [facilities]
            apqi = true
            [timing]
            engine = "like-a-card"
            reset-ns = 1000
            "#,
        )
        .unwrap();
        topology.check().unwrap();
        assert_eq!(topology.matrix().domains.iter().collect::<Vec<_>>(), [0x33, 0x3a, 0x50, 0x51, 0x52, 0x53]);
        assert_eq!(topology.matrix().control_domains.iter().collect::<Vec<_>>(), [0x33, 0x44]);
        assert_eq!(topology.adapters[&Apid(6)].depth, 4);
        assert_eq!(topology.adapters[&Apid(6)].state, AdapterState::Deconfigured);
        assert_eq!(topology.facilities.bits().collect::<Vec<_>>(), [12, 15, 65]);
        assert_eq!(topology.timing, Timing { engine: EngineTime::LikeACard, reset_ns: 1000, aqic_ns: 0 });
    }

    #[test]
    fn what_is_written_reads_back() {
        let topology: Topology = "05=cex8a,06-08=cex4p/00-ff/01".parse().unwrap();
        let json = serde_json::to_string(&topology).unwrap();
        assert_eq!(serde_json::from_str::<Topology>(&json).unwrap(), topology);
        assert_eq!(toml::from_str::<Topology>(&toml::to_string(&topology).unwrap()).unwrap(), topology);
    }

    #[test]
    fn a_mistake_is_named_with_what_is_allowed() {
        for (toml, says) in [
            ("domains = [\"300\"]", "\"300\": expected a domain number in hex, 0000 to 00ff"),
            ("domains = [33]", "expected a domain number as a string in hex"),
            ("domains = [\"40-33\"]", "the range ends before it begins"),
            ("[adapters]\n\"100\" = \"cex8a\"", "\"100\": expected an adapter number in hex, 00 to ff"),
            ("[adapters]\n\"05\" = \"cex9a\"", "cex4a to cex8p"),
            ("[adapters]\n\"05\" = \"cex8a\"\n\"04-06\" = \"cex8c\"", "adapter 05 is named twice"),
            ("[adapters]\n\"05\" = { kind = \"cex8a\", depth = 17 }", "adapters.05.depth: 17: expected 1 to 16"),
            ("[adapters]\n\"05\" = { kind = \"cex8a\", max-message = 100 }", "adapters.05.max-message: 100: expected"),
            ("[adapters]\n\"05\" = { kind = \"cex8a\", colour = 1 }", "unknown field `colour`"),
            ("[adapters]\n\"05\" = { depth = 1 }", "missing field `kind`"),
            ("[adapters]\n\"05\" = { kind = \"cex8a\", state = \"off\" }", "unknown variant `off`, expected one of"),
            ("apxa = false\ndomains = [\"10\"]", "domains: 0010 is too high: the highest domain number is 000f"),
            ("max-adapter = \"0f\"\n[adapters]\n\"10\" = \"cex8a\"", "adapters: 10 is too high"),
            ("segment = 0", "segment: 0: expected"),
            ("faults = [\"gremlin\"]", "faults: \"gremlin\": expected the name"),
            ("domain = []", "unknown field `domain`, expected one of"),
            ("[timing]\nengine = \"fast\"", "\"like-a-card\" or a number of nanoseconds"),
        ] {
            let message = error(toml);
            assert!(message.contains(says), "{toml:?} gave {message:?}, which does not say {says:?}");
        }
    }
}
