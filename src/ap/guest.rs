// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the suites are given: AP if it is installed, and what the command line says about it.

use crate::ap::instructions::{Answer, Ap};
use crate::ap::observe;
use crate::ap::queue::Queue;
use crate::case::outcome::{Outcome, Stop, skipped};
use crate::case::report;
use crate::case::suite::Subject;
use crate::machine::Machine;
use crate::machine::trap::ProgramInterruption;
use alloc::vec::Vec;
use ap_arch::{Apqn, CardMode, FunctionCode, Matrix, QciBlock, ResponseCode};
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
        Self { facilities: machine.facilities, expect, ap: Ap::find(machine) }
    }

    /// AP; without it a case is not judged.
    pub(crate) fn ap(&self) -> Result<Ap, Stop> {
        self.ap.map_err(|found| skipped!("AP is not installed, program interruption {}", found.code))
    }

    /// How the first TAPQ ended, if in an interruption.
    pub(crate) fn first_tapq(&self) -> Option<ProgramInterruption> {
        self.ap.err()
    }

    /// What QCI stores; without QCI a case is not judged.
    pub(crate) fn configuration(&self) -> Result<QciBlock, Stop> {
        observe::configuration(&self.ap()?)
    }

    /// The queues of the matrix, each with what TAPQ answers once its reset is over; without a queue a case is not
    /// judged.
    pub(crate) fn queues(&self) -> Result<Vec<(Apqn, Answer)>, Stop> {
        let queues = observe::queues(&self.ap()?, &self.configuration()?.matrix);
        if queues.is_empty() { Err(skipped!("the matrix has no queue")) } else { Ok(queues) }
    }
}

impl Guest {
    /// Those whose adapter is neither deconfigured nor checkstopped; without one a case is not judged.
    pub(crate) fn configured_queues(&self) -> Result<Vec<(Apqn, Answer)>, Stop> {
        let mut queues = self.queues()?;
        let out_of_use = [ResponseCode::DECONFIGURED, ResponseCode::CHECKSTOPPED];
        queues.retain(|(_, answer)| !out_of_use.contains(&answer.status.response()));
        if queues.is_empty() {
            Err(skipped!("every adapter of the matrix is deconfigured or checkstopped"))
        } else {
            Ok(queues)
        }
    }

    /// The operational queues whose mode is known; without one a case is not judged.
    pub(crate) fn usable_queues(&self) -> Result<Vec<Queue>, Stop> {
        let queues = self.queues()?;
        let queues: Vec<Queue> = queues.iter().filter_map(|(apqn, answer)| Queue::usable(*apqn, answer)).collect();
        if queues.is_empty() {
            Err(skipped!("no queue of the matrix is operational and has a mode"))
        } else {
            Ok(queues)
        }
    }

    /// The first queue up to the maxima that is not in the matrix; without one a case is not judged.
    pub(crate) fn queue_outside(&self) -> Result<Apqn, Stop> {
        let block = self.configuration()?;
        let (max_adapter, max_domain) = block.limits();
        let nameable = |apqn: &Apqn| apqn.apid.0 <= max_adapter && apqn.apqi.0 <= max_domain;
        let outside = Apqn::all().filter(nameable).find(|apqn| !block.matrix.contains(*apqn));
        outside.ok_or_else(|| skipped!("every queue is in the matrix"))
    }

    /// The usable queues of the cards in this mode; without one a case is not judged.
    pub(crate) fn queues_of(&self, mode: CardMode) -> Result<Vec<Queue>, Stop> {
        let mut queues = self.usable_queues()?;
        queues.retain(|queue| queue.mode == mode);
        let what = match mode {
            CardMode::Accelerator => "accelerator",
            CardMode::Cca => "CCA coprocessor",
            CardMode::Ep11 => "EP11 coprocessor",
        };
        if queues.is_empty() { Err(skipped!("no {what} in the matrix")) } else { Ok(queues) }
    }

    /// The first one of each adapter in this mode.
    pub(crate) fn one_queue_a_card_of(&self, mode: CardMode) -> Result<Vec<Queue>, Stop> {
        let mut queues = self.queues_of(mode)?;
        queues.dedup_by_key(|queue| queue.apqn.apid);
        Ok(queues)
    }

    /// Runs `act` on the first usable queue of each adapter.
    pub(crate) fn on_one_queue_a_card(&self, act: &dyn Fn(&Ap, &Queue) -> Outcome) -> Outcome {
        let ap = self.ap()?;
        self.one_queue_a_card()?.iter().try_for_each(|queue| act(&ap, queue))
    }

    /// The first one of each adapter.
    pub(crate) fn one_queue_a_card(&self) -> Result<Vec<Queue>, Stop> {
        let mut queues = self.usable_queues()?;
        queues.dedup_by_key(|queue| queue.apqn.apid);
        Ok(queues)
    }
}

impl Guest {
    /// Reports what was seen of each card.
    pub(crate) fn report_cards(&self) {
        let Ok(queues) = self.queues() else { return };
        for card in queues.chunk_by(|(one, _), (next, _)| one.apid == next.apid) {
            let (Apqn { apid, .. }, answer) = card[0];
            let count = card.len();
            let working = card.iter().filter(|(_, answer)| answer.status.response() == ResponseCode::NORMAL).count();
            let info = answer.info;
            report::info(format_args!(
                "card {apid}: {info}, {working} of {count} queues work, {} messages of {} bytes each",
                info.depth(),
                info.max_message_len()
            ));
        }
    }
}

impl Subject for Guest {
    /// A case that failed may have left messages behind or interruption on: the queues of the matrix are reset.
    fn recover(&self) {
        let (Ok(ap), Ok(queues)) = (self.ap(), self.queues()) else { return };
        for (apqn, _) in queues {
            // What cannot be reset the next case reports.
            let _ = ap.reset(apqn, FunctionCode::RAPQ, 0);
            observe::settled(&ap, apqn);
        }
    }
}
