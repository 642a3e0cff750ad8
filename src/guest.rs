// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the suites are given: AP if it is installed, and what the command line says about it.

use crate::ap::{Answer, Ap};
use crate::machine::Machine;
use crate::machine::trap::ProgramInterruption;
use crate::observe;
use crate::suites::{Stop, failed, skipped};
use alloc::vec::Vec;
use ap_arch::{Apqn, Matrix, QciBlock, facility};
use s390x_asm::FacilityList;

/// The guest's view of itself.
pub(crate) struct Guest {
    /// The facility list.
    pub(crate) facilities: FacilityList,
    /// The matrix that the command line says the guest has.
    pub(crate) expect: Option<Matrix>,
    ap: Result<Ap, ProgramInterruption>,
}

impl Guest {
    /// Looks for AP.
    pub(crate) fn new(machine: &Machine, expect: Option<Matrix>) -> Self {
        Self { facilities: machine.facilities, expect, ap: Ap::find(machine.facilities) }
    }

    /// AP; without it a case is not judged.
    pub(crate) fn ap(&self) -> Result<Ap, Stop> {
        self.ap.map_err(|found| skipped!("AP is not installed, program interruption {}", found.code))
    }

    /// How the first TAPQ ended, if in an interruption.
    pub(crate) fn first_tapq(&self) -> Option<ProgramInterruption> {
        self.ap.err()
    }

    /// What QCI tells; without QCI a case is not judged.
    pub(crate) fn configuration(&self) -> Result<QciBlock, Stop> {
        configuration(&self.ap()?)
    }

    /// The queues of the matrix, each with what TAPQ answers once its reset is over; without a queue a case is not
    /// judged.
    pub(crate) fn queues(&self) -> Result<Vec<(Apqn, Answer)>, Stop> {
        let queues = observe::queues(&self.ap()?, &self.configuration()?.matrix);
        if queues.is_empty() { Err(skipped!("the matrix has no queue")) } else { Ok(queues) }
    }
}

/// What QCI tells; without QCI a case is not judged.
pub(crate) fn configuration(ap: &Ap) -> Result<QciBlock, Stop> {
    if !ap.has(facility::APQCI) {
        return Err(skipped!("QCI is not available: facility {} is not installed", facility::APQCI));
    }
    let stored = ap.qci().map_err(|ended| failed!("QCI ended in program interruption {}", ended.code))?;
    Ok(QciBlock::from_bytes(&stored.bytes))
}
