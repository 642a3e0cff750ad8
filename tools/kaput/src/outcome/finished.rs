// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is left of a run that is over: what every report is made from.

use crate::guest::report::Case;
use crate::outcome::events::Event;
use crate::outcome::trace::Trace;
use crate::outcome::verdict::RunVerdict;

/// A run that is over.
#[derive(Debug)]
pub struct Finished {
    /// The scenario's name.
    pub scenario: String,
    /// The judgement.
    pub verdict: RunVerdict,
    /// Everything that happened.
    pub events: Vec<Event>,
    /// The cases of the guest's report, in its order.
    pub cases: Vec<Case>,
    /// The guest's AP instructions, if they were wanted.
    pub trace: Option<Trace>,
}
