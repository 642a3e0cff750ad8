// SPDX-License-Identifier: MIT OR Apache-2.0
//! Instructions with random registers: nothing panics, nothing hangs, every answer is one that the architecture has.
//!
//! `KAPUT_FUZZ_INSTRUCTIONS` sets how many (200,000 by default; 10 million takes seconds in a release build),
//! `KAPUT_FUZZ_SEED` repeats a run.

use std::sync::Arc;

use ap_arch::{Apid, Apqn, FunctionCode, Gr0, HwInfo, ProgramCode, QueueStatus, ResponseCode};
use ap_machine::{
    AdapterState, Configuration, EngineTime, Instruction, Machine, ManualClock, OperandMemory, Operands, Outcome,
    ProgramException, Timing, Topology,
};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::cpu::{small_request, topology};

const STORAGE: u64 = 0x1_0000;

/// A storage that knows what an instruction may touch.
struct Bounded {
    bytes: Vec<u8>,
    stored: Option<(u64, u64)>,
    fetched: Option<(u64, u64)>,
}

impl Bounded {
    fn range(address: u64, len: usize) -> Result<std::ops::Range<usize>, ProgramException> {
        let end = address.checked_add(len as u64).filter(|end| *end <= STORAGE);
        end.map(|end| address as usize..end as usize).ok_or(ProgramException::new(ProgramCode::ADDRESSING))
    }
}

impl OperandMemory for Bounded {
    fn fetch(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), ProgramException> {
        let range = Self::range(address, buffer.len())?;
        buffer.copy_from_slice(&self.bytes[range]);
        self.fetched = Some((address, buffer.len() as u64));
        Ok(())
    }

    fn check_store(&mut self, address: u64, len: usize) -> Result<(), ProgramException> {
        Self::range(address, len).map(drop)
    }

    fn store(&mut self, address: u64, bytes: &[u8]) -> Result<(), ProgramException> {
        let range = Self::range(address, bytes.len())?;
        self.bytes[range].copy_from_slice(bytes);
        self.stored = Some((address, bytes.len() as u64));
        Ok(())
    }

    fn absolute_is_valid(&mut self, address: u64) -> bool {
        address < STORAGE
    }
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Mostly sensible, sometimes anything.
fn gr0(rng: &mut StdRng, insn: Instruction) -> u64 {
    let adapter = [5, 6, 7, 8][rng.random_range(0..4)];
    let domain = [0x33, 0x3a, 0x40][rng.random_range(0..3)];
    let apqn = u64::from(Apqn::new(adapter, domain).bits());
    let noise = match rng.random_range(0..8) {
        0 => 1 << rng.random_range(0..64),
        1 => rng.next_u64(),
        _ => 0,
    };
    let command = match insn {
        Instruction::Pqap => rng.random_range(0..10) << 24 | if rng.random() { Gr0::T } else { 0 },
        Instruction::Nqap { .. } => Gr0::NQAP_LAST,
        Instruction::Dqap { .. } => {
            if rng.random_range(0..4) == 0 {
                0
            } else {
                Gr0::DQAP_FIRST
            }
        }
    };
    (apqn | command) ^ noise
}

fn address(rng: &mut StdRng) -> u64 {
    match rng.random_range(0..10) {
        0 => rng.next_u64(),
        1 => STORAGE - rng.random_range(0..600),
        _ => rng.random_range(0..STORAGE) & !7,
    }
}

fn length(rng: &mut StdRng) -> u64 {
    match rng.random_range(0..10) {
        0 => rng.next_u64(),
        1 => rng.random_range(0..20_000),
        _ => [1, 8, 64, 144, 324, 400, 4420][rng.random_range(0..7)],
    }
}

fn instruction(rng: &mut StdRng) -> Instruction {
    let mut register =
        || if rng.random_range(0..20) == 0 { rng.random_range(0..16) } else { 2 * rng.random_range(0..8) };
    let (r1, r2) = (register(), register());
    match rng.random_range(0..3) {
        0 => Instruction::Pqap,
        1 => Instruction::Nqap { r1, r2 },
        _ => Instruction::Dqap { r1, r2 },
    }
}

/// A message worth processing at the start of the storage, now and then.
fn plant(rng: &mut StdRng, storage: &mut Bounded, at: u64) {
    let mut message = match rng.random_range(0..4) {
        0 => small_request(),
        1 => {
            let mut message = vec![0; 324];
            ap_arch::message::cca::random_request(&mut message, 0x33, rng.random_range(0..8192)).unwrap();
            message
        }
        2 => {
            let mut message = vec![0; 148];
            let query = ap_arch::message::ep11::QueryType(rng.random_range(0..4));
            ap_arch::message::ep11::info_request(&mut message, 0x33, query, 4096).unwrap();
            message
        }
        _ => vec![0; 64],
    };
    if rng.random_range(0..3) == 0 {
        let index = rng.random_range(0..message.len());
        message[index] = rng.random();
    }
    if let Ok(range) = Bounded::range(at, message.len()) {
        storage.bytes[range].copy_from_slice(&message);
    }
}

const SOMETIMES: &[ResponseCode] = &[
    ResponseCode::NORMAL,
    ResponseCode::Q_NOT_AVAIL,
    ResponseCode::RESET_IN_PROGRESS,
    ResponseCode::DECONFIGURED,
    ResponseCode::CHECKSTOPPED,
    ResponseCode::ASSOC_FAILED,
];

/// The response codes that each instruction may end with. AP reference 2.3.
fn allowed(insn: Instruction, function: FunctionCode) -> Vec<ResponseCode> {
    let own: &[ResponseCode] = match (insn, function) {
        (Instruction::Nqap { .. }, _) => &[
            ResponseCode::Q_FULL,
            ResponseCode::MESSAGE_TOO_BIG,
            ResponseCode::REQ_FAC_NOT_INST,
            ResponseCode::INVALID_DOMAIN,
        ],
        (Instruction::Dqap { .. }, _) => &[ResponseCode::NO_PENDING_REPLY, ResponseCode::NO_FIRST_PART],
        (Instruction::Pqap, FunctionCode::AQIC) => &[
            ResponseCode::BUSY,
            ResponseCode::INVALID_ADDRESS,
            ResponseCode::OTHERWISE_CHANGED,
            ResponseCode::INVALID_GISA,
        ],
        (Instruction::Pqap, FunctionCode::TAPQ | FunctionCode::RAPQ | FunctionCode::QACT) => &[ResponseCode::BUSY],
        _ => &[],
    };
    [SOMETIMES, own].concat()
}

fn check(insn: Instruction, operands: &Operands, storage: &Bounded, outcome: &Outcome) {
    let function = Gr0(operands.gr0).function();
    let is_qci = insn == Instruction::Pqap && function == FunctionCode::QCI;
    let (cc, writes) = match outcome {
        Outcome::Exception(exception) => {
            let codes = [ProgramCode::SPECIFICATION, ProgramCode::PRIVILEGED_OPERATION, ProgramCode::ADDRESSING];
            assert!(codes.contains(&exception.code), "{insn:?} {operands:x?}: {exception:?}");
            assert_eq!(storage.stored, None, "{insn:?} {operands:x?} stored and was suppressed");
            return;
        }
        Outcome::Completed { cc, writes } => (cc.bits(), writes),
    };
    let written = |register: u8| writes.get(register);
    let finished = cc == 0 || cc == 3;
    if finished && !is_qci {
        let status = written(1).map(QueueStatus::from_gr1).expect("no status word");
        // A pair that names GR1 takes its place.
        if !names_gr1(insn) {
            let codes = allowed(insn, function);
            assert!(codes.contains(&status.response()), "{insn:?} {operands:x?}: {status}");
            assert!(!status.has(QueueStatus::RESERVED), "{status:?}");
            assert_eq!(cc == 3, status.response() != ResponseCode::NORMAL, "{insn:?} {operands:x?}: {status}");
        }
    }
    match insn {
        Instruction::Pqap => assert!(finished),
        Instruction::Nqap { .. } => assert!(cc != 1),
        Instruction::Dqap { .. } => {}
    }
    if insn == Instruction::Pqap && function == FunctionCode::TAPQ {
        let info = HwInfo(written(2).expect("no hardware information"));
        let status = QueueStatus::from_gr1(written(1).unwrap_or_default());
        assert_eq!(info.0 == 0, status.response() == ResponseCode::Q_NOT_AVAIL, "{status} {info}");
    }
    let inside = |access: Option<(u64, u64)>, start: u64, len: u64| {
        assert!(access.is_none_or(|(at, n)| at == start && n <= len), "{insn:?} {operands:x?} accessed {access:x?}");
    };
    let [start, len] = operands.r2;
    match insn {
        Instruction::Pqap => inside(storage.stored, operands.gr2, if is_qci { 128 } else { 0 }),
        Instruction::Nqap { .. } => inside(storage.fetched, start, len),
        Instruction::Dqap { .. } => inside(storage.stored, start, len),
    }
    assert!(matches!(insn, Instruction::Nqap { .. }) || storage.fetched.is_none());
    assert!(!matches!(insn, Instruction::Nqap { .. }) || storage.stored.is_none());
}

fn names_gr1(insn: Instruction) -> bool {
    match insn {
        Instruction::Pqap => false,
        Instruction::Nqap { r1, r2 } | Instruction::Dqap { r1, r2 } => r1 == 0 || r2 == 0,
    }
}

fn disturb(rng: &mut StdRng, machine: &Machine, clock: &ManualClock) {
    let queue = Apqn::new(5, 0x33);
    match rng.random_range(0..8) {
        0 => drop(machine.set_busy(queue, rng.random())),
        1 => drop(machine.set_async_error(queue, ResponseCode::ASSOC_FAILED)),
        2 | 3 => {
            let states = [AdapterState::Configured, AdapterState::Deconfigured, AdapterState::Checkstopped];
            machine.set_adapter_state(Apid(6), states[rng.random_range(0..3)]).unwrap();
        }
        _ => clock.advance(rng.random_range(0..2000)),
    }
    machine.run_due();
}

#[test]
fn random_instructions_get_answers_that_the_architecture_has() {
    let (count, seed) = (setting("KAPUT_FUZZ_INSTRUCTIONS", 200_000_u64), setting("KAPUT_FUZZ_SEED", 1_u64));
    println!("KAPUT_FUZZ_SEED={seed} KAPUT_FUZZ_INSTRUCTIONS={count}");
    let mut rng = StdRng::seed_from_u64(seed);
    let clock = Arc::new(ManualClock::default());
    let timing = Timing { engine: EngineTime::Fixed(500), reset_ns: 800, aqic_ns: 100 };
    let mut topology = Topology { timing, segment: Some(300), rc8a: false, ..topology() };
    topology.adapters.get_mut(&Apid(5)).unwrap().max_request = Some(10_000);
    let machine = Machine::with_clock(&topology, clock.clone()).unwrap();
    let guest = Configuration::host(&machine);
    let mut storage = Bounded { bytes: vec![0; STORAGE as usize], stored: None, fetched: None };
    let mut completed = 0_u64;
    for _ in 0..count {
        let insn = instruction(&mut rng);
        let r2 = [address(&mut rng), length(&mut rng)];
        let operands = Operands {
            problem_state: rng.random_range(0..50) == 0,
            gr0: gr0(&mut rng, insn),
            gr1: if rng.random() { 1 << 47 | rng.random_range(0..8) } else { rng.next_u64() },
            gr2: address(&mut rng),
            r1: [rng.random_range(0..4), rng.random_range(0..4)],
            r2,
        };
        if rng.random_range(0..4) == 0 {
            plant(&mut rng, &mut storage, r2[0]);
        }
        (storage.stored, storage.fetched) = (None, None);
        let outcome = guest.execute(insn, &operands, &mut storage);
        check(insn, &operands, &storage, &outcome);
        completed += u64::from(matches!(outcome, Outcome::Completed { .. }));
        if rng.random_range(0..100) == 0 {
            disturb(&mut rng, &machine, &clock);
            guest.take_notifications();
        }
    }
    // Neither all refused nor all accepted, or it has tested nothing.
    assert!(completed > count / 10 && completed < count, "{completed} of {count} completed");
}
