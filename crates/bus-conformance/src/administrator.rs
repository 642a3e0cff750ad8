// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who carries steps out, and what comes of a step.

use std::fmt;
use std::rc::Rc;

use vfio_mig::Errno;

use crate::{State, Step, Watch};

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// The kernel refused the write.
    Refused(Errno),
    /// The machine refused the change, or there was nothing to change.
    NotChanged,
    /// VFIO_DEVICE_GET_INFO: flags, and how many regions and interruptions there are.
    Info([u32; 3]),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Refused(errno) => errno.fmt(f),
            Self::NotChanged => f.write_str("refused by the machine"),
            Self::Info([flags, regions, irqs]) => {
                write!(f, "flags {flags:#x}, {regions} regions, {irqs} interruptions")
            }
        }
    }
}

/// What is seen after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it came to.
    pub outcome: Outcome,
    /// What the bus looks like. The same value, where a step changed nothing.
    pub state: Rc<State>,
}

/// An administrator of one bus.
pub trait Administrator {
    /// Carries the steps out, each after the one before; what is seen after each.
    ///
    /// # Errors
    /// Why the bus could not be asked. What a step itself comes to is no error.
    fn carry_out(&mut self, watch: &Watch, steps: &[Step]) -> Result<Vec<Seen>, String>;

    /// Brings the bus back to how it was before the first step.
    ///
    /// # Errors
    /// Why it is not.
    fn restart(&mut self) -> Result<(), String>;
}
