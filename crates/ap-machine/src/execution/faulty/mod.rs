// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each fault does to an instruction: before it, instead of it, and to its outcome.

use ap_arch::{Apqi, Apqn, ConditionCode, FunctionCode, Gr0, HwInfo, ProgramCode, QueueStatus, ResponseCode};

use self::memory::{FaultyMemory, Sink};
use super::sound;
use crate::configuration::Configuration;
use crate::fault::{Fault, Faults};
use crate::instruction::{Instruction, OperandMemory, Operands, Outcome, ProgramException, RegisterWrites};
use crate::interrupt::Notification;

mod memory;

/// IR of AQIC's GR1.
const ENABLE: u64 = 1 << 47;
/// A length that every card takes.
const SOME_LENGTH: u64 = 256;

/// Executes an instruction on a machine with faults.
pub(super) fn execute(
    configuration: &Configuration,
    guest: &Configuration,
    insn: Instruction,
    operands: &Operands,
    memory: &mut dyn OperandMemory,
) -> Outcome {
    let faults = &configuration.machine.faults;
    let mut operands = *operands;
    operands.problem_state &= !faults.has(Fault::ProblemStateAllowed);
    if operands.problem_state {
        return sound::execute(configuration, guest, insn, &operands, memory);
    }
    let mut call = Call { configuration, guest, faults, insn, operands };
    match insn {
        Instruction::Pqap => call.pqap(memory),
        Instruction::Nqap { r1, r2 } => call.nqap(r1, r2, memory),
        Instruction::Dqap { r1, r2 } => call.dqap(r1, r2, memory),
    }
}

struct Call<'a> {
    configuration: &'a Configuration,
    guest: &'a Configuration,
    faults: &'a Faults,
    insn: Instruction,
    operands: Operands,
}

/// A status word and nothing else.
fn answer(status: QueueStatus) -> Outcome {
    let writes = RegisterWrites::none().with(1, u64::from(status.0));
    Outcome::Completed { cc: ConditionCode::of(status), writes }
}

/// The outcome with another status word, if it has one.
fn with_status(outcome: Outcome, change: impl FnOnce(QueueStatus) -> QueueStatus) -> Outcome {
    let Outcome::Completed { cc, writes } = outcome else { return outcome };
    let Some(gr1) = writes.get(1) else { return outcome };
    let (old, new) = (QueueStatus::from_gr1(gr1), change(QueueStatus::from_gr1(gr1)));
    let cc = if cc == ConditionCode::of(old) { ConditionCode::of(new) } else { cc };
    Outcome::Completed { cc, writes: with_register(writes, 1, u64::from(new.0)) }
}

fn with_register(writes: RegisterWrites, number: u8, value: u64) -> RegisterWrites {
    let others = writes.iter().filter(|(other, _)| *other != number);
    others.fold(RegisterWrites::none(), |writes, (number, value)| writes.with(number, value)).with(number, value)
}

fn status_of(outcome: &Outcome) -> Option<QueueStatus> {
    match outcome {
        Outcome::Completed { writes, .. } => writes.get(1).map(QueueStatus::from_gr1),
        Outcome::Exception(_) => None,
    }
}

/// 00 where the status says that the queue is not there.
fn as_if_there(status: QueueStatus) -> QueueStatus {
    match status.response() {
        ResponseCode::Q_NOT_AVAIL => QueueStatus::new(QueueStatus::EMPTY, ResponseCode::NORMAL),
        _ => status,
    }
}

impl Call<'_> {
    fn has(&self, fault: Fault) -> bool {
        self.faults.has(fault)
    }

    fn gr0(&self) -> Gr0 {
        Gr0(self.operands.gr0)
    }

    /// The sound machine's answer to the operands as they are now.
    fn sound(&self, memory: &mut dyn OperandMemory) -> Outcome {
        sound::execute(self.configuration, self.guest, self.insn, &self.operands, memory)
    }

    fn ignore(&mut self, fault: Fault, bits: u64) {
        if self.has(fault) {
            self.operands.gr0 &= !bits;
        }
    }

    fn pqap(&mut self, memory: &mut dyn OperandMemory) -> Outcome {
        let bits_41_47 = Gr0::BIT_41 | Gr0::BITS_42_47;
        match self.gr0().function() {
            FunctionCode::TAPQ => self.ignore(Fault::TapqReservedBitsIgnored, bits_41_47),
            FunctionCode::RAPQ => self.ignore(Fault::RapqReservedBitsIgnored, Gr0::BITS_42_47),
            FunctionCode::ZAPQ => self.ignore(Fault::ZapqReservedBitsIgnored, Gr0::BITS_42_47),
            FunctionCode::AQIC => self.ignore(Fault::AqicReservedBitsIgnored, bits_41_47),
            FunctionCode::QCI => self.ignore(Fault::QciReservedBitsIgnored, bits_41_47),
            FunctionCode(9..) if self.has(Fault::UndefinedFunctionIsTapq) => self.operands.gr0 &= 0xffff,
            _ => {}
        }
        match self.gr0().function() {
            FunctionCode::TAPQ => self.tapq(memory),
            FunctionCode::RAPQ | FunctionCode::ZAPQ => self.reset(memory),
            FunctionCode::AQIC => self.aqic(memory),
            FunctionCode::QCI => self.qci(memory),
            FunctionCode::BEST_AP if self.has(Fault::BestApExecutes) => {
                Outcome::Completed { cc: ConditionCode::CC0, writes: RegisterWrites::none() }
            }
            _ => self.sound(memory),
        }
    }

    fn qci(&mut self, memory: &mut dyn OperandMemory) -> Outcome {
        if self.has(Fault::QciAlignmentIgnored) {
            self.operands.gr2 &= !7;
        }
        let outcome = self.sound(&mut FaultyMemory { faults: self.faults, sound: memory, qci: true });
        match outcome {
            Outcome::Completed { writes, .. } if self.has(Fault::QciCc3) => {
                Outcome::Completed { cc: ConditionCode::CC3, writes }
            }
            other => other,
        }
    }

    fn tapq(&mut self, memory: &mut dyn OperandMemory) -> Outcome {
        let (gr0, apqn) = (self.gr0(), self.gr0().apqn());
        if self.has(Fault::FacilitiesWithoutT) && !gr0.has(Gr0::T) {
            self.operands.gr0 |= Gr0::T;
        }
        let outcome = self.sound(memory);
        let outcome = with_status(outcome, |status| self.tapq_status(apqn, status));
        let Outcome::Completed { cc, writes } = outcome else { return outcome };
        let cc = if self.has(Fault::TapqCc0) { ConditionCode::CC0 } else { cc };
        let Some(info) = writes.get(2).filter(|info| *info != 0) else { return Outcome::Completed { cc, writes } };
        Outcome::Completed { cc, writes: with_register(writes, 2, self.information(apqn, info, gr0.has(Gr0::T))) }
    }

    fn tapq_status(&self, apqn: Apqn, status: QueueStatus) -> QueueStatus {
        if self.has(Fault::OutsideQueueAvailable) && apqn == Apqn::new(9, 9) {
            return as_if_there(status);
        }
        let mut bits = status.0;
        if status.response() == ResponseCode::NORMAL {
            if self.has(Fault::EmptyBitMissing) {
                bits &= !QueueStatus::EMPTY;
            }
            if self.has(Fault::AlwaysEmpty) {
                bits |= QueueStatus::EMPTY;
            }
            if self.has(Fault::RepliesNeverWait) {
                bits &= !QueueStatus::REPLIES_WAITING;
            }
        }
        if self.has(Fault::ReservedStatusBit) {
            bits |= 1;
        }
        QueueStatus(bits)
    }

    fn information(&self, apqn: Apqn, info: u64, with_facilities: bool) -> u64 {
        /// Bits 8 and 9, bit 18, the lowest bit of the depth.
        const CLASS: u64 = 0xc0 << 48;
        const RESERVED: u64 = 1 << (63 - 18);
        const DEPTH: u64 = 1;
        let mut info = info;
        if with_facilities {
            if self.has(Fault::TwoModes) {
                info |= HwInfo::CCA | HwInfo::ACCELERATOR;
            }
            if self.has(Fault::NoClassification) {
                info &= !CLASS;
            }
            if self.has(Fault::ReservedInformation) {
                info |= RESERVED;
            }
        }
        if self.has(Fault::DepthByDomain) && apqn.apqi.0 & 1 == 1 {
            info ^= DEPTH;
        }
        info
    }

    fn reset(&mut self, memory: &mut dyn OperandMemory) -> Outcome {
        let (gr0, apqn) = (self.gr0(), self.gr0().apqn());
        let rapq = gr0.function() == FunctionCode::RAPQ;
        if self.has(Fault::UnbindBitRefused) && gr0.has(Gr0::BIT_41) {
            return Outcome::Exception(ProgramException::specification());
        }
        let there = self.configuration.has(apqn) && !gr0.has(Gr0::BITS_42_47);
        if there && rapq && self.has(Fault::RapqBusy) {
            return answer(QueueStatus::new(QueueStatus::EMPTY, ResponseCode::BUSY));
        }
        let nothing = if rapq { Fault::RapqDoesNothing } else { Fault::ZapqDoesNothing };
        if there && self.has(nothing) {
            return answer(QueueStatus::new(QueueStatus::EMPTY, ResponseCode::NORMAL));
        }
        let registration = self.configuration.machine.interruption(apqn);
        let outcome = self.sound(memory);
        if there
            && self.has(Fault::ResetKeepsInterruption)
            && let Some(Notification { isc, nib }) = registration
        {
            let gr0 = Gr0::pqap(FunctionCode::AQIC, apqn).0;
            let again = Operands { gr0, gr1: ENABLE | u64::from(isc), gr2: nib, ..Operands::default() };
            sound::execute(self.configuration, self.guest, Instruction::Pqap, &again, memory);
        }
        if there && self.has(Fault::ResetOfTheWholeCard) {
            for domain in self.configuration.apcb().domains.iter().filter(|domain| *domain != apqn.apqi.0) {
                let other = Apqn { apqi: Apqi(domain), ..apqn };
                let gr0 = Gr0::pqap(gr0.function(), other).0;
                let operands = Operands { gr0, ..self.operands };
                sound::execute(self.configuration, self.guest, Instruction::Pqap, &operands, memory);
            }
        }
        if self.has(Fault::ResetOutsideAnswers00) { with_status(outcome, as_if_there) } else { outcome }
    }

    fn aqic(&mut self, memory: &mut dyn OperandMemory) -> Outcome {
        let apqn = self.gr0().apqn();
        let enable = self.operands.gr1 & ENABLE != 0;
        let good = answer(QueueStatus::new(QueueStatus::EMPTY, ResponseCode::NORMAL));
        if !self.configuration.has(apqn) || self.gr0().has(Gr0::BIT_41 | Gr0::BITS_42_47 | Gr0::T) {
            return self.sound(memory);
        }
        if enable && self.operands.gr2 == 0 && self.has(Fault::ByteAtAddress0Taken) {
            return good;
        }
        let enabled = self.configuration.machine.interruption(apqn).is_some();
        if !enable && enabled && self.has(Fault::DisableDoesNothing) {
            return good;
        }
        let mut faulty = FaultyMemory { faults: self.faults, sound: memory, qci: false };
        let outcome = self.sound(&mut faulty);
        let again = status_of(&outcome).is_some_and(|status| status.response() == ResponseCode::OTHERWISE_CHANGED);
        if again && enable && self.has(Fault::EnableAgainReplaces) {
            let off = Operands { gr1: 0, ..self.operands };
            sound::execute(self.configuration, self.guest, self.insn, &off, &mut faulty);
            self.sound(&mut faulty);
        }
        let hidden = if enable { Fault::EnableAgainAnswers00 } else { Fault::DisableAgainAnswers00 };
        if again && self.has(hidden) { good } else { outcome }
    }

    /// An outcome with another exception, where a fault has it so.
    fn exception(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Exception(exception)
                if exception.code == ProgramCode::ADDRESSING && self.has(Fault::AddressingIsProtection) =>
            {
                Outcome::Exception(ProgramException::new(ProgramCode::PROTECTION))
            }
            other => other,
        }
    }

    fn nqap(&mut self, r1: u8, r2: u8, memory: &mut dyn OperandMemory) -> Outcome {
        for (fault, bit) in [
            (Fault::NqapBit32Ignored, 32),
            (Fault::NqapBit34Ignored, 34),
            (Fault::NqapBit35Ignored, 35),
            (Fault::NqapBit40Ignored, 40),
        ] {
            self.ignore(fault, 1 << (63 - bit));
        }
        let (mut even_r1, mut even_r2) = (r1, r2);
        if self.has(Fault::NqapOddIdentifierTaken) {
            even_r1 &= !1;
        }
        if r2 & 1 == 1 && self.has(Fault::NqapOddMessageTaken) {
            even_r2 &= !1;
            self.operands.r2[1] = SOME_LENGTH;
        }
        self.insn = Instruction::Nqap { r1: even_r1, r2: even_r2 };
        let even = even_r1 & 1 == 0 && even_r2 & 1 == 0;
        if even && self.operands.r2[1] == 0 && self.has(Fault::NqapLength0Taken) {
            return answer(QueueStatus::new(QueueStatus::EMPTY, ResponseCode::NORMAL));
        }
        if self.has(Fault::NqapLengthOf32Bits) {
            self.operands.r2[1] &= 0xffff_ffff;
        }
        let apqn = self.gr0().apqn();
        let snapshot = self.configuration.machine.queue_snapshot(apqn);
        let depth = self.configuration.machine.adapter(apqn.apid).info().depth();
        if self.has(Fault::NqapMaximumIgnored) {
            let max = self.configuration.machine.adapter(apqn.apid).info().max_message_len() as u64;
            self.operands.r2[1] = self.operands.r2[1].min(max);
        }
        if self.has(Fault::DepthOneLess) && snapshot.is_some_and(|queue| queue.messages + 1 >= depth) {
            return answer(QueueStatus::new(QueueStatus::FULL, ResponseCode::Q_FULL));
        }
        if self.has(Fault::QueuesMix)
            && let Some(first) = self.configuration.apcb().domains.iter().next()
        {
            self.operands.gr0 = self.operands.gr0 & !0xff | u64::from(first);
        }
        let outcome = self.sound(memory);
        let outcome = self.exception(outcome);
        let outcome = if self.has(Fault::NqapOutsideAnswers00) { with_status(outcome, as_if_there) } else { outcome };
        if self.has(Fault::FullBitMissing) {
            return with_status(outcome, |status| QueueStatus(status.0 & !QueueStatus::FULL));
        }
        outcome
    }

    fn dqap(&mut self, r1: u8, r2: u8, memory: &mut dyn OperandMemory) -> Outcome {
        self.ignore(Fault::DqapBit33Ignored, 1 << (63 - 33));
        self.ignore(Fault::DqapBit41Ignored, 1 << (63 - 41));
        let mut even_r2 = r2;
        if r2 & 1 == 1 && self.has(Fault::DqapOddBufferTaken) {
            even_r2 &= !1;
            self.operands.r2[1] = SOME_LENGTH;
        }
        self.insn = Instruction::Dqap { r1, r2: even_r2 };
        let even = r1 & 1 == 0 && even_r2 & 1 == 0;
        if even && self.operands.r2[1] == 0 && self.has(Fault::DqapLength0Taken) {
            return answer(QueueStatus::new(QueueStatus::EMPTY, ResponseCode::NORMAL));
        }
        if self.has(Fault::DqapLengthOf32Bits) {
            self.operands.r2[1] &= 0xffff_ffff;
        }
        if self.has(Fault::ContinuationBeginsAgain) {
            self.operands.gr0 |= Gr0::DQAP_FIRST;
        }
        let outcome = self.sound(&mut FaultyMemory { faults: self.faults, sound: memory, qci: false });
        self.lose(&outcome);
        let outcome = self.exception(outcome);
        let outcome = with_status(outcome, |status| self.dqap_status(status));
        let Outcome::Completed { cc, mut writes } = outcome else { return outcome };
        if let Some(high) = writes.get(r1).filter(|_| self.has(Fault::IdentifierOf32Bits)) {
            writes = with_register(writes, r1, high & !0xffff_ffff);
        }
        if let Some(low) = writes.get(r1 + 1).filter(|_| self.has(Fault::ReplyToAnother)) {
            writes = with_register(writes, r1 + 1, low ^ 1);
        }
        if let Some(residual) = writes.get(2).filter(|residual| *residual != 0 && self.has(Fault::ResidualWrong)) {
            writes = with_register(writes, 2, residual + 1);
        }
        Outcome::Completed { cc, writes }
    }

    /// Takes the reply out of the queue where a fault loses it.
    fn lose(&self, outcome: &Outcome) {
        let lost = match outcome {
            Outcome::Exception(exception) => {
                exception.code == ProgramCode::ADDRESSING && self.has(Fault::DqapLosesUnstorableReply)
            }
            Outcome::Completed { cc, .. } => *cc == ConditionCode::CC1 && self.has(Fault::TruncatedReplyLost),
        };
        if lost {
            let apqn = self.gr0().apqn();
            let max = self.configuration.machine.adapter(apqn.apid).info().max_message_len() as u64;
            let whole = Operands { gr0: Gr0::dqap(apqn).0, r2: [0, max], ..self.operands };
            sound::execute(self.configuration, self.guest, self.insn, &whole, &mut Sink);
        }
    }

    fn dqap_status(&self, status: QueueStatus) -> QueueStatus {
        match status.response() {
            ResponseCode::NO_PENDING_REPLY if self.has(Fault::EmptyQueueAnswers00) => {
                QueueStatus::new(QueueStatus::EMPTY, ResponseCode::NORMAL)
            }
            ResponseCode::Q_NOT_AVAIL if self.has(Fault::DqapOutsideAnswers10) => {
                QueueStatus::new(QueueStatus::EMPTY, ResponseCode::NO_PENDING_REPLY)
            }
            _ => status,
        }
    }
}
