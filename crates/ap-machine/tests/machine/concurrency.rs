// SPDX-License-Identifier: MIT OR Apache-2.0
//! Several CPUs at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use ap_arch::{FunctionCode, Gr0, Matrix, QueueStatus, ResponseCode};
use ap_machine::{
    Configuration, Instruction, Machine, ManualClock, OperandMemory, Operands, Outcome, ProgramException,
};

use crate::cpu::{Cpu, QUEUE, Received, small_request, topology};

const DEADLINE: Duration = Duration::from_secs(60);

/// A storage whose fetch says that it has begun and then waits: NQAP holds its queue meanwhile.
struct SlowStorage {
    inside: Sender<()>,
    go_on: Receiver<()>,
}

impl OperandMemory for SlowStorage {
    fn fetch(&mut self, _: u64, buffer: &mut [u8]) -> Result<(), ProgramException> {
        self.inside.send(()).unwrap();
        self.go_on.recv_timeout(DEADLINE).unwrap();
        buffer.copy_from_slice(&small_request()[..buffer.len()]);
        Ok(())
    }

    fn check_store(&mut self, _: u64, _: usize) -> Result<(), ProgramException> {
        Err(ProgramException::specification())
    }

    fn store(&mut self, _: u64, _: &[u8]) -> Result<(), ProgramException> {
        Err(ProgramException::specification())
    }

    fn absolute_is_valid(&mut self, _: u64) -> bool {
        false
    }
}

/// Somebody who holds [`QUEUE`] until told to let go: a CPU in the middle of NQAP.
struct Holder {
    let_go: Sender<()>,
    thread: thread::JoinHandle<Outcome>,
}

impl Holder {
    fn of(machine: &Arc<Machine>) -> Self {
        let (inside, is_inside) = channel();
        let (let_go, go_on) = channel();
        let configuration = Configuration::host(machine);
        let thread = thread::spawn(move || {
            let operands = Operands { gr0: Gr0::nqap(QUEUE).0, r2: [0, 400], ..Operands::default() };
            configuration.execute(Instruction::Nqap { r1: 4, r2: 6 }, &operands, &mut SlowStorage { inside, go_on })
        });
        is_inside.recv_timeout(DEADLINE).unwrap();
        Self { let_go, thread }
    }

    fn let_go(self) {
        assert!(!self.thread.is_finished(), "the queue was not held");
        self.let_go.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

#[test]
fn tapq_does_not_wait_for_a_cpu_that_holds_the_queue() {
    let mut topology = topology();
    // With time the words may have to be brought up to date, which is where waiting could come from.
    topology.timing.reset_ns = 1;
    let clock = Arc::new(ManualClock::default());
    let machine = Machine::with_clock(&topology, clock.clone()).unwrap();
    let mut cpu = Cpu::on(&machine);
    cpu.function(FunctionCode::RAPQ, QUEUE);
    clock.advance(1);
    let holder = Holder::of(&machine);
    let (answer, answered) = channel();
    thread::spawn(move || answer.send(cpu.tapq(QUEUE).0));
    let status = answered.recv_timeout(DEADLINE).expect("TAPQ waited for the holder of the queue");
    // The holder publishes when it lets go; until then the last publication stands.
    assert_eq!(status, QueueStatus::new(QueueStatus::EMPTY, ResponseCode::RESET_IN_PROGRESS));
    holder.let_go();
}

#[test]
fn a_cpu_that_waited_for_a_queue_looks_at_the_masks_again() {
    let machine = Machine::new(&topology()).unwrap();
    for _ in 0..20 {
        let holder = Holder::of(&machine);
        let guest = Configuration::guest(&machine);
        guest.set_apcb(topology().matrix());
        let mut cpu = Cpu::of(guest.clone());
        let (begins, begun) = channel();
        let waiting = thread::spawn(move || {
            begins.send(()).unwrap();
            cpu.nqap(QUEUE, 1, &small_request())
        });
        begun.recv_timeout(DEADLINE).unwrap();
        // Gives it the chance to come as far as the queue; nothing depends on whether it does.
        (0..1000).for_each(|_| thread::yield_now());
        guest.set_apcb(Matrix::EMPTY);
        holder.let_go();
        assert_eq!(waiting.join().unwrap().response(), ResponseCode::Q_NOT_AVAIL);
        Cpu::on(&machine).function(FunctionCode::ZAPQ, QUEUE);
    }
}

#[test]
fn every_request_of_several_cpus_becomes_exactly_one_reply() {
    const CPUS: u64 = 4;
    const REQUESTS: u64 = 300;
    let machine = Machine::new(&topology()).unwrap();
    let seen = thread::scope(|scope| {
        let cpus: Vec<_> = (0..CPUS)
            .map(|number| {
                let mut cpu = Cpu::on(&machine);
                scope.spawn(move || {
                    let mut seen = Vec::new();
                    let mut sent = 0;
                    // Whoever fills the queue empties it, so nobody waits for another.
                    while sent < REQUESTS || seen.len() < REQUESTS as usize / 2 {
                        if sent < REQUESTS
                            && cpu.nqap(QUEUE, number << 32 | sent, &small_request()).response() == ResponseCode::NORMAL
                        {
                            sent += 1;
                            continue;
                        }
                        match cpu.dqap(QUEUE) {
                            Received::Reply { psmid, .. } => seen.push(psmid),
                            Received::Nothing(_) if sent == REQUESTS => break,
                            Received::Nothing(_) => {}
                        }
                    }
                    seen
                })
            })
            .collect();
        cpus.into_iter().flat_map(|cpu| cpu.join().unwrap()).collect::<Vec<_>>()
    });
    let mut cpu = Cpu::on(&machine);
    let mut all = seen;
    while let Received::Reply { psmid, .. } = cpu.dqap(QUEUE) {
        all.push(psmid);
    }
    let distinct: BTreeSet<_> = all.iter().copied().collect();
    assert_eq!((all.len() as u64, distinct.len() as u64), (CPUS * REQUESTS, CPUS * REQUESTS));
}

#[test]
fn a_queue_that_is_taken_away_and_then_reset_stays_empty() {
    let machine = Machine::new(&topology()).unwrap();
    let guest = Configuration::guest(&machine);
    let mut host = Cpu::on(&machine);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            let mut cpu = Cpu::of(guest.clone());
            let done = &done;
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    cpu.nqap(QUEUE, 1, &small_request());
                }
            });
        }
        for round in 0..300 {
            guest.set_apcb(topology().matrix());
            thread::yield_now();
            guest.set_apcb(Matrix::EMPTY);
            host.function(FunctionCode::ZAPQ, QUEUE);
            for _ in 0..20 {
                assert!(host.tapq(QUEUE).0.has(QueueStatus::EMPTY), "a request came after the reset in round {round}");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn resets_while_others_send_and_receive_leave_a_queue_that_works() {
    let machine = Machine::new(&topology()).unwrap();
    thread::scope(|scope| {
        for number in 0..3 {
            let mut cpu = Cpu::on(&machine);
            scope.spawn(move || {
                for round in 0..500 {
                    match number {
                        0 if round % 5 == 0 => drop(cpu.function(FunctionCode::RAPQ, QUEUE)),
                        0 | 1 => drop(cpu.nqap(QUEUE, round, &small_request())),
                        _ => drop(cpu.dqap(QUEUE)),
                    }
                }
            });
        }
    });
    let mut cpu = Cpu::on(&machine);
    cpu.function(FunctionCode::ZAPQ, QUEUE);
    assert_eq!(cpu.exchange(QUEUE, &small_request()).len(), 144);
}
