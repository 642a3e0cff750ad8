// SPDX-License-Identifier: MIT OR Apache-2.0
//! The known faults of the posted driver and of the code after it, as switches.
//!
//! Each is off by default and is read at one place, where the code does what the driver does instead of what is right.
//! What each is, how severe, and how it shows stands in the catalogue of `vfio-mig`. Findings that only a race or
//! lifetime checker can see have no switch: safe Rust makes them impossible here.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Has it: the series as posted.
pub(crate) const POSTED: u8 = 1;
/// Has it: the code seen after it.
pub(crate) const LATER: u8 = 2;
const BOTH: u8 = POSTED | LATER;
/// A claim that is wrong for the posted series, or what shows on other machines only.
const NEITHER: u8 = 0;

macro_rules! defects {
    ($($variant:ident = $name:literal, $drivers:ident, $what:literal;)*) => {
        /// A fault that can be switched on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Defect {
            $(#[doc = $what] $variant,)*
        }

        impl Defect {
            /// All of them, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name in the catalogue.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The drivers that have it: any of [`POSTED`] and [`LATER`].
            pub(crate) const fn drivers(self) -> u8 {
                match self {
                    $(Self::$variant => $drivers,)*
                }
            }
        }
    };
}

defects! {
    // Observable by the guest.
    ControlDomainsDropped = "control-domains-dropped", POSTED,
        "Control domains are neither saved nor restored.";
    GuestMatrixUninitialised = "guest-matrix-uninitialised", POSTED,
        "The matrix rebuilt from the stream starts from uninitialised memory.";
    QueuesLinkedBeforeValidation = "queues-linked-before-validation", POSTED,
        "Queues are linked to the device before anything is checked, and taken from their owner.";
    DomainOnlyRemovalSkipsReset = "domain-only-removal-skips-reset", POSTED,
        "Removing only domains resets no queue.";
    WrongListResetForDomains = "wrong-list-reset-for-domains", POSTED,
        "The queues of removed adapters are reset twice, those of removed domains never.";
    ResetBitmapUninitialised = "reset-bitmap-uninitialised", POSTED,
        "Adapters named by uninitialised memory are reset as well.";
    BindStateCheckBypassed = "bind-state-check-bypassed", POSTED,
        "Equal hardware words are accepted whatever their bind state.";
    StopDoesNotQuiesceQueues = "stop-does-not-quiesce-queues", BOTH,
        "RUNNING to STOP leaves interruption enabled.";
    IncompleteResumeAccepted = "incomplete-resume-accepted", BOTH,
        "RESUMING to STOP succeeds whatever arrived.";
    StreamUsableAfterLeavingState = "stream-usable-after-leaving-state", BOTH,
        "Leaving STOP_COPY or RESUMING does not disconnect the stream.";
    // Observable at the uAPI.
    ConfigSzNeverSet = "config-sz-never-set", POSTED,
        "The length field of format 0 stays zero, and zero is accepted.";
    StreamRegeneratedPerRead = "stream-regenerated-per-read", POSTED,
        "Every read rebuilds the stream.";
    SizeTInWireStruct = "size-t-in-wire-struct", NEITHER,
        "The length field of format 0 is as wide as a 32-bit size_t.";
    RedundantSizeFieldsDisagree = "redundant-size-fields-disagree", POSTED,
        "The declared length decides how much is awaited, the count how much is looked at.";
    ShortHeaderWriteStartsValidation = "short-header-write-starts-validation", POSTED,
        "A first write shorter than the header is validated as a whole stream.";
    PartialWriteNotPersisted = "partial-write-not-persisted", POSTED,
        "A write that does not complete the stream loses its buffer.";
    PlainWriteRefusedWithEspipe = "plain-write-refused-with-espipe", NEITHER,
        "Plain reads and writes are refused like positional ones.";
    LargeContiguousAllocation = "large-contiguous-allocation", POSTED,
        "Buffers must be contiguous; more than 64 KiB cannot be had.";
    ResetLeavesStaleStreams = "reset-leaves-stale-streams", POSTED,
        "VFIO_DEVICE_RESET only rewrites the state.";
    FailedArcKeepsValidState = "failed-arc-keeps-valid-state", BOTH,
        "A failed arc leaves state and stream as they were.";
    UnratelimitedSeRefusalLog = "unratelimited-se-refusal-log", POSTED,
        "Every refusal under Secure Execution is logged.";
    FacilityWordEqualityDefeatsClassRule = "facility-word-equality-defeats-class-rule", POSTED,
        "The whole facility word must be equal, its classification included.";
    NullMdevInQueueCollection = "null-mdev-in-queue-collection", POSTED,
        "Collecting queues of removed adapters reads a device that is not there: none is reset.";
    AsyncErrorCheckInverted = "async-error-check-inverted", POSTED,
        "The asynchronous-error bit is tested the wrong way round.";
    // Beyond the review.
    NonrectangularQueueList = "x-nonrectangular-queue-list", BOTH,
        "The shape of the queue list is not checked.";
    FilterReportIgnoresNewAdapters = "x-filter-report-ignores-new-adapters", POSTED,
        "Only adapters the guest had before count as filtered.";
    ControlDomainAvailabilityUnchecked = "x-control-domain-availability-unchecked", POSTED,
        "Control domains the host lacks are dropped without a word.";
    IntersectionQueuesNotReset = "x-intersection-queues-not-reset", POSTED,
        "A queue whose adapter and domain both go is not reset.";
    SePredicateTestsHost = "x-se-predicate-tests-host", BOTH,
        "Secure Execution of the guest is not looked at.";
    TapqWithoutTBit = "x-tapq-without-t-bit", BOTH,
        "TAPQ is issued without the T bit: there are no facility bits to compare.";
    ZeroHwinfoAccepted = "x-zero-hwinfo-accepted", BOTH,
        "Hardware information of all zeros counts as information.";
    SizeLimitErrorBecomesSize = "x-size-limit-error-becomes-size", POSTED,
        "A count above the limit in a later write is taken for a size.";
    ZeroLengthFirstWriteValidates = "x-zero-length-first-write-validates", POSTED,
        "A first write of no bytes is validated as a whole stream.";
    MagicUncheckedInSingleWrite = "x-magic-unchecked-in-single-write", LATER,
        "Magic and version are looked at only by a write after the one that completed the header.";
    DeadQueueAccepted = "x-dead-queue-accepted", BOTH,
        "A deconfigured or checkstopped queue is accepted without a word.";
    // Visible in the later code.
    FirstBodyWriteOverflows = "l-first-body-write-overflows", LATER,
        "The write that completes the header may be longer than the stream.";
    SnapshotSurvivesSession = "l-snapshot-survives-session", LATER,
        "A second session sends the snapshot of the first.";
    HeaderBufferSurvives = "l-header-buffer-survives", LATER,
        "A reset does not forget that a header was received: later writes are refused.";
    OldHeaderRulesNewSession = "l-old-header-rules-new-session", LATER,
        "A second session is sized by the header of the first.";
    PositionAdvancedBeforeCopy = "l-position-advanced-before-copy", LATER,
        "A fault in the user's buffer advances the position.";
    SilentFiltering = "l-silent-filtering", LATER,
        "A migrated configuration is filtered silently.";
    StateRequestInErrorSucceeds = "l-state-request-in-error-succeeds", NEITHER,
        "A state request in ERROR succeeds and does nothing.";
    LimitHidesQueues = "l-limit-hides-queues", LATER,
        "Only ten lines of a kind are logged.";
    PaddingIgnored = "l-padding-ignored", BOTH,
        "Reserved bytes are not looked at.";
}

impl Defect {
    /// The defect of this name.
    ///
    /// # Errors
    /// [`UnknownDefect`], which lists the names there are.
    pub fn from_name(name: &str) -> Result<Self, UnknownDefect> {
        Self::ALL.iter().copied().find(|defect| defect.name() == name).ok_or_else(|| UnknownDefect(name.to_owned()))
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No defect has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no defect is called `{0}`, there are: {all}",
    all = Defect::ALL.iter().map(|defect| defect.name()).collect::<Vec<_>>().join(", ")
)]
pub struct UnknownDefect(String);

/// Which defects are on.
#[derive(Debug, Default)]
pub struct Defects(AtomicU64);

impl Defects {
    /// Whether this one is on.
    #[must_use]
    pub fn on(&self, defect: Defect) -> bool {
        self.0.load(Ordering::Relaxed) & 1 << defect as u32 != 0
    }

    /// Switches one on or off.
    pub fn set(&self, defect: Defect, on: bool) {
        let bit = 1 << defect as u32;
        if on {
            self.0.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.0.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    /// Those that are on.
    pub fn iter(&self) -> impl Iterator<Item = Defect> {
        Defect::ALL.iter().copied().filter(|defect| self.on(*defect))
    }
}

const _: () = assert!(Defect::ALL.len() <= u64::BITS as usize, "the set has 64 bits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_is_switched_by_its_name() {
        let defects = Defects::default();
        for defect in Defect::ALL {
            assert_eq!(Defect::from_name(defect.name()), Ok(*defect));
            assert!(!defects.on(*defect));
            defects.set(*defect, true);
            assert_eq!(defects.iter().collect::<Vec<_>>(), [*defect]);
            defects.set(*defect, false);
        }
        let error = Defect::from_name("control-domain-dropped").unwrap_err().to_string();
        assert!(error.contains("there are: control-domains-dropped, "), "{error}");
    }
}
