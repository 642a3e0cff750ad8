// SPDX-License-Identifier: MIT OR Apache-2.0
//! The AP instructions that the driver issues, through the host's door, and what it makes of the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ap_arch::{Apqn, FunctionCode, Gr0, HwInfo, Matrix, ProgramCode, QciBlock, QueueStatus, ResponseCode};
use ap_machine::{
    Configuration, Instruction, Notification, OperandMemory, Operands, Outcome, ProgramException, RegisterWrites,
};
use vfio_mig::QueueAnswer;

use crate::lock::Lock;

/// How long the driver waits for resets before it gives a queue up.
const RESET_DEADLINE: Duration = Duration::from_secs(10);

/// AQIC, GR1: enable.
const AQIC_ENABLE: u64 = 1 << 47;

/// Pause between two looks at a queue that is being reset.
const RESET_POLL: Duration = Duration::from_micros(200);

/// What TAPQ reports to the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tested {
    pub(crate) status: QueueStatus,
    pub(crate) info: HwInfo,
}

/// The host's AP instructions.
pub(crate) struct Hardware {
    door: Arc<Configuration>,
    answers: Lock<BTreeMap<Apqn, QueueAnswer>>,
    any_answer: AtomicBool,
    failing_resets: Lock<BTreeSet<Apqn>>,
    resets: Lock<BTreeMap<Apqn, u64>>,
}

impl Hardware {
    pub(crate) fn new(door: Arc<Configuration>) -> Self {
        Self {
            door,
            answers: Lock::default(),
            any_answer: AtomicBool::new(false),
            failing_resets: Lock::default(),
            resets: Lock::default(),
        }
    }

    /// Makes every [`Self::tapq`] of a queue answer so.
    pub(crate) fn set_answer(&self, apqn: Apqn, answer: Option<QueueAnswer>) {
        let mut answers = self.answers.lock();
        match answer {
            Some(answer) => answers.insert(apqn, answer),
            None => answers.remove(&apqn),
        };
        self.any_answer.store(!answers.is_empty(), Ordering::Release);
    }

    /// Makes every [`Self::zeroize`] of a queue fail.
    pub(crate) fn fail_resets(&self, apqn: Apqn, fail: bool) {
        let mut failing = self.failing_resets.lock();
        if fail {
            failing.insert(apqn)
        } else {
            failing.remove(&apqn)
        };
    }

    /// TAPQ, with the T bit if `facilities` and the machine allows it.
    pub(crate) fn tapq(&self, apqn: Apqn, facilities: bool) -> Tested {
        let t = if facilities && self.door.facilities().apft { Gr0::T } else { 0 };
        let tested = match self.pqap(Gr0::pqap(FunctionCode::TAPQ, apqn).with(t), 0, 0) {
            Some(writes) => Tested {
                status: QueueStatus::from_gr1(writes.get(1).unwrap_or_default()),
                info: HwInfo(writes.get(2).unwrap_or_default()),
            },
            None => Tested { status: not_available(), info: HwInfo::default() },
        };
        if self.any_answer.load(Ordering::Acquire)
            && let Some(answer) = self.answers.lock().get(&apqn)
        {
            let flags = tested.status.0 & !(QueueStatus::ASYNC | 0xff_0000);
            let flags = if answer.asynchronous { flags | QueueStatus::ASYNC } else { flags };
            let status = QueueStatus::new(flags, answer.response);
            return Tested { status, info: answer.hw_info.unwrap_or(tested.info) };
        }
        tested
    }

    /// Resets and zeroizes these queues and waits until all are done. Returns those that were not reset, with the
    /// response code that says why; every one of them is counted.
    pub(crate) fn zeroize(&self, queues: impl Iterator<Item = Apqn>) -> Vec<(Apqn, ResponseCode)> {
        let deadline = Instant::now() + RESET_DEADLINE;
        let mut failed = Vec::new();
        let mut running = Vec::new();
        let failing = self.failing_resets.lock().clone();
        for apqn in queues {
            if failing.contains(&apqn) {
                failed.push((apqn, ResponseCode::BUSY));
                continue;
            }
            *self.resets.lock().entry(apqn).or_default() += 1;
            match self.start_zeroize(apqn, deadline) {
                ResponseCode::NORMAL | ResponseCode::RESET_IN_PROGRESS => running.push(apqn),
                response => failed.push((apqn, response)),
            }
        }
        for apqn in running {
            match self.wait_until_reset(apqn, deadline) {
                ResponseCode::NORMAL => {}
                response => failed.push((apqn, response)),
            }
        }
        failed
    }

    /// ZAPQ of a queue that its driver has let go, as the AP bus issues it: nobody waits for it, nobody asks what came
    /// of it. `ap_queue_remove`.
    pub(crate) fn zeroize_unbound(&self, apqn: Apqn) {
        let _whatever_comes_of_it = self.status(Gr0::pqap(FunctionCode::ZAPQ, apqn), 0, 0);
    }

    /// Whether the machine has AQIC.
    pub(crate) fn has_interruption(&self) -> bool {
        self.door.facilities().apqi
    }

    /// What a guest registered for a queue by AQIC.
    pub(crate) fn interruption(&self, apqn: Apqn) -> Option<Notification> {
        self.door.machine().interruption(apqn)
    }

    /// AQIC with IR = 0, until TAPQ shows it off.
    pub(crate) fn disable_interruption(&self, apqn: Apqn) -> ResponseCode {
        let deadline = Instant::now() + RESET_DEADLINE;
        let gr0 = Gr0::pqap(FunctionCode::AQIC, apqn);
        let response = self.repeat(deadline, &[ResponseCode::BUSY], || self.status(gr0, 0, 0).response());
        if response == ResponseCode::NORMAL {
            while self.tapq(apqn, false).status.has(QueueStatus::INTERRUPT_ENABLED) {
                if Instant::now() >= deadline {
                    return ResponseCode::BUSY;
                }
                std::thread::sleep(RESET_POLL);
            }
        }
        response
    }

    /// AQIC with IR = 1 on behalf of `guest`; that TAPQ shows it on is not waited for.
    pub(crate) fn enable_interruption(
        &self,
        apqn: Apqn,
        notification: Notification,
        guest: &Configuration,
    ) -> ResponseCode {
        let deadline = Instant::now() + RESET_DEADLINE;
        let gr0 = Gr0::pqap(FunctionCode::AQIC, apqn).0;
        let gr1 = AQIC_ENABLE | u64::from(notification.isc);
        let operands = Operands { gr0, gr1, gr2: notification.nib, ..Operands::default() };
        self.repeat(deadline, &[ResponseCode::BUSY], || {
            match self.door.execute_for(guest, Instruction::Pqap, &operands, &mut NoStorage) {
                Outcome::Completed { writes, .. } => {
                    QueueStatus::from_gr1(writes.get(1).unwrap_or_default()).response()
                }
                Outcome::Exception(_) => ResponseCode::Q_NOT_AVAIL,
            }
        })
    }

    fn start_zeroize(&self, apqn: Apqn, deadline: Instant) -> ResponseCode {
        self.repeat(deadline, &[ResponseCode::BUSY, ResponseCode::STATE_CHANGE_IN_PROGRESS], || {
            self.status(Gr0::pqap(FunctionCode::ZAPQ, apqn), 0, 0).response()
        })
    }

    fn wait_until_reset(&self, apqn: Apqn, deadline: Instant) -> ResponseCode {
        let unfinished = [ResponseCode::RESET_IN_PROGRESS, ResponseCode::BUSY, ResponseCode::STATE_CHANGE_IN_PROGRESS];
        self.repeat(deadline, &unfinished, || self.status(Gr0::pqap(FunctionCode::TAPQ, apqn), 0, 0).response())
    }

    fn repeat(&self, deadline: Instant, again: &[ResponseCode], look: impl Fn() -> ResponseCode) -> ResponseCode {
        loop {
            let response = look();
            if !again.contains(&response) || Instant::now() >= deadline {
                return response;
            }
            std::thread::sleep(RESET_POLL);
        }
    }

    /// How often each queue was reset; queues never reset are left out.
    pub(crate) fn reset_counts(&self) -> BTreeMap<Apqn, u64> {
        self.resets.lock().clone()
    }

    /// What QCI says, where the machine has it.
    pub(crate) fn qci(&self) -> Option<QciBlock> {
        let mut block = vec![0; QciBlock::SIZE];
        let gr0 = Gr0::pqap(FunctionCode::QCI, Apqn::default());
        let operands = Operands { gr0: gr0.0, ..Operands::default() };
        if !self.door.facilities().apqci {
            return None;
        }
        match self.door.execute(Instruction::Pqap, &operands, &mut block) {
            Outcome::Completed { .. } => block.first_chunk().map(QciBlock::from_bytes),
            Outcome::Exception(_) => None,
        }
    }

    /// What the host has: by QCI, else by asking for each queue.
    pub(crate) fn configuration(&self) -> HostConfiguration {
        if let Some(block) = self.qci() {
            return HostConfiguration { matrix: block.matrix, limits: block.limits() };
        }
        let mut matrix = Matrix::EMPTY;
        let limits = (63, 15);
        for apqn in Apqn::all().filter(|apqn| apqn.apid.0 <= limits.0 && apqn.apqi.0 <= limits.1) {
            if self.status(Gr0::pqap(FunctionCode::TAPQ, apqn), 0, 0).response() != ResponseCode::Q_NOT_AVAIL {
                matrix.adapters.insert(apqn.apid.0);
                matrix.domains.insert(apqn.apqi.0);
            }
        }
        matrix.control_domains = matrix.domains;
        HostConfiguration { matrix, limits }
    }

    fn status(&self, gr0: Gr0, gr1: u64, gr2: u64) -> QueueStatus {
        let writes = self.pqap(gr0, gr1, gr2);
        writes.map_or_else(not_available, |writes| QueueStatus::from_gr1(writes.get(1).unwrap_or_default()))
    }

    /// `None`: the machine does not know this instruction or this queue.
    fn pqap(&self, gr0: Gr0, gr1: u64, gr2: u64) -> Option<RegisterWrites> {
        let operands = Operands { gr0: gr0.0, gr1, gr2, ..Operands::default() };
        match self.door.execute(Instruction::Pqap, &operands, &mut NoStorage) {
            Outcome::Completed { writes, .. } => Some(writes),
            Outcome::Exception(_) => None,
        }
    }
}

/// A queue that is gone, deconfigured or checkstopped was cleared when it became so.
pub(crate) fn holds_nothing(response: ResponseCode) -> bool {
    matches!(response, ResponseCode::Q_NOT_AVAIL | ResponseCode::DECONFIGURED | ResponseCode::CHECKSTOPPED)
}

fn not_available() -> QueueStatus {
    QueueStatus::new(0, ResponseCode::Q_NOT_AVAIL)
}

/// What the host's AP configuration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostConfiguration {
    /// Adapters, domains, control domains of the host.
    pub(crate) matrix: Matrix,
    /// Highest adapter and domain numbers that can exist.
    pub(crate) limits: (u8, u8),
}

/// Operand storage of the functions that have none. Notification addresses were checked when the guest gave them.
struct NoStorage;

impl OperandMemory for NoStorage {
    fn fetch(&mut self, _address: u64, _buffer: &mut [u8]) -> Result<(), ProgramException> {
        Err(ProgramException::new(ProgramCode::ADDRESSING))
    }

    fn check_store(&mut self, _address: u64, _len: usize) -> Result<(), ProgramException> {
        Err(ProgramException::new(ProgramCode::ADDRESSING))
    }

    fn store(&mut self, _address: u64, _bytes: &[u8]) -> Result<(), ProgramException> {
        Err(ProgramException::new(ProgramCode::ADDRESSING))
    }

    fn absolute_is_valid(&mut self, _address: u64) -> bool {
        true
    }
}
