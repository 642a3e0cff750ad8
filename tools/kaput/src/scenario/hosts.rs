// SPDX-License-Identifier: MIT OR Apache-2.0
//! A host as a scenario describes it, and what the plugin gets of it. The file says what differs from the usual;
//! the plugin's configuration is complete.

use std::fmt;

use ap_arch::{Mask256, Matrix};
use ap_machine::Topology;
use ap_machine::topology::hex;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;
use vfio_ap::control::QueueName;
use vfio_ap::profile::Profile;
use vfio_ap::{HostConfig, MdevConfig};

/// The mediated device's name unless the scenario has another: the same on both hosts, as a migration requires.
pub(crate) const USUAL_UUID: &str = "2f1d5c3a-6b70-4c8e-9a3d-0b5e7a66a901";

/// One host.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostSpec {
    /// Its AP hardware: the short form as a string, or a table.
    #[serde(deserialize_with = "topology")]
    #[cfg_attr(test, schemars(schema_with = "crate::scenario::tests::schema::topology"))]
    pub topology: Topology,
    /// The mediated device of the guest; nothing is assigned where the guest only arrives.
    #[serde(default)]
    pub mdev: MdevSpec,
    /// Further mediated devices.
    #[serde(default)]
    pub others: Vec<MdevSpec>,
    /// Queues, `05.0033`, that exist but are bound to no driver.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub unbound: Vec<QueueName>,
    /// Adapters that stay with the host's default drivers.
    #[serde(default, with = "hex::adapters")]
    #[cfg_attr(test, schemars(schema_with = "crate::scenario::tests::schema::numbers"))]
    pub default_adapters: Mask256,
    /// Domains that stay with the host's default drivers.
    #[serde(default, with = "hex::domains")]
    #[cfg_attr(test, schemars(schema_with = "crate::scenario::tests::schema::numbers"))]
    pub default_domains: Mask256,
    /// Defects that are switched on.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub defects: Vec<Spanned<String>>,
    /// A named set of defects and options.
    #[serde(default)]
    pub profile: Option<String>,
    /// The profile that the scenario's driver has, for a host without one.
    #[serde(skip)]
    pub of_driver: Option<Profile>,
    /// Whether a stream in format 0 is accepted.
    #[serde(default)]
    pub accept_format_0: bool,
    /// Whether the host's kernel runs under Secure Execution.
    #[serde(default)]
    pub host_is_secure: bool,
    /// Whether the guest runs under Secure Execution.
    #[serde(default)]
    pub guest_is_secure: bool,
    /// Where the plugin listens, if not in the run folder.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub control: Option<Spanned<String>>,
}

/// One mediated device.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct MdevSpec {
    /// Its name.
    pub uuid: String,
    /// Adapters assigned.
    #[serde(with = "hex::adapters")]
    #[cfg_attr(test, schemars(schema_with = "crate::scenario::tests::schema::numbers"))]
    pub adapters: Mask256,
    /// Domains assigned.
    #[serde(with = "hex::domains")]
    #[cfg_attr(test, schemars(schema_with = "crate::scenario::tests::schema::numbers"))]
    pub domains: Mask256,
    /// Control domains assigned.
    #[serde(with = "hex::domains")]
    #[cfg_attr(test, schemars(schema_with = "crate::scenario::tests::schema::numbers"))]
    pub control_domains: Mask256,
    /// Whether it is open with a guest of its own from the start.
    pub open: bool,
}

impl Default for MdevSpec {
    fn default() -> Self {
        let (adapters, domains, control_domains) = (Mask256::EMPTY, Mask256::EMPTY, Mask256::EMPTY);
        Self { uuid: USUAL_UUID.to_owned(), adapters, domains, control_domains, open: false }
    }
}

impl MdevSpec {
    /// What is assigned.
    #[must_use]
    pub const fn matrix(&self) -> Matrix {
        Matrix { adapters: self.adapters, domains: self.domains, control_domains: self.control_domains }
    }

    fn config(&self) -> MdevConfig {
        MdevConfig {
            uuid: self.uuid.clone(),
            adapters: self.adapters,
            domains: self.domains,
            control_domains: self.control_domains,
            open: self.open,
        }
    }
}

impl HostSpec {
    /// What the plugin gets.
    #[must_use]
    pub fn config(&self, name: &str) -> HostConfig {
        HostConfig {
            name: name.to_owned(),
            topology: self.topology.clone(),
            mdev: self.mdev.config(),
            others: self.others.iter().map(MdevSpec::config).collect(),
            unbound: self.unbound.clone(),
            default_adapters: self.default_adapters,
            default_domains: self.default_domains,
            masks_bind_unbound: false,
            without_vfio_ap: false,
            without_migration: false,
            defects: self.defects.iter().map(|name| name.get_ref().clone()).collect(),
            profile: self.profile.clone().or_else(|| self.of_driver.map(|profile| profile.name().to_owned())),
            accept_format_0: self.accept_format_0,
            host_is_secure: self.host_is_secure,
            guest_is_secure: self.guest_is_secure,
            trace: false,
        }
    }

    /// What a guest that starts here has: what is assigned and exists.
    #[must_use]
    pub fn guest_matrix(&self) -> Matrix {
        self.mdev.matrix().intersection(&self.topology.matrix())
    }
}

fn topology<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Topology, D::Error> {
    struct ShortOrTable;
    impl<'de> Visitor<'de> for ShortOrTable {
        type Value = Topology;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("AP hardware: a string such as \"05=cex8a,06=cex8c/33,3a/33,3a,44\", or a table")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Topology, E> {
            text.parse().map_err(E::custom)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Topology, A::Error> {
            let topology = Topology::deserialize(MapAccessDeserializer::new(map))?;
            topology.check().map_err(A::Error::custom)?;
            Ok(topology)
        }
    }
    deserializer.deserialize_any(ShortOrTable)
}
