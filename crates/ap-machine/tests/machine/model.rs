// SPDX-License-Identifier: MIT OR Apache-2.0
//! A queue against a reference model of it that is written anew, from AP reference 2.2, 2.6, 5.2, 6.2 and 6.4.

use std::sync::Arc;

use ap_arch::{FunctionCode, Gr0, QueueStatus, ResponseCode};
use ap_machine::{EngineTime, Machine, ManualClock, Timing, Topology};
use proptest::prelude::*;

use crate::cpu::{BUFFER, Cpu, QUEUE, small_request, topology};

const REPLY_LEN: usize = 144;

#[derive(Clone, Debug)]
enum Op {
    Tapq,
    Reset(FunctionCode),
    Enable,
    Disable,
    Nqap(u64),
    Dqap { first: bool, room: u64 },
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => Just(Op::Tapq),
        1 => prop_oneof![Just(FunctionCode::RAPQ), Just(FunctionCode::ZAPQ)].prop_map(Op::Reset),
        1 => Just(Op::Enable),
        1 => Just(Op::Disable),
        6 => (0..1_u64 << 40).prop_map(Op::Nqap),
        6 => (any::<bool>(), prop_oneof![1..=50_u64, 140..=150_u64])
            .prop_map(|(first, room)| Op::Dqap { first, room }),
        3 => (0..250_u64).prop_map(Op::Wait),
    ]
}

/// One request: its PSMID, when its reply comes, how much of the reply has been delivered since the first part.
struct Entry {
    psmid: u64,
    due: u64,
    delivered: Option<usize>,
}

struct Model {
    now: u64,
    engine_ns: u64,
    reset_ns: u64,
    depth: usize,
    segment: usize,
    entries: Vec<Entry>,
    reset_until: u64,
    enabled: bool,
    notifications: u64,
}

impl Model {
    fn wait(&mut self, ns: u64) {
        let before = self.now;
        self.now += ns;
        let arrived = self.entries.iter().filter(|entry| entry.due > before && entry.due <= self.now).count();
        self.notifications += if self.enabled { arrived as u64 } else { 0 };
    }

    fn available(&self) -> usize {
        self.entries.iter().filter(|entry| entry.due <= self.now).count()
    }

    fn status(&self, response: ResponseCode) -> QueueStatus {
        let flag = |on: bool, bit: u32| if on { bit } else { 0 };
        let flags = flag(self.entries.is_empty(), QueueStatus::EMPTY)
            | flag(self.available() > 0, QueueStatus::REPLIES_WAITING)
            | flag(self.entries.len() == self.depth, QueueStatus::FULL)
            | flag(self.enabled, QueueStatus::INTERRUPT_ENABLED);
        QueueStatus::new(flags, response)
    }

    fn resetting(&self) -> Option<QueueStatus> {
        (self.now < self.reset_until).then(|| self.status(ResponseCode::RESET_IN_PROGRESS))
    }

    fn reset(&mut self) -> QueueStatus {
        self.resetting().unwrap_or_else(|| {
            self.entries.clear();
            self.enabled = false;
            self.reset_until = self.now + self.reset_ns;
            self.status(ResponseCode::NORMAL)
        })
    }

    fn aqic(&mut self, enable: bool) -> QueueStatus {
        if let Some(status) = self.resetting() {
            return status;
        }
        if self.enabled == enable {
            return self.status(ResponseCode::OTHERWISE_CHANGED);
        }
        self.enabled = enable;
        self.notifications += u64::from(enable && self.available() > 0);
        self.status(ResponseCode::NORMAL)
    }

    fn nqap(&mut self, psmid: u64) -> QueueStatus {
        if let Some(status) = self.resetting() {
            return status;
        }
        if self.entries.len() == self.depth {
            return self.status(ResponseCode::Q_FULL);
        }
        let free = self.entries.iter().map(|entry| entry.due).max().unwrap_or(0).max(self.now);
        let due = if self.engine_ns == 0 { self.now } else { free + self.engine_ns };
        self.entries.push(Entry { psmid, due, delivered: None });
        self.notifications += u64::from(self.enabled && due <= self.now);
        self.status(ResponseCode::NORMAL)
    }

    /// Condition code, and what it brings with it.
    fn dqap(&mut self, first: bool, room: usize) -> (u8, Result<(u64, usize), QueueStatus>) {
        if let Some(status) = self.resetting() {
            return (3, Err(status));
        }
        let at =
            self.entries.iter().position(|entry| if first { entry.due <= self.now } else { entry.delivered.is_some() });
        let Some(at) = at else {
            let code = if first { ResponseCode::NO_PENDING_REPLY } else { ResponseCode::NO_FIRST_PART };
            return (3, Err(self.status(code)));
        };
        let offset = self.entries[at].delivered.filter(|_| !first).unwrap_or(0);
        let part = (REPLY_LEN - offset).min(room).min(self.segment);
        if offset + part < REPLY_LEN {
            self.entries[at].delivered = Some(offset + part);
            return (if part == room { 1 } else { 2 }, Ok((0, part)));
        }
        let entry = self.entries.remove(at);
        (0, Ok((entry.psmid, part)))
    }
}

/// Two replies that nobody has fetched cannot both have a first part delivered: the oldest available one is always the
/// one that goes out.
fn check(engine_ns: u64, reset_ns: u64, depth: u8, segment: u32, ops: &[Op]) -> Result<(), TestCaseError> {
    let timing = Timing { engine: EngineTime::Fixed(engine_ns), reset_ns, aqic_ns: 0 };
    let mut topology = Topology { timing, segment: Some(segment), ..topology() };
    topology.adapters.get_mut(&QUEUE.apid).unwrap().depth = depth;
    let clock = Arc::new(ManualClock::default());
    let mut cpu = Cpu::on(&Machine::with_clock(&topology, clock.clone()).unwrap());
    let mut model = Model {
        now: 0,
        engine_ns,
        reset_ns,
        depth: depth.into(),
        segment: segment as usize,
        entries: Vec::new(),
        reset_until: 0,
        enabled: false,
        notifications: 0,
    };
    for (index, op) in ops.iter().enumerate() {
        let say = format!("op {index}, {op:?}");
        match op {
            Op::Wait(ns) => {
                clock.advance(*ns);
                model.wait(*ns);
            }
            Op::Tapq => {
                let expected = model.resetting().unwrap_or_else(|| model.status(ResponseCode::NORMAL));
                prop_assert_eq!(cpu.tapq(QUEUE).0, expected, "{}", say);
            }
            Op::Reset(function) => prop_assert_eq!(cpu.function(*function, QUEUE), model.reset(), "{}", say),
            Op::Enable | Op::Disable => {
                let enable = matches!(op, Op::Enable);
                let gr1 = if enable { 1 << 47 | 6 } else { 0 };
                cpu.pqap(Gr0::pqap(FunctionCode::AQIC, QUEUE), gr1, 0x5000).unwrap();
                prop_assert_eq!(cpu.status(), model.aqic(enable), "{}", say);
            }
            Op::Nqap(psmid) => {
                prop_assert_eq!(cpu.nqap(QUEUE, *psmid, &small_request()), model.nqap(*psmid), "{}", say)
            }
            Op::Dqap { first, room } => {
                cpu.gr[0] = if *first { Gr0::dqap(QUEUE).0 } else { QUEUE.bits().into() };
                (cpu.gr[6], cpu.gr[7]) = (BUFFER, *room);
                let cc = cpu.execute(0xb2ae_0046).unwrap();
                let (expected_cc, outcome) = model.dqap(*first, *room as usize);
                prop_assert_eq!(cc, expected_cc, "{}", say);
                match outcome {
                    Err(status) => prop_assert_eq!((cpu.status(), cpu.gr[7]), (status, *room), "{}", say),
                    Ok((psmid, part)) => {
                        prop_assert_eq!(cpu.gr[6] - BUFFER, part as u64, "{}", say);
                        if cc == 0 {
                            let status = model.status(ResponseCode::NORMAL);
                            let got = (cpu.status(), cpu.gr[4] << 32 | cpu.gr[5]);
                            prop_assert_eq!(got, (status, psmid), "{}", say);
                        }
                    }
                }
            }
        }
    }
    let notifications = cpu.machine().queue_snapshot(QUEUE).map_or(0, |queue| queue.counters.notifications);
    prop_assert_eq!(notifications, model.notifications);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_queue_behaves_as_its_model(
        engine_ns in prop_oneof![Just(0_u64), 1..200_u64],
        reset_ns in prop_oneof![Just(0_u64), 1..200_u64],
        depth in 1..=16_u8,
        segment in prop_oneof![Just(4096_u32), 20..100_u32],
        ops in prop::collection::vec(op(), 1..80),
    ) {
        check(engine_ns, reset_ns, depth, segment, &ops)?;
    }
}
