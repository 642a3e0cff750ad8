// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a host is described: its hardware, its mediated devices, its bindings, its defects. Read from JSON by the
//! plugin, written by the harness.
//!
//! Numbers of adapters and domains are hex strings, as in a topology; ranges such as `"00-0f"` are allowed.

use ap_arch::{Mask256, Matrix};
use ap_machine::Topology;
use ap_machine::topology::hex;
use serde::{Deserialize, Serialize};

use crate::HostError;
use crate::queue_name::QueueName;

/// One host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HostConfig {
    /// What people call it, for example `source`.
    pub name: String,
    /// Its AP hardware.
    pub topology: Topology,
    /// The mediated device of QEMU's guest; open from the start.
    pub mdev: MdevConfig,
    /// Further mediated devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<MdevConfig>,
    /// Queues, `"05.0033"`, that exist but are bound to no driver.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unbound: Vec<QueueName>,
    /// Adapters reserved for the host's default drivers (`apmask`). A queue is reserved if adapter and domain both are.
    #[serde(default, with = "hex::adapters", skip_serializing_if = "is_empty")]
    pub default_adapters: Mask256,
    /// Domains reserved for the host's default drivers (`aqmask`).
    #[serde(default, with = "hex::domains", skip_serializing_if = "is_empty")]
    pub default_domains: Mask256,
    /// Whether a change of the masks binds a queue that has no driver and is the host's by them: Linux 6.12 was seen to
    /// do it, 7.2 not to.
    #[serde(default)]
    pub masks_bind_unbound: bool,
    /// Whether vfio_ap is not loaded: a queue that is given away then has no driver.
    #[serde(default)]
    pub without_vfio_ap: bool,
    /// Whether the driver knows nothing of migration, as those of all released kernels.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_migration: bool,
    /// Names of the defects that are switched on from the start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defects: Vec<String>,
    /// A named set of defects and choices: `corrected` (as without), `format-0`, `v3`, `later`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Whether a stream in format 0 is accepted. vfio-ap migration spec 3.3.
    #[serde(default)]
    pub accept_format_0: bool,
    /// The host's kernel runs under Secure Execution.
    #[serde(default)]
    pub host_is_secure: bool,
    /// QEMU's guest runs under Secure Execution.
    #[serde(default)]
    pub guest_is_secure: bool,
    /// Whether the AP instructions of QEMU's guest are kept, for `query-trace`.
    #[serde(default)]
    pub trace: bool,
}

/// One mediated device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MdevConfig {
    /// Its name: a UUID on a real host, any name without `/` and white space here.
    pub uuid: String,
    /// Adapters assigned.
    #[serde(default, with = "hex::adapters")]
    pub adapters: Mask256,
    /// Domains assigned.
    #[serde(default, with = "hex::domains")]
    pub domains: Mask256,
    /// Control domains assigned.
    #[serde(default, with = "hex::domains")]
    pub control_domains: Mask256,
    /// Whether it is open from the start, with a scripted guest; without meaning for [`HostConfig::mdev`], which is.
    #[serde(default)]
    pub open: bool,
}

impl MdevConfig {
    /// The masks.
    #[must_use]
    pub const fn matrix(&self) -> Matrix {
        Matrix { adapters: self.adapters, domains: self.domains, control_domains: self.control_domains }
    }
}

impl HostConfig {
    /// Reads the configuration from JSON.
    ///
    /// # Errors
    /// [`HostError::Json`] with the place in the text and what is allowed there.
    pub fn from_json(text: &str) -> Result<Self, HostError> {
        Ok(serde_json::from_str(text)?)
    }
}

fn is_empty(mask: &Mask256) -> bool {
    mask.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_configuration_reads_as_it_is_meant() {
        let text = r#"{"name": "source", "topology": {"adapters": {"05": "cex8a"}, "domains": ["33"]},
            "mdev": {"uuid": "a", "adapters": ["05"], "domains": ["33"], "control-domains": ["33", "40-44"]}}"#;
        let config = HostConfig::from_json(text).unwrap();
        assert_eq!(config.mdev.matrix().queue_count(), 1);
        assert_eq!(config.mdev.control_domains.len(), 6);
        let again = serde_json::to_string(&config).unwrap();
        assert_eq!(HostConfig::from_json(&again).unwrap(), config);
    }

    #[test]
    fn a_mistake_is_named_with_what_is_allowed() {
        let head = r#"{"name": "source", "topology": {}, "mdev": {"uuid": "a""#;
        for (text, says) in [
            (r#", "domains": ["300"]}}"#, "a domain number in hex, 0000 to 00ff"),
            (r#", "colour": 1}}"#, "unknown field `colour`, expected one of `uuid`"),
            (r#"}, "defect": []}"#, "unknown field `defect`, expected one of"),
            (r#"}, "unbound": ["5"]}"#, "ADAPTER.DOMAIN"),
        ] {
            let error = HostConfig::from_json(&format!("{head}{text}")).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
