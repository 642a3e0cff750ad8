// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the guest sees of its AP configuration: taken with QCI and TAPQ, and found out again after a migration. What
//! may have changed on one queue is `ap_arch::survival`'s to say.

use crate::ap::instructions::{Answer, Ap};
use crate::ap::log;
use crate::case::outcome::{Stop, failed, skipped};
use crate::machine::clock::{Deadline, patience};
use alloc::vec::Vec;
use ap_arch::{Apqn, FunctionCode, Gr0, Matrix, QciBlock, ResponseCode, facility};

/// How long a queue may be in reset. The architecture names no limit; a real card takes tens of milliseconds.
const RESET_LIMIT_MILLIS: u64 = 10_000;
/// This many available queues outside of the matrix are kept by name; the others are counted.
const NAMED: usize = 8;

/// QCI, and TAPQ of every queue that can be named.
#[derive(Debug)]
pub(crate) struct Observation {
    /// The configuration.
    pub(crate) block: QciBlock,
    /// What each queue of the matrix answered, in ascending order.
    pub(crate) queues: Vec<(Apqn, Answer)>,
    /// What the others answered.
    pub(crate) outside: Outside,
}

/// The queues that are not in the matrix.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    /// How many there are.
    pub(crate) probed: usize,
    /// How many did not answer that they are not available.
    pub(crate) available: usize,
    /// The first ones of these.
    pub(crate) named: heapless::Vec<(Apqn, Answer), NAMED>,
}

impl Observation {
    /// Looks at everything, the queues outside of the matrix only if `outside`.
    pub(crate) fn take(ap: &Ap, outside: bool) -> Result<Self, Stop> {
        let block = configuration(ap)?;
        let outside = if outside { Outside::probe(ap, &block) } else { Outside::default() };
        Ok(Self { block, queues: queues(ap, &block.matrix), outside })
    }

    /// The masks.
    pub(crate) fn matrix(&self) -> &Matrix {
        &self.block.matrix
    }

    /// What this queue answered.
    pub(crate) fn answer(&self, apqn: Apqn) -> Option<&Answer> {
        let index = self.queues.binary_search_by_key(&apqn, |(queue, _)| *queue).ok()?;
        Some(&self.queues[index].1)
    }
}

impl Outside {
    /// TAPQ of each of them, up to the maxima.
    pub(crate) fn probe(ap: &Ap, block: &QciBlock) -> Self {
        let mut outside = Self::default();
        let (max_adapter, max_domain) = block.limits();
        for adapter in 0..=max_adapter {
            let mine = block.matrix.adapters.contains(adapter);
            for domain in 0..=max_domain {
                if mine && block.matrix.domains.contains(domain) {
                    continue;
                }
                let apqn = Apqn::new(adapter, domain);
                outside.probed += 1;
                if !ap.lacks(apqn) {
                    outside.look_closer(ap, apqn);
                }
            }
        }
        log::probed(outside.probed, outside.available);
        outside
    }

    /// Counts a queue that is there, or was only busy.
    #[cold]
    fn look_closer(&mut self, ap: &Ap, apqn: Apqn) {
        let answer = ap.probe(apqn);
        if answer.status.response() == ResponseCode::Q_NOT_AVAIL {
            return;
        }
        self.available += 1;
        log::unexpected(Gr0::pqap(FunctionCode::TAPQ, apqn), answer.cc, answer.status.0);
        // Beyond its capacity only the count grows.
        let _ = self.named.push((apqn, answer));
    }

    /// Fails if one of them is there.
    pub(crate) fn require_unavailable(&self) -> Result<(), Stop> {
        match self.named.first() {
            None => Ok(()),
            Some((apqn, answer)) => {
                let (others, status) = (self.available - 1, answer.status);
                Err(failed!("{apqn} is not in the matrix and answered {status}; {others} others too"))
            }
        }
    }
}

/// What QCI stores; without QCI a case is not judged.
pub(crate) fn configuration(ap: &Ap) -> Result<QciBlock, Stop> {
    if !ap.has(facility::APQCI) {
        return Err(skipped!("QCI is not available: facility {} is not installed", facility::APQCI));
    }
    let stored = ap.qci().map_err(|ended| failed!("QCI ended in program interruption {}", ended.code))?;
    Ok(QciBlock::from_bytes(&stored.bytes))
}

/// The queues of a matrix, each with what TAPQ answers once its reset is over.
pub(crate) fn queues(ap: &Ap, matrix: &Matrix) -> Vec<(Apqn, Answer)> {
    matrix.queues().map(|apqn| (apqn, settled(ap, apqn))).collect()
}

/// TAPQ, until the queue is no longer in reset or the limit is over.
pub(crate) fn settled(ap: &Ap, apqn: Apqn) -> Answer {
    let mut answer = ap.tapq(apqn);
    if answer.status.response() == ResponseCode::RESET_IN_PROGRESS {
        let deadline = Deadline::in_millis(patience(RESET_LIMIT_MILLIS));
        while answer.status.response() == ResponseCode::RESET_IN_PROGRESS && !deadline.is_over() {
            answer = ap.probe(apqn);
        }
    }
    answer
}
