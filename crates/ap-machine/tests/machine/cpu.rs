// SPDX-License-Identifier: MIT OR Apache-2.0
//! A CPU with sixteen registers and a storage with holes, to execute AP instructions on.

use std::sync::Arc;

use ap_arch::{Apqn, FunctionCode, Gr0, HwInfo, ProgramCode, QciBlock, QueueStatus, ResponseCode};
use ap_machine::{Configuration, Instruction, Machine, OperandMemory, Operands, Outcome, ProgramException, Topology};

/// Where the CPU puts requests, replies and the QCI block.
pub(crate) const MESSAGE: u64 = 0x1_0000;
pub(crate) const BUFFER: u64 = 0x2_0000;
pub(crate) const BLOCK: u64 = 0x3000;
/// A page that DAT does not map.
pub(crate) const HOLE: u64 = 0x4_0000;
/// First address beyond the storage.
pub(crate) const END: u64 = 0x8_0000;

const PAGE: u64 = 0x1000;
/// Low-address protection.
const PROTECTED: u64 = 512;

pub(crate) struct Storage {
    bytes: Vec<u8>,
    pub(crate) stores: u64,
}

impl Storage {
    fn new() -> Self {
        Self { bytes: vec![0; END as usize], stores: 0 }
    }

    fn access(&self, address: u64, len: usize, store: bool) -> Result<std::ops::Range<usize>, ProgramException> {
        let end = address.checked_add(len as u64).filter(|end| *end <= END);
        let end = end.ok_or(ProgramException::new(ProgramCode::ADDRESSING))?;
        if store && address < PROTECTED {
            return Err(ProgramException::new(ProgramCode::PROTECTION));
        }
        if address < HOLE + PAGE && end > HOLE {
            return Err(ProgramException { code: ProgramCode::PAGE_TRANSLATION, translation_address: HOLE });
        }
        Ok(address as usize..end as usize)
    }
}

impl OperandMemory for Storage {
    fn fetch(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), ProgramException> {
        let range = self.access(address, buffer.len(), false)?;
        buffer.copy_from_slice(&self.bytes[range]);
        Ok(())
    }

    fn check_store(&mut self, address: u64, len: usize) -> Result<(), ProgramException> {
        self.access(address, len, true).map(drop)
    }

    fn store(&mut self, address: u64, bytes: &[u8]) -> Result<(), ProgramException> {
        let range = self.access(address, bytes.len(), true)?;
        self.bytes[range].copy_from_slice(bytes);
        self.stores += 1;
        Ok(())
    }

    fn absolute_is_valid(&mut self, address: u64) -> bool {
        address < END
    }
}

/// What a DQAP loop brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// A whole reply.
    Reply { psmid: u64, message: Vec<u8> },
    /// A response code other than 00.
    Nothing(QueueStatus),
}

pub(crate) struct Cpu {
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) gr: [u64; 16],
    pub(crate) storage: Storage,
    pub(crate) problem_state: bool,
}

/// The queue that most tests use.
pub(crate) const QUEUE: Apqn = Apqn::new(5, 0x33);

/// One CEX8A adapter 05 and a CEX8C adapter 06 and a CEX8P adapter 07 with domains 33 and 3a, interruption available.
pub(crate) fn topology() -> Topology {
    let mut topology: Topology = "05=cex8a,06=cex8c,07=cex8p/33,3a/33,3a,44".parse().unwrap();
    topology.facilities.apqi = true;
    topology
}

impl Cpu {
    pub(crate) fn of(configuration: Arc<Configuration>) -> Self {
        Self { configuration, gr: [0; 16], storage: Storage::new(), problem_state: false }
    }

    /// The CPU of a guest that has everything the machine has.
    pub(crate) fn new(topology: &Topology) -> Self {
        Self::on(&Machine::new(topology).unwrap())
    }

    pub(crate) fn on(machine: &Arc<Machine>) -> Self {
        Self::of(Configuration::host(machine))
    }

    pub(crate) fn machine(&self) -> &Arc<Machine> {
        self.configuration.machine()
    }

    /// Executes the instruction word; the condition code or the program interruption. A suppressed instruction must
    /// have changed nothing.
    pub(crate) fn execute(&mut self, word: u32) -> Result<u8, ProgramCode> {
        let insn = Instruction::decode(word.to_be_bytes()).unwrap();
        let pair = |r: u8| if r & 1 == 0 { [self.gr[usize::from(r)], self.gr[usize::from(r) + 1]] } else { [0; 2] };
        let (r1, r2) = match insn {
            Instruction::Pqap => ([0; 2], [0; 2]),
            Instruction::Nqap { r1, r2 } | Instruction::Dqap { r1, r2 } => (pair(r1), pair(r2)),
        };
        let [gr0, gr1, gr2, ..] = self.gr;
        let operands = Operands { problem_state: self.problem_state, gr0, gr1, gr2, r1, r2 };
        let stores = self.storage.stores;
        match self.configuration.execute(insn, &operands, &mut self.storage) {
            Outcome::Completed { cc, writes } => {
                for (number, value) in writes.iter() {
                    self.gr[usize::from(number)] = value;
                }
                Ok(cc.bits())
            }
            Outcome::Exception(exception) => {
                assert_eq!(self.storage.stores, stores, "a suppressed instruction stored something");
                Err(exception.code)
            }
        }
    }

    pub(crate) fn status(&self) -> QueueStatus {
        QueueStatus::from_gr1(self.gr[1])
    }

    /// PQAP with these registers.
    pub(crate) fn pqap(&mut self, gr0: Gr0, gr1: u64, gr2: u64) -> Result<u8, ProgramCode> {
        (self.gr[0], self.gr[1], self.gr[2]) = (gr0.0, gr1, gr2);
        self.execute(0xb2af_0000)
    }

    /// PQAP of a function without operands, which must complete.
    pub(crate) fn function(&mut self, function: FunctionCode, apqn: Apqn) -> QueueStatus {
        let cc = self.pqap(Gr0::pqap(function, apqn), 0, 0).unwrap();
        let status = self.status();
        assert_eq!(cc, if status.response().0 == 0 { 0 } else { 3 }, "{function} of {apqn} ended with {status}");
        status
    }

    /// TAPQ with T.
    pub(crate) fn tapq(&mut self, apqn: Apqn) -> (QueueStatus, HwInfo) {
        self.pqap(Gr0::pqap(FunctionCode::TAPQ, apqn).with(Gr0::T), 0, 0).unwrap();
        (self.status(), HwInfo(self.gr[2]))
    }

    pub(crate) fn response(&mut self, apqn: Apqn) -> ResponseCode {
        self.tapq(apqn).0.response()
    }

    pub(crate) fn qci(&mut self) -> QciBlock {
        assert_eq!(self.pqap(Gr0::pqap(FunctionCode::QCI, Apqn::default()), 0, BLOCK), Ok(0));
        let mut bytes = [0; QciBlock::SIZE];
        self.storage.fetch(BLOCK, &mut bytes).unwrap();
        QciBlock::from_bytes(&bytes)
    }

    /// NQAP of a whole message, again while the condition code is 2; the last condition code.
    pub(crate) fn nqap_with(&mut self, gr0: Gr0, psmid: u64, message: &[u8]) -> Result<u8, ProgramCode> {
        let at = MESSAGE as usize;
        self.storage.bytes[at..at + message.len()].copy_from_slice(message);
        self.gr[0] = gr0.0;
        (self.gr[4], self.gr[5]) = (psmid >> 32, psmid & 0xffff_ffff);
        (self.gr[6], self.gr[7]) = (MESSAGE, message.len() as u64);
        loop {
            match self.execute(0xb2ad_0046) {
                Ok(2) => {}
                last => return last,
            }
        }
    }

    /// NQAP that must complete; the status word.
    pub(crate) fn nqap(&mut self, apqn: Apqn, psmid: u64, message: &[u8]) -> QueueStatus {
        self.nqap_with(Gr0::nqap(apqn), psmid, message).unwrap();
        self.status()
    }

    /// The DQAP loop that correct software has: AP reference 1.5.
    pub(crate) fn dqap(&mut self, apqn: Apqn) -> Received {
        const ROOM: u64 = 12_288;
        self.gr[0] = Gr0::dqap(apqn).0;
        self.gr[2] = 0;
        (self.gr[6], self.gr[7]) = (BUFFER, ROOM);
        while self.gr[7] != 0 && matches!(self.execute(0xb2ae_0046).unwrap(), 1 | 2) {}
        assert_eq!(self.gr[2], 0, "the reply is longer than the largest message");
        if self.status().response() != ResponseCode::NORMAL {
            return Received::Nothing(self.status());
        }
        let mut message = vec![0; (ROOM - self.gr[7]) as usize];
        self.storage.fetch(BUFFER, &mut message).unwrap();
        Received::Reply { psmid: self.gr[4] << 32 | self.gr[5], message }
    }

    /// A request and its reply, which must be there at once.
    pub(crate) fn exchange(&mut self, apqn: Apqn, message: &[u8]) -> Vec<u8> {
        const PSMID: u64 = 0x0102_0304_0506_0708;
        assert_eq!(self.nqap(apqn, PSMID, message).response(), ResponseCode::NORMAL);
        match self.dqap(apqn) {
            Received::Reply { psmid: PSMID, message } => message,
            other => panic!("DQAP brought {other:?}"),
        }
    }
}

/// The smallest request that an accelerator answers with a result: 2^3 mod 11.
pub(crate) fn small_request() -> Vec<u8> {
    let mut message = vec![0; 400];
    let len = ap_arch::message::type50::mex(&mut message, &[11], &[3], &[2]).unwrap();
    assert_eq!(len, 400);
    message
}
