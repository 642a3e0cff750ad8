// SPDX-License-Identifier: MIT OR Apache-2.0
//! Drivers that exist, as named sets of defects and choices.

use std::fmt;

use crate::behaviour::Behaviour;
use crate::defect::Defect;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownProfile(String);

impl fmt::Display for UnknownProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no profile is called `{}`, there are: corrected, format-0, v3, later", self.0)
    }
}

impl std::error::Error for UnknownProfile {}

/// Defects of the posted series. Left out: a claim that is wrong for it, and what shows on 32-bit machines only.
const V3: &[Defect] = &[
    Defect::ControlDomainsDropped,
    Defect::GuestMatrixUninitialised,
    Defect::QueuesLinkedBeforeValidation,
    Defect::DomainOnlyRemovalSkipsReset,
    Defect::WrongListResetForDomains,
    Defect::ResetBitmapUninitialised,
    Defect::BindStateCheckBypassed,
    Defect::StopDoesNotQuiesceQueues,
    Defect::IncompleteResumeAccepted,
    Defect::StreamUsableAfterLeavingState,
    Defect::ConfigSzNeverSet,
    Defect::StreamRegeneratedPerRead,
    Defect::RedundantSizeFieldsDisagree,
    Defect::ShortHeaderWriteStartsValidation,
    Defect::PartialWriteNotPersisted,
    Defect::LargeContiguousAllocation,
    Defect::ResetLeavesStaleStreams,
    Defect::FailedArcKeepsValidState,
    Defect::UnratelimitedSeRefusalLog,
    Defect::FacilityWordEqualityDefeatsClassRule,
    Defect::NullMdevInQueueCollection,
    Defect::AsyncErrorCheckInverted,
    Defect::NonrectangularQueueList,
    Defect::FilterReportIgnoresNewAdapters,
    Defect::ControlDomainAvailabilityUnchecked,
    Defect::IntersectionQueuesNotReset,
    Defect::SePredicateTestsHost,
    Defect::TapqWithoutTBit,
    Defect::ZeroHwinfoAccepted,
    Defect::SizeLimitErrorBecomesSize,
    Defect::ZeroLengthFirstWriteValidates,
    Defect::DeadQueueAccepted,
    Defect::PaddingIgnored,
];

/// Defects of the code after it.
const LATER: &[Defect] = &[
    Defect::StopDoesNotQuiesceQueues,
    Defect::IncompleteResumeAccepted,
    Defect::StreamUsableAfterLeavingState,
    Defect::FailedArcKeepsValidState,
    Defect::NonrectangularQueueList,
    Defect::SePredicateTestsHost,
    Defect::TapqWithoutTBit,
    Defect::ZeroHwinfoAccepted,
    Defect::DeadQueueAccepted,
    Defect::MagicUncheckedInSingleWrite,
    Defect::FirstBodyWriteOverflows,
    Defect::SnapshotSurvivesSession,
    Defect::HeaderBufferSurvives,
    Defect::OldHeaderRulesNewSession,
    Defect::PositionAdvancedBeforeCopy,
    Defect::SilentFiltering,
    Defect::LimitHidesQueues,
    Defect::PaddingIgnored,
];

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
    #[must_use]
    pub const fn defects(self) -> &'static [Defect] {
        match self {
            Self::Corrected | Self::Format0 => &[],
            Self::V3 => V3,
            Self::Later => LATER,
        }
    }

    pub(crate) const fn behaviour(self) -> Behaviour {
        match self {
            Self::Corrected => Behaviour::SPECIFIED,
            Self::Format0 | Self::V3 => Behaviour::POSTED,
            Self::Later => Behaviour::LATER,
        }
    }
}
