// SPDX-License-Identifier: MIT OR Apache-2.0
//! Named sets of defects: the drivers that exist.

use std::fmt;

use crate::defect::{Defect, Defects};

/// A driver to imitate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// What the specification says.
    Corrected,
    /// The series as posted (v3).
    V3,
}

/// No profile has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownProfile(String);

impl fmt::Display for UnknownProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no profile is called `{}`, there are: corrected, v3", self.0)
    }
}

impl std::error::Error for UnknownProfile {}

impl Profile {
    /// The profile of this name.
    ///
    /// # Errors
    /// [`UnknownProfile`], which lists the names there are.
    pub fn from_name(name: &str) -> Result<Self, UnknownProfile> {
        match name {
            "corrected" => Ok(Self::Corrected),
            "v3" => Ok(Self::V3),
            _ => Err(UnknownProfile(name.to_owned())),
        }
    }

    pub(crate) fn apply(self, defects: &Defects) {
        if self == Self::V3 {
            Defect::ALL.iter().for_each(|defect| defects.set(*defect, true));
        }
    }
}
