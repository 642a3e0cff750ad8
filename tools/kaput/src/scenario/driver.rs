// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which driver stands between the hosts of a scenario.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use vfio_ap::profile::Profile;

/// Which driver stands between the hosts of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriverName {
    /// The model of vfio-ap, in the plugin; it imitates that driver on each host that names none itself.
    Model(Option<Profile>),
    /// The real one of a kernel, in the lab; `None`: of the kernel that `cargo xtask lab` built.
    Lab(Option<PathBuf>),
}

impl Default for DriverName {
    fn default() -> Self {
        Self::Model(None)
    }
}

impl FromStr for DriverName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "model" => Ok(Self::Model(None)),
            None if text == "lab" => Ok(Self::Lab(None)),
            Some(("lab", path)) if !path.is_empty() => Ok(Self::Lab(Some(path.into()))),
            Some(("model", name)) => {
                Profile::from_name(name).map(|it| Self::Model(Some(it))).map_err(|e| e.to_string())
            }
            _ => Err(format!("`{text}` is no driver, expected model, model:PROFILE, lab or lab:BZIMAGE")),
        }
    }
}

impl fmt::Display for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(None) => f.write_str("model"),
            Self::Model(Some(profile)) => write!(f, "model:{}", profile.name()),
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
        for name in ["model", "model:v3", "lab", "lab:/boot/bzImage"] {
            assert_eq!(name.parse::<DriverName>().expect(name).to_string(), name);
        }
        assert!("model:v4".parse::<DriverName>().expect_err("no profile").contains("corrected, format-0, v3"));
        for wrong in ["", "lab:", "linux", "v3"] {
            assert!(wrong.parse::<DriverName>().expect_err(wrong).contains("lab:BZIMAGE"), "{wrong}");
        }
    }
}
