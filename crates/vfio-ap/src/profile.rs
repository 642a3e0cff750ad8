// SPDX-License-Identifier: MIT OR Apache-2.0
//! Drivers that exist, as named sets of defects and choices.

use crate::behaviour::Behaviour;
use crate::defect::{Defect, LATER, POSTED};

/// A driver to imitate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// What the specification says.
    Corrected,
    /// What the specification says, in the format of the posted series.
    Format0,
    /// The series as posted (v3): format 0 and all its confirmed defects.
    V3,
    /// The code seen after it.
    Later,
}

/// No profile has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no profile is called `{0}`, there are: corrected, format-0, v3, later")]
pub struct UnknownProfile(String);

impl Profile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Corrected, Self::Format0, Self::V3, Self::Later];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Corrected => "corrected",
            Self::Format0 => "format-0",
            Self::V3 => "v3",
            Self::Later => "later",
        }
    }

    /// The profile of this name.
    ///
    /// # Errors
    /// [`UnknownProfile`], which lists the names there are.
    pub fn from_name(name: &str) -> Result<Self, UnknownProfile> {
        Self::ALL.into_iter().find(|profile| profile.name() == name).ok_or_else(|| UnknownProfile(name.to_owned()))
    }

    /// Its defects.
    pub fn defects(self) -> impl Iterator<Item = Defect> {
        let driver = match self {
            Self::Corrected | Self::Format0 => 0,
            Self::V3 => POSTED,
            Self::Later => LATER,
        };
        Defect::ALL.iter().copied().filter(move |defect| defect.drivers() & driver != 0)
    }

    pub(crate) const fn behaviour(self) -> Behaviour {
        match self {
            Self::Corrected => Behaviour::SPECIFIED,
            Self::Format0 => Behaviour::POSTED,
            Self::V3 => Behaviour::V3,
            Self::Later => Behaviour::LATER,
        }
    }
}
