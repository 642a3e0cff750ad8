// SPDX-License-Identifier: MIT OR Apache-2.0
//! One AP instruction of QEMU's guest as the host saw it: what `query-trace` returns, and how people read it.

use std::fmt;

use ap_arch::{FunctionCode, Gr0, HwInfo, ProgramCode, QueueStatus};
use ap_machine::{Instruction, Operands, Outcome};
use serde::{Deserialize, Serialize};

use super::{Hex64, QueueName};

/// The queue in GR0.
const QUEUE: u64 = 0xffff;

/// Entries of the trace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceReply {
    /// Oldest first.
    pub entries: Vec<TraceEntry>,
    /// Number that the next entry will have, or that of the first one that did not fit: `since` of the next query.
    pub next: u64,
    /// How many of the entries wanted are lost, because the trace keeps only the newest.
    pub lost: u64,
}

/// Which of the three instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TracedInstruction {
    /// PQAP.
    #[default]
    Pqap,
    /// NQAP.
    Nqap,
    /// DQAP.
    Dqap,
}

/// One AP instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TraceEntry {
    /// Its number, from 0.
    pub number: u64,
    /// When it was done: microseconds since the beginning of 1970, by the host's clock.
    pub at: u64,
    /// The guest's CPU.
    pub cpu: u32,
    /// Which instruction.
    pub instruction: TracedInstruction,
    /// General register 0 before.
    pub gr0: Hex64,
    /// General register 1 before; 0 where the instruction does not look at it.
    pub gr1: Hex64,
    /// General register 2 before; 0 where the instruction does not look at it.
    pub gr2: Hex64,
    /// NQAP and DQAP: bytes of the message or the buffer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// The message's PSMID: given to NQAP, returned by DQAP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psmid: Option<Hex64>,
    /// How often it was executed with the same outcome, one after the other.
    #[serde(default = "once")]
    pub times: u64,
    /// The queue of the last of them, where they were refused by one queue after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_queue: Option<QueueName>,
    /// Condition code; absent after a program exception.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cc: Option<u8>,
    /// Code of the program exception; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<u16>,
    /// General register 1 afterwards, if it was written: the status word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gr1_after: Option<Hex64>,
    /// General register 2 afterwards, if it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gr2_after: Option<Hex64>,
}

const fn once() -> u64 {
    1
}

impl TraceEntry {
    /// Takes the next entry in, if it says nothing new: the same once more, or another queue that refuses in the same
    /// way.
    pub(crate) fn take_in(&mut self, next: &Self) -> bool {
        let queue = |entry: &Self| Gr0(entry.gr0.0).apqn();
        let but_for_the_queue = |entry: &Self| entry.gr0.0 & !QUEUE;
        let refused = self.cc == Some(3);
        let other_queue = queue(next) != self.last_queue.map_or(queue(self), |last| last.0);
        let as_before = Self {
            number: self.number,
            at: self.at,
            times: self.times,
            gr0: self.gr0,
            last_queue: self.last_queue,
            ..next.clone()
        };
        if *self != as_before || but_for_the_queue(self) != but_for_the_queue(next) || (other_queue && !refused) {
            return false;
        }
        self.times += 1;
        if other_queue {
            self.last_queue = Some(QueueName(queue(next)));
        }
        true
    }

    pub(crate) fn new(cpu: u32, at: u64, instruction: Instruction, operands: &Operands, outcome: &Outcome) -> Self {
        let writes = match outcome {
            Outcome::Completed { writes, .. } => Some(writes),
            Outcome::Exception(_) => None,
        };
        let written = |number: u8| writes.and_then(|writes| writes.get(number)).map(Hex64);
        let psmid = |pair: [u64; 2]| Hex64(pair[0] << 32 | pair[1] & 0xffff_ffff);
        let (instruction, length, psmid) = match instruction {
            Instruction::Pqap => (TracedInstruction::Pqap, None, None),
            Instruction::Nqap { .. } => (TracedInstruction::Nqap, Some(operands.r2[1]), Some(psmid(operands.r1))),
            Instruction::Dqap { r1, .. } => {
                let told = written(r1).zip(written(r1 | 1)).map(|(high, low)| psmid([high.0, low.0]));
                (TracedInstruction::Dqap, Some(operands.r2[1]), told)
            }
        };
        let (cc, exception) = match outcome {
            Outcome::Completed { cc, .. } => (Some(cc.bits()), None),
            Outcome::Exception(exception) => (None, Some(exception.code.0)),
        };
        let [gr0, gr1, gr2] = [operands.gr0, operands.gr1, operands.gr2].map(Hex64);
        let (gr1_after, gr2_after) = (written(1), written(2));
        let before = Self { at, cpu, instruction, gr0, gr1, gr2, length, psmid, times: 1, ..Self::default() };
        Self { cc, exception, gr1_after, gr2_after, ..before }
    }

    fn function(&self) -> Option<FunctionCode> {
        (self.instruction == TracedInstruction::Pqap).then(|| Gr0(self.gr0.0).function())
    }
}

impl fmt::Display for TraceEntry {
    /// The instruction with what matters of its operands, then what came of it:
    /// `NQAP 05.0033 psmid 0x7, 64 bytes: cc 0, ----- rc 00 (normal)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gr0 = Gr0(self.gr0.0);
        match (self.instruction, self.function()) {
            (_, Some(FunctionCode::QCI)) => f.write_str("QCI")?,
            (_, Some(function)) => match function.name() {
                Some(name) => write!(f, "{name} {}", gr0.apqn())?,
                None => write!(f, "PQAP {function} {}", gr0.apqn())?,
            },
            (TracedInstruction::Nqap, None) => write!(f, "NQAP {}", gr0.apqn())?,
            (_, None) => write!(f, "DQAP {}", gr0.apqn())?,
        }
        if let Some(QueueName(last)) = self.last_queue {
            write!(f, " to {last}")?;
        }
        if self.function() == Some(FunctionCode::AQIC) {
            write!(f, " gr1 {:#x}, byte at {:#x}", self.gr1.0, self.gr2.0)?;
        }
        if let Some(psmid) = self.psmid {
            write!(f, " psmid {:#x}", psmid.0)?;
        }
        if let Some(length) = self.length {
            write!(f, ", {length} bytes")?;
        }
        match (self.cc, self.exception) {
            (Some(cc), _) => write!(f, ": cc {cc}")?,
            (None, Some(code)) => write!(f, ": program interruption {}", ProgramCode(code))?,
            (None, None) => {}
        }
        if let Some(status) = self.gr1_after {
            write!(f, ", {}", QueueStatus::from_gr1(status.0))?;
        }
        match (self.function(), self.gr2_after) {
            (Some(FunctionCode::TAPQ), Some(info)) if gr0.has(Gr0::T) && info.0 != 0 => {
                write!(f, ", {}", HwInfo(info.0))?
            }
            _ => {}
        }
        if self.times > 1 { write!(f, " ({} times)", self.times) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use ap_arch::{Apqn, ConditionCode, ResponseCode};
    use ap_machine::{ProgramException, RegisterWrites};

    use super::*;

    fn entry(instruction: Instruction, operands: Operands, writes: &[(u8, u64)], cc: ConditionCode) -> String {
        let writes = RegisterWrites::from_pairs(writes.iter().copied()).expect("few");
        TraceEntry::new(0, 0, instruction, &operands, &Outcome::Completed { cc, writes }).to_string()
    }

    #[test]
    fn what_tells_nothing_new_is_counted() {
        let tapq = |domain: u8, response: ResponseCode| {
            let gr0 = Gr0::pqap(FunctionCode::TAPQ, Apqn::new(5, domain)).0;
            let writes = RegisterWrites::from_pairs([(1, u64::from(QueueStatus::new(0, response).0))]).expect("one");
            let cc = ConditionCode::of(QueueStatus::new(0, response));
            TraceEntry::new(
                0,
                u64::from(domain),
                Instruction::Pqap,
                &Operands { gr0, ..Operands::default() },
                &Outcome::Completed { cc, writes },
            )
        };
        let gone = ResponseCode::Q_NOT_AVAIL;
        let mut swept = tapq(0, gone);
        assert!(swept.take_in(&tapq(1, gone)) && swept.take_in(&tapq(2, gone)));
        assert_eq!(swept.to_string(), "TAPQ 05.0000 to 05.0002: cc 3, ----- rc 01 (queue not available) (3 times)");
        assert!(
            !swept.take_in(&tapq(3, ResponseCode::NORMAL)) && !swept.take_in(&TraceEntry { cpu: 1, ..tapq(3, gone) })
        );
        let mut polled = tapq(0x33, ResponseCode::NORMAL);
        assert!(
            polled.take_in(&tapq(0x33, ResponseCode::NORMAL)) && !polled.take_in(&tapq(0x3a, ResponseCode::NORMAL))
        );
        assert_eq!(polled.to_string(), "TAPQ 05.0033: cc 0, ----- rc 00 (normal) (2 times)");
    }

    #[test]
    fn an_entry_reads_as_people_speak_of_it() {
        let apqn = Apqn::new(5, 0x33);
        let tapq = Operands { gr0: Gr0::pqap(FunctionCode::TAPQ, apqn).with(Gr0::T).0, ..Operands::default() };
        let status = u64::from(QueueStatus::new(QueueStatus::EMPTY, ResponseCode::NORMAL).0);
        let info = 0x6b80_0000_0eff_0007;
        assert_eq!(
            entry(Instruction::Pqap, tapq, &[(1, status), (2, info)], ConditionCode::CC0),
            "TAPQ 05.0033: cc 0, E---- rc 00 (normal), CEX8A 6b8000000eff0007"
        );
        let nqap = Operands { gr0: Gr0::nqap(apqn).0, r1: [0, 7], r2: [0x1000, 64], ..Operands::default() };
        assert_eq!(
            entry(Instruction::Nqap { r1: 4, r2: 6 }, nqap, &[(1, 0)], ConditionCode::CC0),
            "NQAP 05.0033 psmid 0x7, 64 bytes: cc 0, ----- rc 00 (normal)"
        );
        let dqap = Operands { gr0: Gr0::dqap(apqn).0, r2: [0x1000, 4096], ..Operands::default() };
        assert_eq!(
            entry(Instruction::Dqap { r1: 4, r2: 6 }, dqap, &[(1, status), (4, 0), (5, 7)], ConditionCode::CC0),
            "DQAP 05.0033 psmid 0x7, 4096 bytes: cc 0, E---- rc 00 (normal)"
        );
        let wrong = Outcome::Exception(ProgramException::specification());
        let refused = TraceEntry::new(1, 0, Instruction::Pqap, &tapq, &wrong).to_string();
        assert!(refused.starts_with("TAPQ 05.0033: program interruption 0006"), "{refused}");
    }
}
