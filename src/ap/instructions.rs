// SPDX-License-Identifier: MIT OR Apache-2.0
//! The AP instructions as the suites use them: architected values in and out, each execution logged. Who holds an
//! [`Ap`] has executed one and found AP installed, so that none of these ends in an operation exception.

use crate::ap::log;
use crate::case::outcome::{Stop, failed};
use crate::machine::Machine;
use crate::machine::clock::Deadline;
use crate::machine::trap::{ProgramInterruption, expect_exception};
use ap_arch::{Apqn, ConditionCode, FunctionCode, Gr0, HwInfo, QciBlock, QueueStatus, ResponseCode, facility};
use core::mem::offset_of;
use s390x_asm::{FacilityList, asm};

/// AP, installed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ap {
    facilities: FacilityList,
    storage_end: u64,
    /// What TAPQ has in GR0 besides function and queue: the T bit where it is allowed.
    tapq_bits: u64,
    logs: bool,
}

/// What TAPQ, RAPQ or ZAPQ answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Condition code.
    pub(crate) cc: ConditionCode,
    /// Queue status.
    pub(crate) status: QueueStatus,
    /// Hardware information; only TAPQ stores it.
    pub(crate) info: HwInfo,
}

/// What QCI stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Condition code.
    pub(crate) cc: ConditionCode,
    /// The block as it stands in storage.
    pub(crate) bytes: [u8; QciBlock::SIZE],
    /// Whether what lies before and behind the block is as it was.
    pub(crate) neighbours_intact: bool,
}

/// What DQAP answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dequeued {
    /// Queue status; poison if the buffer was too short for the reply.
    pub(crate) status: QueueStatus,
    /// Whose reply it is.
    pub(crate) psmid: u64,
    /// The same as the two registers hold it.
    pub(crate) psmid_words: (u64, u64),
    /// Bytes of the buffer that were filled.
    pub(crate) length: usize,
    /// Bytes of the reply that are still in the queue.
    pub(crate) residual: u64,
}

/// More executions than this for one message are not progress but a fault.
const MAX_PARTS: usize = 1000;
/// How long a queue may be busy. The architecture names no limit.
const BUSY_LIMIT_MILLIS: u64 = 500;

impl Ap {
    /// Executes TAPQ on queue 00.0000; the interruption says that AP is not installed. AP reference 4.
    pub(crate) fn find(machine: &Machine) -> Result<Self, ProgramInterruption> {
        let tapq_bits = if machine.facilities.has(facility::APFT) { Gr0::T } else { 0 };
        let ap = Self { facilities: machine.facilities, storage_end: machine.memory, tapq_bits, logs: true };
        ap.execute(Gr0::pqap(FunctionCode::TAPQ, Apqn::default())).map(|_| ap)
    }

    /// The same, but its messages are not logged: for work without end.
    pub(crate) fn quiet(self) -> Self {
        Self { logs: false, ..self }
    }

    /// Whether the facility is installed.
    pub(crate) fn has(&self, bit: u32) -> bool {
        self.facilities.has(bit)
    }

    /// The first address behind main storage.
    pub(crate) fn storage_end(&self) -> u64 {
        self.storage_end
    }

    /// TAPQ, with the T bit where it is allowed.
    pub(crate) fn tapq(&self, apqn: Apqn) -> Answer {
        let gr0 = self.tapq_gr0(apqn);
        let raw = pqap(gr0);
        log::pqap(gr0, GR1_BEFORE, GR2_BEFORE, Ok(&raw));
        raw.into()
    }

    /// TAPQ as [`Self::tapq`], not logged: for probing whole ranges.
    pub(crate) fn probe(&self, apqn: Apqn) -> Answer {
        pqap(self.tapq_gr0(apqn)).into()
    }

    /// Whether TAPQ, executed once, answers that there is no such queue: the quick look, for tens of thousands of them.
    #[inline(always)]
    pub(crate) fn lacks(&self, apqn: Apqn) -> bool {
        // SAFETY: TAPQ names no storage.
        let raw = unsafe { asm::pqap(self.tapq_gr0(apqn).0, GR1_BEFORE, GR2_BEFORE) };
        QueueStatus::from_gr1(raw.gr1).response() == ResponseCode::Q_NOT_AVAIL
    }

    /// TAPQ with exactly these bits set besides the queue. `Err` holds the interruption it ended in.
    pub(crate) fn tapq_with(&self, apqn: Apqn, bits: u64) -> Result<Answer, ProgramInterruption> {
        self.execute(Gr0::pqap(FunctionCode::TAPQ, apqn).with(bits))
    }

    /// TAPQ in GR0, with the T bit where it is allowed.
    pub(crate) fn tapq_gr0(&self, apqn: Apqn) -> Gr0 {
        Gr0::pqap(FunctionCode::TAPQ, apqn).with(self.tapq_bits)
    }

    /// RAPQ or ZAPQ with these bits set besides the queue. A program interruption fails the case.
    pub(crate) fn reset(&self, apqn: Apqn, function: FunctionCode, bits: u64) -> Result<QueueStatus, Stop> {
        match self.execute(Gr0::pqap(function, apqn).with(bits)) {
            Ok(answer) => Ok(answer.status),
            Err(ended) => Err(failed!("{apqn}: {function} ended in program interruption {}", ended.code)),
        }
    }

    /// RAPQ or ZAPQ, not logged: for whole ranges.
    pub(crate) fn reset_quietly(&self, apqn: Apqn, function: FunctionCode) -> Answer {
        pqap(Gr0::pqap(function, apqn)).into()
    }

    /// NQAP, one execution, not logged; condition code and status.
    pub(crate) fn nqap_once(&self, apqn: Apqn, message: &[u8]) -> (ConditionCode, QueueStatus) {
        let operand = (message.as_ptr().expose_provenance() as u64, message.len() as u64);
        // SAFETY: the registers designate `message`.
        let raw = unsafe { asm::nqap::<4, 6>(Gr0::nqap(apqn).0, 0, operand) };
        (ConditionCode::from_bits(raw.cc), QueueStatus::from_gr1(raw.gr1))
    }

    /// AQIC with these in GR1 and GR2. The address is a notification byte's, or one that the machine must not take.
    pub(crate) fn aqic(&self, apqn: Apqn, gr1: u64, nib: u64) -> Answer {
        let gr0 = Gr0::pqap(FunctionCode::AQIC, apqn);
        // SAFETY: notification bytes exist for ever, and nothing is stored at an address that is not taken.
        let raw = unsafe { unless_busy(gr0, gr1, nib) };
        if self.logs {
            log::pqap(gr0, gr1, nib, Ok(&raw));
        }
        raw.into()
    }

    /// A PQAP that may end in a program interruption and names no storage.
    fn execute(&self, gr0: Gr0) -> Result<Answer, ProgramInterruption> {
        let result = expect_exception(|| pqap(gr0));
        log::pqap(gr0, GR1_BEFORE, GR2_BEFORE, result.as_ref());
        result.map(Answer::from)
    }

    /// QCI. `Err` holds the interruption it ended in.
    pub(crate) fn qci(&self) -> Result<Stored, ProgramInterruption> {
        const GUARD: u8 = 0xa5;
        #[repr(C, align(8))]
        struct Operand {
            before: [u8; 64],
            block: [u8; QciBlock::SIZE],
            behind: [u8; 256],
        }
        let mut operand = Operand { before: [GUARD; 64], block: [GUARD; QciBlock::SIZE], behind: [GUARD; 256] };
        let gr0 = Gr0::pqap(FunctionCode::QCI, Apqn::default());
        let gr2 = ((&raw mut operand).expose_provenance() + offset_of!(Operand, block)) as u64;
        // SAFETY: GR2 designates the block, with room around it.
        let result = expect_exception(|| unsafe { asm::pqap(gr0.0, GR1_BEFORE, gr2) });
        log::pqap(gr0, GR1_BEFORE, gr2, result.as_ref());
        let cc = ConditionCode::from_bits(result?.cc);
        let neighbours_intact = operand.before.iter().chain(&operand.behind).all(|byte| *byte == GUARD);
        Ok(Stored { cc, bytes: operand.block, neighbours_intact })
    }

    /// NQAP of a whole message, executed again as long as it completes in part.
    pub(crate) fn nqap(&self, apqn: Apqn, psmid: u64, message: &[u8]) -> QueueStatus {
        self.nqap_with(Gr0::nqap(apqn), psmid, message)
    }

    /// NQAP with this in GR0.
    pub(crate) fn nqap_with(&self, gr0: Gr0, psmid: u64, message: &[u8]) -> QueueStatus {
        let mut rest = (message.as_ptr().expose_provenance() as u64, message.len() as u64);
        let mut parts = 0;
        let raw = loop {
            // SAFETY: the registers designate what is left of `message`.
            let raw = unsafe { asm::nqap::<4, 6>(gr0.0, psmid, rest) };
            let again = raw.cc == ConditionCode::CC2.bits() && raw.message.1 < rest.1 && raw.message.1 > 0;
            (rest, parts) = (raw.message, parts + 1);
            if !again || parts == MAX_PARTS {
                break raw;
            }
        };
        if self.logs {
            log::nqap(gr0, psmid, message.len() as u64, Ok(&raw));
        }
        QueueStatus::from_gr1(raw.gr1)
    }

    /// DQAP, one execution, with this in GR0: the beginning of a reply, or what follows what an earlier one delivered.
    pub(crate) fn dqap_part(&self, gr0: Gr0, buffer: &mut [u8]) -> asm::Dqap {
        let (address, length) = (buffer.as_mut_ptr().expose_provenance() as u64, buffer.len() as u64);
        // SAFETY: the registers designate `buffer`.
        let raw = unsafe { asm::dqap::<4, 6>(gr0.0, 0, (address, length)) };
        if self.logs {
            log::dqap(gr0, length, Ok(&raw));
        }
        raw
    }

    /// DQAP into a buffer, executed again as long as it completes in part and there is room. An answer that no reply is
    /// there is not logged: it is what polling sees.
    pub(crate) fn dqap(&self, apqn: Apqn, buffer: &mut [u8]) -> Dequeued {
        let start = Gr0::dqap(apqn);
        let mut gr0 = start.0;
        let mut room = (buffer.as_mut_ptr().expose_provenance() as u64, buffer.len() as u64);
        let mut parts = 0;
        let raw = loop {
            // SAFETY: the registers designate what is left of `buffer`.
            let raw = unsafe { asm::dqap::<4, 6>(gr0, 0, room) };
            let partial = raw.cc == ConditionCode::CC1.bits() || raw.cc == ConditionCode::CC2.bits();
            let again = partial && raw.buffer.1 < room.1 && raw.buffer.1 > 0;
            (gr0, room, parts) = (raw.gr0, raw.buffer, parts + 1);
            if !again || parts == MAX_PARTS {
                break raw;
            }
        };
        let answer = Dequeued {
            status: QueueStatus::from_gr1(raw.gr1),
            psmid: raw.psmid.0 << 32 | raw.psmid.1 & 0xffff_ffff,
            psmid_words: raw.psmid,
            length: buffer.len() - usize::try_from(raw.buffer.1).unwrap_or(0).min(buffer.len()),
            residual: raw.gr2,
        };
        if self.logs && answer.status.response() != ResponseCode::NO_PENDING_REPLY {
            log::dqap(start, buffer.len() as u64, Ok(&raw));
        }
        answer
    }
}

/// General registers 1 and 2 before a PQAP that takes nothing from them.
const GR1_BEFORE: u64 = asm::POISON_REGISTER;
const GR2_BEFORE: u64 = 0;

fn pqap(gr0: Gr0) -> asm::Pqap {
    // SAFETY: only TAPQ, RAPQ and ZAPQ come here, which name no storage.
    unsafe { unless_busy(gr0, GR1_BEFORE, GR2_BEFORE) }
}

/// PQAP, executed again as long as it answers 05 (busy), or until the limit is over. AP reference 2.3.
///
/// # Safety
/// As for [`asm::pqap`].
#[inline(never)]
unsafe fn unless_busy(gr0: Gr0, gr1: u64, gr2: u64) -> asm::Pqap {
    let is_busy = |raw: &asm::Pqap| QueueStatus::from_gr1(raw.gr1).response() == ResponseCode::BUSY;
    // SAFETY: the caller answers for the storage.
    let mut raw = unsafe { asm::pqap(gr0.0, gr1, gr2) };
    if is_busy(&raw) {
        let deadline = Deadline::in_millis(BUSY_LIMIT_MILLIS);
        while is_busy(&raw) && !deadline.is_over() {
            // SAFETY: as before.
            raw = unsafe { asm::pqap(gr0.0, gr1, gr2) };
        }
    }
    raw
}

impl From<asm::Pqap> for Answer {
    fn from(raw: asm::Pqap) -> Self {
        let (cc, status) = (ConditionCode::from_bits(raw.cc), QueueStatus::from_gr1(raw.gr1));
        Self { cc, status, info: HwInfo(raw.gr2) }
    }
}
