// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which driver stands between the hosts of a scenario.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// Which driver stands between the hosts of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DriverName {
    /// The model of vfio-ap, in the plugin.
    #[default]
    Model,
    /// The real one of a kernel, in the lab; `None`: of the kernel that `cargo xtask lab` built.
    Lab(Option<PathBuf>),
}

impl FromStr for DriverName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "model" => Ok(Self::Model),
            None if text == "lab" => Ok(Self::Lab(None)),
            Some(("lab", path)) if !path.is_empty() => Ok(Self::Lab(Some(path.into()))),
            _ => Err(format!("`{text}` is no driver, expected model, lab or lab:BZIMAGE")),
        }
    }
}

impl fmt::Display for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model => f.write_str("model"),
            Self::Lab(None) => f.write_str("lab"),
            Self::Lab(Some(kernel)) => write!(f, "lab:{}", kernel.display()),
        }
    }
}

impl<'de> Deserialize<'de> for DriverName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_reads_back_as_written() {
        for name in ["model", "lab", "lab:/boot/bzImage"] {
            assert_eq!(name.parse::<DriverName>().expect(name).to_string(), name);
        }
        for wrong in ["", "lab:", "linux", "model:x"] {
            assert!(wrong.parse::<DriverName>().expect_err(wrong).contains("lab:BZIMAGE"), "{wrong}");
        }
    }
}
